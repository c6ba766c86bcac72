"""A float64 copy of a model whose recurrent layers run a loop over time that can be observed."""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from unrolled._compat import output_shape_of, rnn
from unrolled.layers.embedding import zero_where_masked

_CONVOLUTIONAL = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)
_FLOATS = {"float16", "bfloat16", "float32", "mixed_float16", "mixed_bfloat16"}

Loop = Callable[[tf.Tensor, list, tf.Tensor | None], tuple]
"""From sequences, initial states and mask to the last output, all outputs and the last states."""


class Direction(NamedTuple):
    """A recurrent layer of the copy, which reads the sequence in one direction.

    Attributes:
        layer: name of the layer in the model, or of the `Bidirectional` that wraps it.
        direction: "forward", or "backward" for a layer with `go_backwards`.
        recurrent: the layer of the copy.
    """

    layer: str
    direction: str
    recurrent: keras.layers.RNN


class Float64Copy:
    """A copy of a model that computes the same function in float64 and in inference mode.

    Args:
        model: a built `keras.Sequential` or functional `keras.Model`.

    Attributes:
        model: the original model.
        network: the copy. Its weights are those of the model at the last `refresh`.
        directions: all recurrent layers of the copy, as `Direction`.

    Raises:
        TypeError: for a subclassed model with its own `call`.
        ValueError: if the model has no recurrent layers, is not built, or has layers that cannot be
            recreated in float64.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._pairs: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
        inputs, outputs = _ends(model)
        plain = keras.Model(inputs, outputs)  # Functional, and not compiled.
        is_sequential = isinstance(model, keras.Sequential)
        _check_call(model, keras.Sequential if is_sequential else type(plain))
        with preserved_random_state():
            self.network = keras.models.clone_model(
                plain,
                input_tensors=tree.map_structure(_float64_input, inputs),
                clone_function=self._clone,
                recursive=True,
            )
        copies = [copy for _, copy in self._pairs]
        self.directions = [direction for copy in copies for direction in _directions(copy)]
        if not self.directions:
            raise ValueError(
                f"`model`: expected recurrent layers (subclasses of keras.layers.RNN), but "
                f"{model.name!r} has none. Its layers: "
                f"{', '.join(type(copy).__name__ for copy in copies)}."
            )

    def _clone(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        try:
            copy = _recreated(layer)
        except Exception as error:
            raise ValueError(
                f"`model`: layer {layer.name!r} ({type(layer).__name__}) cannot be recreated from "
                f"its `get_config`: {error}"
            ) from error
        self._pairs.append((layer, copy))
        return copy

    def refresh(self) -> None:
        """Copies the current weights of the model, and the states of its stateful layers.

        Raises:
            ValueError: if a weight is not finite; the message names it.
        """
        for layer, layer_copy in self._pairs:
            for weight, copied in zip(_values(layer), _values(layer_copy), strict=True):
                value = weight.numpy()
                if not np.isfinite(value.astype("float64")).all():
                    raise ValueError(
                        f"`model`: weight {weight.path!r} is not finite (NaN or infinite), so "
                        "nothing can be measured. Measure before training diverges."
                    )
                copied.assign(value)

    def check_batch(self, inputs: Any) -> None:
        """Checks the batch size against that of a model with a fixed batch size.

        Raises:
            ValueError: if the sizes differ.
        """
        expected = self.network.inputs[0].shape[0]
        received = len(tree.flatten(inputs)[0])
        if expected not in (None, received):
            raise ValueError(
                f"`inputs`: {self.model.name!r} has a fixed batch size; expected {expected} "
                f"examples, got {received}."
            )

    def run(self, inputs: Any, loop_of: Callable[[Direction], Loop]) -> Any:
        """Runs the copy, with `loop_of(direction)` as the loop of every recurrent layer.

        Raises:
            ValueError: if a layer does not run the loop of `keras.layers.RNN`.
        """
        called: set[Direction] = set()
        for direction in self.directions:
            loop = _recorded(loop_of(direction), direction, called)
            direction.recurrent.inner_loop = loop
        outputs = self.network(inputs, training=False)
        for direction in self.directions:
            if direction not in called:
                raise ValueError(
                    f"`model`: layer {direction.layer!r} ({type(direction.recurrent).__name__}) "
                    "has its own loop over time. Expected the `inner_loop` of keras.layers.RNN."
                )
        return outputs


def _recorded(loop: Loop, direction: Direction, called: set[Direction]) -> Callable[..., tuple]:
    """Adapts a loop to `inner_loop`, and records that it was called."""

    def inner_loop(sequences, initial_state, mask, training=False):  # noqa: ARG001
        called.add(direction)
        states = tree.map_structure(tf.convert_to_tensor, initial_state)
        mask = by_step(mask, sequences)
        if mask is not None:  # The layers do the same; a lower layer may output anything there.
            sequences = zero_where_masked(sequences, mask[..., None])
        return loop(sequences, list(states), mask)

    return inner_loop


def _recreated(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns an unbuilt copy of a layer in float64."""
    if type(layer) is not keras.layers.Lambda:
        return type(layer).from_config(in_float64(layer.get_config()))
    # Keras refuses to deserialize a function, which is unsafe for files. This one comes from the
    # model itself; reusing the object also preserves its closure.
    parts = layer.function, output_shape_of(layer), layer.mask, layer.arguments
    return keras.layers.Lambda(*parts, name=layer.name, dtype="float64")


