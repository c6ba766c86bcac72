"""What is read of a word."""

import json

import numpy as np
import pytest

from unrolled.tasks.tagging.word_features import SHAPES, Speller, normal, shape_of, words_of

SENTENCES = [["Teddy", "Roosevelt", "was", "born", "in", "1858", "."], ["Teddy", "bears", "!"]]


def test_words_are_told_apart_without_capitals_and_digits():
    assert normal("Boeing-747") == normal("BOEING-000")
    speller = Speller.of(SENTENCES, 5)
    spelled = speller.spell(["TEDDY", "teddy", "9999", "Lenin", "."])
    assert spelled.words[0] == spelled.words[1] != spelled.words[4]
    assert speller.vocabulary.words[spelled.words[2]] == "0000"
    assert spelled.words[3] == 1
    assert spelled.words.dtype == np.int32


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("teddy", "small"),
        ("Teddy", "Capital"),
        ("T.", "Capital"),
        ("A", "Capital"),
        ("O'neill", "Capital"),
        ("U.S.", "CAPITALS"),
        ("McDonald", "mIXed"),
        ("iPod", "mIXed"),
        ("1858", "number"),
        ("1,000.5", "number"),
        ("B2", "d1g1ts"),
        ("--", "no letter"),
        ("🐻", "no letter"),
        ("éclair", "small"),
        ("Émile", "Capital"),
    ],
)
def test_capitals_are_of_a_kind(word, shape):
    assert SHAPES[shape_of(word)] == shape


def test_characters_are_those_of_training_and_long_words_keep_both_ends():
    speller = Speller.of(SENTENCES, 5)
    known = ["<PAD>", "<UNK>", *speller.characters]
    assert known[2:] == sorted({c for sentence in SENTENCES for word in sentence for c in word})
    rows = speller.spell(["was", "Roosevelt", "wxs", "🐻"]).characters
    shown = ["".join(known[number] for number in row if number) for row in rows]
    assert shown == ["was", "Roolt", "w<UNK>s", "<UNK>"]
    assert rows.shape == (4, 5)
    assert speller.character_numbers == len(known)


def test_more_words_can_be_known_than_training_has():
    speller = Speller.of(SENTENCES, 5, ["lenin", "teddy"])
    assert (speller.spell(["Lenin", "Teddy", "Trotsky"]).words == 1).tolist() == [
        False,
        False,
        True,
    ]
    assert len(set(speller.vocabulary.words)) == len(speller.vocabulary)


def test_it_is_made_again_from_json():
    speller = Speller.of(SENTENCES, 5)
    again = Speller.from_json(json.loads(json.dumps(speller.to_json())))
    for before, after in zip(
        vars(speller.spell(["Teddy", "é"])).values(),
        vars(again.spell(["Teddy", "é"])).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)


def test_a_sentence_without_words_is_empty():
    assert Speller.of(SENTENCES, 5).spell([]).characters.shape == (0, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Teddy bears are on sale!", "Teddy bears are on sale !"),
        ("Teddy's\tbears,\nO'Neill’s", "Teddy 's bears , O'Neill ’s"),
        ("the U.S. and AT&T paid 1,000.50", "the U.S. and AT&T paid 1,000.50"),
        ('"Who?" (he)', '" Who ? " ( he )'),
        ("🐻🐻 for 3/4-inch", "🐻 🐻 for 3/4-inch"),
        (" \t\n", ""),
        ("Jose\u0301 Pe\u0301rez-Go\u0301mez's", "Jose\u0301 Pe\u0301rez-Go\u0301mez 's"),
        ("नमस्ते दिल्ली।", "नमस्ते दिल्ली ।"),
        ("\u2764\ufe0f\U0001f44d\U0001f3fd!", "\u2764\ufe0f \U0001f44d\U0001f3fd !"),
        ("\U0001f469\u200d\U0001f467\U0001f43b", "\U0001f469\u200d\U0001f467 \U0001f43b"),
        ("a\x07\x1b[1mb", "a [ 1mb"),
    ],
)
def test_a_text_is_cut_into_words_and_signs(text, words):
    assert words_of(text) == words.split()
