import math
import os
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from omegaconf import OmegaConf

from unrolled.project import PROJECT
from unrolled.tasks.agreement import lexicon
from unrolled.tasks.agreement.sentences import Options
from unrolled.tasks.agreement.task import BY_ATTRACTORS, BY_DEPTH, BY_DISTANCE, Agreement
from unrolled.tasks.base.examples import PADDING

FEW = {"train_examples": 400, "validation_examples": 200, "test_examples": 600}
NESTED = {"distance": {"min": 9, "max": 40}, "depth": {"max": 3}}
VARIANTS = {
    "default": {},
    "far": {"distance": {"min": 60, "max": 100}},
    "geometric": {"distance": {"max": 60, "distribution": "geometric", "mean": 12}},
    "nested": NESTED,
    "attractors": {"distance": {"min": 19, "max": 30}, "attractors": 3},
    "no attractors": {"attractors": 0},
}


@pytest.fixture(scope="module")
def loaded():
    """Loads the task with the given options; cached."""
    tasks = {}

    def load(**options):
        key = repr(options)
        if key not in tasks:
            tasks[key] = Agreement(**FEW | options)
            tasks[key].load()
        return tasks[key]

    return load


@pytest.fixture(params=VARIANTS)
def task(request, loaded):
    return loaded(**VARIANTS[request.param])


def splits(task):
    return task.training, task.validation, task.test


def words_of(task, inputs):
    return [task.vocabulary[number] for number in inputs if number != PADDING]


def parse(words):
    """Returns (step, distance, depth, attractors, target) of each target verb, from its words.

    A noun is a subject if its "the" begins the sentence, ends its opening or follows "that".
    """
    open_subjects, found = [], []
    for step, word in enumerate(words):
        if word in lexicon.NUMBERS:
            the = step - 1
            while words[the] != "the":
                the -= 1
            if the == 0 or words[the - 1] in ("that", ","):
                open_subjects.append(step)
        elif word.startswith("["):
            depth = len(open_subjects)
            subject = open_subjects.pop()
            answer = lexicon.NUMBERS[words[subject]]
            between = [lexicon.NUMBERS.get(w, answer) for w in words[subject:step]]
            found.append((step, step - subject, depth, between.count(1 - answer), answer))
    assert open_subjects == []
    return found


class TestExamples:
    def test_targets_are_those_of_an_independent_parser(self, task):
        for split in splits(task):
            assert split.inputs.dtype == split.targets.dtype == np.int32
            assert split.target_mask.dtype == np.float32
            assert split.inputs.shape == split.targets.shape == split.target_mask.shape
            for row, inputs in enumerate(split.inputs):
                parsed = parse(words_of(task, inputs))
                assert np.flatnonzero(split.target_mask[row]).tolist() == [
                    step for step, *_ in parsed
                ]
                assert np.flatnonzero(split.targets[row]).tolist() == [
                    step for step, *_, answer in parsed if answer
                ]
                assert set(split.target_mask[row]) == {0, 1}

    def test_target_verbs_are_those_of_an_independent_parser(self, task):
        questions = task.test_verbs
        parsed = [
            (row, *question)
            for row, inputs in enumerate(task.test.inputs)
            for question in parse(words_of(task, inputs))
        ]
        names = ("sentence", "step", "distance", "depth", "attractors", "target")
        found = zip(*(getattr(questions, name) for name in names), strict=True)
        assert list(found) == parsed

    def test_distances_depths_and_attractors_match_the_options(self, task):
        options, questions = task.options, task.test_verbs
        outermost = questions.distance[questions.depth == 1]
        assert len(outermost) == len(task.test)
        assert outermost.min() >= options.distance.min
        assert outermost.max() <= options.distance.max
        assert questions.depth.max() == options.depth.max
        if options.attractors is not None:
            assert (questions.attractors == options.attractors).all()

    def test_verbs_of_inner_subjects_come_first(self, loaded):
        task = loaded(**NESTED)
        for row in range(len(task.test)):
            depths = task.test_verbs.depth[task.test_verbs.sentence == row]
            assert depths.tolist() == list(range(len(depths), 0, -1))

    def test_splits_have_their_sizes_and_share_no_sentence(self, task):
        assert [len(split) for split in splits(task)] == [400, 200, 600]
        texts = [" ".join(words_of(task, row)) for split in splits(task) for row in split.inputs]
        assert len(set(texts)) == 1200

    def test_held_out_words_occur_only_in_the_test_split(self, task):
        numbers = Agreement.encode(sorted(task.held_out_words))
        assert len(numbers) > 0
        for split in (task.training, task.validation):
            assert not np.isin(split.inputs, numbers).any()
        held_out = np.isin(task.test.inputs, numbers).any(axis=1)
        questions = task.test_verbs
        np.testing.assert_array_equal(questions.held_out, held_out[questions.sentence])
        assert 0.4 < held_out.mean() <= 0.5


