"""CoNLL-2003, and folders of files in the same column format.

`unrolled.tasks.tagging.columns` describes the format.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from unrolled.tasks.data.tfds import PreparedSet
from unrolled.tasks.tagging.columns import AnySentence, Sentence, read_columns
from unrolled.tasks.tagging.entities import OUTSIDE, to_bio

DATASET = "conll2003/conll2003"
VERSION = "1.0.0"
NEEDS_NO_DOWNLOAD = "names"  # The alternative that messages suggest.

_FILE_NAMES = {
    "training": re.compile(r"train"),
    "validation": re.compile(r"dev|valid|testa"),
    "test": re.compile(r"test(?!a)"),
}
_OTHER_FILES = re.compile(r"^\.|readme|licen[cs]e", re.IGNORECASE)


@dataclass(frozen=True)
class Splits(Generic[AnySentence]):
    """The sentences of each split."""

    training: list[AnySentence]
    validation: list[AnySentence]
    test: list[AnySentence]


def read_folder(path: str | os.PathLike, columns: Sequence[str] | None = None) -> Splits[Sentence]:
    """Reads the files of a folder whose names contain train; dev, valid or testa; test or testb.

    Args:
        path: the folder.
        columns: as in `read_columns`.

    Raises:
        ValueError: unless there is exactly one file for each split; if a split has no entities; and
            as `read_columns`.
        FileNotFoundError: if the folder does not exist.
    """
    named, path = str(path), Path(str(path)).expanduser()  # Hydra parses a name such as 2003.
    if not named or not path.is_dir():  # Path("") would be the working directory.
        raise FileNotFoundError(
            f"task.path: expected a folder with a training, a development and a test file in CoNLL "
            f"columns, got {named!r}, which is not a folder."
        )
    names = sorted(file.name for file in path.iterdir() if file.is_file())
    names = [name for name in names if not _OTHER_FILES.search(name)]
    found: dict[str, str] = {}
    for split, pattern in _FILE_NAMES.items():
        matching = [name for name in names if pattern.search(name.lower())]
        if len(matching) != 1:
            raise ValueError(
                f"task.path: expected one file for each split in {path}, whose name contains "
                f"train; dev, valid or testa; test or testb. For {split} found "
                f"{matching or 'none'} among {', '.join(names) or 'no files'}."
            )
        if matching[0] in found.values():
            raise ValueError(
                f"task.path: expected a separate file for {split} in {path}, got {matching[0]}, "
                "whose name also matches another split. Rename it."
            )
        found[split] = matching[0]
    splits = {split: read_columns(path / name, columns) for split, name in found.items()}
    for split, sentences in splits.items():
        if not any(tag != OUTSIDE for sentence in sentences for tag in sentence.tags):
            raise ValueError(
                f"task.path: expected entities in {path / found[split]}, got the tag O in every "
                "line. If the tags are in another column, name the columns: "
                "'task.columns=[word,_,tag]'."
            )
    return Splits(**splits)


class PreparedConll(PreparedSet):
    """CoNLL-2003 as prepared by tensorflow-datasets."""

    def __init__(self) -> None:
        super().__init__(DATASET, VERSION, "conll2003", NEEDS_NO_DOWNLOAD)

    def read(self) -> Splits[Sentence]:
        """Returns the official splits.

        Raises:
            MissingDataError: if the prepared files are damaged or incomplete.
        """
        names = self.class_names("ner")
        return Splits(*(self._split(split, names) for split in ("train", "dev", "test")))

    def _split(self, split: str, names: list[str]) -> list[Sentence]:
        sentences = []
        for batch in self.batches(split, ragged=True):
            sentences += [
                Sentence(
                    tuple(word.decode() for word in words),
                    tuple(to_bio([names[tag] for tag in tags])),
                )
                for words, tags in zip(batch["tokens"], batch["ner"], strict=True)
                if len(words)  # Each split contains one empty sentence.
            ]
        return sentences
