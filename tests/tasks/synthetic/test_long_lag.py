"""The data of the synthetic tasks, compared with plain loops, and their chance levels."""

import math
from dataclasses import fields
from itertools import product

import numpy as np
import pytest
from omegaconf import OmegaConf

from unrolled.project import PROJECT
from unrolled.tasks.base.examples import PADDING, training_batches
from unrolled.tasks.synthetic import adding, copying, temporal_order
from unrolled.tasks.synthetic.adding import Adding
from unrolled.tasks.synthetic.copying import Copying
from unrolled.tasks.synthetic.temporal_order import TemporalOrder

FEW = {"train_examples": 300, "validation_examples": 400, "test_examples": 500}
KINDS = {
    "adding": (Adding, {"T": 9}),
    "copying": (Copying, {"T": 7}),
    "temporal_order": (TemporalOrder, {"T": 40}),
    "temporal_order of three": (TemporalOrder, {"T": 40, "symbols": 3}),
}


def loaded(kind, **options):
    task = kind(**FEW | options)
    task.load()
    return task


@pytest.fixture(scope="module", params=KINDS)
def task(request):
    kind, options = KINDS[request.param]
    return loaded(kind, **options)


def splits(task):
    return task.training.of_epoch(1, 0), task.validation, task.test


def same(one, other):
    return np.array_equal(one.inputs, other.inputs) and np.array_equal(one.targets, other.targets)


class Answers:
    """A model whose outputs follow a rule: inputs of one example -> its output."""

    def __init__(self, rule):
        self._rule = rule

    def predict_on_batch(self, inputs):
        return np.stack([self._rule(example) for example in inputs])


class TestAdding:
    @pytest.mark.parametrize("T", [2, 3, 9, 50])
    def test_the_target_is_the_sum_of_two_marked_values_one_in_each_half(self, T):
        task = loaded(Adding, T=T)
        places = set()
        for split in splits(task):
            assert split.inputs.shape == (len(split), T, 2)
            for steps, target in zip(split.inputs, split.targets, strict=True):
                marked, total = [], 0.0
                for step, (value, marker) in enumerate(steps):
                    assert 0 <= value < 1
                    assert marker in (0, 1)
                    if marker == 1:
                        marked.append(step)
                        total += float(value)
                assert len(marked) == 2
                assert marked[0] < T // 2 <= marked[1]
                assert target == pytest.approx(total, abs=1e-6)
                places |= set(marked)
        assert places == set(range(T))

    def test_values_are_uniform(self):
        values = loaded(Adding, T=50, test_examples=4000).test.inputs[:, :, 0]
        counts, _ = np.histogram(values, bins=10, range=(0, 1))
        assert np.abs(counts / values.size - 0.1).max() < 0.003

    def test_the_best_constant_reaches_a_sixth(self):
        task = loaded(Adding, T=10, test_examples=20_000)
        best = np.mean((task.test.targets - task.test.targets.mean()) ** 2)
        assert task.metric.chance_level == pytest.approx(1 / 6)
        assert best == pytest.approx(1 / 6, abs=0.005)
        metrics = task.evaluate(Answers(lambda _: np.array([1.0]))).metrics
        assert metrics["mse"] == metrics["baseline_mean"] == pytest.approx(best, abs=1e-3)

    def test_the_first_value_alone_halves_it_and_both_solve_it(self):
        task = loaded(Adding, T=10, test_examples=20_000)

        def first_alone(example):
            return np.array([example[example[:, 1].argmax(), 0] + 0.5])

        found = task.evaluate(Answers(first_alone)).metrics["mse"]
        assert found == pytest.approx(1 / 12, abs=0.003)
        found = task.evaluate(Answers(lambda e: np.array([e[:, 0] @ e[:, 1]])))
        assert found.metrics["mse"] == pytest.approx(0, abs=1e-9)
        assert task.metric.is_solved(found.metrics["mse"])
        assert not task.metric.is_solved(1 / 12)

    def test_error_by_lag(self):
        """The error is 1 if the first marked value is at least 15 steps before the last step."""
        task = loaded(Adding, T=20)

        def forgetful(example):
            first = example[:, 1].argmax()
            return np.array([example[:, 0] @ example[:, 1] + (19 - first >= 15)])

        points = task.evaluate(Answers(forgetful)).breakdowns[adding.BY_LAG]
        assert [point.at for point in points] == list(range(10, 20))
        values = [point.value for point in points]
        assert values == pytest.approx([0.0] * 5 + [1.0] * 5, abs=1e-5)
        assert sum(point.count for point in points) == 500


