"""Reads pretrained word embeddings from a text file."""

import math
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.tasks.data.text_files import check_head

_HEAD = 4096  # Number of bytes that identify the file format.


def read_vectors(path: Path, wanted: Container[str]) -> dict[str, np.ndarray]:
    """Reads the vectors of the given words, in GloVe's format: a word and its numbers per line.

    All vectors have the size of the first. A first line of two integers, as in the text files of
    word2vec and fastText, gives the number of words and the size. If a word occurs twice, the first
    vector is used.

    Args:
        path: the file, in UTF-8.
        wanted: the words, lowercased and with 0 for every digit, as
            `unrolled.tasks.tagging.word_features.normal` returns them.

    Returns:
        Float32 vectors by word.

    Raises:
        ValueError: if a line has the wrong number of values or values that are not numbers (the
            message includes the line number), if the file is not UTF-8 text, or if it contains none
            of the words.
        FileNotFoundError: if the file does not exist.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"`vectors`: expected a text file of word vectors, such as GloVe's, got {path}, which "
            "is not a file. Check the path."
        )
    size, found = None, {}
    for number, parts in _rows(path):
        if number == 1 and len(parts) == 2 and all(map(str.isdecimal, parts)):
            size = max(1, int(parts[1]))
            continue
        if size is None:
            size = len(parts) - 1
            if not size or not _are_numbers(parts[1:]):
                raise _LineError(number, path, "numbers, separated by spaces,", parts[1:])
        word = " ".join(parts[:-size])  # Some words in GloVe contain spaces.
        if len(parts) < size + 1 or (len(parts) > size + 1 and _are_numbers(parts[1:])):
            expected = f"{size} numbers, as in the first line,"
            raise _LineError(number, path, expected, len(parts) - 1)
        if word in wanted and word not in found:
            if not _are_numbers(parts[-size:]):
                raise _LineError(number, path, f"{size} numbers", parts[-size:])
            found[word] = np.array(parts[-size:], np.float32)
    if not found:
        raise ValueError(
            f"`vectors`: expected vectors for words of the data, found none of them in {path}. "
            "Each line must contain a lowercase word and its numbers, separated by spaces."
        )
    return found


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the fields of each line that is not empty."""
    with path.open("rb") as file:
        check_head(file.read(_HEAD), path, "`vectors`")
        file.seek(0)
        for number, line in enumerate(file, 1):
            text = _decoded(line, number, path).rstrip("\r\n \t")
            if text:
                yield number, text.replace("\t", " ").split(" ")


def _decoded(line: bytes, number: int, path: Path) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"`vectors`: expected UTF-8 text, got other bytes in line {number} of {path}. Use the "
            "text format of word2vec or fastText instead of the binary one, or convert another "
            "encoding with iconv."
        ) from error


class _LineError(ValueError):
    def __init__(self, number: int, path: Path, expected: str, got: Any) -> None:
        if isinstance(got, list):
            got = repr(" ".join(got)[:60])
        super().__init__(
            f"`vectors`: expected {expected} after the word, got {got}, in line {number} of "
            f"{path}. Correct that line, or use the original file."
        )


def _are_numbers(parts: list[str]) -> bool:
    try:
        return all(math.isfinite(float(part)) for part in parts)
    except ValueError:
        return False
