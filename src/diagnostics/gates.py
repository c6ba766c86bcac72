"""Statistics of the gates of recurrent layers on a batch, and the time constants they imply."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from unrolled.diagnostics.decay import LEVELS
from unrolled.diagnostics.float64_copy import (
    Direction,
    Float64Copy,
    Loop,
    call_cell,
    finite_tensors,
    preserved_random_state,
    real_steps,
    run_steps,
)
from unrolled.layers import from_keras
from unrolled.layers.gated import GatedCell

SHUT, OPEN = 0.1, 0.9
"""A gate counts as closed below the first value, and as open above the second."""

_KERAS = {keras.layers.LSTMCell: keras.layers.LSTM, keras.layers.GRUCell: keras.layers.GRU}


@dataclass(frozen=True)
class GateSummary:
    """Statistics of the values of a gate.

    Attributes:
        mean: mean value.
        shut: fraction of the values below 0.1 (closed).
        open: fraction of the values above 0.9 (open).
    """

    mean: np.ndarray
    shut: np.ndarray
    open: np.ndarray


@dataclass(frozen=True)
class Gates:
    """The gates of one recurrent layer and direction on a batch.

    Attributes:
        layer: name of the layer in the model.
        direction: "forward" or "backward".
        values: by the lecture's letter, u (update), f (forget), o (output) or r (relevance), each
            `(examples, steps, units)`, in the order of the input. A gate that the unit derives from
            another gate is included; a gate that the unit lacks is not.
        keep: `(examples, steps, units)`, the factor with which c<t-1> enters c<t>: the forget gate,
            or 1 - Γ_u in a unit whose update gate controls forgetting, or 1 if no gate does.
        mask: bool `(examples, steps)`, False at padding, where the gates and `keep` are NaN.
    """

    layer: str
    direction: str
    values: dict[str, np.ndarray]
    keep: np.ndarray
    mask: np.ndarray

    def by_unit(self, gate: str) -> GateSummary:
        """Summarises a gate over all examples and steps; arrays of `(units,)`."""
        return self._summarize(gate, axis=(0, 1))

    def by_step(self, gate: str) -> GateSummary:
        """Summarises a gate over all examples and units; `(steps,)`, NaN at fully masked steps."""
        return self._summarize(gate, axis=(0, 2))

    def by_step_and_unit(self, gate: str) -> GateSummary:
        """Summarises a gate over all examples; `(steps, units)`, NaN at fully masked steps."""
        return self._summarize(gate, axis=0)

    def time_constants(self) -> np.ndarray:
        """Returns 1 / -log γ in steps, `(units,)`, where γ is the mean of `keep` over real steps.

        If only the gate decays c, then 1/e of it remains after this number of steps, and 1/2 after
        log 2 times this number. The time constant is infinite for γ >= 1 and 0 for γ <= 0, which
        activations other than σ may produce.
        """
        gamma = np.clip(_mean(self.keep, self.mask, axis=(0, 1)), 0, 1)
        with np.errstate(divide="ignore"):
            return 1 / np.abs(np.log(gamma))

    def time_constant_quantiles(self, levels: Sequence[float] = LEVELS) -> np.ndarray:
        """Returns quantiles over the units of `time_constants` (inverted CDF)."""
        return np.quantile(self.time_constants(), levels, method="inverted_cdf")

    def _summarize(self, gate: str, axis: int | tuple[int, ...]) -> GateSummary:
        values = self.values[gate]
        indicators = values, values < SHUT, values > OPEN
        return GateSummary(*(_mean(indicator, self.mask, axis) for indicator in indicators))


def _mean(values: np.ndarray, mask: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Returns the mean over real steps; NaN if there are none."""
    mask = np.broadcast_to(mask[..., None], values.shape)
    with np.errstate(invalid="ignore"):
        return np.where(mask, values, 0).sum(axis=axis) / mask.sum(axis=axis)


def _masked(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], values, np.nan)


class NoGatesError(ValueError):
    """Raised for a model whose units have no gates."""


