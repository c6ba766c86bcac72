"""`recurrent` in a cell's equations, for one step of a loop."""

from typing import Any, NamedTuple

import tensorflow as tf

from unrolled.layers.scan.cell_structure import CellStructure
from unrolled.layers.scan.masking import zero_gradient_where_masked


class RecurrentWeights(NamedTuple):
    """The weights that a state meets.

    Attributes:
        kernels: the recurrent kernel's columns, one tensor for each group that a state meets. The
            backward loop takes them transposed.
        peepholes: the peephole weight, in a list of one or none.
    """

    kernels: list
    peepholes: list


class Sites:
    """`recurrent` for one forward step.

    Args:
        structure: of the cell.
        weights: of the cell.
        dropout_masks: recurrent dropout masks by site, `(batch, units)`, or empty.
        x: `W x + b`, one tensor for each group, `(batch, width)`.

    Attributes:
        z: the sums of each group, `(batch, width)`, once the equations have run.
    """

    def __init__(
        self,
        structure: CellStructure,
        weights: RecurrentWeights,
        dropout_masks: dict[str, tf.Tensor],
        x: list,
    ) -> None:
        self.structure = structure
        self.weights = weights
        self.dropout_masks = dropout_masks
        self.x = x
        self.z: list[Any] = [None] * len(x)
        self._parts: dict[str, tf.Tensor] = {}

    def __call__(
        self, site: str, v: tf.Tensor | None = None, peephole: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The sum of a site, see `Cell.equations`."""
        if site not in self._parts:
            self._compute_group(site, v)
        z = self._parts[site]
        if peephole is None:
            return z
        row = self.structure.cell.peephole_sites.index(site)
        return z + self.weights.peepholes[0][row] * peephole

    def _compute_group(self, site, v):
        number, group = next((n, g) for n, g in enumerate(self.structure.groups) if site in g)
        if v is None:
            z = self.x[number]
        else:
            z = self.multiply(number, v * self.dropout_masks[site] if self.dropout_masks else v)
        self.z[number] = z
        # Not slices: the gradient of a slice is a whole z of zeros, and their sum one of each.
        self._parts |= zip(group, tf.split(z, len(group), axis=-1), strict=True)

    def multiply(self, number: int, v: tf.Tensor) -> tf.Tensor:
        """z of a group whose weights v meets."""
        return self.x[number] + tf.matmul(v, self.weights.kernels[number])


class StoredSites(Sites):
    """`recurrent` for one backward step: z is stored, and the gradient with respect to it wanted.

    Args:
        structure, weights, dropout_masks: as for `Sites`, with transposed kernels.
        z: the sums of each group, as stored in the forward pass.
        mask: bool `(batch, 1)`, or None. Masked examples have no gradient with respect to z.

    Attributes:
        v: for each group that a state meets, what met the weights, `(batch, units)`, once the
            equations have run.
    """

    def __init__(
        self,
        structure: CellStructure,
        weights: RecurrentWeights,
        dropout_masks: dict[str, tf.Tensor],
        z: list,
        mask: tf.Tensor | None,
    ) -> None:
        super().__init__(structure, weights, dropout_masks, z)
        self.v: list[Any] = [None] * len(weights.kernels)
        self.mask = mask

    def __call__(
        self, site: str, v: tf.Tensor | None = None, peephole: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The sum of a site, see `Cell.equations`."""
        z = super().__call__(site, v, peephole)
        return z if self.mask is None else zero_gradient_where_masked(self.mask, z)

    def multiply(self, number: int, v: tf.Tensor) -> tf.Tensor:
        """The stored z of a group, with the gradient of the product."""
        self.v[number] = v

        @tf.custom_gradient
        def stored(v, z):  # noqa: ARG001  (the forward pass has computed z from v)
            def gradient(dz):
                return tf.matmul(dz, self.weights.kernels[number]), dz

            return tf.identity(z), gradient

        return stored(v, self.x[number])
