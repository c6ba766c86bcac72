"""The input's part of every site of a cell, `W x + b`, for many steps at once."""

from typing import Protocol

import tensorflow as tf

from unrolled.layers.cell import Cell, Masks


class Projection(Protocol):
    """Maps inputs to `W x + b`.

    Attributes:
        weights: the tensors that it is called with, after the inputs; a scan has gradients with
            respect to them.
    """

    weights: list

    def __call__(self, inputs: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor: ...


class CellProjection:
    """`Cell.project` as a function of the cell's kernel and bias.

    Args:
        cell: a built `Cell`.
        dropout_mask: see `Cell.project`.
    """

    def __init__(self, cell: Cell, dropout_mask: Masks = None) -> None:
        self._cell = cell
        self._dropout_mask = dropout_mask
        self._names = [name for name in ("kernel", "bias") if getattr(cell, name) is not None]
        self.weights = [getattr(cell, name) for name in self._names]

    def __call__(self, inputs: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
        named = dict(zip(self._names, weights, strict=True))
        return self._cell.project(inputs, self._dropout_mask, **named)


class NoProjection:
    """The projection of inputs that are `W x + b` already."""

    def __init__(self) -> None:
        self.weights: list = []

    def __call__(self, inputs: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:  # noqa: ARG002
        return inputs
