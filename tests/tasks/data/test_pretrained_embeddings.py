"""Files of pretrained word embeddings."""

import numpy as np
import pytest

from unrolled.tasks.data.pretrained_embeddings import read_vectors

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


def test_a_header_line_is_skipped(written):
    assert list(read_vectors(written("2 3\nteddy 1 2 3\nbear 4 5 6\n"), WANTED)) == [
        "teddy",
        "bear",
    ]


def test_tabs_and_empty_lines_are_allowed(written):
    found = read_vectors(written("\ufeffteddy\t1\t2\r\n\nbear\t3\t4 \n\n"), WANTED)
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "teddy": [1, 2],
        "bear": [3, 4],
    }


def test_a_missing_file_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a file"):
        read_vectors(tmp_path / "absent.txt", WANTED)
