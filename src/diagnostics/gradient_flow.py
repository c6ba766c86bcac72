"""dL/da<t>: how much of a loss's gradient reaches each step of each recurrent layer."""

import contextlib
import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from unrolled.diagnostics.decay import LEVELS, Curve, curve
from unrolled.diagnostics.float64_copy import ExactCopy, finite_tensors
from unrolled.diagnostics.probes import probed_loop, total_gradients

LOSSES = ("own", "late")


@dataclass(frozen=True)
class GradientFlow:
    """log10 |dL/ds<t>| of one state s of one recurrent layer and direction.

    |.| is the Euclidean norm over the units, and L the loss of the whole batch: a mean over
    examples has their number in its denominator.

    Attributes:
        layer: name of the layer in the model; a second call of a shared layer is "name (call 2)".
        direction: "forward" or "backward".
        state: the lecture's name, a or c.
        loss: "own", or "late": the loss at one late step alone.
        log10_norms: `(examples, steps)`, by the step of the input at which the direction reads it.
            -inf is a gradient of exactly zero, +inf one that is not a number because values of the
            model itself overflow float64. NaN where the mask is False.
        mask: bool `(examples, steps)`, True at real steps; with a late loss, of examples that have
            a late step.
        lags: whole numbers `(examples, steps)`: how many real steps the direction goes from a step
            to the late one. 0 is the late step; below 0 are steps that it reads after that. With
            the own loss, in a model that answers once, and in a layer that reads another sequence
            than the one that is answered, the last real step that the direction reads counts as
            the late one. Where the mask is False they mean nothing.
    """

    layer: str
    direction: str
    state: str
    loss: str
    log10_norms: np.ndarray
    mask: np.ndarray
    lags: np.ndarray

    def by_step(self, levels: Sequence[float] = LEVELS) -> Curve:
        """Over the examples, at each step of the input; see `curve`."""
        steps = np.broadcast_to(np.arange(self.mask.shape[1]), self.mask.shape)
        return curve(steps[self.mask], self.log10_norms[self.mask], levels)

    def by_lag(self, levels: Sequence[float] = LEVELS) -> Curve:
        """Over the examples, at each lag from 0 on; see `curve`."""
        there = self.mask & (self.lags >= 0)
        return curve(self.lags[there], self.log10_norms[there], levels)


