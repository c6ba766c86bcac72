"""What the gates of recurrent layers do on a batch: how far open, and for how long they hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from unrolled.diagnostics.decay import LEVELS
from unrolled.diagnostics.float64_copy import (
    ExactCopy,
    call_cell,
    finite_tensors,
    random_numbers_untouched,
    real_steps,
    steps_through,
)
from unrolled.layers import from_keras
from unrolled.layers.gated import GatedCell

SHUT, OPEN = 0.1, 0.9
"""Below the one a gate counts as nearly shut, above the other as nearly open."""

_KERAS = {keras.layers.LSTMCell: keras.layers.LSTM, keras.layers.GRUCell: keras.layers.GRU}


@dataclass(frozen=True)
class Use:
    """How a gate was used over some of its values.

    Attributes:
        mean: of the gate.
        shut: share of values below 0.1.
        open: share of values above 0.9.
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
        values: by the lecture's letters the gates that the unit has, u (update), f (forget),
            o (output) and r (relevance), each `(examples, steps, units)`, by the step of the input.
            A gate that the unit derives from another is among them, one without is not.
        keep: `(examples, steps, units)`, the share of c<t-1> that goes into c<t> as it is: the
            forget gate, 1 - Γ_u where the update gate decides it, and 1 where nothing does.
        mask: bool `(examples, steps)`, True at real steps. Elsewhere gates and `keep` are NaN.
    """

    layer: str
    direction: str
    values: dict[str, np.ndarray]
    keep: np.ndarray
    mask: np.ndarray

    def by_unit(self, gate: str) -> Use:
        """Over all examples and real steps; arrays of `(units,)`."""
        return self._use(gate, axis=(0, 1))

    def by_step(self, gate: str) -> Use:
        """Over all examples and units; arrays of `(steps,)`, NaN where every example is masked."""
        return self._use(gate, axis=(0, 2))

    def by_step_and_unit(self, gate: str) -> Use:
        """Over all examples; arrays of `(steps, units)`, NaN where every example is masked."""
        return self._use(gate, axis=0)

    def time_constants(self) -> np.ndarray:
        """1 / -log γ in steps, `(units,)`, where γ is the mean of `keep` over all real steps.

        After so many steps 1/e of c is left, and 1/2 after log 2 times as many, as far as the gate
        alone decides it. Infinite for γ of 1 or above, 0 for γ of 0 or below: gates with another
        activation than σ may leave 0 to 1.
        """
        gamma = np.clip(_mean(self.keep, self.mask, axis=(0, 1)), 0, 1)
        with np.errstate(divide="ignore"):
            return 1 / np.abs(np.log(gamma))

    def time_constant_quantiles(self, levels: Sequence[float] = LEVELS) -> np.ndarray:
        """Of the units' `time_constants`, those that at least a share of them does not exceed."""
        return np.quantile(self.time_constants(), levels, method="inverted_cdf")

    def _use(self, gate, axis):
        values = self.values[gate]
        parts = values, values < SHUT, values > OPEN
        return Use(*(_mean(part, self.mask, axis) for part in parts))


def _mean(values, mask, axis):
    """Over the real steps; NaN where there is none."""
    mask = np.broadcast_to(mask[..., None], values.shape)
    with np.errstate(invalid="ignore"):
        return np.where(mask, values, 0).sum(axis=axis) / mask.sum(axis=axis)


def _masked(mask, values):
    return np.where(mask[..., None], values, np.nan)


class NoGatesError(ValueError):
    """A model whose units have no gates."""


