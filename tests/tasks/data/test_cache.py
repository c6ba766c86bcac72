import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from unrolled.tasks.data.cache import cached, code_of, default_folder, fingerprint

ARRAYS = {
    "numbers": np.arange(1000, dtype=np.int32).reshape(10, 100),
    "one": np.array(7),
    "none": np.zeros((0, 3), np.float32),
    "words": np.array(["über", "<UNK>"]),
}


class Maker:
    """Creates `ARRAYS`, and counts the calls."""

    calls = 0

    def __call__(self):
        self.calls += 1
        return dict(ARRAYS)


@pytest.fixture
def make():
    return Maker()


def assert_same(arrays):
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def in_subprocess(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_second_call_reads_what_the_first_made(make, tmp_path):
    assert_same(cached(make, "x", {"a": 1}, tmp_path))
    assert_same(cached(make, "x", {"a": 1}, tmp_path))
    assert make.calls == 1


def test_order_of_the_key_does_not_matter(make, tmp_path):
    cached(make, "x", {"a": 1, "b": None}, tmp_path)
    cached(make, "x", {"b": None, "a": 1}, tmp_path)
    assert make.calls == 1


@pytest.mark.parametrize("key", [{"a": 2}, {"a": None}, {"a": 1, "b": 1}, {"a": "1"}])
def test_another_key_is_another_file(make, tmp_path, key):
    cached(make, "x", {"a": 1}, tmp_path)
    cached(make, "x", key, tmp_path)
    assert make.calls == len(list(tmp_path.iterdir())) == 2


def test_no_temporary_files_remain(make, tmp_path):
    cached(make, "x", {}, tmp_path)
    assert only_file(tmp_path).name.startswith("x-")
    assert only_file(tmp_path).suffix == ".arrays"


def test_a_file_of_another_key_is_not_used(make, tmp_path, caplog):
    cached(lambda: {"numbers": np.zeros(3)}, "x", {"a": 2}, tmp_path)
    foreign = only_file(tmp_path).read_bytes()
    only_file(tmp_path).unlink()
    cached(make, "x", {"a": 1}, tmp_path)
    only_file(tmp_path).write_bytes(foreign)
    assert_same(cached(make, "x", {"a": 1}, tmp_path))
    assert "or belongs to other data" in caplog.text


def test_the_code_of_modules_changes_with_their_files(tmp_path, monkeypatch):
    module = ModuleType("made_up")
    module.__file__ = str(tmp_path / "made_up.py")
    monkeypatch.setitem(sys.modules, "made_up", module)
    codes = []
    for text in ("a = 1", "a = 2", "a = 1"):
        Path(module.__file__).write_text(text)
        codes.append(code_of("made_up"))
    assert codes[0] == codes[2] != codes[1]


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def overwrite_in_the_middle(path):
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x13\x37" * 50)


def replace_with_random_bytes(path):
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


@pytest.mark.parametrize(
    "damage", [truncate, empty, overwrite_in_the_middle, replace_with_random_bytes]
)
def test_damaged_file_is_reported_and_replaced(make, tmp_path, caplog, damage):
    cached(make, "x", {}, tmp_path)
    damage(only_file(tmp_path))
    assert_same(cached(make, "x", {}, tmp_path))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"{only_file(tmp_path)} is damaged" in caplog.text
    assert_same(cached(make, "x", {}, tmp_path))
    assert make.calls == 2


def test_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        cached(lambda: {"x": np.array([{}, []], object)}, "x", {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


WRITES_A_LOT = """
import sys, numpy as np
from unrolled.tasks.data.cache import cached
cached(lambda: {"zeros": np.zeros(100_000_000, np.uint8)}, "x", {}, sys.argv[1])
"""


def test_a_kill_while_writing_leaves_no_readable_file(tmp_path):
    written = []
    for attempt in range(5):  # A writer may finish before the signal arrives.
        folder = tmp_path / str(attempt)
        process = in_subprocess(WRITES_A_LOT, folder)
        while process.poll() is None and not list(folder.glob("*.partial")):
            time.sleep(0.001)
        process.kill()
        process.communicate()
        written = [path for path in folder.iterdir() if path.suffix == ".partial"]
        if written:
            break
    assert process.returncode == -signal.SIGKILL
    assert written[0].stat().st_size < 100_000_000
    assert list(folder.glob("*.arrays")) == []
    written[0].unlink()
    make = Maker()
    assert_same(cached(make, "x", {}, folder))
    assert_same(cached(make, "x", {}, folder))
    assert make.calls == 1


WRITES_INTO_LITTLE_ROOM = """
import sys, resource, numpy as np
from unrolled.tasks.data.cache import cached
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
arrays = cached(lambda: {"ones": np.ones(1_000_000, np.uint8)}, "x", {}, sys.argv[1])
assert arrays["ones"].sum() == 1_000_000
"""


def test_a_too_large_file_is_reported_and_the_program_continues(tmp_path):
    process = in_subprocess(WRITES_INTO_LITTLE_ROOM, tmp_path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"cannot be cached in {tmp_path} (File too large)" in errors
    assert "1 MB of free space" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root; see the test with a file too large")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_reported_and_the_program_continues(small_disk, caplog):
    ones = np.ones(1_000_000, np.uint8)
    arrays = cached(lambda: {"ones": ones}, "x", {}, small_disk)
    np.testing.assert_array_equal(arrays["ones"], ones)
    assert f"cannot be cached in {small_disk} (No space left on device)" in caplog.text
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_reported_and_the_program_continues(
    make, tmp_path, caplog
):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "folder"
    assert_same(cached(make, "x", {}, folder))
    assert len(caplog.records) == 1
    for part in (str(folder), "Not a directory", "cache_dir", "XDG_CACHE_HOME"):
        assert part in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_reported_and_the_program_continues(make, tmp_path, caplog):
    tmp_path.chmod(0o500)
    assert_same(cached(make, "x", {}, tmp_path))
    assert "Permission denied" in caplog.text


def test_default_folder_follows_the_xdg_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "unrolled"


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_default_folder_without_a_usable_variable(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert default_folder() == tmp_path / ".cache" / "unrolled"


def test_the_folder_may_start_with_a_tilde(make, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    cached(make, "x", {}, "~/here")
    assert (tmp_path / "here").is_dir()


def test_fingerprint_is_the_same_for_the_same_arrays():
    again = {name: ARRAYS[name].copy() for name in reversed(ARRAYS)}
    assert fingerprint(again) == fingerprint(ARRAYS)


@pytest.mark.parametrize(
    "change",
    [
        {"one": np.array(8)},
        {"one": np.array(7, np.int8)},
        {"numbers": ARRAYS["numbers"].reshape(100, 10)},
        {"numbers": ARRAYS["numbers"][::-1]},
        {"more": np.array(0)},
    ],
)
def test_fingerprint_changes_with_name_type_shape_and_content(change):
    assert fingerprint({**ARRAYS, **change}) != fingerprint(ARRAYS)
