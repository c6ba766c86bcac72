"""The experiments there are, as the files of conf/experiment describe themselves.

The descriptions are comments, because they are no part of a run's configuration, and because
`make list` runs before anything is installed that could read YAML.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from unrolled.project import CONFIGURATION, text_of


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
    said = dict(re.findall(r"^# *(question|command|minutes): *(.+)$", text_of(path), re.M))
    return Entry(
        path.stem,
        said.get("question", "(the file does not say)"),
        said.get("command", f"make experiment name={path.stem}"),
        said.get("minutes", "?"),
    )


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