@pytest.fixture(scope="module", params=["default", "nested", "attractors"])
def many(request, loaded):
    """The task with enough sentences to detect small differences."""
    return loaded(**VARIANTS[request.param], test_examples=8000, train_examples=1)


class TestNothingRevealsTheTarget:
    """Over many sentences, for the outermost and the innermost verb."""

    @pytest.fixture(params=["outermost", "innermost"])
    def questions(self, request, many):
        """Rows, steps and targets of one verb per sentence, and sentences without its subject."""
        found = many.test_verbs
        first = np.r_[True, found.sentence[1:] != found.sentence[:-1]]
        chosen = np.flatnonzero(first if request.param == "innermost" else found.depth == 1)
        inputs = many.test.inputs.copy()
        inputs[found.sentence[chosen], (found.step - found.distance)[chosen]] = PADDING
        return inputs, found.target[chosen], many

    def test_targets_are_balanced(self, questions):
        _, answers, _ = questions
        assert abs(answers.mean() - 0.5) < 4 * 0.5 / math.sqrt(len(answers))

    def test_every_word_is_equally_frequent_with_either_target(self, questions):
        inputs, answers, task = questions
        has = bag_of_words(inputs, len(task.vocabulary)) > 0
        count, share = has.sum(axis=0), answers.mean()
        often = count > 30
        assert often.sum() > 400
        surplus = has[answers == 1].sum(axis=0) - share * count
        deviation = np.sqrt(share * (1 - share) * count)
        assert np.max(np.abs(surplus[often]) / deviation[often]) < 4.5

    def test_a_bag_of_words_is_at_chance_without_the_subject(self, questions):
        inputs, answers, task = questions
        assert abs(accuracy_of_regression(inputs, answers, len(task.vocabulary)) - 0.5) < 0.03

    def test_the_same_bag_with_the_subject_is_not(self, many):
        outermost = many.test_verbs.depth == 1
        answers = many.test_verbs.target[outermost]
        accuracy = accuracy_of_regression(many.test.inputs, answers, len(many.vocabulary))
        assert accuracy > 0.6

    def test_length_is_independent_of_the_target(self, questions):
        inputs, answers, _ = questions
        lengths = np.count_nonzero(inputs, axis=1)
        difference = lengths[answers == 0].mean() - lengths[answers == 1].mean()
        assert abs(difference) < 4 * lengths.std() * 2 / math.sqrt(len(lengths))


def bag_of_words(inputs, size):
    bags = np.stack([np.bincount(row, minlength=size) for row in inputs])
    bags[:, PADDING] = 0
    return bags


def accuracy_of_regression(inputs, answers, size):
    """The accuracy of ridge regression, fitted to the first half, on the second half."""
    bags = np.c_[bag_of_words(inputs, size), np.ones(len(inputs))].astype(float)
    half = len(bags) // 2
    known, signs = bags[:half], 2 * answers[:half] - 1
    weights = np.linalg.solve(known.T @ known + 10 * np.eye(size + 1), known.T @ signs)
    return np.mean((bags[half:] @ weights > 0) == answers[half:])


class TestReproducibility:
    def test_fingerprint_is_the_same_in_every_process(self, loaded):
        program = (
            "from unrolled.tasks.agreement.task import Agreement\n"
            f"task = Agreement(**{FEW | NESTED})\n"
            "task.load(); print(task.fingerprint)"
        )
        # The words alone are compared between two hash seeds in test_grammar, without TensorFlow.
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == loaded(**NESTED).fingerprint

    @pytest.mark.parametrize(
        "option", [{"data_seed": 1}, {"held_out": 0}, {"noun_filler": 0.4}, {"train_examples": 401}]
    )
    def test_another_option_has_another_fingerprint(self, loaded, option):
        assert loaded(**option).fingerprint != loaded().fingerprint


