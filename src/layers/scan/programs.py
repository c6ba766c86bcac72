"""The loops of a chunk as functions of TensorFlow, shared by layers that compute the same.

XLA keeps every compiled program until the process ends. So functions that compute the same are one
function, whichever layer they were traced for.
"""

import collections
import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
        compiled: the function compiled by XLA.
        captures: whether it uses tensors of the graph in which it was traced.
    """

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self._trace = partial(_traced, function, arguments)
        self._forms = _programs.of(self._trace)
        self.compiled = self._forms.compiled
        self.captures = bool(self.compiled.captured_inputs)

    @property
    def plain(self) -> Callable:
        """The function uncompiled, which few calls need.

        It has a graph of its own. Freezing a model rewrites, in place, the loops of the functions
        that run uncompiled, into operations that XLA cannot compile.
        """
        if self._forms.plain is None:
            self._forms.plain = self._trace()
        return self._forms.plain


@dataclass
class _Forms:
    """The two forms of a traced function; the second one is traced when it is first used."""

    compiled: Callable
    plain: Callable | None = None


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

    def of(self, trace):
        """The forms of the function that `trace` traces, or of one that computes the same."""
        compiled = trace(jit_compile=True)
        if compiled.captured_inputs:  # It belongs to this layer alone.
            return _Forms(compiled)
        key = _content(compiled)
        with self._lock:
            known = self._known.setdefault(key, _Forms(compiled))
            self._known.move_to_end(key)
            while len(self._known) > MOST_PROGRAMS:
                self._known.popitem(last=False)
            return known


def _traced(function, arguments, jit_compile=None):
    # With positional arguments alone, as it is called: a partial function would want the others.
    positional = tf.function(
        lambda *each: function(*each), autograph=False, jit_compile=jit_compile
    )
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
