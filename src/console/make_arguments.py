"""Command lines that are passed through make."""

import os
import re


def as_typed(arguments: list[str]) -> list[str]:
    """Returns the arguments, with those in MAKE_OVERRIDES in place of `--from-make`."""
    if arguments[:1] != ["--from-make"]:
        return arguments
    return [*arguments[1:], *overrides_of_make(os.environ.get("MAKE_OVERRIDES", ""))]


def overrides_of_make(text: str) -> list[str]:
    """Parses make's variable MAKEOVERRIDES into the key=value arguments of its command line.

    In a value, make escapes whitespace, line ends and backslashes with a backslash, and doubles
    dollars.
    """
    escaped = re.findall(r"(?:\\.|[^\s\\])+", text, re.DOTALL)
    plain = (re.sub(r"\\(.)", r"\1", argument, flags=re.DOTALL) for argument in escaped)
    return [argument.replace("$$", "$") for argument in plain]