class FlowMeter:
    """Measures the gradient flow of one model, as often as one likes.

    What is measured is the total derivative with respect to the state after step t: through the
    output at t and the layers above, through all later steps and, for the LSTM's c<t>, through
    a<t>. A copy of the model, made here, computes it in float64 and in inference, that is without
    dropout; it takes the weights anew for every measurement. No gradient is too small or too large
    for it: see `unrolled.diagnostics.probes`.

    Args:
        model: a built `keras.Sequential`, or `keras.Model` made of inputs and outputs, with
            recurrent layers: those of `layers`, Keras's, `keras.layers.RNN` over any cell whose
            output is one of its states, and `keras.layers.Bidirectional` of them.
        loss: as in `compile`; the model's own, with its loss weights, unless given.

    Raises:
        TypeError: for a model whose layers are not known, or with a `compute_loss` of its own.
        ValueError: for a model without recurrent layers or without a loss, that is not built, or
            that has layers which cannot be made again or measured.

    >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4)])
    >>> x, y = np.ones((2, 5, 3)), np.zeros((2, 4))
    >>> [flow.state for flow in FlowMeter(model, loss="mse").measure(x, y)]
    ['a', 'c']
    """

    def __init__(self, model, loss=None):
        self._exact = ExactCopy(model)
        self._compile(model, loss)
        self._calls = []
        self._gradients = tf.function(self._probe, autograph=False, reduce_retracing=True)

    def measure(self, inputs, targets, sample_weight=None, *, loss="own") -> list[GradientFlow]:
        """The gradient flow on one batch.

        Args:
            inputs, targets, sample_weight: a batch, as `keras.Model.train_on_batch` takes it.
            loss: "own" is the model's loss, with penalties on activities. "late" is the compiled
                loss with all sample weights zero but at one step of each example, the last real
                one whose sample weight was not zero. For a backward direction, it is the first
                such step, the last that it reads. A model that answers once has one step to answer
                at, and "late" is the compiled loss.

        Returns:
            One `GradientFlow` for every recurrent layer, direction and state, in the order in which
            the layers are called.

        Raises:
            ValueError: for weights or a batch that are not finite, an unknown `loss`, a late loss
                of a model with several outputs, or a batch of another size than the model is made
                for.
        """
        if loss not in LOSSES:
            raise ValueError(f"`loss`: expected one of {', '.join(LOSSES)}, got {loss!r}.")
        self._exact.check_batch(inputs)
        batch = {"inputs": inputs, "targets": targets, "sample_weight": sample_weight}
        batch = [finite_tensors(part, name) for name, part in batch.items()]
        if loss == "own":
            return self._flows(batch, loss)
        if len(self._exact.network.outputs) > 1:
            raise ValueError(
                f"`loss`: 'late' is for models with one output, and {self._exact.model.name!r} has "
                f"{len(self._exact.network.outputs)}. Take keras.Model(inputs, one_of_them)."
            )
        ways = {direction.direction for direction in self._exact.directions}
        flows = {way: self._flows(batch, loss, late=way) for way in ways}
        every = zip(*flows.values(), strict=True)
        return [flows[same[0].direction][number] for number, same in enumerate(every)]

    def _compile(self, model, loss):
        """Give the copy the loss, in float64."""
        if loss is None and type(model).compute_loss is not keras.Model.compute_loss:
            raise TypeError(
                f"`model`: {type(model).__name__} computes its loss itself, in a way that the copy "
                "does not know. Give `loss`."
            )
        weights = None
        if loss is None and model.loss is not None:
            loss, weights = model.loss, model._compile_loss._user_loss_weights
        if loss is None:
            raise ValueError(
                f"`model`: {model.name!r} has no loss to take the gradient of. Compile it with "
                "one, or give `loss`."
            )
        with _float64():
            loss = tree.map_structure(_in_float64, loss)
            self._exact.network.compile(loss=loss, loss_weights=weights)

    def _flows(self, batch, loss, late=None):
        """All flows of a loss; of a late one, late for the directions that read that way."""
        totals, masks, late_steps = total_gradients(
            lambda *band: self._gradients(*batch, late, *band), before_each=self._exact.refresh
        )
        flows, seen = [], Counter()
        for call, by_state, mask in zip(self._calls, totals, masks, strict=True):
            (layer, way, _), states = call
            seen[layer, way] += 1
            name = layer if seen[layer, way] == 1 else f"{layer} (call {seen[layer, way]})"
            mask, lags = _lags(mask.numpy(), way, late_steps)
            for state, norms in zip(states, by_state, strict=True):
                norms = np.where(mask, norms, np.nan)
                flows.append(GradientFlow(name, way, state, loss, norms, mask, lags))
        return flows

    def _probe(self, inputs, targets, sample_weight, late, scale, injected):
        """One measurement, see `probes.total_gradients`, and the late steps."""
        calls = []
        with _float64(), tf.GradientTape() as tape:
            loop_of = partial(probed_loop, calls=calls, tape=tape, injected=injected)
            outputs = self._exact.run(inputs, loop_of)
            steps = None
            if late and _answers_at_steps(outputs, calls):
                asked = _asked(outputs, calls[-1].mask, sample_weight)
                steps = _last(asked) if late == "forward" else _last(asked[:, ::-1])[:, ::-1]
                sample_weight = _at(steps, sample_weight)
            loss = self._loss(inputs, targets, outputs, sample_weight, bool(late)) * scale
        self._calls = [(call.direction, call.states) for call in calls]
        sought = [(call.probes, call.handed) for call in calls]
        gradients = tape.gradient(
            loss, tree.flatten(sought), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients = tree.pack_sequence_as(sought, gradients)
        return gradients, [call.mask for call in calls], steps

    def _loss(self, inputs, targets, outputs, sample_weight, compiled_alone):
        network = self._exact.network
        loss = network.compute_loss(inputs, targets, outputs, sample_weight, training=False)
        if compiled_alone and network.losses:
            loss -= tf.add_n(network.losses)
        return tf.reduce_sum(loss)


def _answers_at_steps(outputs, calls):
    """Whether the model answers at every step; other answers may have as many axes."""
    return len(outputs.shape) > 2 and outputs.shape[1] in (None, calls[-1].mask.shape[1])


def _asked(outputs, mask, sample_weight):
    """Bool `(examples, steps)`: the real steps whose sample weight is not zero."""
    own = getattr(outputs, "_keras_mask", None)
    mask = mask if own is None else own
    return mask if sample_weight is None else mask & (_by_step(sample_weight) != 0)


def _by_step(sample_weight):
    """`(examples, steps)` or `(examples, 1)`."""
    if len(sample_weight.shape) == 3:
        return sample_weight[..., 0]
    return sample_weight[:, None] if len(sample_weight.shape) == 1 else sample_weight


def _last(steps):
    """The last True of every row alone."""
    so_far = tf.cumsum(tf.cast(steps, tf.int32), axis=1)
    return steps & (so_far == so_far[:, -1:])


def _at(steps, sample_weight):
    """The sample weights at some steps, bool `(examples, steps)`, and zero elsewhere."""
    steps = tf.cast(steps, tf.float64)
    return steps if sample_weight is None else steps * tf.cast(_by_step(sample_weight), tf.float64)


def _lags(mask, direction, late_steps):
    """The mask of examples that have a late step, and the lags from it.

    Args:
        mask: bool `(examples, steps)`.
        direction: "forward" or "backward", the order in which steps are read.
        late_steps: bool `(examples, steps)` with at most one True in a row; None for the last real
            step.
    """
    in_order = slice(None) if direction == "forward" else slice(None, None, -1)
    read = np.cumsum(mask[:, in_order], axis=1)[:, in_order]
    if late_steps is None or late_steps.shape != mask.shape:
        return mask, read.max(axis=1, keepdims=True, initial=0) - read
    late_steps = late_steps.numpy()
    at_late = np.max(read, axis=1, keepdims=True, initial=0, where=late_steps)
    return mask & late_steps.any(axis=1, keepdims=True), at_late - read


@contextlib.contextmanager
def _float64():
    """Keras makes a loss in its default type, and of what is made here that must be float64."""
    default = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(default)


def _in_float64(loss):
    """A loss as `compile` takes it; an object casts to the type it was made with, so a copy."""
    if not isinstance(loss, keras.losses.Loss):
        return loss
    loss = copy.copy(loss)
    loss._dtype_policy = keras.DTypePolicy("float64")
    loss._dtype = "float64"
    return loss
