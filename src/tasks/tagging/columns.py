"""Sentences with a tag at each word, from a file in CoNLL columns.

A line has the columns of one word, separated by tabs or spaces; an empty line ends a sentence.
Lines that begin with -DOCSTART- stand between documents. Tags are BIO or IOB1, and BIO once read.

Where the file's columns are not named, the word is first and the tag last. A name for each column
says otherwise: `word`, `tag`, and `id` for the word's number in its sentence; others are not read.

A line that begins with # before the first word of a sentence is a comment, as in CoNLL-U and in
GermEval, unless it has as many columns as the others and a tag in its place: then # is a word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from unrolled.tasks.data.text_files import read_text
from unrolled.tasks.tagging.entities import OUTSIDE, MixedSchemesError, scheme_of, to_bio

WORD, TAG, ID = "word", "tag", "id"
"""The names of columns that are read."""

_PATH = "task.path"
_BETWEEN_DOCUMENTS = "-DOCSTART-"
_COMMENT = "#"
_TAG = re.compile(r"O|[BI]-\S+")
_OF_FIVE_LETTERS = re.compile(r"[SEUL]-\S+")
_NUMBER = re.compile(r"\d+([-.]\d+)?")
_WORD_NUMBER = re.compile(r"\d+")
_NO_WORD = re.compile(r"\d+[-.]\d+")  # CoNLL-U: a token of several words, and an empty node.
_LONGEST_ONLY_SENTENCE = 1000
_ENOUGH_LINES = 1000  # To tell what separates the cells.
_FEW = 3  # Lines up to which numbers, or one word repeated, may be all that a file has.


@dataclass(frozen=True)
class Sentence:
    """Words, and the tag of each in BIO."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


class _Line(NamedTuple):
    """One line with something on it.

    Attributes:
        number: from 1.
        text: without the whitespace at its ends.
        first: whether an empty line, or none, stands before it.
    """

    number: int
    text: str
    first: bool


class _Row(NamedTuple):
    """One word's line: its number, its cells, and whether it begins a sentence."""

    number: int
    cells: list[str]
    begins: bool


