"""`layers.Embedding` before a recurrent layer against `keras.layers.Embedding` before the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.layers.embedding import LARGEST_TABLE, TOKENS_PER_ENTRY

VOCABULARY, VECTOR, UNITS, SHAPE = 7, 4, 4, (10, 4)
MANY = np.random.default_rng(0).integers(0, VOCABULARY, SHAPE)
FEW = MANY[:2]
OF_ANY_SIZE = tf.TensorSpec((None, None), tf.int64)


@pytest.fixture
def projected(monkeypatch):
    """The shapes of what cells multiply by their kernel, as they come."""
    shapes = []
    project = layers.Cell.project

    def noted(cell, inputs, *rest, **weights):
        shapes.append(tuple(inputs.shape))
        return project(cell, inputs, *rest, **weights)

    monkeypatch.setattr(layers.Cell, "project", noted)
    return shapes


def embedding(kind=layers.Embedding, **options):
    """With the same weights for the same size, none of them 0."""
    layer = kind(options.pop("vocabulary", VOCABULARY), VECTOR, **options)
    layer.build()
    layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in layer.weights])
    return layer


def results_and_gradients(embed, layer, words, **call):
    with tf.GradientTape() as tape:
        results = keras.tree.flatten(layer(embed(words), **call))
        loss = sum(tf.reduce_sum(tf.sin((i + 1) * r)) for i, r in enumerate(results))
    weights = [*embed.trainable_weights, *layer.trainable_weights]
    return [*results, *map(tf.convert_to_tensor, tape.gradient(loss, weights))]


def assert_equal(one, other, atol=1e-10):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.mark.parametrize(
    ("unit", "mask_zero", "wrapper", "steps"),
    [
        (layers.SimpleRNN, True, "bidirectional", SHAPE[1]),
        (layers.GRU, True, "bidirectional", None),
        (layers.PeepholeLSTM, True, "bidirectional", SHAPE[1]),
        (layers.GRU, False, "none", None),
        (layers.LSTM, True, "none", SHAPE[1]),
        (layers.SimpleRNN, True, "backwards", None),
    ],
)
def test_it_is_the_same_function_with_the_same_gradients(
    unit, mask_zero, wrapper, steps, projected
):
    shared = {"dtype": "float64", "return_sequences": True, "return_state": True}
    layer = unit(UNITS, go_backwards=wrapper == "backwards", **shared)
    if wrapper == "bidirectional":
        layer = keras.layers.Bidirectional(layer, dtype="float64")
    ours = embedding(mask_zero=mask_zero, dtype="float64")
    theirs = embedding(keras.layers.Embedding, mask_zero=mask_zero, dtype="float64")
    layer.build((None, None, VECTOR))
    for variable in layer.weights:
        variable.assign(np.random.default_rng(2).normal(size=variable.shape))

    for_any_batch_size = tf.function(
        lambda words: results_and_gradients(ours, layer, words),
        input_signature=[tf.TensorSpec((None, steps), tf.int64)],
    )
    table = (VOCABULARY, VECTOR)
    for words, looked_up in ((MANY, True), (FEW, False)):
        projected.clear()
        found = results_and_gradients(ours, layer, words)
        assert (set(projected) == {table}) == looked_up
        assert (table in projected) == looked_up
        expected = results_and_gradients(theirs, layer, words)
        assert_equal(found, expected)
        assert_equal(for_any_batch_size(tf.constant(words)), expected)


@pytest.mark.parametrize("words_more", [0, -1])
def test_a_table_is_made_if_there_are_enough_tokens(words_more, projected):
    layer = layers.GRU(UNITS)
    layer(embedding()(np.ones((1, TOKENS_PER_ENTRY * VOCABULARY + words_more), int)))
    assert ((VOCABULARY, VECTOR) in projected) == (words_more == 0)


def test_a_large_vocabulary_keeps_its_sparse_gradient(projected):
    words = np.zeros((LARGEST_TABLE + 1, TOKENS_PER_ENTRY), int)
    for size, sparse in ((LARGEST_TABLE, False), (LARGEST_TABLE + 1, True)):
        embed, layer = embedding(vocabulary=size), layers.GRU(UNITS)
        projected.clear()
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(embed(words)))
        gradient = tape.gradient(loss, embed.trainable_weights)[0]
        assert isinstance(gradient, tf.IndexedSlices) == sparse
        assert ((size, VECTOR) in projected) != sparse


def test_the_gradient_is_always_summed_by_token():
    """Else Keras's Adam would make other steps in batches of other sizes."""
    embed, layer = embedding(), layers.GRU(UNITS)

    def gradient(words):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(embed(words)))
        return tape.gradient(loss, embed.trainable_weights)[0]

    for_any_size = tf.function(gradient, input_signature=[OF_ANY_SIZE])
    for words in (MANY, FEW):
        assert isinstance(gradient(words), tf.Tensor)
        assert isinstance(for_any_size(tf.constant(words)), tf.Tensor)


