import doctest

import numpy as np
import pytest

from unrolled.tasks.base.examples import PADDING
from unrolled.tasks.data import vocabulary
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS, UNKNOWN, Vocabulary

TEXTS = [["b", "a", "c", "c"], ["d", "c", "b", "a"]]


def test_docstring_examples_hold():
    assert doctest.testmod(vocabulary) == doctest.TestResults(failed=0, attempted=3)


def test_special_words_have_the_ids_that_models_rely_on():
    assert SPECIAL_WORDS[PADDING] == "<PAD>"
    assert SPECIAL_WORDS[UNKNOWN] == "<UNK>"


def test_words_are_sorted_by_frequency_then_alphabetically():
    assert Vocabulary.of_most_frequent(TEXTS, 100).words == ["<PAD>", "<UNK>", "c", "a", "b", "d"]


def test_order_of_texts_does_not_matter():
    forwards = Vocabulary.of_most_frequent(TEXTS, 5)
    backwards = Vocabulary.of_most_frequent([text[::-1] for text in TEXTS[::-1]], 5)
    assert forwards.words == backwards.words


def test_size_counts_the_special_words():
    assert Vocabulary.of_most_frequent(TEXTS, 4).words == ["<PAD>", "<UNK>", "c", "a"]
    assert len(Vocabulary.of_most_frequent(TEXTS, 4)) == 4


def test_unknown_words_become_unk():
    encoded = Vocabulary.of_most_frequent(TEXTS, 4).encode(["a", "b", "c", "never seen"])
    np.testing.assert_array_equal(encoded, [3, UNKNOWN, 2, UNKNOWN])
    assert encoded.dtype == np.int32


def test_an_empty_sequence_is_encoded_as_empty():
    assert Vocabulary.of_most_frequent(TEXTS, 4).encode([]).shape == (0,)


def test_can_be_recreated_from_its_words():
    made = Vocabulary.of_most_frequent(TEXTS, 5)
    again = Vocabulary(made.words)
    assert again.words == made.words
    np.testing.assert_array_equal(again.encode(TEXTS[1]), made.encode(TEXTS[1]))


def test_a_size_without_room_for_a_word_raises():
    with pytest.raises(ValueError, match=r"at least 3, got 2: <PAD> and <UNK> use"):
        Vocabulary.of_most_frequent(TEXTS, 2)


def test_words_without_the_special_words_raise():
    with pytest.raises(ValueError, match=r"start with \['<PAD>', '<UNK>'\], got \['a', 'b'\]"):
        Vocabulary(["a", "b"])


def test_repeated_words_raise():
    with pytest.raises(ValueError, match=r"more than once: \['a'\]"):
        Vocabulary([*SPECIAL_WORDS, "a", "b", "a"])
