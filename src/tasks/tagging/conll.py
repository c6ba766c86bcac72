"""CoNLL-2003, and folders of files in the columns that it made common.

`unrolled.tasks.tagging.columns` says what a file looks like.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unrolled.tasks.data.tfds import PreparedSet
from unrolled.tasks.tagging.columns import Sentence, read_columns
from unrolled.tasks.tagging.entities import OUTSIDE, to_bio

DATASET = "conll2003/conll2003"
VERSION = "1.0.0"
NEEDS_NO_DOWNLOAD = "names"  # The task to name to whoever cannot download.

_NAMES = {
    "training": re.compile(r"train"),
    "validation": re.compile(r"dev|valid|testa"),
    "test": re.compile(r"test(?!a)"),
}
_OTHER_FILES = re.compile(r"^\.|readme|licen[cs]e", re.IGNORECASE)


@dataclass(frozen=True)
class Splits:
    """The sentences of each split."""

    training: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]


def read_folder(path: str | os.PathLike, columns: Sequence[str] | None = None) -> Splits:
    """The three files of a folder: their names say train; dev, valid or testa; test or testb.

    Args:
        path: the folder.
        columns: as in `read_columns`.

    Raises:
        ValueError: if there is not one file of each, or one has no entity; and as `read_columns`
            does.
        FileNotFoundError: if there is no such folder.
    """
    named, path = str(path), Path(str(path)).expanduser()  # Hydra makes a number of a folder 2003.
    if not named or not path.is_dir():  # Path("") would be the working directory.
        raise FileNotFoundError(
            f"task.path: expected a folder with a training, a development and a test file in CoNLL "
            f"columns, got {named!r}, which is no folder."
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
    splits = {split: read_columns(path / name, columns) for split, name in found.items()}
    for split, sentences in splits.items():
        if not any(tag != OUTSIDE for sentence in sentences for tag in sentence.tags):
            raise ValueError(
                f"task.path: expected entities in {path / found[split]}, got the tag O in every "
                "line. If another column holds the tags, name it: 'task.columns=[word,_,tag]'."
            )
    return Splits(**splits)


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
