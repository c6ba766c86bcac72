"""Sentences with a tag at each word: files in CoNLL columns, and the set of 2003.

A line has a word first and its tag last, with blanks or tabs between columns; an empty line ends a
sentence, and lines that begin with -DOCSTART- stand between documents. Tags are BIO, where an
entity always begins with a B, or IOB1, where a B only parts it from one of its type right before
it. Both are BIO once read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.entities import OUTSIDE
from tasks.prepared import PreparedSet

DATASET = "conll2003/conll2003"
VERSION = "1.0.0"
NEEDS_NO_DOWNLOAD = "names"  # The task to name to whoever cannot download.

_BETWEEN_DOCUMENTS = "-DOCSTART-"
_TAG = re.compile(r"O|[BI]-\S+")
_NAMES = {
    "training": re.compile(r"train"),
    "validation": re.compile(r"dev|valid|testa"),
    "test": re.compile(r"test(?!a)"),
}
_OTHER_FILES = re.compile(r"^\.|readme|licen[cs]e", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """Words, and the tag of each in BIO."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """The sentences of each split."""

    training: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]


def to_bio(tags: Sequence[str]) -> list[str]:
    """The tags of a sentence, of BIO or IOB1, in BIO.

    >>> to_bio(["I-PER", "I-PER", "B-PER", "O"])
    ['B-PER', 'I-PER', 'B-PER', 'O']
    """
    before = [OUTSIDE, *tags]
    return [
        f"B-{tag[2:]}" if tag.startswith("I-") and last[2:] != tag[2:] else tag
        for last, tag in zip(before, tags, strict=False)
    ]


def is_bio(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether every entity begins with a B."""
    return all(to_bio(tags) == list(tags) for tags in sentences)


def is_iob1(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether a B stands only right after an entity of its type."""
    return all(
        not tag.startswith("B-") or last[2:] == tag[2:]
        for tags in sentences
        for last, tag in zip([OUTSIDE, *tags], tags, strict=False)
    )


def read_columns(path: Path) -> list[Sentence]:
    """The sentences of a file in columns.

    Raises:
        ValueError: if a line has another number of columns than the first, or only one, or a tag
            of another form, with its number; if the tags are neither BIO nor IOB1; for a file that
            is not UTF-8 or has no sentence.
        OSError: if it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"task.path: expected text in UTF-8 in {path}; {error}.") from error
    sentences, words, tags, columns = [], [], [], None
    for number, line in enumerate([*lines, ""], 1):
        # Blanks and tabs only: a word may be any other sign, as a no-break space.
        parts = [part for part in re.split(r"[ \t\r]+", line) if part]
        if not parts or parts[0].startswith(_BETWEEN_DOCUMENTS):
            if words:
                sentences.append((words, tags))
                words, tags = [], []
            continue
        columns = columns or len(parts)
        if len(parts) != columns or columns == 1:
            expected = f"{columns} columns as in the first" if columns > 1 else "a word and its tag"
            raise ValueError(
                f"task.path: expected {expected}, got {len(parts)} in line {number} of {path}: "
                f"{line.strip()[:60]!r}."
            )
        if not _TAG.fullmatch(parts[-1]):
            raise ValueError(
                f"task.path: expected a tag in BIO or IOB1, O, B-<type> or I-<type>, in the last "
                f"column, got {parts[-1]!r} in line {number} of {path}."
            )
        words.append(parts[0])
        tags.append(parts[-1])
    if not sentences:
        raise ValueError(f"task.path: there is no sentence in {path}.")
    _require_a_form([tags for _, tags in sentences], path)
    return [Sentence(tuple(words), tuple(to_bio(tags))) for words, tags in sentences]


def _require_a_form(sentences, path):
    """Mixed forms leave open where entities begin."""
    if is_bio(sentences) or is_iob1(sentences):
        return
    example = next(tags for tags in sentences if to_bio(tags) != list(tags))
    raise ValueError(
        f"task.path: expected the tags of {path} to be BIO, each entity beginning with a B, or "
        "IOB1, a B only right after an entity of the same type; got some of each, as in "
        f"{' '.join(example)[:80]!r}."
    )


def read_folder(path: Path) -> Splits:
    """The three files of a folder: their names say train; dev, valid or testa; test or testb.

    Raises:
        ValueError: if there is not one file of each; and as `read_columns` does.
        FileNotFoundError: if there is no such folder.
    """
    if not path.is_dir():
        raise FileNotFoundError(
            f"task.path: expected a folder with a training, a development and a test file in CoNLL "
            f"columns, got {path}, which is no folder."
        )
    names = sorted(file.name for file in path.iterdir() if file.is_file())
    names = [name for name in names if not _OTHER_FILES.search(name)]
    found = {}
    for split, pattern in _NAMES.items():
        fitting = [name for name in names if pattern.search(name.lower())]
        if len(fitting) != 1:
            raise ValueError(
                f"task.path: expected in {path} one file each whose name has train; dev, valid or "
                f"testa; test or testb. For {split} there are {fitting or 'none'}, of "
                f"{', '.join(names) or 'no files'}."
            )
        found[split] = read_columns(path / fitting[0])
    return Splits(**found)


class PreparedConll(PreparedSet):
    """The set of 2003 as tensorflow-datasets prepared it."""

    def __init__(self):
        super().__init__(DATASET, VERSION, "conll2003", NEEDS_NO_DOWNLOAD)

    def read(self) -> Splits:
        """The official splits.

        Raises:
            MissingDataError: if the prepared files are damaged or not all there.
        """
        names = self.feature_names("ner")
        return Splits(*(self._split(split, names) for split in ("train", "dev", "test")))

    def _split(self, split, names):
        sentences = []
        for batch in self.batches(split, ragged=True):
            ends = np.cumsum(batch["tokens"].row_lengths())[:-1]
            words = np.split(batch["tokens"].flat_values.numpy(), ends)
            tags = np.split(batch["ner"].flat_values.numpy(), ends)
            for of_words, of_tags in zip(words, tags, strict=True):
                if len(of_words):  # Each split has one without, for its last empty line.
                    sentences.append(
                        Sentence(
                            tuple(word.decode() for word in of_words),
                            tuple(to_bio([names[tag] for tag in of_tags])),
                        )
                    )
        return sentences
