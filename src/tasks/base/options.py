"""What a task's options are held to."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def require_whole(name: str, value, least: int, most: int | None = None) -> None:
    """Refuse what is no integer, less than `least` or greater than `most`.

    Raises:
        ValueError: with the option's name, what was expected and what came.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}`: expected a whole number {limits}, got {value!r}.")


def require_share(name: str, value, most: float) -> None:
    """Refuse what is no number from 0 to `most`.

    Raises:
        ValueError: with the option's name, what was expected and what came.
    """
    if not (is_number(value) and 0 <= value <= most):
        raise ValueError(f"`{name}`: expected a share from 0 to {most}, got {value!r}.")


def require_memory(name: str, value, size: int) -> None:
    """Refuse what takes more memory than the machine has.

    Args:
        name: of the option that decides it.
        value: what came, for people.
        size: in bytes.

    Raises:
        ValueError: with the option's name, what was expected and what came.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > there:
        raise ValueError(
            f"`{name}`: expected what fits into the {there / 2**30:,.0f} GiB of memory that this "
            f"machine has, got {value}, which takes {size / 2**30:,.0f} GiB."
        )


def is_number(value) -> bool:
    """Whether it is a number, and neither True nor False."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def made(name: str, kind: type, options) -> Any:
    """A data class `kind`, of itself or of a mapping of its attributes.

    Raises:
        ValueError: with the option's name, for anything else, and as `kind` does.
    """
    if isinstance(options, kind):
        return options
    known = [field.name for field in fields(kind)]
    if not isinstance(options, Mapping) or not set(options) <= set(known):
        raise ValueError(f"`{name}`: expected a mapping of {', '.join(known)}, got {options!r}.")
    return kind(**options)
