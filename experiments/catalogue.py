"""The experiments there are. Runs on any Python 3.11, before anything is installed."""

import difflib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from experiments.entry import run

CONFIGURATION = Path(__file__).resolve().parents[1] / "conf"


@dataclass(frozen=True)
class Entry:
    """What an experiment file says of itself in its first comments."""

    name: str
    question: str
    command: str
    minutes: str


def experiments() -> list[Entry]:
    """Every file of conf/experiment, by name."""
    return [_entry(path) for path in sorted((CONFIGURATION / "experiment").glob("*.yaml"))]


def _entry(path: Path) -> Entry:
    said = dict(re.findall(r"^# *(question|command|minutes): *(.+)$", _text(path), re.M))
    return Entry(
        path.stem,
        said.get("question", "(the file does not say)"),
        said.get("command", f"make experiment name={path.stem}"),
        said.get("minutes", "?"),
    )


def _text(path: Path) -> str:
    """Of a file, whatever bytes are in it: one that is unreadable must not hide the others."""
    return path.read_text(encoding="utf-8", errors="replace")


def says(choice: str) -> str:
    """What a file of conf says of itself in its first comment, as "task/imdb" does."""
    found = re.search(r"^# (?!@package)(.+)$", _text(CONFIGURATION / f"{choice}.yaml"), re.M)
    return found[1] if found else "(the file does not say)"


def unknown(kind: str, name: str, known: list[str]) -> str:
    """A message for a name that is not there, with those that are and the nearest guess."""
    guess = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {guess[0]}?" if guess else ""
    return f"There is no {kind} {name!r}.{hint} There are: {', '.join(known)}."


def listing() -> str:
    """All experiments for the terminal, each with its question, its command and its minutes."""
    blocks = [
        f"{entry.name}  ({entry.minutes} minutes on two cores)\n"
        f"    {entry.question}\n"
        f"    {entry.command}"
        for entry in experiments()
    ]
    quick = "Any of them with budget=quick: at most 3 minutes, to see that it works."
    return "\n\n".join([*blocks, quick])


def main(arguments: list[str]) -> int:
    """`list` prints the experiments; `check NAME` refuses a name that none has."""
    if arguments == ["list"]:
        print(listing())
        return 0
    _, name = arguments
    known = [entry.name for entry in experiments()]
    if name in known:
        return 0
    problem = (
        unknown("experiment", name, known) if name else "Which experiment? name=... is missing."
    )
    print(f"{problem}\n\n{listing()}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    run(main)
