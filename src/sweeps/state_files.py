"""Small state files, written atomically and read only by the version that wrote them."""

import json
from pathlib import Path
from typing import Any

from unrolled.system.atomic import write_atomically

_FORMAT = 3
"""Increased by one whenever the meaning of any of these files changes."""


class StateError(ValueError):
    """Raised for an unusable file of a run or a sweep; the message says why and what to do."""


def write_state(path: Path, values: dict[str, Any]) -> None:
    """Write JSON values, atomically: a reader finds the previous file or the complete new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"format": _FORMAT, **values}).encode())


def read_state(path: Path, keys: set[str]) -> dict[str, Any] | None:
    """Read the values that `write_state` wrote; None if there is no such file.

    Args:
        path: of the file.
        keys: the expected keys.

    Raises:
        StateError: if it cannot be read, holds other keys or is of another format.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        values = json.loads(text)
    except ValueError as error:  # UnicodeDecodeError is one too.
        raise StateError(_told(path, f"it is not JSON: {error}")) from error
    if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
        raise StateError(_told(path, f"its format is not supported (expected {_FORMAT})"))
    if values.keys() != keys:
        raise StateError(_told(path, f"its keys are {sorted(values)}, expected {sorted(keys)}"))
    return values


def _told(path, problem):
    return (
        f"{path} cannot be read back: {problem}. Delete the folder {path.parent} to compute its "
        "run again, or start a new sweep."
    )
