"""Command lines that are rejected, and their error messages."""

import difflib
import re
import sys

from unrolled.console.printable import printable

# Not `tracking.masked`, which takes seconds to import.
_PASSWORD = re.compile(r"(://[^\s/:@]*:)(?!\d+/)[^\s@]+(?=@)")


class RefusedError(ValueError):
    """A command line that cannot be run; the message says what is wrong, and what is expected."""


def print_refusal(problem: BaseException | str) -> None:
    """Prints to standard error why a command was not run, with the passwords of URIs masked."""
    print(printable(_PASSWORD.sub(r"\1***", str(problem))), file=sys.stderr)


def unknown(kind: str, name: str, known: list[str]) -> str:
    """Returns a message for an unknown name, with the known names and the closest match."""
    guess = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {guess[0]}?" if guess else ""
    return f"There is no {kind} {name!r}.{hint} There are: {', '.join(known)}."
