"""Rejects, when it is imported, every Keras backend except TensorFlow.

The layers are compiled by TensorFlow. This module must be imported before Keras, which fails with a
message of its own if the chosen backend is not installed.
"""

import json
import os
import sys
from pathlib import Path

_NEEDED = "tensorflow"


def check() -> None:
    """Check that Keras runs on TensorFlow, or will once it is imported.

    Raises:
        ImportError: if it does not; the message names the place that selects the backend.
    """
    backend, chosen_by = _imported() or _from_environment() or _from_file() or (_NEEDED, "")
    if backend != _NEEDED:
        raise ImportError(
            f"These layers need Keras with the backend {_NEEDED!r}, and {chosen_by} selects "
            f"{backend!r}. Set KERAS_BACKEND={_NEEDED} in the environment before Python starts.",
            name="keras",
        )


def _imported() -> tuple[str, str] | None:
    keras = sys.modules.get("keras")
    return (keras.config.backend(), "Keras, which is imported already,") if keras else None


def _from_environment() -> tuple[str, str] | None:
    name = os.environ.get("KERAS_BACKEND")
    return (name, "the environment variable KERAS_BACKEND") if name else None


def _from_file() -> tuple[str, str] | None:
    """The backend in keras.json, in the folder where Keras looks for it."""
    home = os.path.expanduser("~")
    default = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    path = Path(os.environ.get("KERAS_HOME", default), "keras.json").expanduser()
    try:
        name = json.loads(path.read_text()).get("backend")
    except (OSError, ValueError):  # Keras too ignores a file that is not JSON.
        return None
    return name and (name, f"the file {path}")


check()
