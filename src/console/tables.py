"""Tables, given as columns by heading, for the terminal and for Markdown."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAVY
from rich.table import Table
from rich.text import Text

_GAP = 2  # Spaces between columns.
Columns = Mapping[str, Sequence[str]]


def split_columns(columns: Columns, names: int, width: int) -> list[Columns]:
    """Splits a table that is too wide into several, each with the first `names` columns.

    Each part has at least one other column, even if it exceeds `width`.
    """
    heads = list(columns)[:names]
    available = width - sum(map(_width, heads, [columns[head] for head in heads]))
    parts: list[list[str]] = []
    used = 0
    for head in list(columns)[names:]:
        needed = _width(head, columns[head])
        if not parts or used + needed > available:
            parts.append([*heads])
            used = 0
        parts[-1].append(head)
        used += needed
    return [{head: columns[head] for head in part} for part in parts or [heads]]


def _width(head: str, cells: Sequence[str]) -> int:
    return max(map(len, [*head.split("\n"), *cells])) + _GAP


def as_rich(columns: Columns, title: str | None, names: int = 1) -> Table:
    """Creates a table for the terminal.

    Args:
        columns: the cells of each column.
        title: title above the table.
        names: number of leading columns that contain names. On a narrow terminal these are wrapped;
            figures are never truncated.
    """
    padding = (0, _GAP - 1, 0, 0)  # The box adds one space.
    table = Table(title=title, box=SIMPLE_HEAVY, padding=padding)
    for index, (name, cells) in enumerate(columns.items()):
        if index < names:
            table.add_column(name, overflow="fold")
        else:
            width = _width(name, cells) - _GAP
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))  # Text, so that [/b] is not parsed as markup.
    return table


def as_markdown(columns: Columns) -> str:
    """Formats a table as Markdown."""
    heads = [name.replace("\n", " ") for name in columns]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines)
