"""Arrays kept on disk, so that only the first start pays for making them.

A cache is no result: its folder may be deleted at any time, and where it cannot be written, work
goes on without.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]

_logger = logging.getLogger(__name__)
_CHECKSUM_BYTES = hashlib.sha256().digest_size


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/unrolled`, or `~/.cache/unrolled` where that variable is not set."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has a relative value ignored.
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "unrolled"


def cached(
    make: Callable[[], Arrays], name: str, key: dict, folder: str | os.PathLike | None = None
) -> Arrays:
    """What `make()` returned when it was last called for this `key`, or now calls it.

    Several processes may share the folder. A file that is not whole is never taken for one: files
    appear under their name only when complete, and their checksum is compared on reading. The
    checksum is of the key, too, so a file that was made for another key is not taken either.

    Args:
        make: makes the arrays; no array may hold objects.
        name: what the file's name begins with.
        key: all that determines the arrays, as JSON can write it, also the code that makes them
            (`code_of`).
        folder: where the file is kept; None for `default_folder()`.
    """
    folder = default_folder() if folder is None else Path(folder).expanduser()
    written = json.dumps(key, sort_keys=True).encode()
    path = folder / f"{name}-{hashlib.sha256(written).hexdigest()[:32]}.arrays"
    arrays = _read(path, written)
    if arrays is None:
        arrays = make()
        _write(path, written, arrays)
    return arrays


def code_of(*modules: str) -> str:
    """A hash of the source of some imported modules, given by name.

    In a key it keeps arrays that were made before a change of that code from being read after it.
    """
    content = hashlib.sha256()
    for name in modules:
        content.update(Path(sys.modules[name].__file__).read_bytes())
    return content.hexdigest()


def fingerprint(arrays: Arrays) -> str:
    """A hash of names, types, shapes and contents, whatever the order of the names."""
    content = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        content.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        content.update(array)
    return content.hexdigest()


def _read(path: Path, key: bytes) -> Arrays | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None  # A file that is there but unreadable is reported when it cannot be replaced.
    checksum, packed = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    if _checksum(key, packed) != checksum:
        _logger.warning(
            "The cache file %s is damaged, or is of other data; its contents are made anew.", path
        )
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return dict(arrays)


def _checksum(key: bytes, packed) -> bytes:
    content = hashlib.sha256(key)
    content.update(packed)
    return content.digest()


def _write(path: Path, key: bytes, arrays: Arrays) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    packed = buffer.getbuffer()
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(_checksum(key, packed))
            file.write(packed)
        os.replace(partial, path)
    except OSError as error:
        _logger.warning(
            "Encoded data cannot be kept in %s (%s). Work goes on, but the next start will encode "
            "them again: set the option cache_dir or the variable XDG_CACHE_HOME to a folder that "
            "can be written and has %d MB free.",
            path.parent,
            error.strerror or error,
            len(packed) // 2**20 + 1,
        )
    finally:
        with contextlib.suppress(OSError):  # It is gone when all went well.
            partial.unlink()
