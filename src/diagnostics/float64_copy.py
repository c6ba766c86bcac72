"""A model's copy in float64 whose recurrent layers step through time where one can look."""

import contextlib
import random
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import tree
from keras.src import backend

from unrolled.layers.embedding import zero_where_masked

_OF_IMAGES = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)
_FLOATS = {"float16", "bfloat16", "float32", "mixed_float16", "mixed_bfloat16"}


class Direction(NamedTuple):
    """A recurrent layer of the copy that reads the sequence one way.

    Attributes:
        layer: name of the layer in the model; that of the `Bidirectional` around it, if there is.
        direction: "forward", or "backward" for a layer that goes backwards.
        recurrent: the layer itself.
    """

    layer: str
    direction: str
    recurrent: keras.layers.RNN


class ExactCopy:
    """The same function as a model, in inference, computed in float64.

    Args:
        model: a built `keras.Sequential` or `keras.Model` made of inputs and outputs.

    Attributes:
        model: the model.
        network: the copy. Its weights are those of the model since the last `refresh`.
        directions: every `Direction` in it.

    Raises:
        TypeError: for a model whose layers are not known: a subclass with a `call` of its own.
        ValueError: for a model without recurrent layers, that is not built, or whose layers cannot
            be made again in float64.
    """

    def __init__(self, model):
        self.model = model
        self._pairs = []
        inputs, outputs = _ends(model)
        plain = keras.Model(inputs, outputs)  # Whatever the model is, and not compiled.
        is_list = isinstance(model, keras.Sequential)
        _refuse_own_call(model, keras.Sequential if is_list else type(plain))
        with random_numbers_untouched():
            self.network = keras.models.clone_model(
                plain,
                input_tensors=tree.map_structure(_exact_input, inputs),
                clone_function=self._clone,
                recursive=True,
            )
        copies = [copy for _, copy in self._pairs]
        self.directions = [found for copy in copies for found in _directions(copy)]
        if not self.directions:
            raise ValueError(
                f"`model`: expected recurrent layers (keras.layers.RNN and its kind), and "
                f"{model.name!r} has none. Its layers: "
                f"{', '.join(type(copy).__name__ for copy in copies)}."
            )

    def _clone(self, layer):
        try:
            copy = _made_again(layer)
        except Exception as error:
            raise ValueError(
                f"`model`: layer {layer.name!r} ({type(layer).__name__}) cannot be made again from "
                f"its `get_config`: {error}"
            ) from error
        self._pairs.append((layer, copy))
        return copy

    def refresh(self):
        """Take the model's weights, and the states of its stateful layers, as they are now.

        Raises:
            ValueError: for a weight that is not finite; the message names it.
        """
        for layer, copy in self._pairs:
            for weight, exact in zip(_values(layer), _values(copy), strict=True):
                value = weight.numpy()
                if not np.isfinite(value.astype("float64")).all():
                    raise ValueError(
                        f"`model`: weight {weight.path!r} is not finite (NaN or infinite), and "
                        "there is nothing left to measure. Measure before training diverges."
                    )
                exact.assign(value)

    def check_batch(self, inputs):
        """Refuse a batch of another size than a model for one size takes.

        Raises:
            ValueError: for such a batch.
        """
        expected = self.network.inputs[0].shape[0]
        given = len(tree.flatten(inputs)[0])
        if expected not in (None, given):
            raise ValueError(
                f"`inputs`: {self.model.name!r} is made for one size of batch; expected {expected} "
                f"examples, got {given}."
            )

    def run(self, inputs, loop_of):
        """The outputs, with every recurrent layer running `loop_of(direction)` for its own loop.

        Raises:
            ValueError: for a layer that has no such loop.
        """
        called = set()
        for direction in self.directions:
            loop = _noted(loop_of(direction), direction, called)
            direction.recurrent.inner_loop = loop
        outputs = self.network(inputs, training=False)
        for direction in self.directions:
            if direction not in called:
                raise ValueError(
                    f"`model`: layer {direction.layer!r} ({type(direction.recurrent).__name__}) "
                    "goes through time in a way of its own. Expected the loop of keras.layers.RNN, "
                    "that is its `inner_loop`."
                )
        return outputs


def _noted(loop, direction, called):
    def inner_loop(sequences, initial_state, mask, training=False):  # noqa: ARG001
        called.add(direction)
        states = tree.map_structure(tf.convert_to_tensor, initial_state)
        mask = by_step(mask, sequences)
        if mask is not None:  # As the layers themselves do, whatever a layer below puts there.
            sequences = zero_where_masked(sequences, mask[..., None])
        return loop(sequences, list(states), mask)

    return inner_loop


def _made_again(layer):
    if type(layer) is not keras.layers.Lambda:
        return type(layer).from_config(in_float64(layer.get_config()))
    # Of a configuration, Keras makes no function: in a file it could do anything. This one is the
    # model's own, and as it is it still knows the names around it.
    parts = layer.function, layer._output_shape, layer.mask, layer.arguments
    return keras.layers.Lambda(*parts, name=layer.name, dtype="float64")


def finite_tensors(structure, name):
    """A part of a batch as tensors; None stays None.

    Raises:
        ValueError: for a number that is not finite.
    """
    if structure is None:
        return None
    tensors = tree.map_structure(tf.convert_to_tensor, structure)
    for tensor in tree.flatten(tensors):
        if tensor.dtype.is_floating and not np.isfinite(tensor.numpy()).all():
            raise ValueError(
                f"`{name}`: expected finite numbers, got NaN or infinite ones, of which nothing "
                "can be measured."
            )
    return tensors


