"""Files of word vectors."""

import numpy as np
import pytest

from tasks.vectors import read_vectors

WANTED = {"teddy", "bear", "new york", "0000"}


@pytest.fixture
def written(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "vectors.txt"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_wanted_words_are_read(written):
    path = written("the 1 2\nteddy 0.5 -1e-2\nteddy 9 9\nnew york 3 4\n")
    found = read_vectors(path, WANTED)
    assert list(found) == ["teddy", "new york"]
    np.testing.assert_allclose(found["teddy"], [0.5, -0.01])
    assert found["new york"].dtype == np.float32


def test_a_line_that_counts_words_is_passed_over(written):
    assert list(read_vectors(written("2 3\nteddy 1 2 3\nbear 4 5 6\n"), WANTED)) == [
        "teddy",
        "bear",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("teddy 1 2\nbear 1\n", "expected after the word 2 numbers .* got 1, in line 2"),
        ("teddy 1 2\nbear 1 2 3\n", "expected after the word 2 numbers .* got 3, in line 2"),
        ("teddy 1 2\nbear one two\n", "got one two, in line 2"),
        ("teddy 1 2\nbear 1 nan\n", "got 1 nan, in line 2"),
        ("moose 1 2\n", "none of the words"),
        ("", "none of the words"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_line(written, text, said):
    with pytest.raises(ValueError, match=said):
        read_vectors(written(text), WANTED)


def test_another_encoding_or_no_file_is_refused(written, tmp_path):
    with pytest.raises(ValueError, match="expected text in UTF-8"):
        read_vectors(written("teddy 1 2\nbär 1 2\n", "latin-1"), WANTED)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_vectors(tmp_path / "absent.txt", WANTED)
