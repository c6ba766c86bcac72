"""The features of words."""

import json

import numpy as np
import pytest

from unrolled.tasks.tagging.word_features import SHAPES, WordEncoder, normal, shape_of, words_of

SENTENCES = [["Teddy", "Roosevelt", "was", "born", "in", "1858", "."], ["Teddy", "bears", "!"]]


def test_words_are_normalized():
    assert normal("Boeing-747") == normal("BOEING-000")
    encoder = WordEncoder.of(SENTENCES, 5)
    encoded = encoder.encode(["TEDDY", "teddy", "9999", "Lenin", "."])
    assert encoded.words[0] == encoded.words[1] != encoded.words[4]
    assert encoder.vocabulary.words[encoded.words[2]] == "0000"
    assert encoded.words[3] == 1
    assert encoded.words.dtype == np.int32


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
def test_capitalization_classes(word, shape):
    assert SHAPES[shape_of(word)] == shape


def test_characters_are_those_of_training_and_long_words_are_shortened_in_the_middle():
    encoder = WordEncoder.of(SENTENCES, 5)
    known = ["<PAD>", "<UNK>", *encoder.characters]
    assert known[2:] == sorted({c for sentence in SENTENCES for word in sentence for c in word})
    rows = encoder.encode(["was", "Roosevelt", "wxs", "🐻"]).characters
    shown = ["".join(known[number] for number in row if number) for row in rows]
    assert shown == ["was", "Roolt", "w<UNK>s", "<UNK>"]
    assert rows.shape == (4, 5)
    assert encoder.character_count == len(known)


def test_words_can_be_added_to_the_vocabulary():
    encoder = WordEncoder.of(SENTENCES, 5, ["lenin", "teddy"])
    assert (encoder.encode(["Lenin", "Teddy", "Trotsky"]).words == 1).tolist() == [
        False,
        False,
        True,
    ]
    assert len(set(encoder.vocabulary.words)) == len(encoder.vocabulary)


def test_an_encoder_can_be_recreated_from_json():
    encoder = WordEncoder.of(SENTENCES, 5)
    again = WordEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    for before, after in zip(
        vars(encoder.encode(["Teddy", "é"])).values(),
        vars(again.encode(["Teddy", "é"])).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)


def test_a_sentence_without_words_is_empty():
    assert WordEncoder.of(SENTENCES, 5).encode([]).characters.shape == (0, 5)


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
def test_a_text_is_tokenised(text, words):
    assert words_of(text) == words.split()