@contextlib.contextmanager
def random_numbers_untouched():
    """Making layers draws seeds from Python's generator; a measurement must not change a run."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def steps_through(layer, step, sequences, states, mask):
    """Keras's loop over time, which treats masks and directions as in `keras.layers.RNN`.

    Args:
        layer: the recurrent layer.
        step: from one step's `(batch, features)` and the states to an output and the new states.
        sequences: `(batch, steps, features)`, in the order of the input whatever the direction.
        states: before the first step.
        mask: bool `(batch, steps)` or None; a step with False passes the states on.

    Returns:
        The last output, all outputs in the order they were made, and the last states.
    """
    return backend.rnn(
        step,
        sequences,
        states,
        go_backwards=layer.go_backwards,
        mask=mask,
        input_length=sequences.shape[1],
        zero_output_for_mask=layer.zero_output_for_mask,
    )


def by_step(mask, sequences):
    """A mask as Keras's layers take it, as bool `(batch, steps)`, or None."""
    if isinstance(mask, list | tuple):  # Initial states that are Keras tensors bring their own.
        mask = mask[0]
    if mask is None:
        return None
    mask = tf.cast(mask, bool)
    mask = mask[..., 0] if len(mask.shape) == 3 else mask
    return tf.broadcast_to(mask, tf.shape(sequences)[:2])


def real_steps(mask, sequences):
    """Bool `(batch, steps)`: True wherever there is no mask."""
    real = tf.ones(tf.shape(sequences)[:2], bool) if mask is None else mask
    return tf.ensure_shape(real, sequences.shape[:2])


def call_cell(cell, x, states):
    """One step of any cell in inference: its output and its new states, in a list."""
    in_inference = {"training": False} if getattr(cell, "_call_has_training_arg", False) else {}
    output, new = cell(x, states, **in_inference)
    return output, list(new) if tree.is_nested(new) else [new]


def in_float64(config):
    """A layer's configuration with every floating-point `dtype` in it changed to float64."""
    if isinstance(config, list | tuple):
        return type(config)(in_float64(item) for item in config)
    if not isinstance(config, dict):
        return config
    return {
        name: "float64" if name == "dtype" and _is_float(value) else in_float64(value)
        for name, value in config.items()
    }


def _is_float(dtype):
    if isinstance(dtype, dict):  # A policy, as Keras writes it.
        dtype = dtype.get("config", {}).get("name")
    return dtype in _FLOATS


def _ends(model):
    """The inputs and outputs of a model as Keras tensors, in their structure."""
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"`model`: {model.name!r} is not built, and the shape of its input not known. Call "
                "it once on a batch, or give it a keras.Input first."
            )
        return model.inputs[0], model.outputs[0]
    if not getattr(model, "outputs", None):
        _refuse_own_call(model, keras.Sequential)
    return model.input, model.output


def _refuse_own_call(model, kind):
    """Refuse a model that is called in another way than those of Keras's class."""
    if type(model).call is not kind.call:
        raise TypeError(
            "`model`: expected a keras.Sequential, or a keras.Model made of inputs and outputs, "
            f"got {type(model).__name__}, whose `call` hides what it does. Write it as "
            "keras.Model(inputs, outputs)."
        )


def _exact_input(tensor):
    is_float = keras.backend.is_float_dtype(tensor.dtype)
    dtype = "float64" if is_float else tensor.dtype
    return keras.Input(batch_shape=tensor.shape, dtype=dtype, name=tensor.name)


def _values(layer):
    """The weights of a layer, and the states of the stateful layers in it."""
    states = [
        state
        for part in getattr(layer, "_flatten_layers", list)()
        if isinstance(part, keras.layers.RNN) and part.stateful
        for state in tree.flatten(part.states)
    ]
    return [*getattr(layer, "weights", ()), *states]


def _directions(layer):
    """The recurrent layers that a layer is or, `Bidirectional`, is made of."""
    found = [layer]
    if isinstance(layer, keras.layers.Bidirectional):
        found = [layer.forward_layer, layer.backward_layer]
        for part in found:  # Else Keras may hand both directions to cuDNN as one.
            part.use_cudnn = False
    if not all(isinstance(part, keras.layers.RNN) for part in found):
        _refuse_hidden_recurrence(layer)
        return []
    for part in found:
        if isinstance(part, _OF_IMAGES):
            raise ValueError(
                f"`model`: layer {layer.name!r} ({type(layer).__name__}) has states that are not "
                "vectors, and the measurement is of states (batch, units)."
            )
        part.unroll = False  # Which needs a known number of steps.
    ways = ["backward" if part.go_backwards else "forward" for part in found]
    return [Direction(layer.name, way, part) for way, part in zip(ways, found, strict=True)]


def _refuse_hidden_recurrence(layer):
    parts = getattr(layer, "_flatten_layers", list)()
    hidden = [part for part in parts if isinstance(part, keras.layers.RNN)]
    if hidden:
        raise ValueError(
            f"`model`: layer {layer.name!r} ({type(layer).__name__}) runs "
            f"{type(hidden[0]).__name__} inside, where it cannot be measured. Expected recurrent "
            "layers of the model itself, or in keras.layers.Bidirectional."
        )
