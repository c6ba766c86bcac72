"""Tables, as columns by their name, on the terminal and in Markdown."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAVY
from rich.table import Table
from rich.text import Text

_BETWEEN = 2  # blanks from one column to the next
Columns = Mapping[str, Sequence[str]]


def blocks(columns: Columns, names: int, width: int) -> list[Columns]:
    """A table that is too wide, as several of which each has the first `names` columns.

    Each has one more column at least, however little fits into `width`.
    """
    heads = list(columns)[:names]
    room = width - sum(map(_width, heads, [columns[head] for head in heads]))
    parts, used = [], 0
    for head in list(columns)[names:]:
        wanted = _width(head, columns[head])
        if not parts or used + wanted > room:
            parts.append([*heads])
            used = 0
        parts[-1].append(head)
        used += wanted
    return [{head: columns[head] for head in part} for part in parts or [heads]]


def _width(head: str, cells: Sequence[str]) -> int:
    return max(map(len, [*head.split("\n"), *cells])) + _BETWEEN


def as_rich(columns: Columns, title: str | None, names: int = 1) -> Table:
    """A table for the terminal.

    Args:
        columns: the cells of each.
        title: what stands above.
        names: how many of the first columns hold names. Where the terminal is narrow these give
            way; no figure is cut.
    """
    padding = (0, _BETWEEN - 1, 0, 0)  # The box has one blank more.
    table = Table(title=title, box=SIMPLE_HEAVY, padding=padding)
    for number, (name, cells) in enumerate(columns.items()):
        if number < names:
            table.add_column(name, overflow="fold")
        else:
            width = _width(name, cells) - _BETWEEN
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))  # As they are: a text's [/b] is no markup.
    return table


def as_markdown(columns: Columns) -> str:
    """The same for a README or a run's page."""
    heads = [name.replace("\n", " ") for name in columns]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines)
