"""Sentences with ambiguous names: only the deciding word is informative."""

from collections import Counter

import pytest

from unrolled.tasks.base import generated
from unrolled.tasks.base.distance import Distance
from unrolled.tasks.tagging import name_lexicon as lexicon
from unrolled.tasks.tagging import name_sentences
from unrolled.tasks.tagging.entities import entities, scheme_of
from unrolled.tasks.tagging.name_sentences import Options, draw_splits

OPTIONS = Options(
    Distance(1, 12), train_examples=1200, validation_examples=200, test_examples=400, data_seed=3
)


@pytest.fixture(scope="module")
def splits():
    return draw_splits(OPTIONS)


@pytest.fixture(scope="module")
def sentences(splits):
    return [*splits.training, *splits.validation, *splits.test]


def test_words_before_the_deciding_word_are_equal_for_names_and_things(splits):
    for split in vars(splits).values():
        before = {True: Counter(), False: Counter()}
        for each in split:
            before[each.is_name][each.words[: each.decider]] += 1
        assert before[True] == before[False]


def test_the_deciding_word_decides(sentences):
    said = {True: set(), False: set()}
    for each in sentences:
        said[each.is_name].add(each.words[each.decider])
    assert said[True].isdisjoint(said[False])
    of_names = set().union(*lexicon.AFTER_NAMES.values(), *lexicon.SURNAMES.values())
    of_things = set().union(*lexicon.AFTER_THINGS.values(), *lexicon.COMPOUNDS.values())
    assert of_names.isdisjoint(of_things)


def test_tags_are_bio_and_the_ambiguous_word_is_tagged_only_as_a_name(sentences):
    assert all(len(each.words) == len(each.tags) for each in sentences)
    assert scheme_of([each.tags for each in sentences]) == "BIO"
    for each in sentences:
        assert (each.tags[each.ambiguous] == f"B-{each.type}") == each.is_name
        starts = {found.start for found in entities(each.tags)}
        assert (each.ambiguous in starts) == each.is_name


def test_distances_cover_the_range(sentences):
    assert {each.distance for each in sentences} == set(range(1, 13))


@pytest.mark.parametrize("distance", range(1, 40))
def test_any_distance_is_possible(distance):
    found = draw_splits(
        Options(
            Distance(distance, distance), train_examples=20, validation_examples=2, test_examples=2
        )
    )
    assert {each.distance for each in found.training} == {distance}


def test_sentences_are_distinct(sentences):
    assert max(Counter(each.words for each in sentences).values()) == 1


def test_ambiguous_words_are_distinct_from_all_other_words(sentences):
    words = [each.word for each in lexicon.AMBIGUOUS]
    assert len(set(words)) == len(words)
    for each in sentences:
        others = [*each.words[: each.ambiguous], *each.words[each.ambiguous + 1 :]]
        assert set(words).isdisjoint(others)


def test_half_of_the_test_pairs_have_held_out_words(splits):
    seen = {word for each in [*splits.training, *splits.validation] for word in each.words}
    held_out = [each for each in splits.test if each.held_out]
    assert len(held_out) == len(splits.test) / 2
    for each in splits.test:
        assert (each.words[each.ambiguous] not in seen) == each.held_out
    assert {each.type for each in held_out} == {"PER", "ORG", "LOC"}
    none = draw_splits(
        Options(held_out=0, train_examples=2, validation_examples=2, test_examples=20)
    )
    assert not any(each.held_out for each in none.test)


def test_the_best_forward_tags_are_wrong_only_at_half_of_the_ambiguous_words(sentences):
    right = 0
    for each in sentences:
        tags = each.forward_best()
        differs = [at for at, tag in enumerate(tags) if tag != each.tags[at]]
        assert set(differs) <= {each.ambiguous}
        right += not differs
    assert right == len(sentences) / 2


def test_the_seed_determines_the_data_and_more_training_changes_nothing_else(splits):
    assert draw_splits(OPTIONS) == splits
    more = draw_splits(
        Options(
            Distance(1, 12),
            train_examples=1400,
            validation_examples=200,
            test_examples=400,
            data_seed=3,
        )
    )
    assert more.training[:1200] == splits.training
    assert (more.validation, more.test) == (splits.validation, splits.test)
    other = draw_splits(Options(Distance(1, 12), train_examples=1200, data_seed=4))
    assert other.training != splits.training


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"train_examples": 3}, "`train_examples`: expected an even number.*got 3"),
        ({"test_examples": 0}, "`test_examples`: expected an integer of at least 2, got 0"),
        ({"held_out": 0.6}, "`held_out`: expected a fraction from 0 to 0.5, got 0.6"),
        ({"distance": {"min": 3, "max": 2}}, "`distance.max`: expected an integer.*3, got 2"),
        ({"distance": {"most": 2}}, "`distance`: expected a mapping of min, max"),
        ({"data_seed": -1}, "`data_seed`"),
    ],
)
def test_options_out_of_range_raise(options, told):
    with pytest.raises(ValueError, match=told):
        Options(**options)


def test_too_many_sentences_for_a_distance_raise(monkeypatch):
    monkeypatch.setattr(name_sentences, "AMBIGUOUS", lexicon.AMBIGUOUS[:1])
    monkeypatch.setattr(generated, "_TRIES", 1)
    options = Options(Distance(1, 1), held_out=0, train_examples=30_000)
    with pytest.raises(ValueError, match=r"expected fewer, got 30000, .*1 more of distance 1"):
        draw_splits(options)
