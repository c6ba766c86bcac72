import math
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.whole_runs import composed
from unrolled import layers
from unrolled.models import build_language_model
from unrolled.sweeps.building import load_task
from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.language.corpora import pydoc
from unrolled.tasks.language.task import Characters, Words

PREPARED = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
needs_shakespeare = pytest.mark.skipif(
    not (PREPARED / "tiny_shakespeare").is_dir(),
    reason=f"there is no tiny_shakespeare in {PREPARED}",
)
PTB = PREPARED.parent / "text" / "ptb"
needs_ptb = pytest.mark.skipif(not PTB.is_dir(), reason=f"there is no Penn Treebank in {PTB}")


class _Uniform:
    """A model that predicts a uniform distribution over 50 tokens."""

    def negative_log_likelihoods(self, tokens, start):  # noqa: ARG002
        return np.full(len(tokens), math.log(50))


@pytest.fixture(scope="module")
def characters():
    task = Characters()
    task.load()
    return task


@pytest.fixture(scope="module")
def words():
    task = Words(vocabulary_size=500)
    task.load()
    return task


def test_the_vocabulary_is_built_from_training_only(characters, words):
    assert characters.unknown_fraction["training"] == 0
    assert max(characters.training.tokens) == characters.classes - 1
    assert words.classes == 501  # with <PAD>
    assert words.unknown_fraction["test"] > words.unknown_fraction["training"] > 0.1


def test_a_vocabulary_of_all_training_words_is_reported(caplog):
    Words(vocabulary_size=10_000).load()
    [warning] = (record.getMessage() for record in caplog.records)
    assert warning.startswith("pydoc_word: task.vocabulary_size=10000 includes all training words")


def test_the_vocabulary_of_pydoc_leaves_unknown_words_to_train_on(caplog):
    task = load_task(composed("task=pydoc_word"))
    assert 0.01 < task.unknown_fraction["training"] < 0.05
    assert not caplog.records


def test_every_token_of_the_test_counts(characters):
    found = characters.evaluate(_Uniform())
    assert found.metrics["perplexity"] == pytest.approx(50)
    assert found.metrics["bits_per_character"] == pytest.approx(math.log2(50))
    [letters] = found.breakdowns.values()
    isalpha = [characters.vocabulary[number].isalpha() for number in characters.test.tokens]
    assert sum(point.count for point in letters) == sum(isalpha)
    assert letters[0].at == 1


def test_perplexity_is_the_metric_of_words(words):
    found = words.evaluate(_Uniform())
    assert found.metrics[words.metric.key] == pytest.approx(50)
    assert found.metrics["unknown_fraction"] == (words.test.tokens == UNKNOWN).mean()
    bits = len(words.test) * math.log2(50)
    assert found.metrics["bits_per_character"] == pytest.approx(bits / len(pydoc().test))
    [ranks] = found.breakdowns.values()
    assert [point.at for point in ranks] == [1, 10, 100]
    assert sum(point.count for point in ranks) == len(words.test)


def test_bits_per_character_account_for_a_token_limit():
    task = Words(vocabulary_size=500, evaluation_tokens=2000)
    task.load()
    whole = Words(vocabulary_size=500)
    whole.load()
    capped, all_ = (each.evaluate(_Uniform()).metrics for each in (task, whole))
    assert capped["bits_per_character"] == pytest.approx(all_["bits_per_character"])


def test_perplexity_equals_that_of_a_loop_over_single_words():
    task = Words(vocabulary_size=40, evaluation_tokens=1000)  # More than a window of the model.
    task.load()
    keras.utils.set_random_seed(1)
    model = build_language_model(
        layers.LSTM, vocabulary_size=task.classes, units=8, embedding=8, tied=True
    )
    read = tf.function(model.read)
    states, before, product = model.initial_states(1), task.test.start, 0.0
    for token in task.test.tokens:
        top, states = read(tf.constant([[before]]), states)
        p = tf.nn.softmax(tf.cast(model.scores(top)[0, 0], tf.float64))
        product += math.log(p[token])
        before = token
    found = task.evaluate(model).metrics
    assert len(task.test) == 1000
    assert found["perplexity"] == pytest.approx(math.exp(-product / 1000), rel=1e-5)


class _Diverged:
    def negative_log_likelihoods(self, tokens, start):  # noqa: ARG002
        return np.full(len(tokens), 1000.0)


