"""A unit of ours and its peer in Keras: the same function with the same weights."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from hydra.utils import instantiate
from omegaconf import OmegaConf

from unrolled import layers
from unrolled.project import CONFIGURATION


class DifferentFunctionsError(ValueError):
    """Two layers that do not compute the same; their times say nothing about each other."""


@dataclass(frozen=True)
class Shape:
    """The shape of a batch, `(batch, steps, inputs)`, and the number of units of the layer."""

    batch: int
    steps: int
    inputs: int
    units: int

    def __str__(self) -> str:
        return f"B{self.batch} T{self.steps} D{self.inputs} H{self.units}"

    @property
    def heading(self) -> str:
        """Its name on two lines."""
        return f"B{self.batch} T{self.steps}\nD{self.inputs} H{self.units}"


def unit_named(name: str) -> Callable[..., keras.layers.Layer]:
    """A function that makes a layer of the unit in conf/cell/`name`.yaml from further options."""
    options = OmegaConf.load(CONFIGURATION / "cell" / f"{name}.yaml")
    options.pop("name")
    return instantiate(options, _partial_=True)


def peer_of(layer: keras.layers.RNN) -> keras.layers.Layer:
    """Keras's own layer with the same function and weights, else `keras.layers.RNN` of the cell.

    Args:
        layer: one of `layers`, built.
    """
    try:
        return layers.to_keras(layer)
    except (TypeError, ValueError):  # Keras has no such unit, or no such variant of it.
        pass
    cell = type(layer.cell).from_config(layer.cell.get_config())
    peer = keras.layers.RNN(cell, return_sequences=layer.return_sequences, name=layer.name)
    peer.build((None, None, layer.cell.kernel.shape[0]))
    peer.set_weights(layer.get_weights())
    return peer


def name_of_peer(peer: keras.layers.Layer) -> str:
    """Its name in tables."""
    name = f"keras.layers.{type(peer).__name__}"
    if isinstance(peer, keras.layers.GRU):
        return f"{name}(reset_after={peer.reset_after})"
    return f"{name}(cell)" if is_generic(peer) else name


def is_generic(peer: keras.layers.Layer) -> bool:
    """Whether Keras lacks the unit, so that the peer is `keras.layers.RNN` of our cell."""
    return type(peer) is keras.layers.RNN


@dataclass(frozen=True)
class Pair:
    """A layer, its peer, and the inputs of both.

    Attributes:
        ours, peer: the layers.
        x: float32 `(batch, steps, inputs)`.
        mask: bool `(batch, steps)`, None if examples are not padded.
    """

    ours: keras.layers.Layer
    peer: keras.layers.Layer
    x: tf.Tensor
    mask: tf.Tensor | None


def make_pair(unit: str, shape: Shape, masked: bool, seed: int) -> Pair:
    """A unit and its peer, returning all of their outputs, with the same random biases.

    With `masked` each example has a random length of at least one step; the first has all steps.
    """
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    ours = unit_named(unit)(units=shape.units, return_sequences=True)
    ours.build((None, None, shape.inputs))
    # Only biases: with larger recurrent weights, rounding errors would grow from step to step.
    noise = [rng.normal(scale=0.1 * (w.ndim == 1), size=w.shape) for w in ours.get_weights()]
    ours.set_weights([w + n for w, n in zip(ours.get_weights(), noise, strict=True)])
    x = rng.normal(size=(shape.batch, shape.steps, shape.inputs)).astype("float32")
    mask = None
    if masked:
        lengths = rng.integers(1, shape.steps + 1, shape.batch)
        lengths[0] = shape.steps
        mask = tf.constant(np.arange(shape.steps) < lengths[:, None])
    return Pair(ours, peer_of(ours), tf.constant(x), mask)


def training_step(layer: keras.layers.Layer) -> Callable:
    """`step(x, mask)` returns the gradients of a scalar loss of all outputs.

    They are with respect to x, and then to each weight.
    """

    @tf.function(jit_compile=False)
    def step(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(tf.square(layer(x, mask=mask, training=True)))
        return tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])

    return step


def inference(layer: keras.layers.Layer) -> Callable:
    """`outputs(x, mask)` returns the outputs of all steps."""

    @tf.function(jit_compile=False)
    def outputs(x, mask):
        return layer(x, mask=mask, training=False)

    return outputs


def require_same_function(outputs, gradients, tolerance: float, peer: keras.layers.Layer) -> None:
    """Check that a layer and its peer have the same outputs and gradients.

    Args:
        outputs: of the layer, and of its peer.
        gradients: likewise, as `training_step` returns them.
        tolerance: largest difference allowed, relative to the largest value of the peer.
        peer: that peer.

    Raises:
        DifferentFunctionsError: if the two differ by more.
    """
    _require_same("outputs", *outputs, tolerance)
    by_x, *by_weights = zip(*gradients, strict=True)
    _require_same("gradients with respect to x", *by_x, tolerance)
    in_keras = isinstance(peer, keras.layers.GRU)
    for ours, theirs in by_weights:
        if in_keras and peer.reset_after and theirs.shape.rank == 2 and ours.shape.rank == 1:
            continue  # Keras has this bias twice.
        expected = _with_update_gate_negated(ours) if in_keras else ours
        _require_same("gradients with respect to weights", expected, theirs, tolerance)


def _with_update_gate_negated(columns):
    """Keras's update gate is 1 minus ours, which negates its weights and their gradients."""
    update, *others = np.split(np.asarray(columns), 3, axis=-1)
    return np.concatenate([-update, *others], axis=-1)


def _require_same(what, ours, peer, tolerance):
    ours, peer = np.asarray(ours), np.asarray(peer)
    difference = np.max(np.abs(ours - peer)) / max(np.max(np.abs(peer)), np.finfo("float32").tiny)
    if not difference <= tolerance:
        raise DifferentFunctionsError(
            f"The {what} of the unit and of its peer differ by {difference:.2g} of the largest "
            f"value, more than the tolerance of {tolerance:g}. The times of two different "
            "functions are not compared."
        )
