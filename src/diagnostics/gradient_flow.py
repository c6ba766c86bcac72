"""How far the gradient flows back: |dL/da<t>| of every recurrent layer, direction and state.

What is measured is the total derivative by the state after step t: by way of the output at t and
what is above it, and by way of all later steps. In a loop that is not the gradient by the stacked
outputs, which the next step does not see. A zero, the probe, is added to each state at each step;
the gradient by the probe is the one that is sought, for any cell.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import ops

_SCALES = (2.0**960, 1.0, 2.0**-960)
"""A gradient is linear in the loss's scale. Over 500 steps it may leave the range of float64 at one
scale; with these, it is seen from some 10^-600 to 10^600 times what it starts from."""


@dataclass(frozen=True)
class Flow:
    """The gradient's norm by one state of one layer and direction.

    Attributes:
        layer: the layer's name; for one direction of two, that of `Bidirectional`.
        direction: "forward", or "backward" for one that reads from the last step to the first.
        state: the state's name, "a" or "c". Where both are there, c is the one that step t+1 sees:
            what a<t> was made of counts as a<t>, so that at the last step c has no gradient.
        log10_norm: log10 of |dL/da<t>|, float64 `(examples, steps)`, at t the step that was read;
            -inf for a gradient that is zero, NaN at masked steps.
        lag: steps of its own between the state and the one where the loss is, int `(examples,
            steps)`: 0 there, more before, -1 at masked steps and at those read after it.
    """

    layer: str
    direction: str
    state: str
    log10_norm: np.ndarray
    lag: np.ndarray


class GradientFlow:
    """Measures a model's gradient flow, on a copy of it in float64.

    The model is neither changed nor trained by it, and dropout is off. Weights are taken over at
    each measurement, so one object serves a whole training.

    Args:
        model: Functional or Sequential, with recurrent layers of `layers` or of Keras.
        loss: as for `model.compile`; that of a compiled model by default.

    Raises:
        ValueError: for a model that is of another kind, has no recurrent layer or no loss.
    """

    def __init__(self, model, loss=None):
        self._model = model
        self._loss = _in_float64(_loss_of(model, loss))
        self._twin = _copy_in_float64(model)
        self._probed = [
            _Probed(layer, name, direction)
            for name, direction, layer in _recurrent_layers(self._twin)
        ]
        if not self._probed:
            raise ValueError(
                f"{model.name}: expected a model with recurrent layers (of `layers`, or "
                "keras.layers.RNN, LSTM, GRU, SimpleRNN), got "
                f"{', '.join(type(layer).__name__ for layer in model.layers)}."
            )

    def measure(self, inputs, targets, weights=None) -> list[Flow]:
        """The flow of the model's own loss.

        Args:
            inputs, targets, weights: a batch, as `fit` takes it.

        Lags are counted from each example's last step.
        """
        self._take_weights()
        return self._flows(inputs, targets, weights, None)

    def measure_late(self, inputs, targets, weights=None) -> list[Flow]:
        """The flow of the loss at one step alone: the last with a target that counts.

        For a model that answers at the end it is that of its loss. A direction that reads backward
        has its late step at the first target.
        """
        self._take_weights()
        if len(self._twin.output_shape) == 2:
            return self._flows(inputs, targets, weights, None)
        asked = self._asked(inputs, targets, weights)
        flows = []
        for direction in ("forward", "backward"):
            if any(probed.direction == direction for probed in self._probed):
                late = _one_alone(asked, last=direction == "forward")
                found = self._flows(inputs, targets, late, late)
                flows += [flow for flow in found if flow.direction == direction]
        return flows

    def _take_weights(self):
        for twin, weight in zip(self._twin.weights, self._model.weights, strict=True):
            twin.assign(ops.cast(weight, twin.dtype))

    def _asked(self, inputs, targets, weights):
        """Which steps have a target that counts, `(examples, steps)`."""
        asked = np.ones(np.shape(targets)[:2], bool)
        if weights is not None:
            asked &= np.broadcast_to(np.reshape(weights, (len(asked), -1)), asked.shape) > 0
        mask = keras.src.backend.get_keras_mask(self._model(inputs))
        return asked if mask is None else asked & np.asarray(mask)

    def _flows(self, inputs, targets, weights, late):
        if weights is not None:
            weights = tf.convert_to_tensor(np.asarray(weights, "float64"))
        inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        found = [
            self._gradients(
                inputs, tf.convert_to_tensor(targets), weights, tf.constant(s, "float64")
            )
            for s in _SCALES
        ]
        flows = []
        for number, probed in enumerate(self._probed):
            gradients, masks = zip(*(each[number] for each in found), strict=True)
            mask = np.asarray(masks[0])
            lag = _lags(mask, late, probed.direction)
            for state, by_scale in zip(probed.names, zip(*gradients, strict=True), strict=True):
                log10_norm = _log10_norms([np.asarray(g) for g in by_scale])
                log10_norm = np.where(mask, log10_norm, np.nan)
                flows.append(Flow(probed.layer, probed.direction, state, log10_norm, lag))
        return flows

    @tf.function(reduce_retracing=True, autograph=False)
    def _gradients(self, inputs, targets, weights, scale):
        """By layer: the gradients by its states, `(examples, steps, units)`; its mask."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for probed in self._probed:
                probed.tape = tape
            outputs = self._twin(inputs, training=False)
            loss = self._loss(targets, outputs, sample_weight=weights)
        gradients = tape.gradient(
            loss,
            [probed.probes for probed in self._probed],
            output_gradients=scale,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        masks = [probed.mask for probed in self._probed]
        return list(zip(gradients, masks, strict=True))


class _Probed:
    """A recurrent layer of the copy, with a probe added to every state at every step."""

    def __init__(self, layer, name, direction):
        self.layer, self.direction = name, direction
        self._cell = layer.cell
        self._options = {
            "go_backwards": layer.go_backwards,
            "zero_output_for_mask": getattr(layer, "zero_output_for_mask", False),
        }
        self._dtype = layer.compute_dtype
        sizes = tf.nest.flatten(layer.cell.state_size)
        self._sizes = sizes
        self.names = getattr(layer.cell, "states", ("a", "c")[: len(sizes)])
        layer.inner_loop = self.inner_loop

    def inner_loop(self, sequences, initial_state, mask=None, training=False):  # noqa: ARG002
        """In place of the layer's own: Keras's loop, which knows masks and directions."""
        batch, steps = tf.shape(sequences)[0], tf.shape(sequences)[1]
        if isinstance(mask, list | tuple):
            mask = mask[0]
        self.probes = [tf.zeros((batch, steps, size), self._dtype) for size in self._sizes]
        self.tape.watch(self.probes)
        self.mask = tf.ones((batch, steps), bool) if mask is None else tf.cast(mask, bool)

        def step(inputs, states):
            x, *probes = inputs
            _, new = self._cell(x, list(states))
            new = new if isinstance(new, list | tuple) else [new]
            new = [state + probe for state, probe in zip(new, probes, strict=True)]
            return new[0], new

        return keras.src.backend.rnn(
            step,
            (sequences, *self.probes),
            list(initial_state),
            mask=None if mask is None else self.mask,
            input_length=sequences.shape[1],
            return_all_outputs=True,
            **self._options,
        )


def _recurrent_layers(model) -> Iterator[tuple[str, str, keras.layers.RNN]]:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Bidirectional):
            yield layer.name, "forward", layer.forward_layer
            yield layer.name, "backward", layer.backward_layer
        elif isinstance(layer, keras.layers.RNN):
            yield layer.name, "backward" if layer.go_backwards else "forward", layer


