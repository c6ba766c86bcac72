"""The loops of a chunk as functions of TensorFlow, shared by layers that compute the same.

XLA keeps every compiled program until the process ends. So functions that compute the same are one
function, whichever layer they were traced for.
"""

import collections
import hashlib
import re
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from google.protobuf.text_format import MessageToString

MOST_PROGRAMS = 256
"""This many functions are stored for later layers, those that were used last.

Dropping one releases its graph only. What XLA has compiled of it stays until the process ends."""


class Program:
    """A function of tensors, traced.

    Args:
        function: what to trace. Its derivative is never taken.
        *arguments: nested tensors, and Python values, which become constants.

    Attributes:
        plain: the function uncompiled.
        compiled: the function compiled by XLA.
        captures: whether it uses tensors of the graph in which it was traced.
    """

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.plain, self.compiled = _programs.of(function, arguments)
        self.captures = bool(self.plain.captured_inputs)


class ProgramsOfCall:
    """The programs of one call of a layer, which calls a function in several branches."""

    def __init__(self) -> None:
        self._known: dict[Any, Program] = {}

    def of(self, function: Callable, *arguments: Any) -> Program:
        """A `Program`, traced once for arguments of the same shapes."""
        key = function, repr(tf.nest.map_structure(_shape_and_dtype, arguments))
        if key in self._known:
            return self._known[key]
        program = Program(function, *arguments)
        if not program.captures:
            self._known[key] = program
        return program


def _shape_and_dtype(argument):
    return (argument.shape, argument.dtype) if tf.is_tensor(argument) else argument


class _Programs:
    """The functions used last, by what they compute."""

    def __init__(self):
        self._known = collections.OrderedDict()
        self._lock = threading.Lock()

    def of(self, function, arguments):
        """A traced function that computes the same as `function`, and the same compiled.

        Each has a graph of its own. Freezing a model rewrites, in place, the loops of the functions
        that run uncompiled, into operations that XLA cannot compile.
        """
        traced = _traced(function, arguments)
        if traced.captured_inputs:  # It belongs to this layer alone.
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
    # With positional arguments alone, as it is called: a partial function would want the others.
    positional = tf.function(lambda *each: function(*each), autograph=False, **options)
    return positional.get_concrete_function(*arguments)


def _content(traced):
    """Everything that decides what a traced function without captured tensors computes.

    The functions that it calls, such as the bodies of loops, have new names in each trace. Digests
    of their contents replace them. Custom gradients have new names as well, which are left out.
    """
    library = traced.graph.as_graph_def().library.function
    definitions = {each.signature.name: each for each in [traced.function_def, *library]}
    names = re.compile("|".join(sorted(map(re.escape, definitions), key=len, reverse=True)))
    digests: dict[str, str] = {}

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


_programs = _Programs()
