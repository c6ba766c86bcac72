"""A language model's probabilities, and the states it carries."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.models import AdaptiveSoftmax, build_language_model, language
from unrolled.tasks.language.bptt_batches import TokenSequence, evaluation_batches, training_batches

WORDS = 18
START = 2
KINDS = {
    "one-hot": {"embedding": None},
    "softmax": {"embedding": 5},
    "tied": {"embedding": 8, "tied": True},
    "adaptive": {"embedding": 5, "head": "adaptive", "cutoffs": [6, 15]},
    "deep": {"embedding": 5, "layers": 2, "dropout": 0.5},
}


def _model(kind="softmax", unit=layers.LSTM, seed=1):
    keras.utils.set_random_seed(seed)
    model = build_language_model(unit, vocabulary_size=WORDS, units=8, **KINDS[kind])
    for weight in model.trainable_weights:  # Biases and all, so that nothing is right by chance.
        weight.assign(np.random.default_rng(seed).normal(0, 0.5, weight.shape))
    return model


def _tokens(count, seed=0):
    return np.random.default_rng(seed).integers(1, WORDS, count).astype(np.int32)


def _by_prefix(model, tokens, positions):
    """-log P of the tokens at these positions, computed from the whole prefix every time."""
    losses = []
    for position in positions:
        prefix = np.concatenate([[START], tokens[:position]])[None]
        scores = np.asarray(model(prefix), np.float64)[0, -1]
        p = np.exp(scores) / np.exp(scores).sum()
        losses.append(-np.log(p[tokens[position]]))
    return np.array(losses)


@pytest.mark.parametrize(("embedding", "dropped"), [(5, True), (None, False)])
def test_dropout_exempts_one_hot_vectors(embedding, dropped):
    model = build_language_model(
        layers.GRU, vocabulary_size=WORDS, units=8, embedding=embedding, dropout=0.5
    )
    words, seen, read = tf.constant(_tokens(40)[None]), [], model.recurrent[0].call

    def call(vectors, *rest, **more):
        seen.append(vectors)
        return read(vectors, *rest, **more)

    model.recurrent[0].call = call
    model.read(words, training=True)
    assert np.array_equal(seen[0], model.embedding(words)) != dropped


@pytest.mark.parametrize("kind", KINDS)
def test_log_p_equals_that_of_the_whole_prefix(kind):
    model, tokens, positions = _model(kind), _tokens(25), [0, 1, 2, 11, 24]
    found = model.negative_log_likelihoods(tokens, START)[positions]
    np.testing.assert_allclose(found, _by_prefix(model, tokens, positions), atol=2e-5)


@pytest.mark.parametrize("unit", [layers.SimpleRNN, layers.GRU, layers.MinGRU, keras.layers.LSTM])
def test_states_are_carried_over_long_texts(unit, monkeypatch):
    monkeypatch.setattr(language, "_EXACT_STEPS", 25)
    model, tokens = _model(unit=unit), _tokens(60)  # More than two windows.
    states, losses, before = model.initial_states(1), [], START
    read = tf.function(model.read)
    for token in tokens:
        top, states = read(tf.constant([[before]]), states)
        log_p = tf.nn.log_softmax(model.scores(top))
        losses.append(-float(log_p[0, 0, token]))
        before = token
    found = model.negative_log_likelihoods(tokens, START)
    np.testing.assert_allclose(found, losses, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_sum_to_1(kind):
    """Over all texts of two tokens, and over all continuations of twenty tokens."""
    model = _model(kind)
    texts = np.stack(np.meshgrid(np.arange(WORDS), np.arange(WORDS)), axis=-1).reshape(-1, 2)
    log_p = [-model.negative_log_likelihoods(text, START).sum() for text in texts]
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)
    before = np.tile(_tokens(20), (WORDS, 1))
    losses = model.next_negative_log_likelihoods(before, np.arange(WORDS))
    assert np.exp(-losses).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "unit",
    [
        layers.SimpleRNN,
        layers.SimplifiedGRU,
        layers.GRU,
        layers.LSTM,
        layers.PeepholeLSTM,
        layers.MinGRU,
        layers.MinLSTM,
    ],
)
def test_logits_do_not_depend_on_future_tokens(unit):
    model, words = _model("deep", unit), _tokens(5)[None]
    other = words.copy()
    other[0, -1] = words[0, -1] % (WORDS - 1) + 1
    changed = np.abs(model(other) - model(words)).max(-1)[0] > 0
    assert list(changed) == [False] * 4 + [True]


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_trains_in_half_precision(kind):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _model(kind, layers.SimpleRNN)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    batches = training_batches(TokenSequence(np.tile(_tokens(10), 30), START), 4, 10, seed=1)
    losses = model.fit(batches, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert model(_tokens(3)[None]).dtype == "float32"


@pytest.mark.parametrize("kind", ["softmax", "adaptive"])
def test_token_ids_out_of_range_raise(kind):
    model = _model(kind)
    assert len(model.negative_log_likelihoods(np.array([1, WORDS - 1]), START)) == 2  # int64
    for wrong in ([1, WORDS], [-1, 2], [1.5, 2]):
        with pytest.raises(ValueError, match=rf"a vocabulary of {WORDS}, 0 to {WORDS - 1}; got"):
            model.negative_log_likelihoods(np.array(wrong), START)


def test_an_adaptive_softmax_loss_equals_its_probabilities():
    head = AdaptiveSoftmax(WORDS, [6, 15])
    log_p = np.asarray(head(np.random.default_rng(0).normal(size=(7, 32))), np.float64)
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, atol=1e-5)
    rows, words = np.random.default_rng(1).normal(size=(40, 32)).astype("float32"), _tokens(40)
    found = head.negative_log_likelihood(rows, words)
    np.testing.assert_allclose(found, -np.asarray(head(rows))[np.arange(40), words], atol=1e-5)


def test_an_adaptive_softmax_follows_its_equation():
    head = AdaptiveSoftmax(WORDS, [6, 15])
    a = np.random.default_rng(0).normal(size=32).astype("float32")
    log_p = np.asarray(head(a[None]))[0]
    softmax = lambda z: np.exp(z) / np.exp(z).sum()  # noqa: E731
    p_head = softmax(a @ head.head.numpy() + head.bias.numpy())
    p_rare = softmax(a @ head.reductions[1].numpy() @ head.tails[1].numpy())
    np.testing.assert_allclose(np.exp(log_p[:6]), p_head[:6], rtol=1e-4)
    np.testing.assert_allclose(np.exp(log_p[15:]), p_head[7] * p_rare, rtol=1e-4)
    assert head.reductions[0].shape == (32, 8)
    assert head.reductions[1].shape == (32, 2)


@pytest.mark.parametrize("cutoffs", [[], [0, 3], [5, 5], [9, 4], [WORDS]])
def test_invalid_cutoffs_raise(cutoffs):
    with pytest.raises(ValueError, match=r"`cutoffs`: expected strictly increasing integers"):
        AdaptiveSoftmax(WORDS, cutoffs)


@pytest.mark.parametrize("kind", ["softmax", "adaptive"])
def test_an_evaluation_with_batch_size_1_is_exact(kind):
    model, tokens = _model(kind), _tokens(25)  # The last window is padded.
    model.compile(jit_compile=False)
    found = model.evaluate(evaluation_batches(TokenSequence(tokens, START), 1, 10), verbose=0)
    assert found[0] == pytest.approx(model.negative_log_likelihoods(tokens, START).mean(), rel=1e-5)


def test_an_epoch_starts_from_zero_states():
    model = _model()
    model.compile(jit_compile=False)
    batches = evaluation_batches(TokenSequence(_tokens(60), START), 2, 10)
    first = model.evaluate(batches, verbose=0)[0]
    assert model.evaluate(batches, verbose=0)[0] == pytest.approx(first, rel=1e-6)


def test_gradients_stop_at_the_start_of_a_window():
    """A window's gradient is that of a model whose initial states are the carried ones."""
    tokens = _tokens(25)
    windows = list(TokenSequence(tokens, START).training_windows(2, 5, 0))
    model = _model()
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    model.train_step(windows[0])
    states = tf.nest.map_structure(tf.identity, model._state_variables(2, True))
    (x, _), y, _ = windows[1]
    with tf.GradientTape() as tape:
        top, _ = model.read(x, states)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model.scores(top)))
    expected = tape.gradient(loss, model.trainable_weights)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
    model.train_step(windows[1])
    for weight, old, gradient in zip(model.trainable_weights, before, expected, strict=True):
        change = old - weight.numpy()
        np.testing.assert_allclose(change, tf.convert_to_tensor(gradient), atol=1e-5)


