"""Batches of variable length, and Keras's metrics on them."""

import keras
import numpy as np
import pytest

from unrolled.tasks.base.examples import (
    Examples,
    batches_by_length,
    evaluation_batches,
    pad,
    predict,
    training_batches,
)


def questions(count=200, seed=0):
    """Token ids 1 or 2; the target at a third of the steps is the id."""
    rng = np.random.default_rng(seed)
    inputs = pad([rng.integers(1, 3, size=rng.integers(1, 40)) for _ in range(count)])
    asked = ((rng.random(inputs.shape) < 0.3) & (inputs > 0)).astype(np.float32)
    asked[np.arange(count), 0] = 1
    return Examples(inputs, (inputs == 2).astype(np.int32), asked)


class Position(keras.layers.Layer):
    """Logits that are correct at even steps and wrong at odd steps."""

    def call(self, words):
        truth = keras.ops.cast(words == 2, "int32")
        odd = keras.ops.cast(keras.ops.arange(keras.ops.shape(words)[1]) % 2, "int32")
        return keras.ops.one_hot(keras.ops.abs(truth - odd), 2) * 4


def model():
    words = keras.Input((None,), dtype="int32")
    made = keras.Model(words, Position()(words))
    made.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return made


def test_keras_weights_every_target_equally():
    examples = questions()
    found = model().evaluate(evaluation_batches(examples, 16), return_dict=True, verbose=0)
    right = predict(model(), examples) == examples.targets
    truth = np.sum(right * examples.target_mask) / examples.target_mask.sum()
    assert found["accuracy"] == pytest.approx(truth, abs=1e-6)
    assert not np.isclose(
        truth,
        (right * examples.target_mask).sum(1) @ (1 / examples.target_mask.sum(1)) / len(right),
    )


def test_every_example_is_in_one_batch_truncated_to_its_longest_example():
    examples = questions()
    for rows in (
        batches_by_length(examples.lengths, 16),
        batches_by_length(examples.lengths, 16, np.random.default_rng(0)),
    ):
        assert sorted(np.concatenate(rows)) == list(range(len(examples)))
        for batch in rows:
            inputs, *_ = examples.batch(batch)
            assert inputs.shape == (len(batch), examples.lengths[batch].max())


def test_epochs_differ_and_are_determined_by_the_seed():
    examples = questions()

    def two_epochs(seed):
        batches = training_batches(examples, 16, seed)
        return [np.concatenate([b[0].numpy().sum(1) for b in batches]) for _ in range(2)]

    first, second = two_epochs(1)
    assert not np.array_equal(first, second)
    for one, other in zip((first, second), two_epochs(1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first, two_epochs(2)[0])


def test_batches_have_similar_lengths():
    examples = questions(2000)
    batches = batches_by_length(examples.lengths, 32, np.random.default_rng(0))
    computed = sum(examples.batch(rows)[0].size for rows in batches)
    assert computed < 1.15 * examples.lengths.sum()


def test_first_truncates_all_arrays():
    examples = questions().first(7)
    assert len(examples) == len(examples.targets) == len(examples.target_mask) == 7
    assert len(questions().first(None)) == 200