def test_input_dropout_computes_the_products_for_every_token(projected):
    table = (VOCABULARY, VECTOR)
    options = {"dropout": 0.5, "seed": 3, "dtype": "float64"}
    ours, theirs = layers.GRU(UNITS, **options), layers.GRU(UNITS, **options)
    for layer in (ours, theirs):
        layer.build((None, None, VECTOR))
    theirs.set_weights(ours.get_weights())
    one, other = (
        embedding(kind, dtype="float64") for kind in (layers.Embedding, keras.layers.Embedding)
    )
    for training in (True, False):
        projected.clear()
        found = results_and_gradients(one, ours, MANY, training=training)
        assert (table in projected) != training
        assert_equal(found, results_and_gradients(other, theirs, MANY, training=training))


def test_recurrent_dropout_does_not_prevent_the_look_up(projected):
    options = {"recurrent_dropout": 0.5, "seed": 3, "dtype": "float64"}
    layer, again = layers.LSTM(UNITS, **options), layers.LSTM(UNITS, **options)
    for each in (layer, again):
        each.build((None, None, VECTOR))
    again.set_weights(layer.get_weights())
    found = results_and_gradients(embedding(dtype="float64"), layer, MANY, training=True)
    assert projected == [(VOCABULARY, VECTOR)]
    theirs = embedding(keras.layers.Embedding, dtype="float64")
    assert_equal(found, results_and_gradients(theirs, again, MANY, training=True))


def test_what_changes_the_vectors_on_their_way_is_seen(projected):
    """Dropout between the layers in training, and anything else."""
    table = (VOCABULARY, VECTOR)
    vectors = embedding()(MANY)
    drop, layer = keras.layers.Dropout(0.5, seed=1), layers.GRU(UNITS)
    layer.build((None, None, VECTOR))
    for changed, looked_up in (
        (drop(vectors, training=False), True),
        (drop(vectors, training=True), False),
        (2 * vectors, False),
        (vectors[:, :3], False),
        (keras.ops.cast(vectors, "float64"), False),
    ):
        projected.clear()
        expected = layer(np.array(changed, "float32"))
        projected.clear()
        np.testing.assert_allclose(layer(changed), expected, atol=1e-6)
        assert (table in projected) == looked_up


def test_two_layers_may_read_the_same_vectors():
    """One of them by look-up, another through the vectors; both reach the embeddings."""

    class Both(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="float64")
            self.one = layers.GRU(UNITS, dtype="float64")
            self.other = keras.layers.GRU(UNITS, dtype="float64")

        def call(self, x):
            return self.one(x), self.other(x)

    both = Both()
    both(embedding(dtype="float64")(MANY))
    found = results_and_gradients(embedding(dtype="float64"), both, MANY)
    theirs = embedding(keras.layers.Embedding, dtype="float64")
    assert_equal(found, results_and_gradients(theirs, both, MANY))


def test_a_derivative_with_respect_to_the_vectors_needs_keras_embedding():
    layer = layers.GRU(UNITS)
    for kind, there in ((layers.Embedding, False), (keras.layers.Embedding, True)):
        with tf.GradientTape() as tape:
            vectors = embedding(kind)(MANY)
            tape.watch(vectors)
            loss = tf.reduce_sum(layer(vectors))
        assert (tape.gradient(loss, vectors) is not None) == there


def model_with(kind, **options):
    keras.utils.set_random_seed(0)
    words = keras.Input((None,), dtype="int32")
    x = kind(VOCABULARY, VECTOR, mask_zero=True, name="embedding", **options)(words)
    x = keras.layers.Dropout(0.0)(x)
    x = keras.layers.Bidirectional(layers.SimpleRNN(UNITS))(x)
    model = keras.Model(words, keras.layers.Dense(1)(x))
    model.compile("adam", "mse", jit_compile=False)
    return model