def test_training_learns_a_text_that_repeats():
    tokens = np.tile(_tokens(10), 60)
    keras.utils.set_random_seed(1)
    model = build_language_model(layers.GRU, vocabulary_size=WORDS, units=16, embedding=8)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    batches = training_batches(TokenSequence(tokens, START), 4, 20, seed=1)
    history = model.fit(batches, epochs=12, shuffle=False, verbose=0).history
    assert history["cross_entropy"][-1] < 0.1 < history["cross_entropy"][0]
    np.testing.assert_allclose(np.exp(history["loss"]), history["perplexity"], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_is_the_same_model(kind, tmp_path):
    model = _model(kind)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    words = _tokens(4)[None]
    np.testing.assert_allclose(again(words), model(words), atol=1e-6)
    np.testing.assert_allclose(again.network(words), model.network(words), atol=1e-6)


def test_tied_weights_are_the_same_weights():
    model = _model("tied")
    assert sum(weight.shape[0] == WORDS for weight in model.trainable_weights) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "bidirectional"}, "already seen that token"),
        ({"head": "sampled"}, "expected one of softmax, adaptive, got 'sampled'"),
        ({"tied": True, "embedding": 5}, "got embedding 5 and units 8"),
        ({"tied": True, "embedding": 8, "head": "adaptive"}, "expected head 'softmax'"),
    ],
)
def test_invalid_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        build_language_model(layers.GRU, vocabulary_size=WORDS, units=8, **options)