def finite_tensors(structure: Any, name: str) -> Any:
    """Converts a part of a batch to tensors; None remains None.

    Args:
        structure: a nested structure of arrays.
        name: name of the argument, for the message.

    Raises:
        ValueError: if a value is not finite.
    """
    if structure is None:
        return None
    tensors = tree.map_structure(tf.convert_to_tensor, structure)
    for tensor in tree.flatten(tensors):
        if tensor.dtype.is_floating and not np.isfinite(tensor.numpy()).all():
            raise ValueError(
                f"`{name}`: expected finite numbers, got NaN or infinity, so nothing can be "
                "measured."
            )
    return tensors


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restores the state of Python's random generator.

    Creating layers draws seeds from it, but a measurement must not change a training run.
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def run_steps(
    layer: keras.layers.RNN,
    step: Callable,
    sequences: tf.Tensor,
    states: list,
    mask: tf.Tensor | None,
) -> tuple:
    """Runs Keras's loop over time, which handles masks and directions as `keras.layers.RNN` does.

    Args:
        layer: the recurrent layer.
        step: function from one step's input `(batch, features)` and the states to an output and the
            new states.
        sequences: `(batch, steps, features)`, in the order of the input for both directions.
        states: the initial states.
        mask: bool `(batch, steps)` or None; a masked step leaves the states unchanged.

    Returns:
        The last output, all outputs in the order of computation, and the last states.
    """
    return rnn(
        step,
        sequences,
        states,
        go_backwards=layer.go_backwards,
        mask=mask,
        input_length=sequences.shape[1],
        zero_output_for_mask=layer.zero_output_for_mask,
    )


def by_step(mask: Any, sequences: tf.Tensor) -> tf.Tensor | None:
    """Converts a mask as Keras's layers accept it to bool `(batch, steps)`, or None."""
    if isinstance(mask, list | tuple):  # Includes the masks of symbolic initial states.
        mask = mask[0]
    if mask is None:
        return None
    mask = tf.cast(mask, bool)
    mask = mask[..., 0] if len(mask.shape) == 3 else mask
    return tf.broadcast_to(mask, tf.shape(sequences)[:2])


def real_steps(mask: tf.Tensor | None, sequences: tf.Tensor) -> tf.Tensor:
    """Returns the mask as bool `(batch, steps)`; all True if there is no mask."""
    real = tf.ones(tf.shape(sequences)[:2], bool) if mask is None else mask
    return tf.ensure_shape(real, sequences.shape[:2])


