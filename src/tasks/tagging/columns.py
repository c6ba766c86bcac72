"""Reads tagged sentences from a file in CoNLL columns.

A line contains the columns of one word, separated by tabs or spaces. An empty line ends a sentence.
Lines that start with -DOCSTART- separate documents. Tags are BIO or IOB1, and are converted to BIO.

By default, the word is in the first column and the tag in the last. Alternatively, every column has
a name: `word`, `tag`, or `id` for the index of the word in its sentence; other columns are ignored.

A line that starts with # before the first word of a sentence is a comment, as in CoNLL-U and in
GermEval, unless it has the same number of columns as the others and a tag in its place. In that
case # is a word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

from unrolled.tasks.data.text_files import read_text
from unrolled.tasks.tagging.entities import OUTSIDE, MixedSchemesError, scheme_of, to_bio

WORD, TAG, ID = "word", "tag", "id"
"""Names of the columns that are read."""

_PATH = "task.path"
_DOCUMENT_START = "-DOCSTART-"
_COMMENT = "#"
_TAG = re.compile(r"O|[BI]-\S+")
_BIOES_TAG = re.compile(r"[SEUL]-\S+")
_NUMBER = re.compile(r"\d+([-.]\d+)?")
_INTEGER = re.compile(r"\d+")
_NO_WORD = re.compile(r"\d+[-.]\d+")  # CoNLL-U: a multiword token, or an empty node.
_MAX_ONLY_SENTENCE = 1000
_SAMPLED_LINES = 1000  # To detect the separator.
_MIN_LINES = 3  # Shorter files may consist of numbers, or of one repeated word.


@dataclass(frozen=True)
class Sentence:
    """Words, and the BIO tag of each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


AnySentence = TypeVar("AnySentence", bound=Sentence)


class _Line(NamedTuple):
    """A line that is not empty.

    Attributes:
        number: line number, counted from 1.
        text: the line without leading and trailing whitespace.
        first: whether it follows an empty line, or is the first line.
    """

    number: int
    text: str
    first: bool


class _Row(NamedTuple):
    """The line of one word: its number, its cells, and whether it starts a sentence."""

    number: int
    cells: list[str]
    begins: bool


def check_columns(columns: Sequence[str] | None) -> None:
    """Checks that the names of the columns include words and tags.

    Raises:
        ValueError: unless `columns` is None, or a list of names with one `word`, one `tag` and at
            most one `id`.
    """
    if columns is None:
        return
    if (
        isinstance(columns, str)
        or not isinstance(columns, Sequence)
        or not all(isinstance(name, str) for name in columns)
        or [columns.count(name) for name in (WORD, TAG)] != [1, 1]
        or columns.count(ID) > 1
    ):
        raise ValueError(
            "task.columns: expected null, or a list with a name for every column, including one "
            f"word, one tag and at most one id, such as [id,word,tag,_]; got {columns!r}."
        )


def read_columns(path: Path, columns: Sequence[str] | None = None) -> list[Sentence]:
    """Reads the sentences of a file in columns.

    Args:
        path: the file.
        columns: a name for each column, see the module docstring; None for the word in the first
            and the tag in the last column.

    Raises:
        ValueError: if a line has a different number of columns than the first line or than
            `columns`, or an invalid tag; if the column of words contains no words, or that of ids
            does not count them; if the tags are neither BIO nor IOB1; if the file is not UTF-8 text
            or contains no sentences; and as `check_columns`. The messages contain line numbers.
    """
    check_columns(columns)
    layout = _Layout.of(path, columns, _nonempty_lines(read_text(path, _PATH)))
    rows = layout.rows()
    if not rows:
        raise ValueError(f"{_PATH}: expected sentences, got none in {path}.")
    layout.check_words(rows)
    sentences = _sentences(rows)
    if len(sentences) == 1 and len(rows) > _MAX_ONLY_SENTENCE:
        raise ValueError(
            f"{_PATH}: expected an empty line after each sentence, got one sentence of {len(rows)} "
            f"words in {path}. Insert empty lines between the sentences."
        )
    tags = [[row.cells[layout.tag] for row in sentence] for sentence in sentences]
    try:
        scheme_of(tags)
    except MixedSchemesError as error:
        without, with_b = (sentences[n][step].number for n, step in (error.without_b, error.with_b))
        raise ValueError(
            f"{_PATH}: {error}: an entity starts with I in line {without} of {path}, and one with "
            f"B in line {with_b}. Correct the line that is wrong."
        ) from error
    return [
        Sentence(tuple(row.cells[layout.word] for row in sentence), tuple(to_bio(sentence_tags)))
        for sentence, sentence_tags in zip(sentences, tags, strict=True)
    ]