class Scores:
    """A model that predicts every step by a rule: words -> number at each step."""

    def __init__(self, task, rule):
        self._task, self._rule = task, rule

    def predict_on_batch(self, inputs):
        scores = np.zeros((*inputs.shape, 2))
        for row, numbers in enumerate(inputs):
            for step, answer in enumerate(self._rule(words_of(self._task, numbers))):
                scores[row, step, answer] = 1
        return scores


def truth(words):
    answers = [0] * len(words)
    for step, *_, answer in parse(words):
        answers[step] = answer
    return answers


def first_noun(words):
    numbers = [lexicon.NUMBERS[word] for word in words if word in lexicon.NUMBERS]
    return [numbers[0]] * len(words)


def last_noun(words):
    answers = [0]
    for word in words:
        answers.append(lexicon.NUMBERS.get(word, answers[-1]))
    return answers[1:]


def wrong_far_away(words):
    """Correct up to a distance of 8."""
    answers = truth(words)
    for step, distance, *_, answer in parse(words):
        answers[step] = answer if distance <= 8 else 1 - answer
    return answers


class TestReport:
    def test_the_true_targets_have_accuracy_1(self, task):
        report = task.evaluate(Scores(task, truth))
        for name in ("accuracy", "accuracy_seen_words", "accuracy_held_out_words"):
            assert report.metrics[name] == 1
        for name, points in report.breakdowns.items():
            everywhere = name == BY_DEPTH
            counted = task.test.target_mask.sum() if everywhere else len(task.test)
            assert {point.value for point in points} == {1}
            assert sum(point.count for point in points) == counted
            assert points == sorted(points, key=lambda point: point.at)

    @pytest.mark.parametrize("rule", [first_noun, last_noun])
    def test_following_one_noun_is_a_baseline(self, task, rule):
        metrics = task.evaluate(Scores(task, rule)).metrics
        assert metrics["accuracy"] == pytest.approx(metrics[f"baseline_{rule.__name__}"])

    def test_majority_is_counted_over_all_nouns_before_the_verb(self, task):
        right = []
        for inputs in task.test.inputs:
            words = words_of(task, inputs)
            for step, *_, answer in parse(words):
                numbers = [lexicon.NUMBERS[w] for w in words[:step] if w in lexicon.NUMBERS]
                plurals = sum(numbers) / len(numbers)
                right.append(0.5 if plurals == 0.5 else (plurals > 0.5) == answer)
        metrics = task.evaluate(Scores(task, truth)).metrics
        assert metrics["baseline_majority"] == pytest.approx(np.mean(right))

    def test_baselines_do_not_solve_the_task(self, loaded):
        far = loaded(**VARIANTS["far"]).evaluate(Scores(loaded(), last_noun)).metrics
        assert 0.4 < far["baseline_last_noun"] < 0.6
        assert 0.5 < far["baseline_majority"] < 0.7
        for options in ({}, NESTED):
            metrics = loaded(**options).evaluate(Scores(loaded(), last_noun)).metrics
            assert metrics["baseline_first_noun"] < 0.8
            assert metrics["baseline_last_noun"] < 0.65
            assert metrics["baseline_majority"] < 0.8

    def test_accuracy_by_distance(self, loaded):
        task = loaded()
        report = task.evaluate(Scores(task, wrong_far_away))
        points = report.breakdowns[BY_DISTANCE]
        assert [point.at for point in points] == [2.5 + 4 * number for number in range(10)]
        assert [point.value for point in points] == [1, 1] + [0] * 8
        distances = task.test_verbs.distance
        assert points[1].count == np.sum((distances > 4) & (distances <= 8))

    @pytest.mark.parametrize(
        ("distance", "middles"),
        [
            ({"min": 7, "max": 7}, [7]),
            ({"min": 1, "max": 10}, range(1, 11)),
            ({"min": 5, "max": 15}, [5.5, 7.5, 9.5, 11.5, 13.5, 15]),
        ],
    )
    def test_bins_of_distance(self, loaded, distance, middles):
        task = loaded(distance=distance)
        points = task.evaluate(Scores(task, truth)).breakdowns[BY_DISTANCE]
        assert [point.at for point in points] == list(middles)

    def test_distances_are_those_of_outermost_verbs(self, loaded):
        task = loaded(**NESTED)
        points = task.evaluate(Scores(task, truth)).breakdowns[BY_DISTANCE]
        least, most = NESTED["distance"]["min"], NESTED["distance"]["max"]
        assert points[0].at >= least
        assert points[-1].at <= most
        assert sum(point.count for point in points) == len(task.test)

    def test_accuracy_by_attractors_and_by_depth(self, loaded):
        task = loaded(**NESTED)
        questions = task.test_verbs
        report = task.evaluate(Scores(task, last_noun))
        correct = questions.last_noun == questions.target
        outermost, everywhere = questions.depth == 1, questions.depth >= 1
        for name, values, among in (
            (BY_ATTRACTORS, np.minimum(questions.attractors, 5), outermost),
            (BY_DEPTH, questions.depth, everywhere),
        ):
            points = report.breakdowns[name]
            assert [point.at for point in points] == sorted(set(values[among]))
            for point in points:
                these = among & (values == point.at)
                assert point.count == np.sum(these)
                assert point.value == pytest.approx(correct[these].mean())
        assert report.breakdowns[BY_ATTRACTORS][-1].at == 5

    def test_accuracies_of_seen_and_held_out_words(self, loaded):
        task = loaded()

        def wrong_on_held_out(words):
            mistaken = bool(task.held_out_words & set(words))
            return [answer ^ mistaken for answer in truth(words)]

        metrics = task.evaluate(Scores(task, wrong_on_held_out)).metrics
        assert metrics["accuracy_seen_words"] == 1
        assert metrics["accuracy_held_out_words"] == 0
        assert metrics["accuracy"] == pytest.approx(1 - task.test_verbs.held_out.mean())

    def test_without_held_out_words_their_accuracies_are_absent(self, loaded):
        task = loaded(held_out=0)
        metrics = task.evaluate(Scores(task, truth)).metrics
        assert [name for name in metrics if "words" in name] == []