class GateMeter:
    """Measures the gates of one model, any number of times, in float64 and in inference mode.

    The gates are those of the cell's own equations. Keras's LSTM and GRU are converted to the
    lecture's units by `layers.from_keras`: Keras's i is Γ_u, and its z is 1 - Γ_u.

    Args:
        model: as for `FlowMeter`, with gated units: those of `layers`, `keras.layers.LSTM` and
            `GRU`, and `keras.layers.RNN` with one of their cells. Other recurrent layers are
            ignored.

    Raises:
        TypeError, ValueError: as `FlowMeter`.
        NoGatesError: if the model has no gates.

    >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(4)])
    >>> (gates,) = GateMeter(model).measure(np.ones((2, 5, 3)))
    >>> gates.values["u"].shape
    (2, 5, 4)
    """

    def __init__(self, model: keras.Model) -> None:
        self._copy = Float64Copy(model)
        cells = {direction: direction.recurrent.cell for direction in self._copy.directions}
        self._readers = {
            direction: _Reader(cell) for direction, cell in cells.items() if _has_gates(cell)
        }
        if not self._readers:
            found = sorted({type(cell).__name__ for cell in cells.values()})
            raise NoGatesError(
                "`model`: expected units with gates, that is Keras's LSTM or GRU or a subclass of "
                f"unrolled.layers.gated.GatedCell; the cells of {model.name!r} are "
                f"{', '.join(found)}."
            )
        self._names: list[tuple[str, str]] = []
        self._values = tf.function(self._read, autograph=False, reduce_retracing=True)

    def measure(self, inputs: Any) -> list[Gates]:
        """Measures the gates on one batch.

        Args:
            inputs: as in `keras.Model.predict_on_batch`.

        Returns:
            One `Gates` per gated layer and direction, in the order in which they are called.

        Raises:
            ValueError: if weights or inputs are not finite, or the batch size does not match a
                model with a fixed batch size.
        """
        self._copy.check_batch(inputs)
        self._copy.refresh()
        for reader in self._readers.values():
            reader.refresh()
        calls = self._values(finite_tensors(inputs, "inputs"))
        calls = keras.tree.map_structure(lambda tensor: tensor.numpy(), calls)
        found = []
        for (layer, direction), (*measured, mask) in zip(self._names, calls, strict=True):
            values, keep = keras.tree.map_structure(partial(_masked, mask), measured)
            found.append(Gates(layer, direction, values, keep, mask))
        return found

    def _read(self, inputs: Any) -> list[tuple]:
        """Returns, for each call of a layer, the gates, `keep` and the mask."""
        calls: list[tuple[tuple[str, str], tuple]] = []
        self._copy.run(inputs, lambda direction: self._loop(direction, calls))
        self._names = [name for name, _ in calls]
        return [values for _, values in calls]

    def _loop(self, direction: Direction, calls: list) -> Loop:
        """Returns a loop for a layer that appends the gates it computes, if any, to `calls`."""
        layer = direction.recurrent
        if direction not in self._readers:
            return partial(run_steps, layer, partial(call_cell, layer.cell))

        def loop(sequences, states, mask):
            last, outputs_and_gates, states = run_steps(
                layer, self._readers[direction].step, sequences, states, mask
            )
            outputs, *gates = outputs_and_gates
            if layer.go_backwards:
                gates = keras.tree.map_structure(lambda values: values[:, ::-1], gates)
            calls.append(
                ((direction.layer, direction.direction), (*gates, real_steps(mask, sequences)))
            )
            return last[0], outputs, states

        return loop


def _has_gates(cell: keras.layers.Layer) -> bool:
    return isinstance(cell, GatedCell) or type(cell) in _KERAS


class _Reader:
    """Runs a cell of a `Float64Copy` and reads its gates.

    Args:
        cell: a cell of this package, or one of Keras's, which is converted.
    """

    def __init__(self, cell: keras.layers.Layer) -> None:
        self._source = None if isinstance(cell, GatedCell) else cell
        self._cell = cell if self._source is None else _converted(cell)
        states = self._cell.states
        self._memory = states.index("c") if "c" in states else 0
        self._z: dict[str, tf.Tensor] = {}
        self._cell.equations = self._equations  # type: ignore[method-assign]

    def refresh(self) -> None:
        """Copies the current weights of a converted cell."""
        if self._source is not None:
            self._cell.set_weights(_converted(self._source).get_weights())

    def step(
        self, x: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor], list[tf.Tensor]]:
        """Returns the output with the gates and `keep`, and the new states."""
        with tf.GradientTape() as tape:
            tape.watch(states)
            output, new = call_cell(self._cell, x, list(states))
        # With every pre-activation z constant, the derivative contains only the direct path.
        keep = tape.gradient(new[self._memory], states[self._memory])
        return (output, self._cell.gates(self._z), keep), new

    def _equations(self, recurrent: Any, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Runs the cell's own equations and records every pre-activation."""
        self._z = {}

        def recorded(site, *inputs, **options):
            self._z[site] = tf.stop_gradient(recurrent(site, *inputs, **options))
            return self._z[site]

        return type(self._cell).equations(self._cell, recorded, *states)


def _converted(cell: keras.layers.Layer) -> GatedCell:
    """Converts one of Keras's cells to a cell of this package."""
    with preserved_random_state():
        layer = _KERAS[type(cell)](**cell.get_config())
        layer.build((None, None, cell.kernel.shape[0]))
        layer.set_weights(cell.get_weights())
        return from_keras(layer).cell
