"""Python objects that a configuration names, such as unrolled.layers.LSTM."""

import difflib
from importlib import import_module
from typing import Any

from unrolled.console.printable import reason_of
from unrolled.console.refusals import RefusedError


def imported(key: str, name: str, such_as: str, kind: type | None = None) -> Any:
    """The object that a dotted name stands for.

    Not by `hydra.utils.get_object`, which prints what it does not find.

    Args:
        key: where the name is in the configuration, for the message.
        name: a module, and a name in it.
        such_as: a valid name, for the message.
        kind: the class that the object must be a subclass of; None for any object.

    Raises:
        RefusedError: if the module cannot be imported, it has no such name, or the object is no
            such class.
    """
    module, _, attribute = name.rpartition(".")
    found, hint = None, ""
    try:
        there = import_module(module)
    except Exception as error:  # A module of the user's may raise anything.
        problem = f"which cannot be imported ({reason_of(error)})"
    else:
        found = getattr(there, attribute, None)
        problem = f"which is no class of {kind.__name__}" if kind else ""
        if found is None:
            guess = difflib.get_close_matches(attribute, dir(there), n=1)
            hint = f" Did you mean {module}.{guess[0]}?" if guess else ""
            problem = f"and {module} has no {attribute!r}"
    if found is None or (kind and not (isinstance(found, type) and issubclass(found, kind))):
        raise RefusedError(
            f"{key}: expected a module and a name in it, such as {such_as}, got {name!r}, "
            f"{problem}.{hint}"
        )
    return found