class TestText:
    def test_encode(self, loaded):
        words = ["the", "cat", ",", "which", "slept", ",", "[be]", "full"]
        numbers = loaded().encode(words)
        assert numbers.dtype == np.int32
        assert words_of(loaded(), numbers) == words

    def test_encode_an_empty_sequence(self):
        assert Agreement.encode([]).shape == (0,)

    def test_encode_names_unknown_words(self):
        with pytest.raises(ValueError, match=r"got \['platypus', 'was'\] among them"):
            Agreement.encode(["the", "platypus", "was", "full"])

    @pytest.mark.parametrize(
        ("answer", "text"),
        [(0, "the cats that slept [was] full"), (1, "the cats that slept [were] full")],
    )
    def test_render(self, answer, text):
        words = Agreement.encode(["the", "cats", "that", "slept", "[be]", "full"])
        answers = np.array([0, 0, 0, 0, answer, 0])
        assert Agreement.render(words, answers) == text
        assert Agreement.render(np.pad(words, (0, 3)), np.pad(answers, (0, 3))) == text

    def test_every_test_sentence_can_be_read(self, task):
        for inputs, targets in zip(task.test.inputs, task.test.targets, strict=True):
            text = Agreement.render(inputs, targets)
            assert text.count("[") == len(parse(words_of(task, inputs)))


def test_vocabulary(loaded):
    task = loaded()
    assert task.vocabulary[PADDING] == "<PAD>"
    assert len(set(task.vocabulary)) == len(task.vocabulary)
    assert task.vocabulary == loaded(**NESTED, data_seed=7).vocabulary


def test_touches_no_data_before_load():
    assert not hasattr(Agreement(), "training")


def test_invalid_options_raise_at_once():
    with pytest.raises(ValueError, match=r"`distance.min`: expected at least 5 with depth.max=2"):
        Agreement(depth={"max": 2})


def test_configuration_states_every_option():
    path = PROJECT / "conf" / "task" / "agreement.yaml"
    stated = OmegaConf.to_container(OmegaConf.load(path).task)
    known = asdict(Options())
    assert set(stated) - {"name", "_target_"} == set(known)
    for group in ("distance", "depth"):
        assert set(stated[group]) == set(known[group])
    Options(**{key: stated[key] for key in known if not key.endswith("_examples")})
