"""Corpora from different files, and their disjoint splits."""

import urllib.request

import pytest

from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.data.text_files import read_text
from unrolled.tasks.language.corpora import pydoc, shakespeare, text

LINES = [f"line number {number} of a text that no other line is like\n" for number in range(400)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a text.txt"
    path.write_text("".join(LINES))
    return path


def test_a_file_is_split_at_line_ends(file):
    corpus = text(file)
    parts = [corpus.training, corpus.validation, corpus.test]
    assert "".join(parts) == file.read_text()
    assert all(part.endswith("\n") for part in parts)
    assert [round(len(part) / len(file.read_text()), 2) for part in parts] == [0.9, 0.05, 0.05]
    assert corpus.repeated_fraction("test") == 0


def test_files_of_a_large_folder_are_assigned_as_a_whole(tmp_path):
    for number in range(25):
        (tmp_path / f"{number:02}.txt").write_text(f"file {number}\n" * 50)
    (tmp_path / ".hidden").write_bytes(b"\xff")
    corpus = text(tmp_path)
    splits = [
        {line.split()[1] for line in part.splitlines()}
        for part in (corpus.training, corpus.validation, corpus.test)
    ]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 25
    assert all(splits)


def test_few_files_are_one_text(tmp_path):
    (tmp_path / "b.txt").write_text("".join(LINES[200:]).rstrip("\n"))
    (tmp_path / "a.txt").write_text("".join(LINES[:200]))
    corpus = text(tmp_path)
    assert corpus.training + corpus.validation + corpus.test == "".join(LINES)


def test_files_without_a_final_line_end_are_separated(tmp_path):
    for number in range(25):
        (tmp_path / f"{number:02}.txt").write_text(f"from{number} " + "word " * 50 + f"to{number}")
    corpus = text(tmp_path)
    assert all(f"to{number}\nfrom{number + 1} " in corpus.training for number in range(20))


def test_a_large_last_file_leaves_enough_to_train_on(tmp_path):
    for number in range(25):
        (tmp_path / f"{number:02}.txt").write_text("a file of one line\n")
    (tmp_path / "z.txt").write_text("".join(LINES))
    corpus = text(tmp_path)
    whole = 25 * "a file of one line\n" + "".join(LINES)
    assert corpus.training + corpus.validation + corpus.test == whole
    assert len(corpus.training) / len(whole) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("sign", [" ", ""])
@pytest.mark.parametrize("before", ["", "".join(LINES[:40])])
def test_a_long_line_is_split_at_a_space_or_anywhere(tmp_path, before, sign):
    path = tmp_path / "one line.txt"
    path.write_text(before + f"words{sign}" * 4000)
    corpus = text(path)
    parts = [corpus.training, corpus.validation, corpus.test]
    assert "".join(parts) == path.read_text()
    shares = [len(part) / len(path.read_text()) for part in parts]
    assert shares == pytest.approx([0.9, 0.05, 0.05], abs=0.001)
    assert all(part.endswith("words ") for part in parts) == bool(sign)


def test_the_name_of_a_folder_may_be_a_number(tmp_path, monkeypatch):
    (tmp_path / "2024").write_text("".join(LINES))
    monkeypatch.chdir(tmp_path)
    assert text(2024) == text("2024")


def test_repeated_lines_are_counted(tmp_path):
    path = tmp_path / "twice.txt"
    path.write_text("".join(LINES[:200] * 2))
    assert text(path).repeated_fraction("test") == 1


def test_byte_order_marks_and_line_ends_are_normalized(tmp_path):
    path = tmp_path / "windows.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text(path, "task.path") == "one\ntwo\nthree\n"


def test_missing_texts_raise(tmp_path):
    with pytest.raises(MissingDataError, match=r"task.path=<path>"):
        text(None)
    with pytest.raises(MissingDataError, match="does not exist"):
        text(tmp_path / "nowhere")
    with pytest.raises(MissingDataError, match="found none"):
        text(tmp_path)


def test_missing_data_are_reported_with_an_alternative_task(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # Not in use.
    monkeypatch.setenv("no_proxy", "")
    # urllib caches the proxies of its first call, so reset them before and after.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(MissingDataError) as caught:
        shakespeare()
    message = str(caught.value)
    assert f"no prepared data in {tmp_path}/tiny_shakespeare/1.0.0, and downloading" in message
    assert "The task pydoc_char needs no download." in message
    assert list(tmp_path.iterdir()) == []


def test_pydoc_has_no_paragraph_in_two_splits():
    corpus = pydoc()
    parts = [corpus.training, corpus.validation, corpus.test]
    paragraphs = [{p.strip() for p in part.split("\n\n") if len(p.strip()) >= 40} for part in parts]
    assert not paragraphs[0] & paragraphs[1]
    assert not paragraphs[0] & paragraphs[2]
    assert corpus.repeated_fraction("validation") == corpus.repeated_fraction("test") == 0
    assert len(corpus.training) > 250_000
    assert min(len(corpus.validation), len(corpus.test)) > 15_000
