"""Validation of a task's options."""

import os
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol, TypeVar


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field]]


_Kind = TypeVar("_Kind", bound=_Dataclass)


def require_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Checks that an option is an integer of at least `least` and, if given, at most `most`.

    Raises:
        ValueError: otherwise; the message names the option, the expected and the received value.
    """
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}`: expected an integer {limits}, got {value!r}.")


def require_fraction(name: str, value: Any, most: float) -> None:
    """Checks that an option is a number from 0 to `most`.

    Raises:
        ValueError: otherwise; the message names the option, the expected and the received value.
    """
    if not (is_number(value) and 0 <= value <= most):
        raise ValueError(f"`{name}`: expected a fraction from 0 to {most}, got {value!r}.")


def require_memory(name: str, value: Any, size: int) -> None:
    """Checks that data fit into the memory of this machine.

    Args:
        name: the option that determines the size.
        value: the received value, as shown in the message.
        size: size of the data in bytes.

    Raises:
        ValueError: otherwise; the message names the option, the expected and the received value.
    """
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > available:
        raise ValueError(
            f"`{name}`: expected a value that fits into the {available / 2**30:,.0f} GiB of memory "
            f"of this machine, got {value}, which takes {size / 2**30:,.0f} GiB."
        )


def is_number(value: Any) -> bool:
    """Whether a value is an int or a float, but not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_dataclass(name: str, kind: type[_Kind], options: Any) -> _Kind:
    """Returns a `kind` from an instance of it or from a mapping of its attributes.

    Args:
        name: name of the option, for the message.
        kind: a dataclass.
        options: an instance or a mapping.

    Raises:
        ValueError: for anything else, and as `kind` does.
    """
    if isinstance(options, kind):
        return options
    known = [field.name for field in fields(kind)]
    if not isinstance(options, Mapping) or not set(options) <= set(known):
        raise ValueError(f"`{name}`: expected a mapping of {', '.join(known)}, got {options!r}.")
    return kind(**options)
