"""For how many batch sizes and sequence lengths a layer compiles its loops.

XLA compiles a function once for each shape of its arguments, and keeps every program until the
process ends.
"""

import logging
import weakref
from typing import Any

import tensorflow as tf

from unrolled._compat import inside_vectorized_map
from unrolled.layers.cell import Cell

MOST_SIZES = 8
"""A layer compiles its loops for this many batch sizes; batches of other sizes run uncompiled.

Sizes unknown while tracing are counted per layer and graph: `fit`, `evaluate` and `predict` count
separately. Static sizes are counted per layer.

Each size costs an LSTM half a second and 3 MiB. Training and evaluation have two sizes each: full
batches, and the smaller one at the end."""


class SizeLimit:
    """Allows the first few sizes of each layer.

    Args:
        hint: what to log for the first size that is not allowed.
    """

    def __init__(self, hint: str) -> None:
        self._hint = hint
        self._seen: Any = weakref.WeakKeyDictionary()

    def allows(self, cell: Cell, size: int) -> bool:
        """Whether a size that is known while tracing is one of the first of this cell."""
        seen = self._seen.setdefault(cell, {})
        if size not in seen and len(seen) <= MOST_SIZES:
            seen[size] = len(seen) < MOST_SIZES
            if not seen[size]:
                _log.warning(self._text(cell))
        return seen.get(size, False)

    def allows_in_graph(self, cell: Cell, size: tf.Tensor) -> Any:
        """The same, a bool tensor, for a size that is known when a graph runs.

        Each graph counts separately. The table of sizes has no name and belongs to the graph, so
        there is nothing to save with a model. Inside `tf.vectorized_map`, as in `TimeDistributed`,
        there can be no table, and every size is allowed.
        """
        if inside_vectorized_map():
            return True
        # XLA cannot compile the table, but omits this branch: where it compiles a function that
        # calls this graph, the device is none of those listed.
        with tf.device("CPU"):
            device = tf.raw_ops.DeviceIndex(device_names=["CPU"])
            return tf.switch_case(
                device, [lambda: self._look_up(cell, size)], default=lambda: tf.constant(True)
            )

    def _look_up(self, cell, size):
        """Add a new size to the graph's table; return whether the size is allowed."""
        table = tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)
        key, unknown = tf.cast(size, tf.int64), tf.constant(-1, tf.int64)
        number = tf.raw_ops.LookupTableFindV2(table_handle=table, keys=key, default_value=unknown)
        count = tf.raw_ops.LookupTableSizeV2(table_handle=table)

        def add():
            tf.raw_ops.LookupTableInsertV2(table_handle=table, keys=key, values=count)
            return tf.cond(count < MOST_SIZES, lambda: count, log)

        def log():
            tf.print(self._text(cell), output_stream=tf.compat.v1.logging.warning)
            return count

        new = (number == unknown) & (count <= MOST_SIZES)
        number = tf.cond(new, add, lambda: number)
        return (unknown < number) & (number < MOST_SIZES)

    def _text(self, cell):
        return f"{cell.path or cell.name}: {self._hint}"


_log = logging.getLogger(__name__)
batch_sizes = SizeLimit(
    f"compiled for {MOST_SIZES} batch sizes; batches of other sizes run uncompiled, which is "
    "slower. To keep batches of one size, use tf.data.Dataset.batch(..., drop_remainder=True)."
)
lengths = SizeLimit(
    f"compiled for {MOST_SIZES} sequence lengths that are known while tracing; other lengths run "
    "in chunks of one length. A tf.function with steps=None in its input_signature is traced once "
    "for all lengths."
)
