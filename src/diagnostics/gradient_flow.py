"""dL/da<t>: the gradient of a loss with respect to the state of a recurrent layer at each step."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from unrolled._compat import in_float64, loss_weights_of
from unrolled.diagnostics.decay import LEVELS, Curve, curve
from unrolled.diagnostics.float64_copy import Direction, Float64Copy, finite_tensors
from unrolled.diagnostics.probes import Probed, probed_loop, total_gradients

LOSSES = ("own", "late")


@dataclass(frozen=True)
class GradientFlow:
    """log10 |dL/ds<t>| of one state s of one recurrent layer and direction.

    |.| is the Euclidean norm over the units. L is the loss of the whole batch, so a mean over the
    examples divides by their number.

    Attributes:
        layer: name of the layer in the model; the second call of a shared layer is "name (call 2)".
        direction: "forward" or "backward".
        state: the lecture's name, a or c.
        loss: "own", or "late" for the loss at one late step alone.
        log10_norms: `(examples, steps)`, in the order of the input. -inf is a gradient of exactly
            zero. +inf is a gradient that is not finite because values of the model overflow
            float64. NaN where `mask` is False.
        mask: bool `(examples, steps)`, False at padding; with a late loss, also False for examples
            without a late step.
        lags: integers `(examples, steps)`: the number of real steps from a step to the late step,
            in reading direction. The late step has lag 0; steps that are read after it have
            negative lags. The last real step counts as the late step for the own loss, for a model
            with one output per sequence, and for a layer whose sequence differs from the output's.
            The values are undefined where `mask` is False.
    """

    layer: str
    direction: str
    state: str
    loss: str
    log10_norms: np.ndarray
    mask: np.ndarray
    lags: np.ndarray

    def by_step(self, levels: Sequence[float] = LEVELS) -> Curve:
        """Returns the curve over the steps of the input, across examples; see `curve`."""
        steps = np.broadcast_to(np.arange(self.mask.shape[1]), self.mask.shape)
        return curve(steps[self.mask], self.log10_norms[self.mask], levels)

    def by_lag(self, levels: Sequence[float] = LEVELS) -> Curve:
        """Returns the curve over the lags from 0, across examples; see `curve`."""
        valid = self.mask & (self.lags >= 0)
        return curve(self.lags[valid], self.log10_norms[valid], levels)


class FlowMeter:
    """Measures the gradient flow of one model, any number of times.

    The measured quantity is the total derivative with respect to the state after step t: through
    the output at t and the layers above, through all later steps and, for the LSTM's c<t>, through
    a<t>. It is computed on a copy of the model in float64 and in inference mode, that is without
    dropout. The copy takes the model's current weights at every measurement. Gradients of any
    magnitude can be measured: see `unrolled.diagnostics.probes`.

    Args:
        model: a built `keras.Sequential` or functional `keras.Model` with recurrent layers: those
            of `layers`, Keras's, `keras.layers.RNN` with any cell whose output is one of its
            states, and `keras.layers.Bidirectional` of these.
        loss: as in `compile`; defaults to the model's own loss and loss weights.

    Raises:
        TypeError: for a subclassed model, or one that overrides `compute_loss`.
        ValueError: if the model has no recurrent layers or no loss, is not built, or contains
            layers that cannot be recreated or measured.

    >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4)])
    >>> x, y = np.ones((2, 5, 3)), np.zeros((2, 4))
    >>> [flow.state for flow in FlowMeter(model, loss="mse").measure(x, y)]
    ['a', 'c']
    """

    def __init__(self, model: keras.Model, loss: Any = None) -> None:
        self._copy = Float64Copy(model)
        self._compile(model, loss)
        self._calls: list[tuple[Direction, Sequence[str]]] = []
        self._gradients = tf.function(self._probe, autograph=False, reduce_retracing=True)

    def measure(
        self, inputs: Any, targets: Any, sample_weight: Any = None, *, loss: str = "own"
    ) -> list[GradientFlow]:
        """Measures the gradient flow on one batch.

        Args:
            inputs, targets, sample_weight: a batch, as in `keras.Model.train_on_batch`.
            loss: "own" is the model's loss, including activity regularization. "late" is the
                compiled loss at one step per example: the last real step with a nonzero sample
                weight. For a backward direction it is the first such step, because that one is read
                last. For a model with one output per sequence, "late" is the compiled loss.

        Returns:
            One `GradientFlow` per recurrent layer, direction and state, in the order in which the
            layers are called.

        Raises:
            ValueError: if weights or the batch are not finite; for an unknown `loss`, or a late
                loss of a model with several outputs; if the batch size does not match a model with
                a fixed batch size.
        """
        if loss not in LOSSES:
            raise ValueError(f"`loss`: expected one of {', '.join(LOSSES)}, got {loss!r}.")
        self._copy.check_batch(inputs)
        parts = {"inputs": inputs, "targets": targets, "sample_weight": sample_weight}
        batch = [finite_tensors(part, name) for name, part in parts.items()]
        if loss == "own":
            return self._flows(batch, loss)
        if len(self._copy.network.outputs) > 1:
            raise ValueError(
                f"`loss`: 'late' needs a model with one output, but {self._copy.model.name!r} has "
                f"{len(self._copy.network.outputs)}. Use keras.Model(inputs, one_output)."
            )
        directions = {direction.direction for direction in self._copy.directions}
        flows = {direction: self._flows(batch, loss, late=direction) for direction in directions}
        by_position = zip(*flows.values(), strict=True)
        return [flows[flow[0].direction][index] for index, flow in enumerate(by_position)]

    def _compile(self, model: keras.Model, loss: Any) -> None:
        """Compiles the copy with the loss in float64."""
        if loss is None and type(model).compute_loss is not keras.Model.compute_loss:
            raise TypeError(
                f"`model`: {type(model).__name__} overrides `compute_loss`, which cannot be "
                "copied. Pass `loss`."
            )
        weights = None
        if loss is None and model.loss is not None:
            loss, weights = model.loss, loss_weights_of(model)
        if loss is None:
            raise ValueError(
                f"`model`: {model.name!r} has no loss. Compile it with a loss, or pass `loss`."
            )
        with _float64():
            loss = tree.map_structure(_in_float64, loss)
            self._copy.network.compile(loss=loss, loss_weights=weights)

    def _flows(self, batch: list, loss: str, late: str | None = None) -> list[GradientFlow]:
        """Returns all flows of a loss; `late` is the direction whose late step is used."""
        totals, masks, late_steps = total_gradients(
            lambda *band: self._gradients(*batch, late, *band), before_each=self._copy.refresh
        )
        flows = []
        seen: Counter[tuple[str, str]] = Counter()
        for call, by_state, mask in zip(self._calls, totals, masks, strict=True):
            (layer, direction, _), states = call
            seen[layer, direction] += 1
            count = seen[layer, direction]
            name = layer if count == 1 else f"{layer} (call {count})"
            mask, lags = _lags(mask.numpy(), direction, late_steps)
            for state, norms in zip(states, by_state, strict=True):
                norms = np.where(mask, norms, np.nan)
                flows.append(GradientFlow(name, direction, state, loss, norms, mask, lags))
        return flows

    def _probe(
        self,
        inputs: Any,
        targets: Any,
        sample_weight: tf.Tensor | None,
        late: str | None,
        scale: tf.Tensor,
        injected: list | None,
    ) -> tuple[list, list[tf.Tensor], tf.Tensor | None]:
        """Runs one band of `probes.total_gradients`; also returns the masks and the late steps."""
        calls: list[Probed] = []
        with _float64(), tf.GradientTape() as tape:
            loop_of = partial(probed_loop, calls=calls, tape=tape, injected=injected)
            outputs = self._copy.run(inputs, loop_of)
            steps = None
            if late and _predicts_per_step(outputs, calls):
                target_steps = _target_steps(outputs, calls[-1].mask, sample_weight)
                steps = (
                    _last_true(target_steps)
                    if late == "forward"
                    else _last_true(target_steps[:, ::-1])[:, ::-1]
                )
                sample_weight = _weights_at(steps, sample_weight)
            loss = self._loss(inputs, targets, outputs, sample_weight, bool(late)) * scale
        self._calls = [(call.direction, call.states) for call in calls]
        variables = [(call.probes, call.moved) for call in calls]
        gradients = tape.gradient(
            loss, tree.flatten(variables), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients = tree.pack_sequence_as(variables, gradients)
        return gradients, [call.mask for call in calls], steps

    def _loss(
        self,
        inputs: Any,
        targets: Any,
        outputs: Any,
        sample_weight: tf.Tensor | None,
        compiled_only: bool,
    ) -> tf.Tensor:
        network = self._copy.network
        loss = network.compute_loss(inputs, targets, outputs, sample_weight, training=False)
        if compiled_only and network.losses:
            loss -= tf.add_n(network.losses)
        return tf.reduce_sum(loss)


def _predicts_per_step(outputs: tf.Tensor, calls: list[Probed]) -> bool:
    """Whether the model predicts at every step; other outputs may have as many axes."""
    return len(outputs.shape) > 2 and outputs.shape[1] in (None, calls[-1].mask.shape[1])


def _target_steps(
    outputs: tf.Tensor, mask: tf.Tensor, sample_weight: tf.Tensor | None
) -> tf.Tensor:
    """Returns the real steps with a nonzero sample weight, bool `(examples, steps)`."""
    own = getattr(outputs, "_keras_mask", None)
    mask = mask if own is None else own
    return mask if sample_weight is None else mask & (_by_step(sample_weight) != 0)


def _by_step(sample_weight: tf.Tensor) -> tf.Tensor:
    """Returns the weights as `(examples, steps)` or `(examples, 1)`."""
    if len(sample_weight.shape) == 3:
        return sample_weight[..., 0]
    return sample_weight[:, None] if len(sample_weight.shape) == 1 else sample_weight


def _last_true(steps: tf.Tensor) -> tf.Tensor:
    """Keeps only the last True of every row."""
    count = tf.cumsum(tf.cast(steps, tf.int32), axis=1)
    return steps & (count == count[:, -1:])


def _weights_at(steps: tf.Tensor, sample_weight: tf.Tensor | None) -> tf.Tensor:
    """Returns the sample weights at the given steps, bool `(examples, steps)`, and 0 elsewhere."""
    steps = tf.cast(steps, tf.float64)
    return steps if sample_weight is None else steps * tf.cast(_by_step(sample_weight), tf.float64)


def _lags(
    mask: np.ndarray, direction: str, late_steps: tf.Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mask of the examples that have a late step, and the lags to it.

    Args:
        mask: bool `(examples, steps)`.
        direction: "forward" or "backward", the reading direction.
        late_steps: bool `(examples, steps)` with at most one True per row; None for the last real
            step.
    """
    in_order = slice(None) if direction == "forward" else slice(None, None, -1)
    position = np.cumsum(mask[:, in_order], axis=1)[:, in_order]
    if late_steps is None or late_steps.shape != mask.shape:
        return mask, position.max(axis=1, keepdims=True, initial=0) - position
    late_steps = late_steps.numpy()
    late_position = np.max(position, axis=1, keepdims=True, initial=0, where=late_steps)
    return mask & late_steps.any(axis=1, keepdims=True), late_position - position


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    """Keras creates losses in its default float type, which must be float64 for the copy."""
    default = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(default)


def _in_float64(loss: Any) -> Any:
    """Returns a loss in float64; a function computes in the dtype of its arguments anyway."""
    return in_float64(loss) if isinstance(loss, keras.losses.Loss) else loss