class TestCopying:
    @pytest.mark.parametrize("T", [1, 2, 30])
    def test_the_targets_repeat_the_ten_symbols_after_the_delimiter(self, T):
        task = loaded(Copying, T=T)
        words = task.vocabulary
        symbols, blank, delimiter = words[1:9], words[9], words[10]
        assert len(words) == 11
        drawn = []
        for split in splits(task):
            for inputs, targets in zip(split.inputs, split.targets, strict=True):
                read = [words[number] for number in inputs]
                assert len(read) == len(targets) == T + 20
                assert set(read[:10]) <= set(symbols)
                assert read[10:] == [blank] * (T - 1) + [delimiter] + [blank] * 10
                for step, target in enumerate(targets):
                    expected = read[step - T - 10] if step >= T + 10 else blank
                    assert words[target + 1] == expected
                drawn += read[:10]
            assert (split.target_mask == 1).all()
        shares = [drawn.count(symbol) / len(drawn) for symbol in symbols]
        assert np.abs(np.array(shares) - 1 / 8).max() < 0.02

    def test_there_is_no_padding(self):
        task = loaded(Copying, T=5)
        for split in splits(task):
            assert (split.inputs != PADDING).all()
            assert (split.lengths == 25).all()
            inputs, targets, weights = split.batch(np.arange(3))
            assert inputs.shape == targets.shape == weights.shape == (3, 25)
            assert len(np.unique(weights)) == 1

    @pytest.mark.parametrize("T", [1, 20, 100])
    def test_a_model_without_memory_reaches_the_baseline_of_the_paper(self, T):
        task = loaded(Copying, T=T)

        def memoryless(example):
            scores = np.full((len(example), 9), -1e9, np.float32)
            after = list(example).index(10) + 1
            scores[:after, 8] = 0
            scores[after:, :8] = 0
            return scores

        metrics = task.evaluate(Answers(memoryless)).metrics
        assert metrics["cross_entropy"] == pytest.approx(10 * math.log(8) / (T + 20), rel=1e-5)
        assert task.metric.chance_level == pytest.approx(10 * math.log(8) / (T + 20))
        assert metrics["recall_accuracy"] == pytest.approx(1 / 8, abs=0.03)
        assert task.metric.solved < 0.2 * task.metric.chance_level
        assert not task.metric.is_solved(metrics["cross_entropy"])

    def test_recall_by_position(self):
        task = loaded(Copying, T=3)

        def of_the_first_four(example):
            """Predicts the first four symbols correctly, and blanks for the others."""
            scores = np.zeros((len(example), 9), np.float32)
            scores[:, 8] = 9
            for position in range(4):
                scores[13 + position] = 0
                scores[13 + position, example[position] - 1] = 9
            return scores

        report = task.evaluate(Answers(of_the_first_four))
        points = report.breakdowns[copying.BY_POSITION]
        assert [(point.at, point.value) for point in points] == [
            (position, float(position <= 4)) for position in range(1, 11)
        ]
        assert report.metrics["recall_accuracy"] == pytest.approx(0.4)


ORDERS = {
    2: {"XX": 0, "XY": 1, "YX": 2, "YY": 3},
    3: {"XXX": 0, "XXY": 1, "XYX": 2, "XYY": 3, "YXX": 4, "YXY": 5, "YYX": 6, "YYY": 7},
}
PLACES = {  # At T=100, as in the paper.
    2: [(10, 20), (50, 60)],
    3: [(10, 20), (33, 43), (66, 76)],
}


class TestTemporalOrder:
    @pytest.mark.parametrize("symbols", [2, 3])
    def test_sequences_are_the_papers_at_100(self, symbols):
        task = loaded(TemporalOrder, T=100, symbols=symbols, train_examples=2000)
        lengths, steps, orders, letters = [], [], [], []
        for split in splits(task):
            for inputs, target in zip(split.inputs, split.targets, strict=True):
                words = [task.vocabulary[number] for number in inputs if number != PADDING]
                assert [task.vocabulary[n] for n in inputs[len(words) :]] == ["<PAD>"] * (
                    len(inputs) - len(words)
                )
                assert (words[0], words[-1]) == ("E", "B")
                found = [(step, word) for step, word in enumerate(words) if word in "XY"]
                rest = [word for word in words[1:-1] if word not in "XY"]
                assert set(rest) <= set("abcd")
                letters += rest
                order = "".join(word for _, word in found)
                assert ORDERS[symbols][order] == target
                orders.append(order)
                steps.append([step for step, _ in found])
                lengths.append(len(words))
        assert (min(lengths), max(lengths)) == (100, 110)
        steps = np.array(steps)
        assert list(zip(steps.min(axis=0), steps.max(axis=0), strict=True)) == PLACES[symbols]
        for all_of, expected in ((orders, ORDERS[symbols]), (letters, "abcd")):
            shares = np.array([all_of.count(one) / len(all_of) for one in expected])
            assert np.abs(shares * len(expected) - 1).max() < 0.15

    @pytest.mark.parametrize("symbols", [2, 3])
    def test_the_shortest_has_room_for_all(self, symbols):
        task = loaded(TemporalOrder, T=10, symbols=symbols)
        for split in splits(task):
            assert set(split.lengths) == {10, 11}
            assert (np.isin(split.inputs, [7, 8]).sum(axis=1) == symbols).all()

    @pytest.mark.parametrize("symbols", [2, 3])
    def test_random_predictions_are_at_chance_level(self, symbols):
        task = loaded(TemporalOrder, T=20, symbols=symbols, test_examples=8000)
        assert task.classes == 2**symbols
        assert task.metric.chance_level == 1 / task.classes
        always_first = Answers(lambda _: np.eye(task.classes)[0])
        found = task.evaluate(always_first).metrics["accuracy"]
        assert found == pytest.approx(task.metric.chance_level, abs=0.02)

    def test_accuracy_by_lag(self):
        """Correct if the first symbol is fewer than 90 steps before the end."""
        task = loaded(TemporalOrder, T=100)

        def forgetful(example):
            found = [number for number in example if number in (7, 8)]
            target = 2 * (found[0] == 8) + (found[1] == 8)
            length = np.count_nonzero(example)
            lag = length - 1 - list(example).index(found[0])
            return np.eye(4)[target if lag < 91 else (target + 1) % 4]

        points = task.evaluate(Answers(forgetful)).breakdowns[temporal_order.BY_LAG]
        assert len(points) <= 10
        assert all(point.value == (point.at < 91) for point in points)
        assert {True, False} == {point.at < 91 for point in points}
        assert sum(point.count for point in points) == 500


