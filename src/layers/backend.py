"""Refuses, as it is imported, every Keras backend but TensorFlow.

The layers are compiled by TensorFlow. It comes before the first import of Keras, which fails with a
traceback of its own where the chosen backend is not installed.
"""

import json
import os
import sys
from pathlib import Path

_NEEDED = "tensorflow"


def check() -> None:
    """Whether Keras runs on TensorFlow, or will once it is imported.

    Raises:
        ImportError: if it does not; the message names the place that says so.
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
    return keras and (keras.config.backend(), "Keras, which is imported already,")


def _from_environment() -> tuple[str, str] | None:
    name = os.environ.get("KERAS_BACKEND")
    return (name, "the environment variable KERAS_BACKEND") if name else None


def _from_file() -> tuple[str, str] | None:
    """What keras.json says, in the place where Keras looks; see keras/src/backend/config.py."""
    home = os.path.expanduser("~")
    default = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    path = Path(os.environ.get("KERAS_HOME", default), "keras.json").expanduser()
    try:
        name = json.loads(path.read_text()).get("backend")
    except (OSError, ValueError):  # Keras ignores a file that is no JSON as well.
        return None
    return name and (name, f"the file {path}")


check()
