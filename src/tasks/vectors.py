"""Word vectors that somebody else has trained, in a text file."""

import math
from collections.abc import Container
from pathlib import Path

import numpy as np


def read_vectors(path: Path, wanted: Container[str]) -> dict[str, np.ndarray]:
    """The vectors of the words that are in a file, one word and its numbers a line, as GloVe's.

    All vectors are of the size of the first. A first line of two whole numbers, as word2vec's and
    fastText's files have it, is passed over. Of a word that is there twice the first vector counts.

    Args:
        path: the file, UTF-8.
        wanted: the words; in small letters, with 0 for every digit, as `tasks.spelling.normal`
            makes them.

    Returns:
        By word its vector, float32.

    Raises:
        ValueError: if a line has another number of numbers than the first, or something else in
            their place, with its number; if the file is not UTF-8, or has none of the words.
        FileNotFoundError: if there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"`vectors`: expected a text file of word vectors, such as GloVe's, got {path}, which "
            "is no file."
        )
    size, found = None, {}
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                parts = line.rstrip("\r\n ").split(" ")
                if number == 1 and len(parts) == 2 and all(map(str.isdigit, parts)):
                    continue
                size = size or len(parts) - 1
                word = " ".join(parts[:-size])  # A few of GloVe's words have blanks in them.
                if len(parts) < size + 1 or (len(parts) > size + 1 and _are_numbers(parts[1:])):
                    expected = f"{size} numbers as in the first"
                    raise _LineError(number, path, expected, len(parts) - 1)
                if word in wanted and word not in found:
                    if not _are_numbers(parts[-size:]):
                        raise _LineError(number, path, f"{size} numbers", " ".join(parts[-size:]))
                    found[word] = np.array(parts[-size:], np.float32)
    except UnicodeDecodeError as error:
        raise ValueError(f"`vectors`: expected text in UTF-8 in {path}; {error}.") from error
    if not found:
        raise ValueError(
            f"`vectors`: none of the words of the data is in {path}. Expected a word and its "
            "numbers on each line, with a blank between them, words in small letters."
        )
    return found


class _LineError(ValueError):
    def __init__(self, number, path, expected, got):
        super().__init__(
            f"`vectors`: expected after the word {expected}, got {got}, in line {number} of {path}."
        )


def _are_numbers(parts):
    try:
        return all(math.isfinite(float(part)) for part in parts)
    except ValueError:
        return False
