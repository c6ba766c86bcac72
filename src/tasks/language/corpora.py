"""Where the texts of language models come from, and how they are split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.data.text_files import read_text
from unrolled.tasks.data.tfds import PreparedSet

_OPTION = "task.path"
_EVALUATED = 0.05  # Share of a text that is validation, and as much again that is test.
_MOST_CUT = 0.5  # Of such a part, how far from its place a cut may be.
_LEAST_TRAINING = 0.8  # Share of the text that whole files must leave to train on.
_TELLING = 40  # Characters of a line from which on it is not there twice by chance.
_TOPICS_SEED = 0


@dataclass(frozen=True)
class Corpus:
    """The parts of a text."""

    training: str
    validation: str
    test: str

    def repeated_share(self, part: str) -> float:
        """Share of the characters of "validation" or "test" in lines that training has as well.

        Only lines of 40 characters and more count: shorter ones are there by chance.
        """
        known = set(self.training.split("\n"))
        long = [line for line in getattr(self, part).split("\n") if len(line) >= _TELLING]
        repeated = sum(len(line) for line in long if line in known)
        return repeated / max(1, sum(map(len, long)))


def shakespeare(path: None = None) -> Corpus:
    """Scenes by Shakespeare: a million characters, split as tensorflow-datasets does.

    Source: Karpathy 2015, "The Unreasonable Effectiveness of Recurrent Neural Networks".

    Raises:
        MissingDataError: if it is not there and cannot be downloaded.
    """
    _refuse(path, "shakespeare")
    prepared = PreparedSet("tiny_shakespeare", "1.0.0", "shakespeare_char", "pydoc_char")
    prepared.prepare()
    texts = [prepared.batches(split) for split in ("train", "validation", "test")]
    return Corpus(*(batches[0]["text"][0].decode() for batches in texts))


def pydoc(path: None = None) -> Corpus:
    """The reference that Python ships for its `help()`: 350,000 characters of prose and grammar.

    Its topics repeat each other: two fifths of it stand in several. So each paragraph is kept once,
    where it comes first in the alphabet of topics, and whole topics go to a split.
    """
    from pydoc_data.topics import topics

    _refuse(path, "pydoc")
    seen, kept = set(), []
    for name in sorted(topics):
        paragraphs = [p.rstrip() for p in topics[name].split("\n\n") if p.strip()]
        new = [p for p in paragraphs if _normal(p) not in seen]
        # A long line may come again in a paragraph that is otherwise another.
        new = [p for p in new if not any(line in seen for line in _long_lines(p))]
        seen.update(_normal(p) for p in new)
        seen.update(line for p in new for line in _long_lines(p))
        kept.append("\n\n".join(new) + "\n\n")
    order = np.random.default_rng(_TOPICS_SEED).permutation(len(kept))
    return _by_pieces([kept[number] for number in order])


def ptb(path: str | Path | None) -> Corpus:
    """Penn Treebank, a folder with ptb.train.txt, ptb.valid.txt and ptb.test.txt.

    Source: Mikolov et al. 2010, "Recurrent neural network based language model": words in small
    letters between blanks, a sentence a line, 10,000 different words.

    Raises:
        MissingDataError: if there is no such folder or a file in it is missing.
        ValueError: for a file that cannot be read as text.
    """
    folder = _required(path, "ptb_word", "a folder with ptb.train.txt, ptb.valid.txt, ptb.test.txt")
    files = [folder / f"ptb.{part}.txt" for part in ("train", "valid", "test")]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise MissingDataError(
            f"task.path: expected ptb.train.txt, ptb.valid.txt and ptb.test.txt in {folder}, where "
            f"{', '.join(missing)} is not. The text is licensed and is not downloaded here; the "
            "task pydoc_word needs none, and text_word takes any text."
        )
    return Corpus(*(read_text(file, _OPTION) for file in files))


def text(path: str | Path | None) -> Corpus:
    """A text file, or all files of a folder in the order of their names.

    The first nine tenths are to train on, then come validation and test, cut at ends of lines, or
    at a blank where a line is too long. In a folder of 20 files and more, whole files go to a
    split, unless the last ones are so large that less than four fifths were left to train on.

    Raises:
        MissingDataError: if there is no such file, or none in the folder.
        ValueError: for a file that is empty or cannot be read as text.
    """
    path = _required(path, "text_char or text_word", "a text file, or a folder of text files")
    if path.is_file():
        return _by_lines(read_text(path, _OPTION))
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    )
    if not files:
        raise MissingDataError(f"task.path: expected text files in the folder {path}, found none.")
    texts = [read_text(file, _OPTION) for file in files]
    texts = [each if each.endswith("\n") else each + "\n" for each in texts]
    whole = "".join(texts)
    if len(files) >= 1 / _EVALUATED:
        corpus = _by_pieces(texts)
        if len(corpus.training) >= _LEAST_TRAINING * len(whole):
            return corpus
    return _by_lines(whole)


CORPORA: dict[str, Callable[[str | None], Corpus]] = {
    each.__name__: each for each in (shakespeare, pydoc, ptb, text)
}
"""By name; each is called with a path, or None for those that need none."""


def _required(path, task, what) -> Path:
    if path is None or not str(path):  # Path("") would be the working directory.
        raise MissingDataError(
            f"task.path: the task {task} needs {what}, and none was named. Name it: "
            "task.path=<path>. The tasks pydoc_char and pydoc_word need none."
        )
    path = Path(str(path)).expanduser()  # Hydra makes a number of a folder called 2024.
    if not path.exists():
        raise MissingDataError(f"task.path: expected {what}, and there is no {path.absolute()}.")
    return path


def _refuse(path, corpus):
    if path is not None:
        raise ValueError(
            f"task.path: the corpus {corpus} needs none, got {path}. A text of your own is "
            "task=text_char or task=text_word."
        )


def _normal(paragraph):
    return " ".join(paragraph.split())


def _long_lines(paragraph):
    return [line for line in paragraph.split("\n") if len(line) >= _TELLING]


def _by_lines(whole: str) -> Corpus:
    """Parts of one text, in its order, cut after a line."""
    first, second = (_cut(whole, share) for share in (1 - 2 * _EVALUATED, 1 - _EVALUATED))
    return Corpus(whole[:first], whole[first:second], whole[second:])


def _cut(whole: str, share: float) -> int:
    """Where a line ends soon after that share of a text; else where a word does."""
    place = int(share * len(whole))
    last = place + int(_MOST_CUT * _EVALUATED * len(whole))
    ends = (whole.find(sign, place, last) + 1 for sign in "\n ")
    return next(filter(None, ends), place)


def _by_pieces(pieces: list[str]) -> Corpus:
    """Whole pieces; the last ones to validation and test until these have their share."""
    wanted = _EVALUATED * sum(map(len, pieces))
    left, parts = list(pieces), []
    for _ in ("test", "validation"):
        part = []
        while left and sum(map(len, part)) < wanted:
            part.append(left.pop())
        parts.append("".join(part))
    return Corpus("".join(left), parts[1], parts[0])
