"""Word vectors that somebody else has trained, in a text file."""

import math
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from unrolled.tasks.data.text_files import check_head

_HEAD = 4096  # Bytes that tell a text file from others.


def read_vectors(path: Path, wanted: Container[str]) -> dict[str, np.ndarray]:
    """The vectors of the words that are in a file, one word and its numbers a line, as GloVe's.

    All vectors are of the size of the first. A first line of two integers, as the text files of
    word2vec and fastText have it, says how many words there are, and their size. Of a word that is
    there twice the first vector counts.

    Args:
        path: the file, UTF-8.
        wanted: the words; in small letters, with 0 for every digit, as
            `unrolled.tasks.tagging.word_features.normal` makes them.

    Returns:
        By word its vector, float32.

    Raises:
        ValueError: if a line has another number of numbers than the first line has or says, or
            something else in their place, with its number; if the file is not text in UTF-8, or has
            none of the words.
        FileNotFoundError: if there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"`vectors`: expected a text file of word vectors, such as GloVe's, got {path}, which "
            "is no file."
        )
    size, found = None, {}
    for number, parts in _rows(path):
        if number == 1 and len(parts) == 2 and all(map(str.isdecimal, parts)):
            size = max(1, int(parts[1]))
            continue
        if size is None:
            size = len(parts) - 1
            if not size or not _are_numbers(parts[1:]):
                raise _LineError(number, path, "numbers, separated by spaces", parts[1:])
        word = " ".join(parts[:-size])  # A few of GloVe's words contain spaces.
        if len(parts) < size + 1 or (len(parts) > size + 1 and _are_numbers(parts[1:])):
            expected = f"{size} numbers as the first line says"
            raise _LineError(number, path, expected, len(parts) - 1)
        if word in wanted and word not in found:
            if not _are_numbers(parts[-size:]):
                raise _LineError(number, path, f"{size} numbers", parts[-size:])
            found[word] = np.array(parts[-size:], np.float32)
    if not found:
        raise ValueError(
            f"`vectors`: expected vectors of the words of the data, got none of them in {path}. "
            "Each line is a word in lower case and its numbers, separated by spaces."
        )
    return found


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not empty, and what spaces or tabs separate in it."""
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
            f"`vectors`: expected text in UTF-8, got other bytes in line {number} of {path}. A "
            "binary file of word2vec or fastText has a text form, which is read; other encodings "
            "are converted with iconv."
        ) from error


class _LineError(ValueError):
    def __init__(self, number, path, expected, got):
        if isinstance(got, list):
            got = repr(" ".join(got)[:60])
        super().__init__(
            f"`vectors`: expected after the word {expected}, got {got}, in line {number} of "
            f"{path}. Correct that line, or use the file as it was published."
        )


def _are_numbers(parts):
    try:
        return all(math.isfinite(float(part)) for part in parts)
    except ValueError:
        return False