class GateMeter:
    """Reads the gates of one model, as often as one likes, in float64 and in inference.

    The gates are those of the cell's own equations. Keras's LSTM and GRU are read as the lecture's,
    into which `layers.from_keras` turns them: its i is Γ_u, and its z is 1 - Γ_u.

    Args:
        model: as for `FlowMeter`, with gates: those of `layers`, `keras.layers.LSTM` and `GRU`, and
            `keras.layers.RNN` over one of their cells. Other recurrent layers are left out.

    Raises:
        TypeError, ValueError: as `FlowMeter`.
        NoGatesError: for a model without gates.

    >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(4)])
    >>> (gates,) = GateMeter(model).measure(np.ones((2, 5, 3)))
    >>> gates.values["u"].shape
    (2, 5, 4)
    """

    def __init__(self, model):
        self._exact = ExactCopy(model)
        cells = {way: way.recurrent.cell for way in self._exact.directions}
        self._readers = {way: _Reader(cell) for way, cell in cells.items() if _has_gates(cell)}
        if not self._readers:
            found = sorted({type(cell).__name__ for cell in cells.values()})
            raise NoGatesError(
                "`model`: expected units with gates, that is Keras's LSTM or GRU or a cell that is "
                f"an unrolled.layers.gated.GatedCell; those of {model.name!r} are "
                f"{', '.join(found)}."
            )
        self._names = []
        self._values = tf.function(self._read, autograph=False, reduce_retracing=True)

    def measure(self, inputs) -> list[Gates]:
        """The gates on one batch.

        Args:
            inputs: as `keras.Model.predict_on_batch` takes them.

        Returns:
            One `Gates` for every layer and direction with gates, in the order they are called.

        Raises:
            ValueError: for weights or inputs that are not finite, or a batch of another size than
                the model is made for.
        """
        self._exact.check_batch(inputs)
        self._exact.refresh()
        for reader in self._readers.values():
            reader.refresh()
        found = self._values(finite_tensors(inputs, "inputs"))
        found = keras.tree.map_structure(lambda tensor: tensor.numpy(), found)
        return [
            Gates(*name, *keras.tree.map_structure(partial(_masked, mask), read), mask)
            for name, (*read, mask) in zip(self._names, found, strict=True)
        ]

    def _read(self, inputs):
        """By call the gates, what is kept, and the mask."""
        calls = []
        self._exact.run(inputs, lambda way: self._loop(way, calls))
        self._names = [name for name, _ in calls]
        return [found for _, found in calls]

    def _loop(self, way, calls):
        """A loop that appends to `calls` what it reads, if there are gates to read."""
        layer = way.recurrent
        if way not in self._readers:
            return partial(steps_through, layer, partial(call_cell, layer.cell))

        def loop(sequences, states, mask):
            last, every, states = steps_through(
                layer, self._readers[way].step, sequences, states, mask
            )
            outputs, *read = every
            if layer.go_backwards:
                read = keras.tree.map_structure(lambda values: values[:, ::-1], read)
            calls.append(((way.layer, way.direction), (*read, real_steps(mask, sequences))))
            return last[0], outputs, states

        return loop


def _has_gates(cell):
    return isinstance(cell, GatedCell) or type(cell) in _KERAS


class _Reader:
    """Runs a cell of an `ExactCopy`, and reads its gates.

    Args:
        cell: one of ours, or Keras's, which runs as ours.
    """

    def __init__(self, cell):
        self._source = None if isinstance(cell, GatedCell) else cell
        self._cell = cell if self._source is None else _in_the_lecture(cell)
        states = self._cell.states
        self._memory = states.index("c") if "c" in states else 0
        self._z = {}
        self._cell.equations = self._equations

    def refresh(self):
        """Take the weights of Keras's cell as they are now."""
        if self._source is not None:
            self._cell.set_weights(_in_the_lecture(self._source).get_weights())

    def step(self, x, states):
        """The output with the gates and what is kept, and the new states."""
        with tf.GradientTape() as tape:
            tape.watch(states)
            output, new = call_cell(self._cell, x, list(states))
        # With every sum z held fast, what is left of the derivative is the path past the weights.
        keep = tape.gradient(new[self._memory], states[self._memory])
        return (output, self._cell.gates(self._z), keep), new

    def _equations(self, recurrent, *states):
        """The cell's own, keeping what comes of every site."""
        self._z = {}

        def kept(site, *met, **options):
            self._z[site] = tf.stop_gradient(recurrent(site, *met, **options))
            return self._z[site]

        return type(self._cell).equations(self._cell, kept, *states)


def _in_the_lecture(cell):
    """Our cell for one of Keras's."""
    with random_numbers_untouched():
        layer = _KERAS[type(cell)](**cell.get_config())
        layer.build((None, None, cell.kernel.shape[0]))
        layer.set_weights(cell.get_weights())
        return from_keras(layer).cell