def check_columns(columns: Sequence[str] | None) -> None:
    """Refuse names of columns that do not say where words and tags are.

    Raises:
        ValueError: unless it is None, or a list of names with one `word`, one `tag` and at most one
            `id`.
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
            "task.columns: expected null, or a list with a name for every column, of which one is "
            f"word, one is tag and at most one is id, such as [id,word,tag,_]; got {columns!r}."
        )


def read_columns(path: Path, columns: Sequence[str] | None = None) -> list[Sentence]:
    """The sentences of a file in columns.

    Args:
        path: the file.
        columns: a name for each of its columns, see above; None for the word first, the tag last.

    Raises:
        ValueError: if a line has another number of columns than the first or than `columns`, or a
            tag of another form, with its number; if the column of words does not hold any, or that
            of ids does not count them; if the tags are neither BIO nor IOB1, with the numbers of
            two lines that are not of one scheme; for a file that is not UTF-8 or has no sentence;
            and as `check_columns` does.
    """
    check_columns(columns)
    layout = _Layout.of(path, columns, _lines_of(read_text(path, _PATH)))
    rows = layout.rows()
    if not rows:
        raise ValueError(f"{_PATH}: expected sentences, got none in {path}.")
    layout.check_words(rows)
    sentences = _sentences(rows)
    if len(sentences) == 1 and len(rows) > _LONGEST_ONLY_SENTENCE:
        raise ValueError(
            f"{_PATH}: expected an empty line after each sentence, got one sentence of {len(rows)} "
            f"words in {path}. Put empty lines between its sentences."
        )
    tags = [[row.cells[layout.tag] for row in sentence] for sentence in sentences]
    try:
        scheme_of(tags)
    except MixedSchemesError as error:
        without, with_b = (sentences[n][step].number for n, step in (error.without_b, error.with_b))
        raise ValueError(
            f"{_PATH}: {error}: in line {without} of {path} one begins with an I, in line "
            f"{with_b} one with a B. Correct the line that is wrong."
        ) from error
    return [
        Sentence(tuple(row.cells[layout.word] for row in sentence), tuple(to_bio(of_words)))
        for sentence, of_words in zip(sentences, tags, strict=True)
    ]


def _lines_of(text: str) -> list[_Line]:
    lines, first = [], True
    for number, line in enumerate(text.split("\n"), 1):
        # Spaces and tabs only: any other character may be a word, such as a no-break space.
        line = line.strip(" \t")
        if line and not line.startswith(_BETWEEN_DOCUMENTS):
            lines.append(_Line(number, line, first))
            first = False
        else:
            first = True
    return lines


def _sentences(rows: list[_Row]) -> list[list[_Row]]:
    sentences = []
    for row in rows:
        if row.begins:
            sentences.append([])
        sentences[-1].append(row)
    return sentences


@dataclass(frozen=True)
class _Layout:
    """How the lines of one file are cut up, and which of their cells are read.

    Attributes:
        path: the file, for messages.
        named: the option `columns`.
        lines: of the file, without empty ones.
        by_tabs: whether tabs alone separate cells; a word may contain spaces then.
        width: how many cells a line has.
        word, tag, id: numbers of columns, from 0; `id` is None where there is none.
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
        of_words = [line for line in lines if not line.text.startswith(_COMMENT)] or lines
        by_tabs = all("\t" in line.text for line in of_words) and _are_separated_by_tabs(of_words)
        if named is not None:
            number = {name: named.index(name) for name in named}
            return cls(
                path, named, lines, by_tabs, len(named), number[WORD], number[TAG], number.get(ID)
            )
        width = len(_cells(of_words[0].text, by_tabs)) if of_words else 0
        return cls(path, None, lines, by_tabs, width, 0, width - 1, None)

    def rows(self) -> list[_Row]:
        """The line of every word, checked."""
        rows, begins, expected = [], True, None
        for line in self.lines:
            begins = begins or line.first
            cells = _cells(line.text, self.by_tabs)
            if begins and self._is_comment(cells):
                continue
            self._check_width(line, cells)
            if cells[self.word].startswith(_BETWEEN_DOCUMENTS):
                begins = True
                continue
            if self.id is not None:
                if _NO_WORD.fullmatch(cells[self.id]):
                    continue
                expected = self._next_id(line, cells, None if begins else expected)
            if not _TAG.fullmatch(cells[self.tag]):
                raise self._no_tag(line, cells)
            rows.append(_Row(line.number, cells, begins))
            begins = False
        return rows

    def _is_comment(self, cells):
        if not cells[0].startswith(_COMMENT):
            return False
        if len(cells) != self.width or self.width == 1:
            return True
        # As wide as a word's line: a word such as #vote keeps its line even where its tag is wrong.
        return cells[0] == _COMMENT and not _TAG.fullmatch(cells[self.tag])

    def _check_width(self, line, cells):
        if len(cells) == self.width > 1:
            return
        if self.named is not None:
            expected = f"{self.width} columns, as task.columns names"
        elif self.width > 1:
            expected = f"{self.width} columns as in the first"
        else:
            expected = "a word and its tag"
        comment = line.text.startswith(_COMMENT)
        raise ValueError(
            f"{_PATH}: expected {expected}, got {len(cells)} in line {line.number} of {self.path}: "
            f"{line.text[:60]!r}. Correct that line; an empty one ends a sentence"
            f"{', and a comment stands before one' if comment else ''}."
        )

    def _next_id(self, line, cells, expected):
        """The number after that of a line; `expected` is None at the first word of a sentence."""
        found = cells[self.id]
        allowed = ("0", "1") if expected is None else (str(expected),)
        if found not in allowed:
            raise ValueError(
                f"task.columns: expected {' or '.join(allowed)} in the column id, which counts the "
                f"words of a sentence, got {found!r} in line {line.number} of {self.path}. Is an "
                "empty line missing before it? A column that counts otherwise is named _."
            )
        return int(found) + 1

    def _no_tag(self, line, cells):
        found = cells[self.tag]
        where = "the last column" if self.named is None else f"column {self.tag + 1}"
        message = (
            f"{_PATH}: expected a tag in BIO or IOB1, O, B-<type> or I-<type>, in {where}, got "
            f"{found[:60]!r} in line {line.number} of {self.path}. "
        )
        others = [number for number in self._tag_columns() if number != self.tag]
        if _OF_FIVE_LETTERS.fullmatch(found):
            return ValueError(
                f"{message}These are tags in BIOES or BILOU: write B- for S- and U-, and I- for E- "
                "and L-."
            )
        if _TAG.fullmatch(found.upper()):
            return ValueError(f"{message}Write O, B and I as capitals.")
        if self.id is None and _NO_WORD.fullmatch(cells[0]):
            return ValueError(
                f"{message}A token of several words has no tag of its own: name the first column "
                "id in task.columns, and such lines are left out."
            )
        if others:
            return ValueError(f"{message}{self._suggestion(others)}")
        return ValueError(
            f"{message}Correct that line; or if another column holds the tags, name it: "
            "'task.columns=[word,_,tag]'."
        )

    def check_words(self, rows: list[_Row]) -> None:
        """Refuse a column of words that holds none.

        Raises:
            ValueError: if there is a number in every line, or in all lines of each sentence the
                same, as the name of a document.
        """
        if len(rows) < _FEW:
            return
        words = [row.cells[self.word] for row in rows]
        long = [[r.cells[self.word] for r in each] for each in _sentences(rows) if len(each) > 1]
        if all(map(_NUMBER.fullmatch, words)):
            found = "a number in every line"
        elif long and all(len(set(each)) == 1 for each in long):
            found = "the same in all lines of each sentence"
        else:
            return
        raise ValueError(
            f"{_PATH}: expected words in column {self.word + 1} of {self.path}, got {found}, as "
            f"{words[0][:60]!r} in line {rows[0].number}. {self._suggestion(self._tag_columns())}"
        )

    def _tag_columns(self) -> list[int]:
        """The numbers of the columns that hold nothing but tags, and entities among them."""
        rows = [_cells(line.text, self.by_tabs) for line in self.lines]
        rows = [cells for cells in rows if len(cells) == self.width]
        return [
            number
            for number, cells in enumerate(zip(*rows, strict=True))
            if all(map(_TAG.fullmatch, cells)) and set(cells) != {OUTSIDE}
        ]

    def _suggestion(self, tags: list[int]) -> str:
        """What to say of `task.columns` where these columns look like tags."""
        rows = [_cells(line.text, self.by_tabs) for line in self.lines]
        rows = [cells for cells in rows if len(cells) == self.width]
        names, tags = ["_"] * self.width, tags or [self.tag]
        for number, cells in enumerate(zip(*rows, strict=True)):
            if number in tags:
                names[number] = "_" if TAG in names else TAG
            elif all(map(_NUMBER.fullmatch, cells)):
                names[number] = "_" if ID in names or not _counts(cells) else ID
            elif WORD not in names and number != self.word:
                names[number] = WORD
        if WORD not in names:
            names[self.word] = WORD
        said = f"Name the columns, for example: 'task.columns=[{','.join(names)}]'."
        if len(tags) > 1:
            said += f" Columns {', '.join(str(number + 1) for number in tags)} hold tags."
        return said


def _counts(cells: Sequence[str]) -> bool:
    """Whether a column counts lines, beginning anew now and then, as numbers of words do."""
    numbers = [int(each) for each in cells if _WORD_NUMBER.fullmatch(each)]
    return all(number in (0, 1, before + 1) for before, number in pairwise(numbers))


def _are_separated_by_tabs(lines: list[_Line]) -> bool:
    """Whether most lines have as many cells between tabs alone as between tabs and spaces."""
    seen = lines[:_ENOUGH_LINES]
    same = sum(len(_cells(line.text, True)) == len(_cells(line.text)) for line in seen)
    return 2 * same > len(seen)


def _cells(line: str, by_tabs: bool = False) -> list[str]:
    if by_tabs:
        return [cell.strip(" ") for cell in line.split("\t") if cell]
    return [cell for cell in line.replace("\t", " ").split(" ") if cell]
