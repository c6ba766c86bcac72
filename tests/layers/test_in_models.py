"""Our layers in every kind of model and way of training, compared with the same model of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers

RNG = np.random.default_rng(0)
WORDS = RNG.integers(0, 20, size=(10, 16))  # 0 is masked, wherever it stands.
LABELS = np.arange(10)[:, None] % 2


def classifier():
    """A model with each of our layers that Keras has as well."""
    keras.utils.set_random_seed(0)
    words = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 5, mask_zero=True)(words)
    read = [unit(4)(x) for unit in (layers.SimpleRNN, layers.GRU, layers.LSTM)]
    y = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()(read))
    return keras.Model(words, y)


def with_layers_of_keras(model, in_keras):
    """The model with Keras's layers in the place of ours, and the same weights."""

    def swap(layer):
        if isinstance(layer, layers.Recurrent):
            return in_keras(layer)
        return type(layer).from_config(layer.get_config())

    swapped = keras.models.clone_model(model, clone_function=swap)
    for ours, theirs in zip(model.layers, swapped.layers, strict=True):
        if not isinstance(ours, layers.Recurrent):
            theirs.set_weights(ours.get_weights())
    return swapped


def readings(model):
    """What the layers of the model give for WORDS."""
    outputs = [layer.output for layer in model.layers[1:]]
    return keras.Model(model.input, outputs)(WORDS)


def train(model, **how):
    """Train in every way Keras offers; the numbers that come out, in order."""
    model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", **how)
    model.optimizer.build(model.trainable_variables)  # Else the step is traced twice.
    weights = np.linspace(0, 2, len(WORDS))
    history = model.fit(
        WORDS,
        LABELS,
        batch_size=4,  # The last batch is ragged.
        epochs=2,
        shuffle=False,
        class_weight={0: 1.0, 1: 3.0},
        validation_data=(WORDS[:4], LABELS[:4], weights[:4]),
        verbose=0,
    ).history
    return [
        *history["loss"],
        *history["val_loss"],
        model.train_on_batch(WORDS[:1, :5], LABELS[:1], sample_weight=weights[2:3]),
        model.evaluate(WORDS[:8], LABELS[:8], batch_size=4, sample_weight=weights[:8], verbose=0),
        *model.predict(WORDS, verbose=0)[:, 0],
    ]


@pytest.fixture(scope="module")
def expected(in_keras):
    """The result of Keras's layers, trained once for all tests."""
    model = with_layers_of_keras(classifier(), in_keras)
    start = readings(model)
    results = train(model, jit_compile=False)
    return start, results, readings(model)


@pytest.mark.parametrize(
    "how",
    [
        {"jit_compile": "auto"},
        {"jit_compile": True},
        {"run_eagerly": True},
        {"steps_per_execution": 2},
    ],
    ids=str,
)
def test_training_gives_the_same_result_as_layers_of_keras(expected, how):
    model = classifier()
    start, results, end = expected
    for ours, theirs in zip(readings(model), start, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(train(model, **how), results, atol=1e-5)
    for layer, ours, theirs in zip(model.layers[1:], readings(model), end, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=layer.name)


@pytest.mark.parametrize("unroll", [False, True])
def test_a_decoder_starts_from_its_encoders_states_and_teaches_it(unit, in_keras, unroll):
    keras.utils.set_random_seed(0)
    heard, said = (keras.Input((16 if unroll else None,), dtype="int32") for _ in range(2))
    embeddings = [keras.layers.Embedding(20, 5, mask_zero=True) for _ in range(2)]
    encoder = unit(4, return_state=True, unroll=unroll)
    decoder = unit(4, return_sequences=True, unroll=unroll)
    _, *states = encoder(embeddings[0](heard))
    spoken = decoder(embeddings[1](said), initial_state=states)
    model = keras.Model([heard, said], [spoken, *states])
    reference = with_layers_of_keras(model, in_keras)

    def results(model):
        """All outputs, and what the decoder's outputs tell the words that were heard and said."""
        words = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
        with tf.GradientTape() as tape:
            outputs = model([WORDS, WORDS[::-1]])
            loss = tf.reduce_sum(tf.sin(outputs[0]))
        gradients = tape.gradient(loss, [layer.trainable_weights[0] for layer in words])
        return [*outputs, *map(tf.convert_to_tensor, gradients)]

    found = results(model)
    for ours, theirs in zip(found, results(reference), strict=True):
        largest = np.abs(theirs).max()  # Gradients of 60 are sums in another order.
        np.testing.assert_allclose(ours, theirs, atol=1e-6 * max(10, largest))
    assert all(np.any(gradient) for gradient in found[-2:])


def test_a_clone_has_the_same_layers_and_weights_of_its_own(unit):
    model = keras.Sequential(
        [
            keras.Input((None, 5)),
            keras.layers.Bidirectional(unit(3, return_sequences=True)),
            unit(2),
        ]
    )
    x = RNG.normal(size=(2, 6, 5)).astype("float32")
    clone = keras.models.clone_model(model)
    assert [type(layer) for layer in clone.layers] == [type(layer) for layer in model.layers]
    assert not np.allclose(clone(x), model(x))
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(x), model(x))


class Reader(keras.Model):
    """A model of one's own, which reads twice: the second time it knows what there is to come."""

    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(20, 5, mask_zero=True)
        self.unit = layers.PeepholeLSTM(4, return_state=True)
        self.out = keras.layers.Dense(1, activation="sigmoid")

    def call(self, words):
        x, mask = self.embedding(words), self.embedding.compute_mask(words)
        _, *states = self.unit(x, mask=mask)
        return self.out(self.unit(x, mask=mask, initial_state=states)[0])


def test_a_model_class_learns_and_its_weights_can_be_saved(tmp_path):
    keras.utils.set_random_seed(0)
    model = Reader()
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    losses = model.fit(WORDS[:4, :12], LABELS[:4], epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    model.save_weights(tmp_path / "model.weights.h5")
    other = Reader()
    other(WORDS)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(WORDS), model(WORDS))