def call_cell(cell: keras.layers.Layer, x: tf.Tensor, states: list) -> tuple[tf.Tensor, list]:
    """Runs one step of any cell in inference mode; returns its output and its new states."""
    in_inference = {"training": False} if getattr(cell, "_call_has_training_arg", False) else {}
    output, new = cell(x, states, **in_inference)
    return output, list(new) if tree.is_nested(new) else [new]


def in_float64(config: Any) -> Any:
    """Returns a layer's configuration with every floating-point `dtype` replaced by float64."""
    if isinstance(config, list | tuple):
        return type(config)(in_float64(item) for item in config)
    if not isinstance(config, dict):
        return config
    return {
        name: "float64" if name == "dtype" and _is_float(value) else in_float64(value)
        for name, value in config.items()
    }


def _is_float(dtype: Any) -> bool:
    if isinstance(dtype, dict):  # A serialized dtype policy.
        dtype = dtype.get("config", {}).get("name")
    return dtype in _FLOATS


def _ends(model: keras.Model) -> tuple[Any, Any]:
    """Returns the inputs and outputs of a model as Keras tensors, in their structure."""
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"`model`: {model.name!r} is not built, so its input shape is unknown. Call it "
                "once on a batch, or start it with a keras.Input."
            )
        return model.inputs[0], model.outputs[0]
    if not getattr(model, "outputs", None):
        _check_call(model, keras.Sequential)
    return model.input, model.output


def _check_call(model: keras.Model, kind: type[keras.Model]) -> None:
    """Raises TypeError if a model overrides the `call` of Keras's class."""
    if type(model).call is not kind.call:
        raise TypeError(
            "`model`: expected a keras.Sequential or a functional keras.Model, got "
            f"{type(model).__name__}, which overrides `call`. Write it as keras.Model(inputs, "
            "outputs)."
        )


def _float64_input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    is_float = keras.backend.is_float_dtype(tensor.dtype)
    dtype = "float64" if is_float else tensor.dtype
    return keras.Input(batch_shape=tensor.shape, dtype=dtype, name=tensor.name)


def _values(layer: keras.layers.Layer) -> list:
    """Returns the weights of a layer, and the states of the stateful layers in it."""
    states = [
        state
        for part in getattr(layer, "_flatten_layers", list)()
        if isinstance(part, keras.layers.RNN) and part.stateful
        for state in tree.flatten(part.states)
    ]
    return [*getattr(layer, "weights", ()), *states]


def _directions(layer: keras.layers.Layer) -> list[Direction]:
    """Returns the recurrent layers that a layer is or, for `Bidirectional`, contains."""
    parts = [layer]
    if isinstance(layer, keras.layers.Bidirectional):
        parts = [layer.forward_layer, layer.backward_layer]
        for part in parts:  # Otherwise Keras may run both directions in one cuDNN call.
            part.use_cudnn = False
    if not all(isinstance(part, keras.layers.RNN) for part in parts):
        _check_no_inner_recurrence(layer)
        return []
    for part in parts:
        if isinstance(part, _CONVOLUTIONAL):
            raise ValueError(
                f"`model`: layer {layer.name!r} ({type(layer).__name__}) has states that are not "
                "vectors. Expected states of shape (batch, units)."
            )
        part.unroll = False  # Unrolling needs a fixed number of steps.
    directions = ["backward" if part.go_backwards else "forward" for part in parts]
    pairs = zip(directions, parts, strict=True)
    return [Direction(layer.name, direction, part) for direction, part in pairs]


def _check_no_inner_recurrence(layer: keras.layers.Layer) -> None:
    parts: list[keras.layers.Layer] = getattr(layer, "_flatten_layers", list)()
    hidden = [part for part in parts if isinstance(part, keras.layers.RNN)]
    if hidden:
        raise ValueError(
            f"`model`: layer {layer.name!r} ({type(layer).__name__}) runs "
            f"{type(hidden[0]).__name__} inside, where it cannot be measured. Expected recurrent "
            "layers directly in the model, or wrapped in keras.layers.Bidirectional."
        )
