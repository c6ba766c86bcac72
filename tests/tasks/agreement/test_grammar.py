import doctest
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest

from unrolled.tasks.agreement import grammar, lexicon
from unrolled.tasks.agreement.grammar import Grammar, shortest_distance
from unrolled.tasks.agreement.lexicon import FILLER, PLURAL, SINGULAR
from unrolled.tasks.agreement.sentences import Depth, Distance, Options, draw_splits

FEW = {"train_examples": 300, "validation_examples": 200, "test_examples": 200}


def make_grammar(seed=1, noun_filler=0.5, kind=Grammar):
    return kind(FILLER, noun_filler, random.Random(seed))


def printed_by(program, **environment):
    """Returns what a Python program prints in a new process."""
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def nouns_between(sentence):
    """The grammatical numbers of nouns between the outermost subject and its verb."""
    subject, verb = sentence.agreements[-1]
    words = sentence.words[subject + 1 : verb]
    return [lexicon.NUMBERS[word] for word in words if word in lexicon.NUMBERS]


class TestLexicon:
    def test_no_word_is_in_two_classes(self):
        endings = (lexicon.PREDICATES, lexicon.OWNED, lexicon.CIRCUMSTANCES)
        classes = [
            {form for noun in lexicon.SUBJECTS for form in noun},
            set(lexicon.VERB_FORMS),
            set(lexicon.PREPOSITIONS),
            set(lexicon.FUNCTION_WORDS),
            *({word for text in texts for word in text.split()} for texts in endings),
            *(
                set(chain(*words) if isinstance(words[0], tuple) else words)
                for words in vars(FILLER).values()
            ),
        ]
        counts = Counter(chain(*classes))
        assert [word for word, count in counts.items() if count > 1] == []
        assert sorted(counts) == lexicon.WORDS

    def test_nouns_show_their_number(self):
        assert len(lexicon.SUBJECTS) >= 50
        nouns = lexicon.SUBJECTS + FILLER.places + FILLER.things
        assert len({form for noun in nouns for form in noun}) == 2 * len(nouns)
        assert lexicon.NUMBERS["mouse"] == SINGULAR
        assert lexicon.NUMBERS["mice"] == PLURAL

    def test_words_are_single_and_in_lower_case(self):
        assert [word for word in lexicon.WORDS if word.lower().split() != [word]] == []

    @pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
    def test_holds_out_a_fraction_of_every_class(self, share):
        kept, held_out = FILLER.hold_out(share, seed=3)
        assert not set(kept.forms()) & set(held_out.forms())
        for name, words in vars(FILLER).items():
            apart = getattr(kept, name), getattr(held_out, name)
            assert sorted(apart[0] + apart[1]) == sorted(words)
            assert len(apart[1]) == max(1, round(share * len(words)))

    def test_nothing_held_out(self):
        kept, held_out = FILLER.hold_out(0, seed=3)
        assert sorted(kept.forms()) == sorted(FILLER.forms())
        assert held_out.forms() == []


class TestSentence:
    def test_docstring_examples_hold(self):
        assert doctest.testmod(grammar) == doctest.TestResults(failed=0, attempted=1)

    @pytest.mark.parametrize("noun_filler", [0, 0.5, 1])
    @pytest.mark.parametrize("depth", [1, 2, 3, 5])
    def test_outermost_distance_is_exact(self, depth, noun_filler):
        source = make_grammar(noun_filler=noun_filler)
        shortest = shortest_distance(depth)
        for distance in chain(range(shortest, shortest + 60), [200]):
            for _ in range(5):
                sentence = source.sentence(depth, distance)
                assert len(sentence.agreements) == depth
                subject, verb = sentence.agreements[-1]
                assert verb - subject == distance

    @pytest.mark.parametrize("attractors", [0, 1, 2, 5])
    def test_attractors_are_exact_and_balanced(self, attractors):
        source = make_grammar()
        shortest = shortest_distance(1, attractors)
        for distance in chain(range(shortest, shortest + 30), [150]):
            sentence = source.sentence(1, distance, attractors)
            assert Counter(nouns_between(sentence)) == Counter([SINGULAR, PLURAL] * attractors)

    def test_attractors_are_in_random_order(self):
        source = make_grammar()
        orders = Counter(tuple(nouns_between(source.sentence(1, 14, 2))) for _ in range(1200))
        assert len(orders) == 6
        assert min(orders.values()) > 140

    @pytest.mark.parametrize(
        ("depth", "pattern"),
        [(1, "noun verb"), (2, "noun that the noun verb verb")],
    )
    def test_shortest_has_no_filler(self, depth, pattern):
        words = make_grammar().sentence(depth, shortest_distance(depth)).words
        kinds = dict.fromkeys(lexicon.NUMBERS, "noun") | dict.fromkeys(lexicon.VERB_FORMS, "verb")
        kinds |= dict.fromkeys(FILLER.adjectives, "adjective")
        found = " ".join(kinds.get(word, word) for word in words)
        found = found[found.find(", ") + 1 :].strip()  # without an opening
        assert found.removeprefix("the ").removeprefix("adjective ").startswith(pattern)

    def test_only_beings_are_subjects_and_only_people_are_who(self):
        source = make_grammar()
        for _ in range(300):
            sentence = source.sentence(1, 20)
            noun = sentence.words[sentence.agreements[0][0]]
            animal = any(noun in forms for forms in lexicon.ANIMALS)
            assert animal or any(noun in forms for forms in lexicon.PEOPLE)
            assert ("who" if animal else "which") not in sentence.words

    @pytest.mark.parametrize("noun_filler", [0, 1])
    def test_noun_filler_controls_the_number_of_nouns(self, noun_filler):
        source = make_grammar(noun_filler=noun_filler)
        found = sum(len(nouns_between(source.sentence(1, 31))) for _ in range(100))
        assert found == 0 if noun_filler == 0 else found > 600

    def test_every_word_is_used(self):
        source = make_grammar()
        drawn = (source.sentence(1 + number % 2, 30) for number in range(6000))
        assert set(chain(*(sentence.words for sentence in drawn))) == set(lexicon.WORDS)


