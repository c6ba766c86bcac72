"""Small files of state: written at once, read back only by the version that wrote them."""

import json
from pathlib import Path
from typing import Any

_FORMAT = 3
"""Goes up by one when the meaning of any of these files changes."""


class StateError(ValueError):
    """A file of a run or a sweep that cannot be trusted; the message says why and what to do."""


def write_state(path: Path, values: dict[str, Any]) -> None:
    """Write values that JSON has, so that a reader finds the old file or the new one, whole."""
    write_at_once(path, json.dumps({"format": _FORMAT, **values}))


def read_state(path: Path, keys: set[str]) -> dict[str, Any] | None:
    """The values that `write_state` left in a file; None if there is no such file.

    Args:
        path: of the file.
        keys: expected in it.

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


def write_at_once(path: Path, text: str) -> None:
    """Write so that a reader sees the old text or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    draft.replace(path)
