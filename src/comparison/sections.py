"""Sections of a report, and how each is shown on the terminal, as Markdown, and kept in MLflow."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from unrolled.console import tables
from unrolled.console.terminal import say, show_table
from unrolled.tracking import RunWriter


@dataclass(frozen=True)
class Heading:
    """The heading of a column: two are equal if their keys are, whatever they read.

    Attributes:
        key: what the column holds.
        text: for people.
        of: tells several columns of one key apart, such as the key of a metric.
    """

    key: str
    text: str = field(compare=False)
    of: str = ""

    @property
    def name(self) -> str:
        """The name of the column in data: the key, with `of` where there is one."""
        return f"{self.key}/{self.of}" if self.of else self.key


Table = Mapping[Heading, Sequence[str]]
"""The cells of each column."""


def table_of(rows: Sequence[Mapping[Heading, str]]) -> Table:
    """The columns of rows, of which each may leave some columns empty."""
    headings = dict.fromkeys(heading for row in rows for heading in row)
    return {heading: [row.get(heading, "") for row in rows] for heading in headings}


def rows_of(table: Table, rows: Sequence[int]) -> Table:
    """Some rows of a table, in the given order."""
    return {heading: [cells[row] for row in rows] for heading, cells in table.items()}


def columns_of(table: Table) -> dict[str, Sequence[str]]:
    """A table for people, by the texts of its headings; equal texts are told apart by the names."""
    texts = Counter(heading.text for heading in table)
    return {
        f"{heading.text} ({heading.name})" if texts[heading.text] > 1 else heading.text: cells
        for heading, cells in table.items()
    }


def data_of(table: Table) -> dict[str, Sequence[str]]:
    """A table as data, by the names of its headings."""
    return {heading.name: cells for heading, cells in table.items()}


@dataclass(frozen=True)
class Section:
    """One part of a report; each part of it may be missing.

    Attributes:
        heading: above it.
        table: with a caption below it.
        caption: says what the columns mean.
        sentences: below the table.
        data: tables of plain values, by the names of their files, which are not shown.
        pictures: draws figures, by the names of their files.
        is_warning: whether it is about something that went wrong.
        excerpt: what is shown instead where there is no room for all of it; None if there always
            is.
    """

    heading: str | None = None
    table: Table | None = None
    caption: str | None = None
    sentences: Sequence[str] = ()
    data: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    pictures: Callable[[], Mapping[str, Figure]] | None = None
    is_warning: bool = False
    excerpt: "Section | None" = None


def excerpt_of(section: Section) -> Section:
    """What a terminal shows of a section."""
    return section.excerpt or section


def show(section: Section) -> None:
    """Print a section, or its excerpt."""
    section = excerpt_of(section)
    if section.table is not None:
        show_table(columns_of(section.table), section.heading, section.caption)
    elif section.heading:
        say.print(section.heading)
    for sentence in section.sentences:
        say.print(sentence, style="red" if section.is_warning else None)


def as_markdown(section: Section) -> str:
    """A section for the page of a run."""
    parts = [section.heading] if section.heading else []
    if section.table is not None:
        parts.append(tables.as_markdown(columns_of(section.table)))
    notes = [section.caption, "Pictures: under Artifacts." if section.pictures else None]
    parts.append(" ".join(filter(None, notes)))
    parts.append("\n".join(f"- {sentence}" for sentence in section.sentences))
    return "\n\n".join(filter(None, parts))


def log(section: Section, writer: RunWriter) -> None:
    """Store the data and the pictures of a section as artifacts of a run."""
    for name, columns in section.data.items():
        writer.log_table(columns, name)
    for name, figure in (section.pictures() if section.pictures else {}).items():
        writer.log_figure(figure, name)