class AllSingular(Grammar):
    def _subject_number(self):
        return SINGULAR


class AllPlural(Grammar):
    def _subject_number(self):
        return PLURAL


@pytest.mark.parametrize(
    ("depth", "distance", "attractors"), [(1, 1, None), (1, 40, None), (1, 40, 3), (3, 40, None)]
)
def test_nothing_but_the_subject_depends_on_its_number(depth, distance, attractors):
    singular, plural = make_grammar(kind=AllSingular), make_grammar(kind=AllPlural)
    for _ in range(300):
        one = singular.sentence(depth, distance, attractors)
        many = plural.sentence(depth, distance, attractors)
        assert one.agreements == many.agreements
        subjects = {subject for subject, _ in one.agreements}
        for position, (word, other) in enumerate(zip(one.words, many.words, strict=True)):
            if position in subjects:
                assert (word, other) in lexicon.SUBJECTS
            else:
                assert word == other


class TestDistance:
    def test_uniform(self):
        rng = random.Random(1)
        counts = Counter(Distance(3, 12).draw(rng) for _ in range(10_000))
        assert sorted(counts) == list(range(3, 13))
        assert max(abs(count - 1000) for count in counts.values()) < 120

    def test_geometric_has_its_mean(self):
        rng = random.Random(1)
        distance = Distance(2, 1000, "geometric", mean=15)
        drawn = [distance.draw(rng) for _ in range(20_000)]
        assert min(drawn) == 2
        assert sum(drawn) / len(drawn) == pytest.approx(15, rel=0.03)

    def test_geometric_falls_by_one_factor_up_to_max(self):
        rng = random.Random(1)
        counts = Counter(Distance(1, 6, "geometric", mean=5).draw(rng) for _ in range(100_000))
        assert sorted(counts) == [1, 2, 3, 4, 5, 6]
        for distance in range(1, 6):
            assert counts[distance + 1] / counts[distance] == pytest.approx(0.8, abs=0.03)

    @pytest.mark.parametrize("mean", [1.001, 1e15])
    def test_geometric_stays_within_the_limits(self, mean):
        rng = random.Random(1)
        drawn = {Distance(1, 4, "geometric", mean).draw(rng) for _ in range(2000)}
        assert drawn <= {1, 2, 3, 4}


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"distance": {"min": 0}}, "`distance.min`: expected an integer of at least 1"),
            ({"distance": {"min": 5, "max": 4}}, "`distance.max`: .* of at least 5, got 4"),
            ({"distance": {"max": 7.5}}, "`distance.max`: expected an integer .* got 7.5"),
            ({"distance": {"min": True}}, "`distance.min`: expected an integer .* got True"),
            ({"distance": {"distribution": "normal"}}, "one of uniform, geometric, got 'normal'"),
            (
                {"distance": {"min": 9, "distribution": "geometric", "mean": 9}},
                "`distance.mean`: expected a number above distance.min=9, got 9",
            ),
            (
                {"distance": {"distribution": "geometric", "mean": None}},
                "`distance.mean`: .* got None",
            ),
            ({"distance": {"least": 4}}, "mapping of min, max, distribution, mean, got .*least"),
            ({"distance": 4}, "`distance`: expected a mapping of .* got 4"),
            ({"depth": {"min": 0}}, "`depth.min`: expected an integer of at least 1, got 0"),
            ({"depth": {"min": 3, "max": 2}}, "`depth.max`: .* at least 3, got 2"),
            (
                {"depth": {"max": 3}},
                "`distance.min`: expected at least 9 with depth.max=3, got 1, .*decrease depth.max",
            ),
            (
                {"attractors": 2, "distance": {"min": 12}},
                "`distance.min`: expected at least 13 with attractors=2, got 12, .*attractors",
            ),
            ({"attractors": -1}, "`attractors`: expected an integer of at least 0, got -1"),
            ({"attractors": 1.5}, "`attractors`: .* got 1.5"),
            (
                {"attractors": 0, "depth": {"max": 2}, "distance": {"min": 30}},
                "`attractors`: expected null with depth.max=2, got 0",
            ),
            ({"noun_filler": 1.1}, "`noun_filler`: expected a fraction from 0 to 1, got 1.1"),
            ({"noun_filler": "many"}, "`noun_filler`: .* got 'many'"),
            ({"held_out": 0.6}, "`held_out`: expected a fraction from 0 to 0.5, got 0.6"),
            ({"held_out": float("nan")}, "`held_out`: .* got nan"),
            ({"train_examples": None}, "`train_examples`: .* at least 1, got None"),
            ({"validation_examples": 0}, "`validation_examples`: .* at least 1, got 0"),
            ({"test_examples": "all"}, "`test_examples`: .* at least 1, got 'all'"),
            ({"data_seed": -1}, "`data_seed`: .* at least 0, got -1"),
        ],
    )
    def test_invalid_options_raise(self, options, message):
        with pytest.raises(ValueError, match=message):
            Options(**options)

    @pytest.mark.parametrize(
        "options",
        [
            {"depth": {"max": 3}, "distance": {"min": 9, "max": 9}},
            {"attractors": 2, "distance": {"min": 13, "max": 13}},
        ],
    )
    def test_the_shortest_possible_distances_are_allowed(self, options):
        assert len(draw_splits(Options(**options, **FEW)).training) == 300

    def test_takes_mappings_and_objects_alike(self):
        options = Options(distance={"min": 5}, depth={"max": 2})
        assert options == Options(distance=Distance(min=5), depth=Depth(max=2))


