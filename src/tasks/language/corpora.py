"""The corpora of the language models, and their splits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.data.text_files import read_text
from unrolled.tasks.data.tfds import PreparedSet

_OPTION = "task.path"
_SPLIT_FRACTION = 0.05  # Fraction of a text for validation, and the same for test.
_MAX_SHIFT = 0.5  # Fraction of a split by which its boundary may move to the end of a line.
_MIN_TRAINING = 0.8  # Fraction for training below which files are not assigned as a whole.
_LONG_LINE = 40  # Length in characters at which repeated lines are unlikely by chance.
_TOPICS_SEED = 0


@dataclass(frozen=True)
class Corpus:
    """The splits of a text."""

    training: str
    validation: str
    test: str

    def repeated_fraction(self, part: str) -> float:
        """Returns the fraction of "validation" or "test" in long lines that also occur in training.

        Only lines of at least 40 characters count, because shorter ones repeat by chance. The
        fraction is of the characters in such lines.
        """
        known = set(self.training.split("\n"))
        long = [line for line in getattr(self, part).split("\n") if len(line) >= _LONG_LINE]
        repeated = sum(len(line) for line in long if line in known)
        return repeated / max(1, sum(map(len, long)))


def shakespeare(path: str | Path | None = None) -> Corpus:
    """Scenes by Shakespeare, a million characters, with the splits of tensorflow-datasets.

    Source: Karpathy 2015, "The Unreasonable Effectiveness of Recurrent Neural Networks".

    Raises:
        MissingDataError: if the data are missing and the download fails.
    """
    _check_no_path(path, "shakespeare")
    prepared = PreparedSet("tiny_shakespeare", "1.0.0", "shakespeare_char", "pydoc_char")
    prepared.prepare()
    texts = [prepared.batches(split) for split in ("train", "validation", "test")]
    return Corpus(*(batches[0]["text"][0].decode() for batches in texts))


def pydoc(path: str | Path | None = None) -> Corpus:
    """The reference text of Python's `help()`: 350,000 characters of prose and grammar.

    Two fifths of it occur in several topics. Therefore each paragraph is included once, in its
    first topic in alphabetical order, and whole topics are assigned to a split.
    """
    from pydoc_data.topics import topics

    _check_no_path(path, "pydoc")
    seen: set[str] = set()
    unique = []
    for name in sorted(topics):
        paragraphs = [p.rstrip() for p in topics[name].split("\n\n") if p.strip()]
        new = [p for p in paragraphs if _normalized(p) not in seen]
        # A long line may be repeated in an otherwise different paragraph.
        new = [p for p in new if not any(line in seen for line in _long_lines(p))]
        seen.update(_normalized(p) for p in new)
        seen.update(line for p in new for line in _long_lines(p))
        unique.append("\n\n".join(new) + "\n\n")
    order = np.random.default_rng(_TOPICS_SEED).permutation(len(unique))
    return _split_by_pieces([unique[index] for index in order])


def ptb(path: str | Path | None) -> Corpus:
    """Penn Treebank: a folder with ptb.train.txt, ptb.valid.txt and ptb.test.txt.

    Source: Mikolov et al. 2010, "Recurrent neural network based language model". The words are
    lowercased and separated by spaces, with one sentence per line and 10,000 distinct words.

    Raises:
        MissingDataError: if the folder or one of the files is missing.
        ValueError: if a file is not a text file.
    """
    folder = _required(path, "ptb_word", "a folder with ptb.train.txt, ptb.valid.txt, ptb.test.txt")
    files = [folder / f"ptb.{part}.txt" for part in ("train", "valid", "test")]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise MissingDataError(
            f"task.path: expected ptb.train.txt, ptb.valid.txt and ptb.test.txt in {folder}, "
            f"missing: {', '.join(missing)}. The text is licensed and cannot be downloaded. "
            "Alternatives: pydoc_word needs no file, and text_word reads any text."
        )
    return Corpus(*(read_text(file, _OPTION) for file in files))


def text(path: str | Path | None) -> Corpus:
    """A text file, or all files of a folder in alphabetical order.

    The first 90% are for training, followed by validation and test, split at line ends, or at a
    space if a line is too long. In a folder of at least 20 files, whole files are assigned to a
    split, unless this leaves less than 80% for training.

    Raises:
        MissingDataError: if the file does not exist, or the folder contains no files.
        ValueError: if a file is empty or not a text file.
    """
    path = _required(path, "text_char or text_word", "a text file, or a folder of text files")
    if path.is_file():
        return _split_at_lines(read_text(path, _OPTION))
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    )
    if not files:
        raise MissingDataError(f"task.path: expected text files in the folder {path}, found none.")
    texts = [read_text(file, _OPTION) for file in files]
    texts = [each if each.endswith("\n") else each + "\n" for each in texts]
    joined = "".join(texts)
    if len(files) >= 1 / _SPLIT_FRACTION:
        corpus = _split_by_pieces(texts)
        if len(corpus.training) >= _MIN_TRAINING * len(joined):
            return corpus
    return _split_at_lines(joined)


CORPORA: dict[str, Callable[[str | None], Corpus]] = {
    each.__name__: each for each in (shakespeare, pydoc, ptb, text)
}
"""Corpora by name, called with a path, or None if they need none."""


def _required(path: str | Path | None, task: str, what: str) -> Path:
    if path is None or not str(path):  # Path("") would be the working directory.
        raise MissingDataError(
            f"task.path: the task {task} needs {what}, but got none. Set task.path=<path>, or use "
            "the tasks pydoc_char and pydoc_word, which need no file."
        )
    path = Path(str(path)).expanduser()  # Hydra parses a folder name such as 2024 as a number.
    if not path.exists():
        raise MissingDataError(
            f"task.path: expected {what}, but {path.absolute()} does not exist. Check the path."
        )
    return path


def _check_no_path(path: str | Path | None, corpus: str) -> None:
    if path is not None:
        raise ValueError(
            f"task.path: the corpus {corpus} takes no path, got {path}. For your own text use "
            "task=text_char or task=text_word."
        )


def _normalized(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _long_lines(paragraph: str) -> list[str]:
    return [line for line in paragraph.split("\n") if len(line) >= _LONG_LINE]


def _split_at_lines(joined: str) -> Corpus:
    """Splits one text in order, at line ends."""
    first, second = (
        _boundary(joined, fraction) for fraction in (1 - 2 * _SPLIT_FRACTION, 1 - _SPLIT_FRACTION)
    )
    return Corpus(joined[:first], joined[first:second], joined[second:])


def _boundary(joined: str, fraction: float) -> int:
    """Returns the first line end soon after a fraction of the text, else the first word end."""
    position = int(fraction * len(joined))
    last = position + int(_MAX_SHIFT * _SPLIT_FRACTION * len(joined))
    ends = (joined.find(separator, position, last) + 1 for separator in "\n ")
    return next(filter(None, ends), position)


def _split_by_pieces(pieces: list[str]) -> Corpus:
    """Assigns whole pieces: the last ones to test and validation until these are large enough."""
    target_size = _SPLIT_FRACTION * sum(map(len, pieces))
    training, splits = list(pieces), []
    for _ in ("test", "validation"):
        pieces_of_split: list[str] = []
        while training and sum(map(len, pieces_of_split)) < target_size:
            pieces_of_split.append(training.pop())
        splits.append("".join(pieces_of_split))
    return Corpus("".join(training), splits[1], splits[0])
