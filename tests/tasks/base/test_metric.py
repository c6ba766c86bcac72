"""Metrics: which value is better, which solves a task, and how values are formatted."""

import keras
import numpy as np
import pytest

from unrolled.tasks.agreement.task import Agreement
from unrolled.tasks.base.metric import Metric, accuracy, cross_entropy, mean_squared_error
from unrolled.tasks.base.task import Report, Task

ACCURACY = accuracy(classes=4, solved=0.9)
MSE = mean_squared_error(chance_level=1 / 6, solved=0.01)


def test_better_is_higher_for_an_accuracy_and_lower_for_an_error():
    values = [0.2, 0.9, 0.5]
    assert max(values, key=ACCURACY.merit) == ACCURACY.worst([0.9, 0.95]) == 0.9
    assert max(values, key=MSE.merit) == MSE.worst([0.1, 0.2]) == 0.2
    assert [ACCURACY.is_solved(value) for value in (0.89, 0.9, 0.91)] == [False, True, True]
    assert [MSE.is_solved(value) for value in (0.011, 0.01, 0.009)] == [False, True, True]


def test_the_chance_level_of_an_accuracy_is_one_over_the_classes():
    assert ACCURACY.chance_level == 0.25


def test_values_are_formatted_with_enough_digits():
    assert [ACCURACY.text(value) for value in (0.5, 0.98765)] == ["0.500", "0.988"]
    assert [MSE.text(value) for value in (1 / 6, 0.0027, 0.00012345)] == [
        *("0.167", "0.00270", "0.000123")
    ]
    perplexity = Metric("perplexity", "perplexity", 600.0, None, higher_is_better=False)
    assert [perplexity.text(value) for value in (102.63, 99.96, 8.12345, 1234.5, 2e8)] == [
        *("102.6", "100", "8.12", "1234.5", "2.00e+08")
    ]
    assert (ACCURACY.solved_text, MSE.solved_text) == ("90%", "0.01")


def test_keys_and_labels():
    metric = cross_entropy(chance_level=1.0, solved=0.1)
    assert (metric.name, metric.key) == ("cross-entropy", "cross_entropy")
    assert metric.label == "cross-entropy (nats per step)"
    assert (MSE.key, MSE.label) == ("mse", "MSE")


class Asked(Task):
    """A task without data."""

    name = "asked"
    per_step = False

    def __init__(self, classes, metric):
        self.classes, self.metric = classes, metric

    def load(self):
        pass

    def evaluate(self, model):  # noqa: ARG002
        return Report({})


@pytest.mark.parametrize(
    ("task", "expected", "metric"),
    [
        (Asked(None, MSE), (0.5**2 + 1.0**2) / 2, (0.5**2 + 1.0**2) / 2),
        (Asked(2, ACCURACY), np.log(1 + np.exp([-1.0, 2.0])).mean(), 0.5),
        (Asked(2, cross_entropy(1, 0.1)), *[np.log(1 + np.exp([-1.0, 2.0])).mean()] * 2),
    ],
    ids=["number", "classes", "cross-entropy"],
)
def test_loss_and_metric_are_those_of_the_answers(task, expected, metric):
    if task.classes is None:
        targets, answers = np.array([0.5, 1.5], np.float32), np.array([[0.0], [2.5]])
    else:
        targets, answers = np.array([0, 1]), np.array([[1.0, 0.0], [2.0, 0.0]])
    assert float(task.loss()(targets, answers)) == pytest.approx(expected, rel=1e-5)
    [followed] = task.keras_metrics()
    followed.update_state(targets, answers)
    assert followed.name == task.metric.key
    assert float(followed.result()) == pytest.approx(metric, rel=1e-5)


def test_the_metric_of_agreement():
    task = Agreement()
    assert isinstance(task.keras_metrics()[0], keras.metrics.SparseCategoricalAccuracy)
    assert (task.metric.key, task.metric.chance_level, task.metric.solved) == ("accuracy", 0.5, 0.9)
