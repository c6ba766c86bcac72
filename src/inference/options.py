"""Command line options of the programs that use a trained model."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.console.make_arguments import overrides_of_make
from unrolled.console.refusals import RefusedError, unknown
from unrolled.settings.sampling import Limit
from unrolled.tasks.data.text_files import read_text

FROM_MAKE = "--from-make"  # The arguments are in the variable MAKE_OVERRIDES, escaped by make.
_MAX_SHOWN = 60  # Characters of a value in a message.


@dataclass(frozen=True)
class Option:
    """The valid values of an option.

    Attributes:
        read: parses the text of a value; raises ValueError if it is invalid.
        allowed: whether a parsed value is valid.
        expected: description of the valid values.
        default: the default value.
    """

    read: Callable[[str], Any]
    allowed: Callable[[Any], bool]
    expected: str
    default: Any = None


def any_text(default: str | None = None) -> Option:
    """Returns an option that accepts any text."""
    return Option(str, lambda _: True, "a text", default)


def integer(least: int, default: int | None = None) -> Option:
    """Returns an option that accepts integers of at least `least`."""
    limit = Limit(lambda value: value >= least, f"an integer of at least {least}")
    return integer_within(limit, default)


def integer_within(limit: Limit, default: int | None = None) -> Option:
    """Returns an option that accepts the integers that a limit allows."""
    return Option(_integer, limit.allows, limit.expected, default)


def number_within(limit: Limit, default: float) -> Option:
    """Returns an option that accepts the numbers that a limit allows."""
    return Option(float, limit.allows, limit.expected, default)


def _integer(typed: str) -> int:
    """Parses decimal digits that fit into 64 bits; `int` accepts other formats, too."""
    if not re.fullmatch("-?[0-9]{1,18}", typed):
        raise ValueError
    return int(typed)


def options_of(arguments: list[str], known: Mapping[str, Option]) -> dict[str, Any]:
    """Parses arguments such as `temperature=0.8` into the values of all known options.

    Raises:
        RefusedError: for an unknown or repeated name, or an invalid value.
    """
    if arguments[:1] == [FROM_MAKE]:
        overrides = overrides_of_make(os.environ.get("MAKE_OVERRIDES", ""))
        # PYTHON is for the Makefile.
        arguments = [each for each in overrides if not each.startswith("PYTHON=")]
    found: dict[str, Any] = {}
    for argument in arguments:
        name, equals, typed = argument.partition("=")
        if name not in known:
            raise RefusedError(unknown("option", name, list(known)))
        if not equals:
            raise RefusedError(f"{name}: expected {name}=<value>, got no value.")
        if name in found:
            raise RefusedError(f"{name}: expected once, got it twice. Remove one of them.")
        found[name] = _value(name, typed, known[name])
    return {name: found.get(name, option.default) for name, option in known.items()}


def _value(name: str, typed: str, option: Option) -> Any:
    try:
        value = option.read(typed)
    except ValueError:
        value = None
    if value is None or not option.allowed(value):
        shown = typed if len(typed) <= _MAX_SHOWN else f"{typed[:_MAX_SHOWN]}..."
        raise RefusedError(f"{name}: expected {option.expected}, got {shown!r}.")
    return value


def texts_of(options: Mapping[str, Any], text: str, between: str | None = None) -> list[str]:
    """Returns the texts of the option `text`, or the lines of the option `file`.

    Args:
        options: from `options_of`.
        text: description of the option `text`: '"a sentence"'.
        between: separator of several texts on the command line, ignoring whitespace around it; None
            for line ends only.

    Raises:
        RefusedError: unless exactly one of them is given; if the file is empty, unreadable or not
            UTF-8 text.
    """
    given, path = options["text"], options["file"]
    if (given is None) == (path is None):
        raise RefusedError(
            f"text: expected text={text}, or file=<path> with a text on each line; got "
            + ("neither." if given is None else "both text and file.")
        )
    if given is not None:
        return re.split(rf"\s*{re.escape(between)}\s*", given) if between else _lines(given) or [""]
    try:
        return _lines(read_text(Path(path).expanduser(), "file"))
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _lines(text: str) -> list[str]:
    # Not `splitlines`, which also splits at form feeds and some other characters.
    *ended, last = text.split("\n")
    return [*ended, last] if last else ended