def test_a_diverged_model_can_be_evaluated(words):
    found = words.evaluate(_Diverged())
    assert found.metrics["cross_entropy"] == 1000
    assert found.metrics["perplexity"] == math.inf


def test_the_chance_level_is_that_of_a_unigram_model(words):
    counts = np.bincount(words.training.tokens, minlength=words.classes) + 1.0
    p = counts / counts.sum()
    expected = np.exp(-np.mean([np.log(p[token]) for token in words.test.tokens]))
    assert words.metric.chance_level == pytest.approx(expected)


def test_limits_take_the_first_tokens():
    task = Characters(train_tokens=5000, evaluation_tokens=1000)
    task.load()
    splits = (task.training, task.validation, task.test)
    assert [len(split) for split in splits] == [5000, 1000, 1000]


def test_the_fingerprint_depends_on_the_data_but_not_on_the_path(tmp_path):
    prints = set()
    for name, content in (("a", "same"), ("b", "same"), ("c", "other")):
        path = tmp_path / name
        path.write_text(f"{content} words in every line of this\n" * 4000)
        task = Words("text", str(path))
        task.load()
        prints.add(task.fingerprint)
    assert len(prints) == 2


def test_options_that_do_not_change_the_data_do_not_change_the_fingerprint(words):
    for options in ({"context_positions": 5}, {"train_tokens": 10**9}):
        task = Words(vocabulary_size=500, **options)
        task.load()
        assert task.fingerprint == words.fingerprint
    other = Words(vocabulary_size=501)
    other.load()
    assert other.fingerprint != words.fingerprint


def test_a_text_with_repetitions_is_reported(tmp_path, caplog):
    lines = [f"line number {number} of a text that comes twice\n" for number in range(1000)]
    path = tmp_path / "twice.txt"
    path.write_text("".join(lines * 2))
    Characters("text", str(path)).load()
    warnings = [record.getMessage() for record in caplog.records]
    assert [message[:50] for message in warnings] == [
        "text_char: 100% of the text in long lines of valid",
        "text_char: 100% of the text in long lines of test ",
    ]


def test_a_text_without_repetitions_is_not_reported(caplog):
    Characters().load()
    assert not caplog.records


def test_a_text_that_is_too_short_raises(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("too short a text\n" * 100)
    with pytest.raises(ValueError, match="expected at least 1000 tokens for validation, got 8"):
        Characters("text", str(path)).load()


def test_diagnostic_windows_are_continuous_text(characters):
    examples = characters.diagnostic_examples(4)
    np.testing.assert_array_equal(examples.inputs[:, 1:], examples.targets[:, :-1])
    assert examples.inputs.shape == (4, 100)
    assert len(characters.step_labels(examples.inputs[0])) == 100


def test_windows_are_required(characters):
    with pytest.raises(ValueError, match=r"training.window: expected the number of steps"):
        characters.training_batches(8, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corpus": "bible"}, "expected shakespeare, pydoc, ptb, text, got 'bible'"),
        ({"train_tokens": 10}, "`train_tokens`: expected an integer of at least 1000, got 10"),
        ({"evaluation_tokens": "all"}, "`evaluation_tokens`"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Characters(**options)


def test_a_path_for_a_corpus_without_path_raises():
    with pytest.raises(ValueError, match="corpus pydoc takes no path"):
        Characters("pydoc", path="here").load()


def test_a_missing_file_of_ptb_is_reported(tmp_path):
    (tmp_path / "ptb.train.txt").write_text("a b\n")
    with pytest.raises(MissingDataError, match=r"missing: ptb.valid.txt, ptb.test.txt"):
        Words("ptb", str(tmp_path)).load()


@needs_shakespeare
def test_shakespeare_is_complete():
    task = Characters("shakespeare")
    task.load()
    assert [len(split) for split in (task.training, task.validation, task.test)] == [
        1_003_854,
        55_770,
        55_770,
    ]
    assert task.classes == 2 + 65


@needs_ptb
def test_ptb_has_the_known_counts():
    task = Words("ptb", str(PTB))
    task.load()
    counts = [len(split) for split in (task.training, task.validation, task.test)]
    assert counts == [929_589, 73_760, 82_430]
    assert task.classes == 10_001  # with <PAD>
