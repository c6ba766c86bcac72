"""Norms of weight gradients, compared with a gradient tape and for values that are not finite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.diagnostics import WeightMeter, gradient_norms
from unrolled.models import build_model


def model_and_batch(unit=layers.GRU, **options):
    shape = {"vocabulary_size": 9, "classes": 2, "per_step": True, "units": 3, "embedding": 3}
    model = build_model(unit, **shape, **options)
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    words = rng.integers(1, 9, (4, 5)) * (np.arange(5) < [[5], [3], [4], [1]])
    return model, words, rng.integers(0, 2, (4, 5)), rng.uniform(size=(4, 5))


@pytest.mark.parametrize("unit", [layers.GRU, keras.layers.LSTM])
def test_the_norms_are_those_of_the_step_that_plain_descent_takes(unit):
    model, *batch = model_and_batch(unit, dropout=0.9)
    meter = WeightMeter(model)
    before = [weight.numpy() for weight in model.variables]
    found = meter.measure(*batch)
    for weight, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    plain = build_model(
        unit, vocabulary_size=9, classes=2, per_step=True, units=3, embedding=3, dropout=0
    )
    plain.set_weights(model.get_weights())
    plain.compile(keras.optimizers.SGD(1000.0), loss=model.loss)
    plain.train_on_batch(*batch)
    steps = [
        np.linalg.norm(new.numpy() - old.numpy()) / 1000
        for new, old in zip(plain.trainable_weights, model.trainable_weights, strict=True)
    ]
    assert list(found.norms) == [weight.path for weight in model.trainable_weights]
    np.testing.assert_allclose(list(found.norms.values()), steps, rtol=1e-4)
    assert found.total == pytest.approx(np.linalg.norm(steps), rel=1e-4)
    assert found.not_finite == {}
    assert min(steps) > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_it_says_which_gradient_is_not_finite(value):
    model, *batch = model_and_batch()

    class Broken(keras.layers.Layer):
        """Takes part in the loss with a gradient of `value`, by its own weight alone."""

        supports_masking = True

        def build(self, _):
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, x):
            return x + 0 * tf.stop_gradient(x) + self._broken(self.scale)

        @staticmethod
        @tf.custom_gradient
        def _broken(scale):
            return 0 * scale, lambda upstream: upstream * 0 + value

    outputs = Broken(name="broken")(model.output)
    broken = keras.Model(model.input, outputs)
    broken.compile(loss=model.loss)
    found = WeightMeter(broken).measure(*batch)
    ((path, norm),) = found.not_finite.items()
    assert path.endswith("broken/scale")
    np.testing.assert_equal(norm, value)
    assert not np.isfinite(found.total)
    assert sum(np.isfinite(norm) and norm > 0 for norm in found.norms.values()) == 6


def test_norms_whose_squares_overflow_float32():
    norms = gradient_norms([tf.constant([3e30, 4e30]), tf.constant([3e-30, 4e-30])])
    np.testing.assert_allclose(norms, [5e30, 5e-30], rtol=1e-6)


def test_models_that_cannot_be_measured():
    with pytest.raises(ValueError, match="not compiled"):
        WeightMeter(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="not built: call it on a batch"):
        WeightMeter(model)