def _bidirectional(units, name, **_):
    inner = layers.GRU(units, return_sequences=True, return_state=True)
    return keras.layers.Bidirectional(inner, name=name)


@pytest.mark.parametrize("unit", [_bidirectional, partial(layers.GRU, go_backwards=True)])
def test_layers_that_read_backwards_raise(unit):
    with pytest.raises(ValueError, match=r"got recurrent_1, .* already seen that token"):
        build_language_model(unit, vocabulary_size=WORDS, units=8)


def test_training_adds_the_regularization_of_the_layers():
    """The kernel's gradient differs by that of its penalty, 2 * 0.1 * W; the loss does not."""
    window = next(iter(TokenSequence(_tokens(25), START).training_windows(2, 5, 0)))
    after, losses = [], []
    for penalty in (None, keras.regularizers.L2(0.1)):
        model = _model(unit=partial(layers.SimpleRNN, kernel_regularizer=penalty))
        kernel = model.recurrent[0].cell.kernel
        before = kernel.numpy()
        model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
        losses.append(model.train_step(window)["loss"])
        after.append(kernel.numpy())
    np.testing.assert_allclose(after[0] - after[1], 0.2 * before, atol=1e-5)
    assert losses[0] == losses[1]


def test_no_rows_have_no_log_probabilities():
    none = _model().next_negative_log_likelihoods(np.zeros((0, 3), int), np.zeros(0, int))
    assert none.shape == (0,)


def test_a_configuration_can_be_used_twice():
    config = _model(unit=layers.SimpleRNN).get_config()
    before = dict(config)
    language.LanguageModel.from_config(config)
    assert config == before


def test_batches_of_an_unknown_size_raise():
    model = _model(unit=layers.SimpleRNN)
    model.compile(jit_compile=False)
    x, ends = np.ones((4, 3), np.int32), np.zeros(4, bool)
    batches = tf.data.Dataset.from_tensor_slices(((x, ends), x, x.astype("float32"))).batch(2)
    with pytest.raises(ValueError, match=r"static size.*drop_remainder=True"):
        model.evaluate(batches, verbose=0)


def test_the_states_are_created_before_the_step_is_traced(monkeypatch):
    """TensorFlow traces a function that creates variables twice."""
    traces, step = [], language.LanguageModel.test_step
    monkeypatch.setattr(
        language.LanguageModel, "test_step", lambda *data: traces.append(None) or step(*data)
    )
    model = _model(unit=layers.SimpleRNN)
    model.compile(jit_compile=False)
    model.evaluate(evaluation_batches(TokenSequence(_tokens(12), START), 2, 5), verbose=0)
    assert len(traces) == 1
