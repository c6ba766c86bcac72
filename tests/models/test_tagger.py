"""The tagger: its features, its dropout, and its independence of padding."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.layers.scan import chunks
from unrolled.models import Tagger, build_tagger
from unrolled.models.tagger import Spelling, WordDropout

WORDS, CHARACTERS, LONGEST, SHAPES, TAGS = 20, 12, 5, 4, 3
SIZES = {
    "vocabulary_size": WORDS,
    "characters": CHARACTERS,
    "longest_word": LONGEST,
    "shapes": SHAPES,
    "tags": TAGS,
    "units": 6,
    "embedding": 7,
    "capitals": 2,
    "character_embedding": 3,
    "character_units": 4,
}


def built(seed=1, unit=layers.SimpleRNN, **options):
    keras.utils.set_random_seed(seed)
    return build_tagger(unit, **{**SIZES, **options})


def sentences(lengths=(4, 1, 6), seed=0, steps=None):
    """Inputs and tags, padded."""
    rng = np.random.default_rng(seed)
    steps = steps or max(lengths)
    there = np.arange(steps) < np.array(lengths)[:, None]
    shape = there.shape
    words_end = np.arange(LONGEST) < rng.integers(1, LONGEST + 1, (*shape, 1))
    inputs = {
        "words": rng.integers(1, WORDS, shape) * there,
        "capitals": rng.integers(1, SHAPES, shape) * there,
        "characters": rng.integers(1, CHARACTERS, (*shape, LONGEST))
        * (there[..., None] & words_end),
    }
    tags = rng.integers(0, TAGS, shape) * there
    return {name: part.astype("int32") for name, part in inputs.items()}, tags.astype("int32")


def row(inputs, index, steps):
    return {name: part[index : index + 1, :steps] for name, part in inputs.items()}


@pytest.mark.parametrize(("head", "direction"), [("softmax", "bidirectional"), ("crf", "forward")])
def test_padding_changes_nothing(head, direction):
    model = built(head=head, direction=direction, layers=2)
    inputs, tags = sentences(steps=9)
    found, losses = model.tag_with_losses(inputs, tags)
    for index, length in enumerate((4, 1, 6)):
        true, mask = tags[index : index + 1, :length], tf.ones((1, length), bool)
        scores = model(row(inputs, index, length))  # Each length would be traced.
        np.testing.assert_array_equal(found[index, :length], model.head.decode(scores, mask)[0])
        alone = model.head.losses_by_step(scores, true, mask)
        np.testing.assert_allclose(losses[index, :length], alone[0], atol=1e-5)
        assert not np.any(found[index, length:])
        assert not np.any(losses[index, length:])


@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_the_tags_are_the_same_with_and_without_losses(head):
    model = built(head=head, direction="forward", character_units=None)
    inputs, tags = sentences()
    np.testing.assert_array_equal(model.tag(inputs), model.tag_with_losses(inputs, tags)[0])


def test_the_loss_is_the_sum_over_steps_of_the_lecture_and_the_mean_over_sentences():
    model = built(head="softmax", direction="forward", character_units=None)
    inputs, tags = sentences()
    model.compile()
    found = model.test_on_batch(inputs, tags, return_dict=True)["loss"]
    by_hand = 0
    for number, length in enumerate((4, 1, 6)):
        scores = np.asarray(model(row(inputs, number, length)), "float64")[0]
        p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        by_hand -= np.log(p[np.arange(length), tags[number, :length]]).sum()
    assert found == pytest.approx(by_hand / 3, rel=1e-5)


def test_the_loss_includes_regularization():
    losses = {}
    for rate in (0, 0.1):
        unit = partial(layers.SimpleRNN, kernel_regularizer=keras.regularizers.L2(rate))
        model = built(unit=unit, character_units=None, direction="forward")
        model.compile()
        losses[rate] = model.test_on_batch(*sentences())
    kernel = model.get_layer("recurrent_1").cell.kernel
    assert losses[0.1] - losses[0] == pytest.approx(0.1 * np.sum(np.square(kernel)), rel=1e-3)


@pytest.mark.parametrize("seen", ["words", "capitals", "characters"])
def test_every_feature_affects_the_scores(seen):
    model = built()
    inputs, _ = sentences()
    changed = {name: np.copy(part) for name, part in inputs.items()}
    first = (0, 0, 0) if seen == "characters" else (0, 0)
    changed[seen][first] = changed[seen][first] % 3 + 1
    assert not np.array_equal(changed[seen], inputs[seen])
    before, after = np.array(model(inputs)), np.array(model(changed))
    assert np.abs(before - after)[0].max() > 1e-6
    np.testing.assert_array_equal(before[1:], after[1:])


@pytest.mark.parametrize("left_out", ["capitals", "character_units"])
def test_features_can_be_omitted(left_out):
    model = built(**{left_out: None})
    inputs, _ = sentences()
    seen = "capitals" if left_out == "capitals" else "characters"
    changed = {**inputs, seen: np.where(inputs[seen], 1, 0).astype("int32")}
    np.testing.assert_array_equal(model(inputs), model(changed))


def test_only_a_bidirectional_model_sees_the_future():
    inputs, _ = sentences((6,))
    changed = {**inputs, "words": inputs["words"].copy()}
    changed["words"][0, -1] = inputs["words"][0, -1] % (WORDS - 1) + 1
    differs = {}
    for direction in ("forward", "bidirectional"):
        model = built(direction=direction)
        differs[direction] = np.abs(np.array(model(inputs)) - model(changed))[0].max(axis=-1) > 0
    assert differs["forward"].tolist() == [False] * 5 + [True]
    assert differs["bidirectional"].all()


def test_character_vectors_depend_on_neither_position_nor_padding():
    keras.utils.set_random_seed(3)
    unit = layers.GRU(4)
    spelling = Spelling(keras.layers.Embedding(CHARACTERS, 3), keras.layers.Bidirectional(unit))
    words = np.array([[[3, 4, 0, 0], [5, 6, 7, 8]], [[5, 6, 7, 8], [0, 0, 0, 0]]], "int32")
    read = np.array(spelling(words))
    assert read.shape == (2, 2, 8)
    np.testing.assert_array_equal(read[0, 1], read[1, 0])
    short = spelling.recurrent(spelling.embedding(words[0, :1, :2]))
    np.testing.assert_allclose(read[0, 0], short[0], atol=1e-6)


def test_the_character_layer_is_not_recompiled_for_each_number_of_distinct_words(monkeypatch):
    """XLA would compile it for every batch, in seconds, if words are long enough."""
    compiled = []
    made = tf.function
    monkeypatch.setattr(
        chunks.tf,
        "function",
        lambda *a, **k: compiled.append(k.get("jit_compile")) or made(*a, **k),
    )
    unit = keras.layers.Bidirectional(layers.GRU(4))
    spelling = Spelling(layers.Embedding(CHARACTERS, 3), unit)
    words = np.ones((2, 3, chunks.FEWEST_STEPS_TO_COMPILE + 4), "int32")

    @made
    def step():
        with tf.GradientTape() as tape:
            read = spelling(words, training=True)
        return tape.gradient(read, [weight.value for weight in spelling.trainable_weights])

    spelling.build(words.shape)
    assert all(np.isfinite(gradient).all() for gradient in step())
    assert True not in compiled


def test_word_dropout_replaces_that_fraction_in_training_only():
    keras.utils.set_random_seed(1)
    layer = WordDropout(0.3)
    words = np.tile(np.arange(10), (1000, 1)).astype("int32")
    np.testing.assert_array_equal(layer(words), words)
    dropped = np.array(layer(words, training=True))
    assert not dropped[:, 0].any()  # Padding is unchanged.
    changed = dropped != words
    assert set(dropped[changed]) == {1}
    assert changed[:, 2:].mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("rate", [-0.1, 1, float("nan")])
def test_a_rate_of_word_dropout_out_of_range_raises(rate):
    with pytest.raises(ValueError, match=r"`rate`: expected a rate of at least 0 and below 1, got"):
        WordDropout(rate)


def test_the_seed_of_word_dropout_is_part_of_its_configuration():
    layer, words = WordDropout(0.5, seed=3), np.full((4, 9), 2)
    again = WordDropout.from_config(layer.get_config())
    np.testing.assert_array_equal(layer(words, training=True), again(words, training=True))


def test_sample_weights_raise():
    model = built(character_units=None, direction="forward")
    inputs, tags = sentences()
    with pytest.raises(ValueError, match=r"`sample_weight`: expected None"):
        model.compute_loss(inputs, tags, model(inputs), np.ones(len(tags)))


def test_a_configuration_of_the_layer_over_characters_can_be_used_twice():
    config = built().get_layer("spelling").get_config()
    before = dict(config)
    Spelling.from_config(config)
    assert config == before


@pytest.mark.parametrize("variational", [True, False])
def test_variational_dropout_drops_the_same_elements_at_every_step(variational):
    model = built(dropout=0.5, variational=variational)
    drop = model.get_layer("dropout_1")
    kept = np.array(drop(np.ones((2, 30, 8), "float32"), training=True)) > 0
    same = (kept == kept[:, :1]).all()
    assert same == variational
    assert 0 < kept.mean() < 1


def test_pretrained_vectors_are_assigned_to_their_words():
    vectors = np.arange(14, dtype="float32").reshape(2, 7)
    model, random = built(vectors=(np.array([4, 9]), vectors)), built()
    table = model.get_layer("embedding").embeddings.numpy()
    np.testing.assert_array_equal(table[[4, 9]], vectors)
    others = np.delete(np.arange(WORDS), [4, 9])
    expected = random.get_layer("embedding").embeddings.numpy()[others]
    np.testing.assert_array_equal(table[others], expected)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"head": "argmax"}, r"`head`: expected one of softmax, crf, got 'argmax'"),
        ({"direction": "backward"}, r"`direction`"),
        ({"vectors": (np.array([4]), np.zeros((1, 5)))}, r"`embedding`: expected 5, .* got 7"),
    ],
)
def test_invalid_options_raise(options, told):
    with pytest.raises(ValueError, match=told):
        built(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"head": "softmax", "unit": layers.SimpleRNN, "character_units": None},
        {"head": "crf", "unit": layers.LSTM},
    ],
    ids=["softmax", "crf"],
)
def test_it_learns_and_can_be_saved_and_loaded(options, tmp_path):
    model = built(dropout=0.1, word_dropout=0.1, **options)
    inputs, _ = sentences((6,) * 20)
    tags = inputs["words"] % TAGS  # The tag depends on the word id.
    model.compile(keras.optimizers.Adam(0.1))
    model.optimizer.build(model.trainable_variables)  # Avoids tracing the step twice.
    before, *_ = model.fit(inputs, tags, epochs=15, verbose=0).history["loss"]
    found, losses = model.tag_with_losses(inputs, tags)
    assert np.mean(found == tags) > 0.95
    assert np.sum(losses) / 20 < before / 3
    model.save(tmp_path / "tagger.keras")
    again = keras.saving.load_model(tmp_path / "tagger.keras")
    assert isinstance(again, Tagger)
    scores, mask = again(inputs), tf.ones(tags.shape, bool)
    np.testing.assert_array_equal(again.head.decode(scores, mask), found)
    np.testing.assert_allclose(again.head.losses_by_step(scores, tags, mask), losses, atol=1e-5)