class TestSplits:
    def test_sentences_are_distinct(self):
        options = Options(distance={"max": 2}, noun_filler=0, **FEW | {"train_examples": 30_000})
        splits = draw_splits(options)
        words = [s.words for s in chain(splits.training, splits.validation, splits.test)]
        assert len(words) == len(set(words)) == 30_400

    def test_depths_and_distances_match_the_options(self):
        options = Options(distance={"min": 9, "max": 12}, depth={"max": 3}, **FEW)
        drawn = Counter(
            (len(sentence.agreements), sentence.agreements[-1][1] - sentence.agreements[-1][0])
            for sentence in draw_splits(options).training
        )
        assert sorted(drawn) == [(d, distance) for d in (1, 2, 3) for distance in range(9, 13)]
        assert min(drawn.values()) > 10

    def test_more_training_sentences_change_nothing_else(self):
        few, more = (draw_splits(Options(**FEW | {"train_examples": n})) for n in (300, 400))
        assert more.training[:300] == few.training
        assert len(more.training) == 400
        assert (more.validation, more.test) == (few.validation, few.test)

    def test_held_out_words(self):
        splits = draw_splits(Options(held_out=0.2, **FEW))
        assert 0.15 < len(splits.held_out) / len(FILLER.forms()) < 0.25
        for sentence in splits.training + splits.validation + splits.test[::2]:
            assert not splits.held_out & set(sentence.words)
        known = set(FILLER.forms()) - splits.held_out
        for sentence in splits.test[1::2]:
            assert not known & set(sentence.words)
            subject, verb = sentence.agreements[-1]
            assert splits.held_out & set(sentence.words) or verb - subject == 1

    def test_nothing_held_out(self):
        splits = draw_splits(Options(held_out=0, **FEW))
        assert splits.held_out == frozenset()
        assert set(chain(*(s.words for s in splits.test))) & set(FILLER.forms())

    def test_the_seed_determines_the_sentences(self):
        first, again, other = (draw_splits(Options(data_seed=s, **FEW)) for s in (1, 1, 2))
        assert first == again
        assert first.held_out != other.held_out
        for name in ("training", "validation", "test"):
            assert not set(getattr(first, name)) & set(getattr(other, name))

    def test_too_few_different_sentences_are_reported(self, monkeypatch):
        monkeypatch.setattr(lexicon, "SUBJECTS", (("cat", "cats"),))
        monkeypatch.setattr(lexicon, "ENDINGS", (lexicon.ENDINGS[1],))
        one_each = FILLER.hold_out(0.01, seed=1)[1]
        options = Options(distance={"max": 1}, held_out=0, **FEW | {"train_examples": 5000})
        with pytest.raises(ValueError, match=r"got 5000, 200, 200: after 1\d\d\d sentences"):
            draw_splits(options, one_each)

    def test_is_the_same_in_every_process(self):
        program = (
            "from unrolled.tasks.agreement.lexicon import WORDS\n"
            "from unrolled.tasks.agreement.sentences import Options, draw_splits\n"
            "splits = draw_splits(Options(distance={'min': 9}, depth={'max': 3}))\n"
            "print(splits.training, splits.validation, splits.test, sorted(splits.held_out), WORDS)"
        )
        printed = {printed_by(program, PYTHONHASHSEED=hash_seed) for hash_seed in ("1", "2")}
        assert len(printed) == 1
        assert len(printed.pop()) > 10**6

    def test_needs_no_tensorflow(self):
        program = (
            "import sys, unrolled.tasks.agreement.sentences; print('tensorflow' in sys.modules)"
        )
        assert printed_by(program).split() == [b"False"]
