"""What a cell's equations do with their states, found by tracing them once."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import tensorflow as tf

from unrolled.layers.cell import Cell
from unrolled.layers.scan import programs
from unrolled.layers.scan.shared_results import SharedResults

_READS = {"ReadVariableOp", "VarHandleOp"}


class CellStructure:
    """The sites of a cell, grouped by what they see, so that a group shares one product a step.

    Args:
        cell: a built `Cell`.
        separate: whether sites that see the same state need a product each, because each has a
            recurrent dropout mask of its own.

    Attributes:
        cell: the cell.
        groups: the sites that see one and the same tensor, together. Their order is that of the
            columns of z; groups that no state meets come last.
        widths: the number of columns of each group.
        state_of_group: for each group that a state meets, the number of that state if it meets the
            weights unchanged, otherwise None.
        shared_results: results of a step that XLA shall compute once.

    Raises:
        ValueError: if the equations do not follow the rules in `Cell.equations`.
    """

    def __init__(self, cell: Cell, separate: bool = False) -> None:
        self.cell = cell
        recorder = _Recorder(cell, separate)
        states, new, once = self._trace_once(recorder)
        _check_operations(cell, once.graph)
        _check_results(cell, new, states)
        recorder.check(cell)
        found = sorted(
            zip(recorder.operands, recorder.groups, strict=True), key=lambda pair: pair[0] is None
        )
        self.groups = [tuple(sorted(group, key=cell.sites.index)) for _, group in found]
        self.widths = [len(group) * cell.units for group in self.groups]
        numbers = {id(state): number for number, state in enumerate(states)}
        self.state_of_group = [
            None if separate else numbers.get(id(v)) for v, _ in found if v is not None
        ]
        self._separate, self._once = separate, once

    @cached_property
    def computes(self) -> Any:
        """What decides what a step and its derivative compute; None if that is not known."""
        if not programs.decides_derivative(self._once):
            return None
        peepholes = [self.cell.sites.index(site) for site in self.cell.peephole_sites]
        return self._separate, tuple(peepholes), programs.content(self._once)

    def _trace_once(self, recorder):
        """The states before and after one step, and its traced equations."""
        cell = self.cell
        states = new = None

        @tf.function(autograph=False)
        def once():
            nonlocal states, new
            # Two examples, so that results for each example differ in shape from others.
            states = [tf.zeros((2, cell.units), cell.compute_dtype) for _ in cell.states]
            recorder.sum_like = states[0]
            new = cell.equations(recorder, *states)
            self.shared_results = SharedResults(states[0])
            return [states, new]

        traced = once.get_concrete_function()
        return states, new, traced

    def arrange(self, columns: tf.Tensor, sites: Sequence[str]) -> tf.Tensor:
        """Reorder columns so that the sites of a group are side by side.

        Args:
            columns: weights or sums, `(..., sites * units)`.
            sites: the sites that have columns in it, in their order.

        Returns:
            The same columns, in the order of `groups`.
        """
        order = [sites.index(site) for group in self.groups for site in group if site in sites]
        if order == sorted(order):
            return columns
        parts = tf.split(columns, len(sites), axis=-1)
        return tf.concat([parts[i] for i in order], axis=-1)


class _Recorder:
    """`recurrent` in a cell's equations, which records what each site sees."""

    def __init__(self, cell, separate):
        self._sites = cell.sites
        self._separate = separate
        self.sum_like = None
        self.operands = []
        self.groups = []
        self._without_state = []
        self._with_peephole = []

    def __call__(self, site, v=None, peephole=None):
        if v is None:
            self._without_state.append(site)
        if peephole is not None:
            self._with_peephole.append(site)
        self._group_of(v).append(site)
        # An operation named after the site, so that the graph shows what is done with its z.
        number = self._sites.index(site) if site in self._sites else None
        z = tf.identity(self.sum_like if v is None else v, name=f"site_{number}")
        return z if peephole is None else z + peephole

    def _group_of(self, v):
        for operand, group in zip(self.operands, self.groups, strict=True):
            if operand is v and not (self._separate and v is not None):
                return group
        self.operands.append(v)
        self.groups.append([])
        return self.groups[-1]

    def check(self, cell):
        used = sorted(site for group in self.groups for site in group)
        _require(
            cell,
            used == sorted(cell.sites),
            f"`recurrent` to be called once for each of the sites {sorted(cell.sites)}; got {used}",
        )
        _require(
            cell,
            sorted(self._without_state) == sorted(cell.input_only),
            "`recurrent` to be called without a state for the sites of `input_only` alone, "
            f"{sorted(cell.input_only)}; got {sorted(self._without_state)}",
        )
        _require(
            cell,
            sorted(self._with_peephole) == sorted(cell.peephole_sites),
            "`recurrent` to be called with a peephole for the sites of `peephole_sites`, "
            f"{sorted(cell.peephole_sites)}; got {sorted(self._with_peephole)}",
        )


def _check_results(cell, new, states):
    _require(
        cell,
        isinstance(new, tuple) and len(new) == len(states),
        f"a tuple of {len(states)} states, as in `states`, to be returned; got {new!r}",
    )


def _check_operations(cell: Cell, graph: Any) -> None:
    """Reject equations whose gradient would be silently wrong, or cannot be taken."""
    stateful = sorted({op.type for op in graph.get_operations() if op.op_def.is_stateful} - _READS)
    variables = [variable.name for variable in graph.variables]
    hint = (
        "The backward pass runs them once more. Use keras.layers.RNN over the cell, which is slower"
    )
    _require(cell, not stateful, f"no random numbers and no side effects, got {stateful}. {hint}")
    _require(
        cell,
        not variables,
        f"no weights except those of sites and peepholes, got {', '.join(variables)}. {hint}",
    )


def _require(cell, met, expected):
    if not met:
        raise ValueError(f"{type(cell).__name__}.equations: expected {expected}.")
