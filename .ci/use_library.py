"""Use the library as installed alone: train a layer, save it, load it. Fails if it needs more."""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import unrolled
from unrolled import diagnostics, layers, models  # noqa: F401  (imported to see that they can be)

inputs = np.random.default_rng(1).normal(size=(8, 5, 3)).astype("float32")
targets = inputs.sum(axis=(1, 2))[:, None]
model = keras.Sequential([keras.Input((None, 3)), layers.GRU(4), keras.layers.Dense(1)])
model.compile("adam", "mse")
before = model.evaluate(inputs, targets, verbose=0)
model.fit(inputs, targets, epochs=5, verbose=0)
assert model.evaluate(inputs, targets, verbose=0) < before, "training did not lower the loss"

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
np.testing.assert_allclose(loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0))

extra = {"mlflow", "hydra", "omegaconf", "pydantic", "tensorflow_datasets"} & sys.modules.keys()
assert not extra, f"the library imports packages of the extra: {extra}"
print(f"{unrolled.__file__}: trained, saved and loaded on Python {sys.version.split()[0]}")
