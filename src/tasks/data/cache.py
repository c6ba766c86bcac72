"""A cache of arrays on disk, so that a data set is encoded only once.

The cache folder may be deleted at any time. If it is not writable, the program continues without a
cache.
"""

import contextlib
import hashlib
import inspect
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
    """Returns `$XDG_CACHE_HOME/unrolled`, or `~/.cache/unrolled` if the variable is not set."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "unrolled"


def cached(
    make: Callable[[], Arrays], name: str, key: dict, folder: str | os.PathLike | None = None
) -> Arrays:
    """Returns the cached arrays for a key, or calls `make` and caches its result.

    Several processes may share the folder. A file appears under its name only when it is complete.
    Its checksum, which includes the key, is verified on reading, so neither a partial file nor one
    for another key is used.

    Args:
        make: creates the arrays; object arrays are not allowed.
        name: prefix of the file name.
        key: everything that determines the arrays, JSON-serializable, including the code that
            creates them (`code_of`).
        folder: folder of the file; None for `default_folder()`.
    """
    folder = default_folder() if folder is None else Path(folder).expanduser()
    key_bytes = json.dumps(key, sort_keys=True).encode()
    path = folder / f"{name}-{hashlib.sha256(key_bytes).hexdigest()[:32]}.arrays"
    arrays = _read(path, key_bytes)
    if arrays is None:
        arrays = make()
        _write(path, key_bytes, arrays)
    return arrays


def code_of(*modules: str) -> str:
    """Returns a hash of the source code of imported modules, given by name.

    As a part of a key it invalidates cached arrays when that code changes.
    """
    content = hashlib.sha256()
    for name in modules:
        content.update(Path(inspect.getfile(sys.modules[name])).read_bytes())
    return content.hexdigest()


def fingerprint(arrays: Arrays) -> str:
    """Returns a hash of names, dtypes, shapes and contents, whatever the order of the names."""
    content = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        content.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        content.update(array.data)
    return content.hexdigest()


def _read(path: Path, key: bytes) -> Arrays | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None  # If the file exists but is unreadable, writing it will report the error.
    checksum, packed = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    if _checksum(key, packed) != checksum:
        _logger.warning(
            "The cache file %s is damaged or belongs to other data. It is created again.", path
        )
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return dict(arrays)


def _checksum(key: bytes, packed: bytes | memoryview) -> bytes:
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
            "Encoded data cannot be cached in %s (%s). The run continues, but the next one will "
            "encode them again. Set the option cache_dir or the variable XDG_CACHE_HOME to a "
            "writable folder with %d MB of free space.",
            path.parent,
            error.strerror or error,
            len(packed) // 2**20 + 1,
        )
    finally:
        with contextlib.suppress(OSError):  # After success the file no longer exists.
            partial.unlink()
