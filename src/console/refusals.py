"""Command lines that are refused, and how that is said."""

import difflib
import re
import sys

from unrolled.console.printable import printable

# Here rather than by `tracking.masked`, which takes seconds to import.
_PASSWORD = re.compile(r"(://[^\s/:@]*:)(?!\d+/)[^\s@]+(?=@)")


class RefusedError(ValueError):
    """A command line that cannot be run; the message says what is wrong and what would be right."""


def print_refusal(problem: BaseException | str) -> None:
    """Write to standard error why a command was not run, without the passwords of URIs."""
    print(printable(_PASSWORD.sub(r"\1***", str(problem))), file=sys.stderr)


def unknown(kind: str, name: str, known: list[str]) -> str:
    """A message for a name that is not there, with those that are and the nearest guess."""
    guess = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {guess[0]}?" if guess else ""
    return f"There is no {kind} {name!r}.{hint} There are: {', '.join(known)}."