def _copy_in_float64(model):
    if not isinstance(model, keras.Sequential | keras.src.models.functional.Functional):
        raise ValueError(
            f"{model.name}: expected a Functional or a Sequential model, got "
            f"{type(model).__name__}, whose layers cannot be copied one by one."
        )

    def in_float64(layer):
        return type(layer).from_config(_float64(layer.get_config()))

    return keras.models.clone_model(model, clone_function=in_float64)


def _float64(config):
    """A layer's configuration and those inside it, with float64 for the dtype policy."""
    if isinstance(config, dict):
        return {
            key: "float64" if key == "dtype" else _float64(value) for key, value in config.items()
        }
    return [_float64(part) for part in config] if isinstance(config, list) else config


def _loss_of(model, loss):
    loss = getattr(model, "loss", None) if loss is None else loss
    if loss is None:
        raise ValueError(f"{model.name}: expected a compiled model or a `loss`, got neither.")
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        return loss
    return keras.src.losses.losses.LossFunctionWrapper(loss)


def _in_float64(loss):
    """The same loss, which would take float32 of the scores whatever they are in."""
    loss = copy.copy(loss)
    loss._dtype_policy = keras.DTypePolicy("float64")
    loss._dtype = "float64"
    return loss


def _one_alone(asked, last):
    """Weights with a single 1 an example: at its last step that is asked, or its first."""
    order = asked[:, ::-1] if last else asked
    at = order.argmax(axis=1)
    at = asked.shape[1] - 1 - at if last else at
    alone = np.zeros(asked.shape)
    alone[np.arange(len(asked)), at] = asked.any(axis=1)
    return alone


def _lags(mask, late, direction):
    """See `Flow.lag`; `late` has the step of the loss, by default the last one read."""
    own = mask if direction == "forward" else mask[:, ::-1]
    number = np.cumsum(own, axis=1)
    if late is None:
        start = number[:, -1:]
    else:
        late = late if direction == "forward" else late[:, ::-1]
        start = np.take_along_axis(number, late.argmax(axis=1)[:, None], axis=1)
    lag = np.where(own & (number <= start), start - number, -1)
    return lag if direction == "forward" else lag[:, ::-1]


def _log10_norms(by_scale):
    """log10 of the norms over the last axis, each from the largest scale that does not overflow."""
    result = np.full(by_scale[0].shape[:-1], np.nan)
    for gradients, scale in zip(by_scale, _SCALES, strict=True):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            largest = np.abs(gradients).max(axis=-1)
            # Squares of large or small numbers would leave the range.
            norm = np.sqrt(
                np.square(gradients / np.where(largest > 0, largest, 1)[..., None]).sum(-1)
            )
            log10 = np.log10(largest) + np.log10(np.maximum(norm, 1)) - np.log10(scale)
        usable = np.isnan(result) & np.isfinite(gradients).all(axis=-1)
        result[usable] = log10[usable]
    return result