class TestFreshData:
    def test_examples_are_determined_by_epoch_and_seed(self, task):
        drawn = {
            (seed, epoch): task.training.of_epoch(seed, epoch)
            for seed, epoch in product((0, 1, 2), repeat=2)
        }
        for key, examples in drawn.items():
            assert len(examples) == len(task.training) == 300
            for other, others in drawn.items():
                assert same(examples, others) == (key == other)
        kind = type(task)
        again = loaded(kind, **{f.name: getattr(task, f.name) for f in fields(task)})
        assert same(again.training.of_epoch(1, 1), drawn[1, 1])

    def test_batches_are_new_in_each_epoch(self, task):
        def three_epochs(seed):
            batches = training_batches(task.training, 64, seed)
            assert batches.cardinality() == 5
            return [np.concatenate([b[0].numpy().sum(1) for b in batches]) for _ in range(3)]

        first, second, third = (np.sort(epoch, axis=0) for epoch in three_epochs(1))
        assert first.shape[0] == 300
        assert not np.array_equal(first, second)
        assert not np.array_equal(second, third)
        for one, other in zip(three_epochs(1), three_epochs(1), strict=True):
            np.testing.assert_array_equal(one, other)
        assert not np.array_equal(three_epochs(1)[0], three_epochs(2)[0])

    @pytest.mark.parametrize("data_seed", [0, 1, 2])
    def test_validation_and_test_are_fixed_and_distinct(self, data_seed):
        few = dict.fromkeys(FEW, 50)
        one, other = (loaded(Adding, T=5, data_seed=data_seed, **few) for _ in range(2))
        assert same(one.validation, other.validation)
        assert same(one.test, other.test)
        drawn = [one.training.of_epoch(seed, epoch) for seed, epoch in product(range(3), repeat=2)]
        values = [e.inputs[:, :, 0] for e in (*drawn, one.validation, one.test)]
        sequences = np.concatenate(values).tolist()
        assert len(set(map(tuple, sequences))) == 50 * len(values)

    def test_more_training_examples_change_no_other_split(self, task):
        kind = type(task)
        options = {f.name: getattr(task, f.name) for f in fields(task)}
        more = loaded(kind, **options | {"train_examples": 301})
        assert same(more.validation, task.validation)
        assert same(more.test, task.test)
        assert more.fingerprint != task.fingerprint

    def test_the_fingerprint_distinguishes_data(self):
        prints = [
            loaded(kind, **options, data_seed=data_seed).fingerprint
            for kind, options in KINDS.values()
            for data_seed in (0, 1, 0)
        ]
        assert prints[0::3] == prints[2::3]
        assert len(set(prints)) == 2 * len(KINDS)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Adding, {"T": 1}, "`T`: expected an integer of at least 2, got 1"),
        (Adding, {"T": 50.0}, "`T`: expected an integer of at least 2, got 50.0"),
        (Copying, {"T": 0}, "`T`: expected an integer of at least 1, got 0"),
        (TemporalOrder, {"T": 9}, "`T`: expected an integer of at least 10, got 9"),
        (TemporalOrder, {"T": 20, "symbols": 4}, "`symbols`: expected 2, .* or 3, .* got 4"),
        (TemporalOrder, {"T": 20, "symbols": 2.0}, "`symbols`: expected 2, .* got 2.0"),
        (Adding, {"T": 5, "train_examples": None}, "`train_examples`: expected .* got None"),
        (Adding, {"T": 5, "data_seed": -1}, "`data_seed`: expected .* at least 0, got -1"),
    ],
)
def test_invalid_options_raise_at_once(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@pytest.mark.parametrize("kind", [Adding, Copying, TemporalOrder])
def test_configuration_states_every_option(kind):
    path = PROJECT / "conf" / "task" / f"{kind.name}.yaml"
    stated = OmegaConf.to_container(OmegaConf.load(path).task)
    known = {field.name for field in fields(kind)}
    assert set(stated) - {"name", "_target_"} == known
    kind(**{key: stated[key] for key in known if not key.endswith("_examples")})
