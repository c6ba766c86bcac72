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
    """A function of tensors, traced, or one that is known to compute the same.

    Args:
        function: what to trace. Its derivative is never taken.
        computes: what decides, together with the arguments, what the function computes; None if
            that is found out by tracing it.
        *arguments: nested tensors, and Python values, which become constants.

    Attributes:
        compiled: the function compiled by XLA.
        captures: whether it uses tensors of the graph in which it was traced.
    """

    def __init__(self, function: Callable, computes: Any, *arguments: Any) -> None:
        self._trace = partial(_traced, function, arguments)
        key = None if computes is None else (computes, _shapes(arguments))
        self._forms = _programs.of(self._trace, key)
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

    def of(self, function: Callable, computes: Any, *arguments: Any) -> Program:
        """A `Program`, traced at most once for arguments of the same shapes."""
        key = function, _shapes(arguments)
        if key in self._known:
            return self._known[key]
        program = Program(function, computes, *arguments)
        if not program.captures:
            self._known[key] = program
        return program


def _shapes(arguments):
    return repr(tf.nest.map_structure(_shape_and_dtype, arguments))


def _shape_and_dtype(argument):
    return (argument.shape, argument.dtype) if tf.is_tensor(argument) else argument


class _Programs:
    """The functions used last: by what decides what they compute, and by what they compute."""

    def __init__(self):
        self._by_key = collections.OrderedDict()
        self._by_content = collections.OrderedDict()
        self._lock = threading.Lock()

    def of(self, trace, key):
        """The forms of the function that `trace` traces, or of one that computes the same."""
        with self._lock:
            if key in self._by_key:
                return self._last_used(self._by_key, key)
        compiled = trace(jit_compile=True)
        if compiled.captured_inputs:  # It belongs to this layer alone.
            return _Forms(compiled)
        with self._lock:
            forms = self._last_used(self._by_content, content(compiled), _Forms(compiled))
            return forms if key is None else self._last_used(self._by_key, key, forms)

    @staticmethod
    def _last_used(known, key, new=None):
        forms = known.setdefault(key, new)
        known.move_to_end(key)
        while len(known) > MOST_PROGRAMS:
            known.popitem(last=False)
        return forms


def _traced(function, arguments, jit_compile=None):
    # With positional arguments alone, as it is called: a partial function would want the others.
    positional = tf.function(
        lambda *each: function(*each), autograph=False, jit_compile=jit_compile
    )
    return positional.get_concrete_function(*arguments)


def content(traced: Any) -> tuple[str, str]:
    """Everything that decides what a traced function without captured tensors computes.

    The functions that it calls, such as the bodies of loops, have new names in each trace. Digests
    of their contents replace them. Custom gradients have new names as well, which are left out.
    """
    definitions = {each.signature.name: each for each in _definitions(traced)}
    names = re.compile("|".join(sorted(map(re.escape, definitions), key=len, reverse=True)))
    digests: dict[str, str] = {}

    def digest(name):
        if name not in digests:
            digests[name] = ""  # Arguments of a loop may be named after it.
            for node in definitions[name].node_def:
                node.attr.pop(_GRADIENT, None)
            text = names.sub(lambda name: digest(name[0]), MessageToString(definitions[name]))
            digests[name] = hashlib.sha256(text.encode()).hexdigest()
        return digests[name]

    outputs = tf.nest.map_structure(tf.TensorSpec.from_tensor, traced.structured_outputs)
    structure = repr((traced.structured_input_signature, outputs))
    return structure, digest(traced.function_def.signature.name)


def decides_derivative(traced: Any) -> bool:
    """Whether the content of a traced function decides what its derivative computes too."""
    nodes = [node for each in _definitions(traced) for node in each.node_def]
    return not traced.captured_inputs and not any(_GRADIENT in node.attr for node in nodes)


def _definitions(traced):
    return [traced.function_def, *traced.graph.as_graph_def().library.function]


_GRADIENT = "_gradient_op_type"
"""Names a gradient that was written for this operation."""
_programs = _Programs()
