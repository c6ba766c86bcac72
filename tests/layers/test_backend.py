"""Other Keras backends are rejected, wherever they are selected."""

import json
import os
import subprocess
import sys

import keras
import pytest

from unrolled.layers import backend
from unrolled.project import CONFIGURATION


@pytest.fixture
def before_keras(monkeypatch, tmp_path):
    """As if Keras had not been imported, by a user whose home is empty."""
    monkeypatch.delitem(sys.modules, "keras")
    for name in ("KERAS_BACKEND", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def write(folder, text):
    folder.mkdir()
    (folder / "keras.json").write_text(text)


@pytest.mark.usefixtures("before_keras")
class TestBeforeKerasIsImported:
    def test_tensorflow_is_the_default(self):
        backend.check()

    def test_the_environment_selects_the_backend(self, monkeypatch):
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        with pytest.raises(ImportError, match=r"variable KERAS_BACKEND selects 'jax'. Set"):
            backend.check()

    def test_a_file_in_the_home_folder_selects_the_backend(self, tmp_path):
        write(tmp_path / ".keras", json.dumps({"backend": "torch"}))
        with pytest.raises(ImportError, match=rf"{tmp_path}/.keras/keras.json selects 'torch'"):
            backend.check()

    def test_a_file_in_keras_home_selects_the_backend(self, tmp_path, monkeypatch):
        write(tmp_path / "set", json.dumps({"backend": "openvino"}))
        monkeypatch.setenv("KERAS_HOME", "~/set")
        with pytest.raises(ImportError, match=rf"{tmp_path}/set/keras.json selects 'openvino'"):
            backend.check()

    def test_the_environment_comes_before_the_file(self, tmp_path, monkeypatch):
        write(tmp_path / ".keras", json.dumps({"backend": "torch"}))
        monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
        backend.check()

    @pytest.mark.parametrize("text", ["{", "{}", '{"backend": "tensorflow"}'])
    def test_other_files_are_ignored(self, text, tmp_path, monkeypatch):
        write(tmp_path / ".keras", text)
        monkeypatch.setenv("KERAS_BACKEND", "")
        backend.check()


def test_an_imported_keras_with_another_backend_is_rejected(monkeypatch):
    backend.check()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="imported already, selects 'jax'"):
        backend.check()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-c", "import unrolled.layers"], 1),
        (["-m", "experiments", "experiment=gru_vs_lstm"], 2),
        (["-m", "experiments.compare"], 2),
    ],
)
def test_a_wrong_backend_is_rejected_before_keras_is_imported(arguments, code):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=CONFIGURATION.parent,
        env={**os.environ, "KERAS_BACKEND": "no_such_backend"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    *above, message = done.stderr.splitlines()
    assert "backend 'tensorflow'" in message
    assert "KERAS_BACKEND selects 'no_such_backend'" in message
    assert bool(above) == (code == 1)  # Python's own traceback of an import.
