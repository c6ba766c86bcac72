"""Our layers in other processes: on two devices, and exported for one without this project."""

import os
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf

WORDS = np.random.default_rng(0).integers(0, 20, size=(16, 45))  # 0 is masked, wherever it stands.
TOO_MANY = ("SimplifiedGRU", "LSTM")
TARGET = np.random.default_rng(1).normal(size=(16, 1))

ON_TWO_DEVICES = """
import sys
import numpy as np
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
from unrolled import layers

data = np.load(sys.argv[1] + "/data.npz")
loaded = keras.saving.load_model(sys.argv[1] + "/model.keras")
as_loaded = loaded.predict(data["words"][:4, :9], verbose=0)

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    model = keras.saving.load_model(sys.argv[1] + "/model.keras")
batch = {"batch_size": 8, "verbose": 0}
model.fit(data["words"][:8], data["target"][:8], **batch)
after_a_step = model.get_weights()
loss = model.fit(data["words"], data["target"], epochs=2, shuffle=False, **batch).history["loss"]
predicted = model.predict(data["words"], **batch)
found = [as_loaded, *after_a_step, *model.get_weights(), np.array(loss), predicted]
np.savez(sys.argv[1] + "/found.npz", *found)
"""

WITHOUT_THE_PROJECT = """
import sys
import numpy as np
import tensorflow as tf

sys.modules["unrolled"] = None  # However the project may be installed.
try:
    import unrolled
except ImportError:
    pass
else:
    raise AssertionError("the project is here")

data = np.load(sys.argv[1] + "/data.npz")
exported, saved = (tf.saved_model.load(f"{sys.argv[1]}/{name}") for name in ("exported", "saved"))
for name in ("long", "medium", "short"):
    words = tf.constant(data[name], "int32")
    (by_signature,) = saved.signatures["serving_default"](words).values()
    for found in (exported.serve(words), by_signature):
        np.testing.assert_allclose(found, data[name + "_read"], atol=1e-6)
"""


def model_of(units):
    """Units read the beginning of a sentence of any length, an LSTM all of it in both ways."""
    keras.utils.set_random_seed(0)
    words = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(20, 5, mask_zero=True)
    beginning = embedding(words[:, :8])
    # A simplified GRU does nothing that a GRU does not.
    read = [unit(3)(beginning) for name, unit in units.items() if name not in TOO_MANY]
    read.append(keras.layers.Bidirectional(units["LSTM"](3))(embedding(words)))
    return keras.Model(words, keras.layers.Dense(1)(keras.layers.Concatenate()(read)))


def run(program, folder, **environment):
    found = subprocess.run(
        [sys.executable, "-c", program, folder],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr


def test_a_saved_model_loads_in_a_new_process_and_trains_there_on_two_devices(units, tmp_path):
    learning_rate = 0.1
    model = model_of(units)
    model.compile(keras.optimizers.SGD(learning_rate), "mse")
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", words=WORDS, target=TARGET)
    run(ON_TWO_DEVICES, tmp_path)
    as_loaded, *found = np.load(tmp_path / "found.npz").values()
    np.testing.assert_allclose(as_loaded, model(WORDS[:4, :9]), atol=1e-6)
    # Two devices give the same result as one.
    before = model.get_weights()
    model.fit(WORDS[:8], TARGET[:8], batch_size=8, verbose=0)
    after_a_step = model.get_weights()
    fitted = model.fit(WORDS, TARGET, batch_size=8, epochs=2, shuffle=False, verbose=0)
    predicted = model.predict(WORDS, batch_size=8, verbose=0)
    for weight, start, one, two in zip(model.weights, before, after_a_step, found, strict=False):
        gradients = [(start - after) / learning_rate for after in (one, two)]
        np.testing.assert_allclose(*gradients, atol=1e-5, err_msg=weight.path)
    expected = [*model.get_weights(), np.array(fitted.history["loss"]), predicted]
    for one, two in zip(expected, found[len(before) :], strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)


def test_an_exported_model_runs_without_this_project(units, tmp_path):
    model = model_of(units)
    model.export(tmp_path / "exported", verbose=False)
    tf.saved_model.save(model, tmp_path / "saved")
    sentences = {"long": WORDS, "medium": WORDS[:5, :20], "short": WORDS[:3, :4]}
    read = {f"{name}_read": model(words) for name, words in sentences.items()}
    np.savez(tmp_path / "data.npz", **sentences, **read)
    run(WITHOUT_THE_PROJECT, tmp_path, PYTHONPATH="")
