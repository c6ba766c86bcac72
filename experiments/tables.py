"""Tables, as columns by their name, on the terminal and in Markdown."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAVY
from rich.table import Table

Columns = Mapping[str, Sequence[str]]


def as_rich(columns: Columns, title: str, caption: str | None = None, names: int = 1) -> Table:
    """A table for the terminal.

    Args:
        columns: the cells of each.
        title: what stands above.
        caption: what stands below.
        names: how many of the first columns hold names. Where the terminal is narrow these give
            way; no figure is cut.
    """
    table = Table(title=title, caption=caption, box=SIMPLE_HEAVY, padding=(0, 1, 0, 0))
    for number, (name, cells) in enumerate(columns.items()):
        if number < names:
            table.add_column(name, overflow="fold")
        else:
            width = max(map(len, [*name.split("\n"), *cells]))
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def as_markdown(columns: Columns) -> str:
    """The same for a README or a run's page."""
    heads = [name.replace("\n", " ") for name in columns]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines)
