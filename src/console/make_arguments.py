"""Command lines that come through make."""

import os
import re


def as_typed(arguments: list[str]) -> list[str]:
    """A command line, behind `--from-make` with what make has in MAKE_OVERRIDES for it."""
    if arguments[:1] != ["--from-make"]:
        return arguments
    return [*arguments[1:], *overrides_of_make(os.environ.get("MAKE_OVERRIDES", ""))]


def overrides_of_make(text: str) -> list[str]:
    """What was typed as key=value behind make, from its variable MAKEOVERRIDES.

    In a value a backslash stands before blanks, line ends and backslashes; dollars are doubled.
    """
    typed = re.findall(r"(?:\\.|[^\s\\])+", text, re.DOTALL)
    plain = (re.sub(r"\\(.)", r"\1", argument, flags=re.DOTALL) for argument in typed)
    return [argument.replace("$$", "$") for argument in plain]