def test_a_model_starts_and_trains_as_with_keras_embedding(projected):
    options = {
        "embeddings_regularizer": "l2",
        "embeddings_constraint": keras.constraints.UnitNorm(1),
    }
    ours, theirs = (
        model_with(kind, **options) for kind in (layers.Embedding, keras.layers.Embedding)
    )
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    target = np.linspace(-1, 1, len(MANY))[:, None]
    projected.clear()
    training = {"epochs": 5, "batch_size": 8, "verbose": 0}  # By look-up and, at the end, not.
    losses = ours.fit(MANY, target, **training).history["loss"]
    assert (VOCABULARY, VECTOR) in projected
    expected = theirs.fit(MANY, target, **training).history["loss"]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(ours.get_weights()[0], axis=1), 1, atol=1e-5)
    assert_equal(ours.get_weights(), theirs.get_weights(), atol=1e-4)


def test_a_model_is_the_same_after_saving_and_exporting(tmp_path):
    model = model_with(layers.Embedding)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("embedding")) is layers.Embedding
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(model.predict(MANY, verbose=0), model(MANY), atol=1e-6)
    for words in (MANY, FEW):  # By look-up and not.
        expected = model(words)
        np.testing.assert_array_equal(loaded(words), expected)
        np.testing.assert_allclose(exported.serve(tf.constant(words, "int32")), expected, atol=1e-6)


def test_weights_and_options_are_those_of_keras():
    ours, theirs = embedding(name="e"), embedding(keras.layers.Embedding, name="e")
    assert ours.get_config() == theirs.get_config()
    assert layers.Embedding.from_config(theirs.get_config()).get_config() == theirs.get_config()


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32"])
def test_words_may_be_numbers_of_any_kind(kind):
    layer = layers.GRU(UNITS)
    expected = layer(embedding(keras.layers.Embedding)(MANY))
    np.testing.assert_allclose(layer(embedding()(MANY.astype(kind))), expected, atol=1e-6)


def test_a_token_id_outside_the_vocabulary_is_rejected():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 7 is not in \[0, 7\)"):
        layers.GRU(UNITS)(embedding()(np.where(MANY == 3, VOCABULARY, MANY)))


def test_half_precision_loses_no_digits():
    """The sums over a word's many occurrences, too."""
    words = np.random.default_rng(0).integers(0, VOCABULARY, (100, 20))
    layer = layers.GRU(UNITS, dtype="mixed_bfloat16")
    exact = layers.GRU(UNITS)
    for each in (layer, exact):
        each.build((None, None, VECTOR))
    exact.set_weights(layer.get_weights())
    found = results_and_gradients(embedding(dtype="mixed_bfloat16"), layer, words)
    assert found[0].dtype == tf.bfloat16
    for one, other in zip(found, results_and_gradients(embedding(), exact, words), strict=True):
        one, other = np.array(tf.cast(one, "float32")), np.array(other)
        assert np.linalg.norm(one - other) < 0.02 * np.linalg.norm(other)


def test_one_hot_vectors_are_an_embedding_too(projected):
    layer = layers.GRU(UNITS)
    expected = layer(np.eye(VOCABULARY)[MANY])
    one_hot = layers.Embedding(
        VOCABULARY, VOCABULARY, embeddings_initializer="identity", trainable=False
    )
    projected.clear()
    np.testing.assert_allclose(layer(one_hot(MANY)), expected, atol=1e-6)
    assert projected == [(VOCABULARY, VOCABULARY)]


def test_a_low_rank_adaptation_is_part_of_the_table():
    layer = layers.GRU(UNITS)
    low_rank = embedding()
    low_rank.enable_lora(2)
    low_rank.lora_embeddings_b.assign(np.ones((2, VECTOR)))
    rows = np.array(low_rank.embeddings)
    np.testing.assert_allclose(layer(low_rank(MANY)), layer(rows[MANY]), atol=1e-6)


def test_the_vector_of_the_masked_word_may_be_anything():
    embed = embedding(mask_zero=True)
    layer = layers.SimpleRNN(UNITS, return_sequences=True)
    layer.build((None, None, VECTOR))
    vectors = embed.embeddings.numpy()

    def run(words):
        return results_and_gradients(embed, layer, words)

    for one_size in (run, tf.function(run, input_signature=[OF_ANY_SIZE])):
        for words in (MANY, FEW):  # By look-up, and each by itself.
            assert (words == 0).any()
            found = []
            for of_padding in (0.0, np.nan, np.inf):
                vectors[0] = of_padding
                embed.embeddings.assign(vectors)
                found.append(one_size(tf.constant(words)))
            for zeros, *others in zip(*found, strict=True):
                for other in others:
                    np.testing.assert_array_equal(other, zeros)
