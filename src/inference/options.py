"""What is typed behind a program that asks a trained model: names, values, and what is refused."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.console.make_arguments import overrides_of_make
from unrolled.console.refusals import RefusedError, unknown
from unrolled.tasks.data.text_files import read_text

FROM_MAKE = "--from-make"  # The arguments are in the variable MAKE_OVERRIDES, as make has them.
_LONGEST_SHOWN = 60  # Characters of what was typed.


@dataclass(frozen=True)
class Option:
    """What may be said of one name on a command line.

    Attributes:
        read: makes a value of the text that was typed; raises ValueError for one that is none.
        allowed: which values are.
        expected: says which, for people.
        default: taken where nothing is said.
    """

    read: Callable[[str], Any]
    allowed: Callable[[Any], bool]
    expected: str
    default: Any = None


def any_text(default: str | None = None) -> Option:
    return Option(str, lambda _: True, "a text", default)


def whole(least: int, default: int | None = None) -> Option:
    expected = f"an integer of at least {least}"
    return Option(_integer, lambda value: value >= least, expected, default)


def _integer(typed: str) -> int:
    """Of digits alone, and not more than a number of 64 bits can have: `int` takes others too."""
    if not re.fullmatch("-?[0-9]{1,18}", typed):
        raise ValueError
    return int(typed)


def options_of(arguments: list[str], known: Mapping[str, Option]) -> dict[str, Any]:
    """The value of every known option, from arguments such as `temperature=0.8`.

    Raises:
        RefusedError: for an unknown name, one that is there twice, or a value that is not allowed.
    """
    if arguments[:1] == [FROM_MAKE]:
        typed = overrides_of_make(os.environ.get("MAKE_OVERRIDES", ""))
        arguments = [each for each in typed if not each.startswith("PYTHON=")]  # The Makefile's.
    found = {}
    for argument in arguments:
        name, equals, typed = argument.partition("=")
        if name not in known:
            raise RefusedError(unknown("option", name, list(known)))
        if not equals:
            raise RefusedError(f"{name}: expected {name}=<value>, got no value.")
        if name in found:
            raise RefusedError(f"{name}: is there twice; expected it once.")
        found[name] = _value(name, typed, known[name])
    return {name: found.get(name, option.default) for name, option in known.items()}


def _value(name, typed, option):
    try:
        value = option.read(typed)
    except ValueError:
        value = None
    if value is None or not option.allowed(value):
        shown = typed if len(typed) <= _LONGEST_SHOWN else f"{typed[:_LONGEST_SHOWN]}..."
        raise RefusedError(f"{name}: expected {option.expected}, got {shown!r}.")
    return value


def texts_of(options: Mapping[str, Any], text: str, between: str | None = None) -> list[str]:
    """What the options `text` or `file` say: the texts of one, or the lines of the other.

    Args:
        options: of `options_of`.
        text: what a text may be, for people: '"a sentence"'.
        between: what separates several texts of one command line, with the blanks beside it; None
            for line ends alone.

    Raises:
        RefusedError: if both are there or none, or the file is empty, cannot be read or is not
            text in UTF-8.
    """
    said, path = options["text"], options["file"]
    if (said is None) == (path is None):
        raise RefusedError(
            f"text: expected text={text}, or file=<path> with a text on each line; got "
            + ("neither." if said is None else "both text and file.")
        )
    if said is not None:
        return re.split(rf"\s*{re.escape(between)}\s*", said) if between else _lines(said) or [""]
    try:
        return _lines(read_text(Path(path).expanduser(), "file"))
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _lines(text):
    # Not `splitlines`, which ends a line at a form feed and at some other signs as well.
    *ended, last = text.split("\n")
    return [*ended, last] if last else ended
