import json

import numpy as np
import pytest

from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.language.tokenizers import (
    CharacterTokenizer,
    WordTokenizer,
    tokenizer_from_json,
)

TEXT = "The cat, which ate, was full.\nWas it? (It was!) And the dog wasn't.\n"


def test_characters_are_decoded_exactly():
    tokenizer = CharacterTokenizer.of(TEXT)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert UNKNOWN not in tokenizer.encode(TEXT)
    assert tokenizer.vocabulary[tokenizer.start] == "\n"
    assert tokenizer.end is None


def test_a_text_without_line_ends_has_a_start_token():
    tokenizer = CharacterTokenizer.of("abc")
    assert tokenizer.vocabulary[tokenizer.start] == "\n"


def test_unknown_characters_become_replacement_characters():
    tokenizer = CharacterTokenizer.of("abc")
    numbers = tokenizer.encode("a€")
    assert numbers[1] == UNKNOWN
    assert tokenizer.decode(numbers) == "a\N{REPLACEMENT CHARACTER}"


def test_words_punctuation_and_sentence_ends():
    tokenizer = WordTokenizer.of(TEXT, size=100)
    assert " ".join(tokenizer.tokens(TEXT)) == (
        "the cat , which ate , was full . <EOS> was it ? <EOS> ( it was ! ) <EOS> "
        "and the dog wasn't . <EOS>"
    )
    assert tokenizer.start == tokenizer.end == tokenizer.vocabulary.index("<EOS>")


def test_an_empty_line_ends_a_sentence_and_empty_texts_have_none():
    tokenizer = WordTokenizer.of(TEXT, size=100)
    cut = tokenizer.tokens("A title\n\nthe text")
    assert cut == ["a", "title", "<EOS>", "the", "text", "<EOS>"]
    assert tokenizer.tokens(" \n ") == []
    assert len(tokenizer.encode("")) == 0


@pytest.mark.parametrize(
    ("tokenised", "prompt", "expected"),
    [
        (False, "the cat", "the cat"),
        (False, "the cat was full.", "the cat was full . <EOS>"),
        (False, 'he said "no."', 'he said " no . " <EOS>'),
        (False, "A title\n\n", "a title <EOS>"),
        (False, "", ""),
        (True, "shares of mr.", "shares of mr."),
        (True, "it fell\n", "it fell <EOS>"),
        (True, "it fell\nand ", "it fell <EOS> and"),
    ],
)
def test_an_incomplete_sentence_of_a_prompt_has_no_end(tokenised, prompt, expected):
    words = " ".join(f"{prompt} {TEXT}".lower().split())
    tokenizer = WordTokenizer.of(words, 100, tokenised=tokenised)
    numbers = tokenizer.encode_prompt(prompt)
    assert [tokenizer.vocabulary[number] for number in numbers] == expected.split()


def test_combining_marks_belong_to_their_word():
    tokenizer = WordTokenizer.of("a b", size=9)
    assert tokenizer.tokens("हिन्दी में।") == ["हिन्दी", "में", "।", "<EOS>"]
    assert tokenizer.tokens("cafe\N{COMBINING ACUTE ACCENT}'s Caf\u00e9") == [
        "caf\u00e9's",
        "caf\u00e9",
        "<EOS>",
    ]
    assert tokenizer.tokens("J\N{COMBINING CARON}") == tokenizer.tokens("\u01f0")
    assert tokenizer.tokens("می\u200cخواهم") == ["می\u200cخواهم", "<EOS>"]


def test_decoded_words_read_as_a_text():
    tokenizer = WordTokenizer.of(TEXT, size=100)
    read = tokenizer.decode(tokenizer.encode(TEXT))
    assert read == ("the cat, which ate, was full.\nwas it?\n(it was!)\nand the dog wasn't.")


def test_lowercasing_is_optional():
    assert "The" in WordTokenizer.of(TEXT, size=100, lower=False).vocabulary


def test_only_the_most_frequent_words_are_known():
    text = "was was the was the dog"
    tokenizer = WordTokenizer.of(text, size=4)  # <UNK>, <EOS> and two words.
    assert tokenizer.vocabulary == ["<PAD>", "<UNK>", "<EOS>", "was", "the"]
    assert tokenizer.decode(tokenizer.encode("the cat was")) == "the <UNK> was"


def test_tokenised_text_has_one_sentence_per_line_and_its_own_unknown_words():
    text = " no it was n't black <unk> \n the <unk> N\n"
    tokenizer = WordTokenizer.of(text, size=100, tokenised=True)
    assert "<unk>" not in tokenizer.vocabulary
    numbers = tokenizer.encode(text)
    assert len(numbers) == 6 + 1 + 3 + 1
    assert (numbers == UNKNOWN).sum() == 2


@pytest.mark.parametrize(
    "tokenizer",
    [
        CharacterTokenizer.of(TEXT),
        WordTokenizer.of(TEXT, 50, lower=False),
        WordTokenizer.of("a b\nc\n", 50, tokenised=True),
    ],
)
def test_a_tokenizer_can_be_recreated_from_json(tokenizer):
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.to_json() == tokenizer.to_json()
    np.testing.assert_array_equal(again.encode(TEXT), tokenizer.encode(TEXT))


def test_no_text_contains_padding():
    tokenizer = WordTokenizer.of("a b\n", 50, lower=False, tokenised=True)
    numbers = tokenizer.encode("a <PAD> <UNK> <EOS>")
    a, end = (tokenizer.vocabulary.index(word) for word in ("a", "<EOS>"))
    assert numbers.tolist() == [a, UNKNOWN, UNKNOWN, end, end]


def test_an_unknown_kind_raises():
    with pytest.raises(ValueError, match="characters or words, got 'bytes'"):
        tokenizer_from_json({"kind": "bytes", "vocabulary": []})
