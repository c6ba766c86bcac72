"""Sentences with a tag at each word: files in CoNLL columns, and the set of 2003.

A line has a word first and its tag last, with blanks or tabs between columns; an empty line ends a
sentence, and lines that begin with -DOCSTART- stand between documents. Tags are BIO or IOB1, and
BIO once read.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.entities import MixedSchemesError, scheme_of, to_bio
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


def read_columns(path: Path) -> list[Sentence]:
    """The sentences of a file in columns.

    Raises:
        ValueError: if a line has another number of columns than the first, or only one, or a tag
            of another form, with its number; if the tags are neither BIO nor IOB1, with the numbers
            of two lines that are not of one scheme; for a file that is not UTF-8 or has no
            sentence.
        OSError: if it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"task.path: expected text in UTF-8 in {path}; {error}.") from error
    sentences, words, tags, columns = [], [], [], None
    begins = []  # The line of each sentence's first word; its others are on those that follow.
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
        if not words:
            begins.append(number)
        words.append(parts[0])
        tags.append(parts[-1])
    if not sentences:
        raise ValueError(f"task.path: there is no sentence in {path}.")
    try:
        scheme_of([tags for _, tags in sentences])
    except MixedSchemesError as error:
        without, with_b = (begins[n] + step for n, step in (error.without_b, error.with_b))
        raise ValueError(
            f"task.path: {error}: in line {without} of {path} one begins with an I, in line "
            f"{with_b} one with a B. Mend whichever line is wrong."
        ) from error
    return [Sentence(tuple(words), tuple(to_bio(tags))) for words, tags in sentences]


def read_folder(path: str | os.PathLike) -> Splits:
    """The three files of a folder: their names say train; dev, valid or testa; test or testb.

    Raises:
        ValueError: if there is not one file of each; and as `read_columns` does.
        FileNotFoundError: if there is no such folder.
    """
    path = Path(path).expanduser()
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
        if fitting[0] in found.values():
            raise ValueError(
                f"task.path: expected a file of its own for {split} in {path}, got {fitting[0]}, "
                "whose name says another split, too."
            )
        found[split] = fitting[0]
    return Splits(**{split: read_columns(path / name) for split, name in found.items()})


class PreparedConll(PreparedSet):
    """The set of 2003 as tensorflow-datasets prepared it."""

    def __init__(self):
        super().__init__(DATASET, VERSION, "conll2003", NEEDS_NO_DOWNLOAD)

    def read(self) -> Splits:
        """The official splits.

        Raises:
            MissingDataError: if the prepared files are damaged or not all there.
        """
        names = self.class_names("ner")
        return Splits(*(self._split(split, names) for split in ("train", "dev", "test")))

    def _split(self, split, names):
        sentences = []
        for batch in self.batches(split, ragged=True):
            sentences += [
                Sentence(
                    tuple(word.decode() for word in of_words),
                    tuple(to_bio([names[tag] for tag in of_tags])),
                )
                for of_words, of_tags in zip(batch["tokens"], batch["ner"], strict=True)
                if len(of_words)  # Each split has one sentence without words, of an empty line.
            ]
        return sentences
