"""Runs that earlier versions tracked are read as if this one had."""

import doctest
import json

import pytest

from unrolled.tracking import BASELINES, FAILURE, SETTINGS, Failure, earlier


def test_settings_and_baselines_are_read_from_the_names_that_stand_for_them():
    run = earlier.updated_tags({"variant": "lstm T=50"})
    assert json.loads(run[SETTINGS]) == {"cell": "lstm", "T": "50"}
    sweep = earlier.updated_tags({"baseline": "lstm losses=['late', 'own'],gru"})
    assert json.loads(sweep[BASELINES]) == ["lstm losses=['late', 'own']", "gru"]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ("DivergedError: training step 3: the gradient of ...", Failure.DIVERGED),
        ("FloatingPointError: loss is nan after epoch 1", Failure.DIVERGED),
        ("KeyboardInterrupt: ", Failure.ERROR),
        ("OSError: [Errno 28] No space left on device", Failure.ERROR),
    ],
)
def test_the_kind_of_a_failure_is_read_from_its_message(error, failure):
    assert earlier.updated_tags({"error": error})[FAILURE] == failure


def test_what_this_version_wrote_stays():
    tags = {
        **{"variant": "an other name", "baseline": "x", "error": "DivergedError: no"},
        **{SETTINGS: '{"cell": "gru"}', BASELINES: '["gru"]', FAILURE: "interrupted"},
    }
    assert earlier.updated_tags(tags) == tags
    report = {"metric": {"key": "f1", "name": "F-score"}, "breakdowns": [{"what": "F1"}]}
    assert earlier.updated_report(report) == report
    assert earlier.updated_report(None) is None


def test_a_report_gets_the_current_names_of_the_attributes_of_a_metric():
    before = {"key": "f1", "name": "F1", "guessing": 0.0, "learnt": 0.8, "share": True}
    now = {"key": "f1", "name": "F1", "chance_level": 0.0, "solved": 0.8, "is_fraction": True}
    report = {"metric": before, "breakdowns": [{"what": "F1", "metric": before}]}
    found = earlier.updated_report(report)
    assert found == {"metric": now, "breakdowns": [{"what": "F1", "metric": now}]}


def test_a_report_gets_its_keys_and_metrics_from_names():
    names, points = {"name": "F1", "chance_level": 0.5}, [{"at": 1, "value": 0.5, "count": 2}]
    report = {
        "metric": {"name": "cross-entropy", "chance_level": 3.0},
        "metrics": {"cross_entropy": 1.0},
        "breakdowns": {
            "cross-entropy by rank": points,
            "loss by step": points,
            "accuracy at names by distance": points,
        },
        "judged": {"accuracy at names by distance": names},
    }
    found = earlier.updated_report(report)
    task = {"key": "cross_entropy", **report["metric"]}
    assert found["metric"] == task
    assert found["breakdowns"] == [
        {"what": "cross-entropy", "by": "rank", "metric": task, "points": points},
        {"what": "loss", "by": "step", "metric": None, "points": points},
        {
            **{"what": "accuracy at names", "by": "distance", "points": points},
            "metric": {"key": "f1", **names},
        },
    ]


def test_docstrings():
    assert doctest.testmod(earlier).failed == 0
