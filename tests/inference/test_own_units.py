"""A model with a unit outside the package can be loaded by inference."""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from unrolled import tracking
from unrolled.console.refusals import RefusedError
from unrolled.inference import generation, loading
from unrolled.models import build_language_model
from unrolled.tasks.language.tokenizers import CharacterTokenizer

OWN_CODE = Path(__file__).parents[1] / "sweeps" / "own_code"
TOKENIZER = CharacterTokenizer.of("abc\n")


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """The run of a language model with an own unit, as a new process finds it; its weights."""
    monkeypatch.syspath_prepend(OWN_CODE)
    monkeypatch.delitem(sys.modules, "own_unit", raising=False)
    size = len(TOKENIZER.vocabulary)
    leaky = import_module("own_unit").Leaky
    model = build_language_model(leaky, vocabulary_size=size, units=2, embedding=2)
    model(np.ones((1, 2), np.int32))
    model.save(tmp_path / loading.MODEL_FILE)
    (tmp_path / generation.KIND.file).write_text(json.dumps(TOKENIZER.to_json()))
    monkeypatch.delitem(sys.modules, "own_unit")
    registered = keras.saving.get_custom_objects()
    for name in [each for each in registered if each.startswith("own>")]:
        monkeypatch.delitem(registered, name)
    params = {"cell._target_": "own_unit.Leaky", "model._target_": "unrolled.models.build"}
    run = SimpleNamespace(run_id="1", name="leaky seed=1", tags={"task": "t"}, params=params)
    monkeypatch.setattr(loading, "_run", lambda *_: run)
    monkeypatch.setattr(tracking, "connect", lambda: None)
    monkeypatch.setattr(tracking, "files_of", lambda *_: str(tmp_path))
    return model.get_weights()


def test_a_model_with_an_own_unit_loads(saved):
    loaded = loading.load_trained("latest", generation.KIND)
    for was, is_now in zip(saved, loaded.model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, is_now)


@pytest.mark.usefixtures("saved")
def test_a_module_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(OWN_CODE)])
    with pytest.raises(RefusedError, match="No module named 'own_unit'"):
        loading.load_trained("latest", generation.KIND)
