"""The loops of a chunk as functions of TensorFlow: which are one and the same, and for which sizes
they are compiled.

XLA compiles a function once for each shape of its arguments, and keeps every program until the
process ends. So functions that compute the same are one function, whichever layer traced them, and
a layer compiles for a few sizes only.
"""

import collections
import hashlib
import logging
import re
import threading
import weakref

import tensorflow as tf
from google.protobuf.text_format import MessageToString

MOST_SIZES = 8
"""A layer compiles its loops for so many batch sizes; batches of any other size run uncompiled.

The limit is that of one layer in one graph: `fit`, `evaluate` and `predict` count anew.

Each size costs an LSTM half a second and 3 MiB. Training and evaluation have two each: whole
batches, and the smaller one at the end."""
MOST_PROGRAMS = 256
"""So many functions are remembered for layers that come later, those that were used last.

Dropping one releases its graph only. What XLA has compiled of it stays until the process ends."""


class Program:
    """A function of tensors, traced, uncompiled and compiled.

    Args:
        function: what to trace. Its derivative is never taken.
        *arguments: nested tensors, and Python values that stay what they are.
    """

    def __init__(self, function, *arguments):
        self.plain, self.compiled = _programs.of(function, arguments)


class _Programs:
    """Those used last, by what they compute."""

    def __init__(self):
        self._known = collections.OrderedDict()
        self._lock = threading.Lock()

    def of(self, function, arguments):
        """A traced function that computes the same as `function`, and the same compiled.

        Each has a graph of its own. Freezing a model rewrites, in place, the loops of the functions
        that run uncompiled, into operations that XLA cannot compile.
        """
        traced = _traced(function, arguments)
        if traced.captured_inputs:  # Of this layer alone.
            return traced, _traced(function, arguments, jit_compile=True)
        key = _content(traced)
        with self._lock:
            if key not in self._known:
                self._known[key] = traced, _traced(function, arguments, jit_compile=True)
            self._known.move_to_end(key)
            while len(self._known) > MOST_PROGRAMS:
                self._known.popitem(last=False)
            return self._known[key]


def _traced(function, arguments, **options):
    # Of positional arguments alone, as it is called: a partial function would want the others.
    of_positions = tf.function(lambda *each: function(*each), autograph=False, **options)
    return of_positions.get_concrete_function(*arguments)


def _content(traced):
    """All that decides what a traced function without captured tensors computes.

    The functions that it calls, such as the bodies of loops, have new names in each trace; digests
    of their contents stand for these. Custom gradients have new names as well, which are left out.
    """
    library = traced.graph.as_graph_def().library.function
    definitions = {each.signature.name: each for each in [traced.function_def, *library]}
    names = re.compile("|".join(sorted(map(re.escape, definitions), key=len, reverse=True)))
    digests = {}

    def digest(name):
        if name not in digests:
            digests[name] = ""  # Arguments of a loop may be named after it.
            for node in definitions[name].node_def:
                node.attr.pop("_gradient_op_type", None)
            text = names.sub(lambda name: digest(name[0]), MessageToString(definitions[name]))
            digests[name] = hashlib.sha256(text.encode()).hexdigest()
        return digests[name]

    outputs = tf.nest.map_structure(tf.TensorSpec.from_tensor, traced.structured_outputs)
    structure = repr((traced.structured_input_signature, outputs))
    return structure, digest(traced.function_def.signature.name)


class Limit:
    """The first few sizes that come to a layer.

    Args:
        hint: what to log for a size too many, with the layer and the limit.
    """

    def __init__(self, hint):
        self._hint = hint
        self._seen = weakref.WeakKeyDictionary()

    def allows(self, cell, size):
        """Whether `size`, known while a call is traced, is one of the first of this cell."""
        seen = self._seen.setdefault(cell, {})
        if size not in seen and len(seen) <= MOST_SIZES:
            seen[size] = len(seen) < MOST_SIZES
            if not seen[size]:
                _log.warning(self._text(cell))
        return seen.get(size, False)

    def allows_in_graph(self, cell, size):
        """The same, a bool tensor, for a size known when a graph runs. Each graph counts anew.

        The table of sizes has no name and belongs to the graph: nothing to save with a model. Where
        `tf.vectorized_map` runs a layer, as in `TimeDistributed`, there can be none, and any size
        is compiled for.
        """
        if _is_vectorized():
            return True

        def ask():
            table = tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)
            key, unknown = tf.cast(size, tf.int64), tf.constant(-1, tf.int64)
            number = tf.raw_ops.LookupTableFindV2(
                table_handle=table, keys=key, default_value=unknown
            )
            count = tf.raw_ops.LookupTableSizeV2(table_handle=table)

            def add():
                tf.raw_ops.LookupTableInsertV2(table_handle=table, keys=key, values=count)
                return tf.cond(count < MOST_SIZES, lambda: count, tell)

            def tell():
                tf.print(self._text(cell), output_stream=tf.compat.v1.logging.warning)
                return count

            new = (number == unknown) & (count <= MOST_SIZES)
            number = tf.cond(new, add, lambda: number)
            return (unknown < number) & (number < MOST_SIZES)

        # XLA cannot compile the table, but leaves out this branch: where it compiles a function
        # that calls this graph, the device is none of those listed.
        with tf.device("CPU"):
            device = tf.raw_ops.DeviceIndex(device_names=["CPU"])
            return tf.switch_case(device, [ask], default=lambda: tf.constant(True))

    def _text(self, cell):
        return f"{cell.path or cell.name}: {self._hint}"


def _is_vectorized():
    """Whether the function of a `tf.vectorized_map` is traced now, as its name scopes say."""
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        if "/loop_body" in f"/{graph.get_name_scope()}":
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


_log = logging.getLogger(__name__)
_programs = _Programs()
batch_sizes = Limit(
    f"compiled for {MOST_SIZES} batch sizes; batches of other sizes run uncompiled, which is "
    "slower. Batches of one size stay compiled: tf.data.Dataset.batch(..., drop_remainder=True)."
)
lengths = Limit(
    f"compiled for {MOST_SIZES} sequence lengths that are known when it is traced; other lengths "
    "run in chunks of one length. A tf.function with steps=None in its input_signature is traced "
    "once for all lengths."
)