def _nonempty_lines(text: str) -> list[_Line]:
    lines, first = [], True
    for number, line in enumerate(text.split("\n"), 1):
        # Only spaces and tabs: other whitespace, such as a no-break space, may be a word.
        line = line.strip(" \t")
        if line and not line.startswith(_DOCUMENT_START):
            lines.append(_Line(number, line, first))
            first = False
        else:
            first = True
    return lines


def _sentences(rows: list[_Row]) -> list[list[_Row]]:
    sentences: list[list[_Row]] = []
    for row in rows:
        if row.begins:
            sentences.append([])
        sentences[-1].append(row)
    return sentences


@dataclass(frozen=True)
class _Layout:
    """The format of a file: how lines are split into cells, and which cells are read.

    Attributes:
        path: the file, for messages.
        named: the option `columns`.
        lines: the lines that are not empty.
        by_tabs: whether only tabs separate cells, so that a word may contain spaces.
        width: number of cells per line.
        word, tag, id: indices of the columns; `id` is None if there is no such column.
    """

    path: Path
    named: Sequence[str] | None
    lines: list[_Line]
    by_tabs: bool
    width: int
    word: int
    tag: int
    id: int | None

    @classmethod
    def of(cls, path: Path, named: Sequence[str] | None, lines: list[_Line]) -> "_Layout":
        word_lines = [line for line in lines if not line.text.startswith(_COMMENT)] or lines
        by_tabs = all("\t" in line.text for line in word_lines) and _is_tab_separated(word_lines)
        if named is not None:
            index = {name: named.index(name) for name in named}
            return cls(
                path, named, lines, by_tabs, len(named), index[WORD], index[TAG], index.get(ID)
            )
        width = len(_cells(word_lines[0].text, by_tabs)) if word_lines else 0
        return cls(path, None, lines, by_tabs, width, 0, width - 1, None)

    def rows(self) -> list[_Row]:
        """Returns the validated line of every word."""
        rows, begins, expected = [], True, None
        for line in self.lines:
            begins = begins or line.first
            cells = _cells(line.text, self.by_tabs)
            if begins and self._is_comment(cells):
                continue
            self._check_width(line, cells)
            if cells[self.word].startswith(_DOCUMENT_START):
                begins = True
                continue
            if self.id is not None:
                found = cells[self.id]
                if _NO_WORD.fullmatch(found):
                    continue
                expected = self._next_id(line, found, None if begins else expected)
            if not _TAG.fullmatch(cells[self.tag]):
                raise self._tag_error(line, cells)
            rows.append(_Row(line.number, cells, begins))
            begins = False
        return rows

    def _is_comment(self, cells: list[str]) -> bool:
        if not cells[0].startswith(_COMMENT):
            return False
        if len(cells) != self.width or self.width == 1:
            return True
        # With the width of a word's line, only a bare # without a valid tag is a comment, so that
        # a word such as #vote with a wrong tag is reported.
        return cells[0] == _COMMENT and not _TAG.fullmatch(cells[self.tag])

    def _check_width(self, line: _Line, cells: list[str]) -> None:
        if len(cells) == self.width > 1:
            return
        if self.named is not None:
            expected = f"{self.width} columns, as in task.columns"
        elif self.width > 1:
            expected = f"{self.width} columns as in the first line"
        else:
            expected = "a word and its tag"
        comment = line.text.startswith(_COMMENT)
        raise ValueError(
            f"{_PATH}: expected {expected}, got {len(cells)} in line {line.number} of {self.path}: "
            f"{line.text[:60]!r}. Correct that line. An empty line ends a sentence"
            f"{', and a comment must precede a sentence' if comment else ''}."
        )

    def _next_id(self, line: _Line, found: str, expected: int | None) -> int:
        """Checks the id of a line and returns the next one; `expected` is None for a first word."""
        allowed = ("0", "1") if expected is None else (str(expected),)
        if found not in allowed:
            raise ValueError(
                f"task.columns: expected {' or '.join(allowed)} in the column id, which counts the "
                f"words of a sentence, got {found!r} in line {line.number} of {self.path}. Add a "
                "missing empty line before it, or name the column _ if it has another meaning."
            )
        return int(found) + 1

    def _tag_error(self, line: _Line, cells: list[str]) -> ValueError:
        """Returns the error for an invalid tag, with advice for the likely cause."""
        found = cells[self.tag]
        where = "the last column" if self.named is None else f"column {self.tag + 1}"
        message = (
            f"{_PATH}: expected a tag in BIO or IOB1, O, B-<type> or I-<type>, in {where}, got "
            f"{found[:60]!r} in line {line.number} of {self.path}. "
        )
        others = [index for index in self._tag_columns() if index != self.tag]
        if _BIOES_TAG.fullmatch(found):
            return ValueError(
                f"{message}This is a tag in BIOES or BILOU: replace S- and U- by B-, and E- and L- "
                "by I-."
            )
        if _TAG.fullmatch(found.upper()):
            return ValueError(f"{message}Write O, B and I in upper case.")
        if self.id is None and _NO_WORD.fullmatch(cells[0]):
            return ValueError(
                f"{message}A multiword token has no tag: name the first column id in "
                "task.columns, so that such lines are skipped."
            )
        if others:
            return ValueError(f"{message}{self._suggestion(others)}")
        return ValueError(
            f"{message}Correct that line, or name the columns if the tags are in another one: "
            "'task.columns=[word,_,tag]'."
        )

    def check_words(self, rows: list[_Row]) -> None:
        """Checks that the column of words contains words.

        Raises:
            ValueError: if all cells are numbers, or all cells of each sentence are equal, such as
                the name of a document.
        """
        if len(rows) < _MIN_LINES:
            return
        words = [row.cells[self.word] for row in rows]
        long = [[r.cells[self.word] for r in each] for each in _sentences(rows) if len(each) > 1]
        if all(map(_NUMBER.fullmatch, words)):
            found = "a number in every line"
        elif long and all(len(set(each)) == 1 for each in long):
            found = "the same value in all lines of each sentence"
        else:
            return
        raise ValueError(
            f"{_PATH}: expected words in column {self.word + 1} of {self.path}, got {found}, such "
            f"as {words[0][:60]!r} in line {rows[0].number}. "
            f"{self._suggestion(self._tag_columns())}"
        )

    def _tag_columns(self) -> list[int]:
        """Returns the indices of the columns that contain only tags, and at least one entity."""
        rows = [_cells(line.text, self.by_tabs) for line in self.lines]
        rows = [cells for cells in rows if len(cells) == self.width]
        return [
            index
            for index, cells in enumerate(zip(*rows, strict=True))
            if all(map(_TAG.fullmatch, cells)) and set(cells) != {OUTSIDE}
        ]

    def _suggestion(self, tags: list[int]) -> str:
        """Returns advice on `task.columns`, given the columns that look like tags."""
        rows = [_cells(line.text, self.by_tabs) for line in self.lines]
        rows = [cells for cells in rows if len(cells) == self.width]
        names, tags = ["_"] * self.width, tags or [self.tag]
        for index, cells in enumerate(zip(*rows, strict=True)):
            if index in tags:
                names[index] = "_" if TAG in names else TAG
            elif all(map(_NUMBER.fullmatch, cells)):
                names[index] = "_" if ID in names or not _is_counter(cells) else ID
            elif WORD not in names and index != self.word:
                names[index] = WORD
        if WORD not in names:
            names[self.word] = WORD
        advice = f"Name the columns, for example: 'task.columns=[{','.join(names)}]'."
        if len(tags) > 1:
            advice += f" Columns {', '.join(str(index + 1) for index in tags)} contain tags."
        return advice


def _is_counter(cells: Sequence[str]) -> bool:
    """Whether a column counts lines and restarts now and then, as word indices do."""
    numbers = [int(each) for each in cells if _INTEGER.fullmatch(each)]
    return all(number in (0, 1, before + 1) for before, number in pairwise(numbers))


def _is_tab_separated(lines: list[_Line]) -> bool:
    """Whether most lines have as many cells with tabs alone as with tabs and spaces."""
    seen = lines[:_SAMPLED_LINES]
    same = sum(len(_cells(line.text, True)) == len(_cells(line.text)) for line in seen)
    return 2 * same > len(seen)


def _cells(line: str, by_tabs: bool = False) -> list[str]:
    if by_tabs:
        return [cell.strip(" ") for cell in line.split("\t") if cell]
    return [cell for cell in line.replace("\t", " ").split(" ") if cell]
