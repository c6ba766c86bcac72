"""Entities, compared with the algorithm of conlleval: line by line, with the previous tag."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled.tasks.tagging.entities import (
    Entity,
    EntityF1,
    MixedSchemesError,
    Scores,
    Tags,
    count_entities,
    entities,
    scheme_of,
    to_bio,
)

TAGS = Tags(["LOC", "ORG", "PER"])


class Conlleval:
    """Counts as the script does: one line at a time, remembering the last one."""

    def __init__(self):
        self.gold, self.predicted, self.correct = {}, {}, {}

    def read(self, gold, predicted):
        inside_correct = False
        last = {"gold": ("O", ""), "predicted": ("O", "")}
        for right, answer in [*zip(gold, predicted, strict=True), ("O", "O")]:
            now = {"gold": _split(right), "predicted": _split(answer)}
            ends = {who: _ends(last[who], now[who]) for who in now}
            starts = {who: _starts(last[who], now[who]) for who in now}
            same_type = last["gold"][1] == last["predicted"][1]
            if inside_correct:
                if ends["gold"] and ends["predicted"] and same_type:
                    inside_correct = False
                    _more(self.correct, last["gold"][1])
                elif ends["gold"] != ends["predicted"] or now["gold"][1] != now["predicted"][1]:
                    inside_correct = False
            if starts["gold"] and starts["predicted"] and now["gold"][1] == now["predicted"][1]:
                inside_correct = True
            if starts["gold"]:
                _more(self.gold, now["gold"][1])
            if starts["predicted"]:
                _more(self.predicted, now["predicted"][1])
            last = now

    def table(self):
        return [
            [each.get(one, 0) for each in (self.gold, self.predicted, self.correct)]
            for one in TAGS.types
        ]


def _split(tag):
    part, _, kind = tag.partition("-")
    return part, kind


def _more(counts, kind):
    counts[kind] = counts.get(kind, 0) + 1


def _ends(before, now):
    if before[0] == "O":
        return False
    return now[0] in ("B", "O") or before[1] != now[1]


def _starts(before, now):
    if now[0] == "O":
        return False
    return now[0] == "B" or before[0] == "O" or before[1] != now[1]


def drawn(seed, sentences=300, longest=12):
    """Padded sequences of legal and illegal tags, and similar sequences."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, sentences)
    gold = rng.choice(7, (sentences, longest), p=[0.3, *[0.1] * 3, *[0.4 / 3] * 3])
    other = rng.integers(0, 7, gold.shape)
    predicted = np.where(rng.random(gold.shape) < rng.random((sentences, 1)), gold, other)
    return gold, predicted, np.arange(longest) < lengths[:, None]


@pytest.mark.parametrize("seed", range(10))
def test_counts_are_those_of_conlleval(seed):
    gold, predicted, asked = drawn(seed)
    script = Conlleval()
    for right, answer, words in zip(gold, predicted, asked, strict=True):
        script.read(TAGS.decode(right[words]), TAGS.decode(answer[words]))
    found = count_entities(gold, predicted, asked, TAGS).numpy()
    assert found.tolist() == script.table()
    assert found[:, 2].min() > 0


@pytest.mark.parametrize("seed", range(3))
def test_entities_of_one_sentence_are_the_same(seed):
    gold, predicted, asked = drawn(seed)
    counts = np.zeros((3, 3), int)
    for right, answer, words in zip(gold, predicted, asked, strict=True):
        both = [set(entities(TAGS.decode(tags[words]))) for tags in (right, answer)]
        for column, found in enumerate([*both, both[0] & both[1]]):
            for each in found:
                counts[TAGS.types.index(each.type), column] += 1
    np.testing.assert_array_equal(count_entities(gold, predicted, asked, TAGS), counts)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-PER I-PER O", [Entity(0, 2, "PER")]),
        ("I-PER I-PER B-PER", [Entity(0, 2, "PER"), Entity(2, 3, "PER")]),
        ("O I-PER I-LOC", [Entity(1, 2, "PER"), Entity(2, 3, "LOC")]),
        ("B-PER I-LOC", [Entity(0, 1, "PER"), Entity(1, 2, "LOC")]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities_by_hand(tags, found):
    assert entities(tags.split()) == found


def test_it_counts_in_a_graph_of_unknown_shapes():
    counted = tf.function(
        lambda gold, predicted, asked: count_entities(gold, predicted, asked, TAGS),
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None, None), tf.bool),
        ],
    )
    for longest in (1, 7):
        gold, predicted, asked = drawn(0, 50, longest)
        np.testing.assert_array_equal(
            counted(gold.astype("int32"), predicted.astype("int32"), asked),
            count_entities(gold, predicted, asked, TAGS),
        )


def test_the_metric_adds_up_over_batches():
    metric = EntityF1(TAGS)
    gold, predicted, asked = drawn(1)
    assert float(metric.result()) == 0
    for rows in np.array_split(np.arange(len(gold)), 7):
        metric.update_state(gold[rows], predicted[rows], asked[rows].astype("float32"))
    scores = Scores.of(count_entities(gold, predicted, asked, TAGS), TAGS)
    total = scores.overall
    assert float(metric.result()) == pytest.approx(total.f1)
    assert total.f1 == pytest.approx(
        2 * total.precision * total.recall / (total.precision + total.recall)
    )
    assert sum(one.gold for one in scores.by_type) == total.gold
    assert scores.table()["f1"] == [*(one.f1 for one in scores.by_type), total.f1]
    assert scores.table()["type"] == [*TAGS.types, "all"]
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.tags.names == TAGS.names
    metric.reset_state()
    assert float(metric.result()) == 0


def test_scores_without_entities_are_0():
    total = Scores.of([[0, 0, 0], [2, 0, 0], [0, 0, 0]], TAGS).overall
    assert (total.precision, total.recall, total.f1) == (0, 0, 0)


def test_tags_have_ids_and_legal_transitions():
    assert TAGS.decode(TAGS.encode(["O", "I-ORG", "B-PER"])) == ["O", "I-ORG", "B-PER"]
    with pytest.raises(ValueError, match=r"Expected one of the tags O, B-LOC.*got 'B-MISC'"):
        TAGS.encode(["B-MISC"])
    starts, steps = TAGS.legal_starts(), TAGS.legal_transitions()
    for after, name in enumerate(TAGS.names):
        assert starts[after] == (not name.startswith("I-"))
        for before, other in enumerate(TAGS.names):
            legal = not name.startswith("I-") or other in (f"B-{name[2:]}", name)
            assert steps[before, after] == legal


@pytest.mark.parametrize(
    ("tags", "scheme", "bio"),
    [
        ("B-PER I-PER O B-PER", "BIO", "B-PER I-PER O B-PER"),
        ("I-PER I-PER O I-LOC", "IOB1", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER I-PER I-LOC", "IOB1", "B-PER B-PER I-PER B-LOC"),
        ("O O", "BIO", "O O"),
    ],
)
def test_both_schemes_become_bio(tags, scheme, bio):
    assert scheme_of([tags.split()]) == scheme
    assert to_bio(tags.split()) == bio.split()
    assert entities(tags.split()) == entities(bio.split())


def test_mixed_schemes_are_reported_with_both_positions():
    with pytest.raises(MixedSchemesError, match="got a mixture") as caught:
        scheme_of([["B-PER", "B-PER", "I-PER"], ["O", "I-PER"], ["I-LOC", "O", "B-LOC"]])
    assert (caught.value.without_b, caught.value.with_b) == ((1, 1), (0, 0))
