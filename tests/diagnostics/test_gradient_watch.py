"""Gradient statistics of training steps, compared with gradients computed separately."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.diagnostics import DivergedError, GradientWatch, logarithmic

WORDS = np.random.default_rng(0).integers(1, 7, (12, 6)).astype("int32")
ANSWERS = (WORDS[:, :1] % 2).astype("float32")
BATCHES = [(WORDS[i : i + 4], ANSWERS[i : i + 4]) for i in range(0, 12, 4)]


def make_model(optimizer, **options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(7, 5, mask_zero=True),
            layers.GRU(4),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, loss="mse", **options)
    return model


def gradients_by_hand(model, x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_variables])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "clipping", [{"global_clipnorm": 1.0}, {"clipnorm": 1.0}, {"clipvalue": 1.0}]
)
def test_the_norms_are_those_before_clipping_and_every_clipped_step_counts(clipping, jit_compile):
    model = make_model(keras.optimizers.SGD(0.3, **clipping), jit_compile=jit_compile)
    plain = make_model(keras.optimizers.SGD(0.3, **clipping), jit_compile=jit_compile)
    watch = GradientWatch(model)
    norms, totals, clipped = [], [], []
    for x, y in BATCHES:
        gradients = gradients_by_hand(model, x, y)
        norms.append([np.linalg.norm(gradient) for gradient in gradients])
        totals.append(np.linalg.norm(norms[-1]))
        clipped.append(
            {
                "global_clipnorm": totals[-1] > 1.0,
                "clipnorm": max(norms[-1]) > 1.0,
                "clipvalue": max(abs(gradient).max() for gradient in gradients) > 1.0,
            }[next(iter(clipping))]
        )
        model.train_on_batch(x, y)
        plain.train_on_batch(x, y)
        watch.check()
    found = watch.take()
    assert 0 < sum(clipped) < 3  # Otherwise the case tests nothing.
    assert found.steps == 3
    assert found.clipped == pytest.approx(np.mean(clipped))
    assert list(found.mean) == [weight.path for weight in model.trainable_variables]
    np.testing.assert_allclose(list(found.mean.values()), np.mean(norms, axis=0), rtol=1e-5)
    assert found.mean_total == pytest.approx(np.mean(totals), rel=1e-5)
    assert found.largest_total == pytest.approx(max(totals), rel=1e-5)
    for weight, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_take_resets_the_statistics():
    model = make_model(keras.optimizers.SGD(0.1))
    watch = GradientWatch(model)
    for x, y in BATCHES:
        model.train_on_batch(x, y)
        assert watch.take().steps == 1
    nothing = watch.take()
    assert (nothing.steps, nothing.mean_total, nothing.largest_total, nothing.clipped) == (
        0,
        0,
        0,
        0,
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_reported_with_step_and_weight(bad):
    model = make_model(keras.optimizers.SGD(0.1))
    watch = GradientWatch(model)
    model.train_on_batch(*BATCHES[0])
    watch.check()
    x, y = BATCHES[1]
    model.train_on_batch(x, np.full_like(y, bad))
    with pytest.raises(
        DivergedError, match=r"training step 2: the gradient of .* at most inf"
    ) as raised:
        watch.check()
    assert raised.value.step == 2
    assert raised.value.weight in [weight.path for weight in model.trainable_variables]
    assert not np.isfinite(raised.value.norm)


def test_a_gradient_above_the_limit_is_reported_with_the_largest_weight():
    model = make_model(keras.optimizers.SGD(0.1, global_clipnorm=1e-3))
    watch = GradientWatch(model, limit=1e3)
    x, y = BATCHES[0]
    norms = [np.linalg.norm(gradient) for gradient in gradients_by_hand(model, x, y + 1e4)]
    model.train_on_batch(x, y + 1e4)
    with pytest.raises(DivergedError, match="at most 1e\\+03") as raised:
        watch.check()
    assert raised.value.weight == model.trainable_variables[int(np.argmax(norms))].path
    assert raised.value.norm == pytest.approx(max(norms), rel=1e-4)


def test_a_watched_model_is_saved_and_loaded_as_any_other(tmp_path):
    model = make_model(keras.optimizers.Adam(0.1))
    GradientWatch(model)
    model.train_on_batch(*BATCHES[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(WORDS), model(WORDS))
    assert loaded.train_on_batch(*BATCHES[1]) == model.train_on_batch(*BATCHES[1])


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 3140])
@pytest.mark.parametrize("measurements", [2, 3, 12])
def test_measurements_begin_before_the_first_step_and_end_after_the_last(steps, measurements):
    due = logarithmic(steps, measurements)
    assert due[0] == 0
    assert due[-1] == steps
    assert due == sorted(set(due))
    assert len(due) <= measurements
    if steps > 2**measurements:
        assert len(due) == measurements
        factors = np.divide(due[2:], due[1:-1])
        np.testing.assert_allclose(factors, steps ** (1 / max(measurements - 2, 1)), rtol=0.3)
