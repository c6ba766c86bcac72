"""The comparison of runs whose metrics are made up."""

import dataclasses
import json
import math

import matplotlib.image
import mlflow
import numpy as np
import pytest

from experiments.compare import main
from tests.comparison.made_up import MSE, tags
from unrolled import tracking
from unrolled.comparison import figures
from unrolled.comparison.comparison import compare
from unrolled.comparison.runs import baseline_tags
from unrolled.tasks.base.metric import Metric, accuracy, cross_entropy
from unrolled.tasks.base.task import Breakdown, Point, Report

BY_DEPTH = Breakdown("accuracy", "depth", of_metric=True)

pytestmark = pytest.mark.usefixtures("store")


def keep_run(parent, variant, seed, metric, validation, test, breakdowns, params=None):
    """A run of as many epochs of 1,000 examples as there are values of `validation`."""
    of_run = tags(variant, seed=seed)
    with tracking.TrackedRun("e", f"{variant} {seed}", of_run, params or {}, parent.run_id) as run:
        epochs = range(1, len(validation) + 1)
        series = {
            f"validation/{metric.key}": validation,
            "examples_seen": [1000 * epoch for epoch in epochs],
            "seconds": [2 * epoch for epoch in epochs],
            "seconds_per_epoch": [2] * len(validation),
        }
        run.log_series({k: list(zip(epochs, v, strict=True)) for k, v in series.items()})
        run.log_metrics({f"test/{metric.key}": test, "parameters": 1234})
        broken_down = {
            each: [Point(at, value, 5) for at, value in enumerate(values)]
            for each, values in breakdowns.items()
        }
        run.log_report(Report({metric.key: test}, broken_down).as_data(metric))


def compared(*runs):
    """The table by column, the numbers on the parent run, and the names of its pictures."""
    parent = tracking.start_sweep("e", "made up", {})
    for run in runs:
        keep_run(parent, *run)
    parent.finish()
    compare(parent.run_id)
    client = mlflow.MlflowClient()
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{parent.run_id}/comparison.json"))
    columns = dict(zip(table["columns"], zip(*table["data"], strict=True), strict=True))
    folder = mlflow.artifacts.download_artifacts(run_id=parent.run_id)
    names = [a.path for a in client.list_artifacts(parent.run_id) if a.path.endswith(".png")]
    pictures = {name: matplotlib.image.imread(f"{folder}/{name}") for name in names}
    assert all(picture[..., :3].std() > 0.05 for picture in pictures.values())
    return columns, client.get_run(parent.run_id).data.metrics, set(names)


def test_where_low_is_good_the_worst_run_is_the_highest_and_learning_goes_down(capsys):
    lag = {Breakdown("MSE", "lag in steps", of_metric=True): [0.1, 0.2]}
    columns, metrics, pictures = compared(
        ("gru", 1, MSE, [0.2, 0.012, 0.01, 0.02], 0.004, lag),
        ("gru", 2, MSE, [0.009, 0.2, 0.2, 0.2], 0.002, lag),
        ("lstm", 1, MSE, [0.2, 0.009, 0.1, 0.1], 0.005, lag),
        ("lstm", 2, MSE, [0.2, 0.1, 0.1, 0.1], 0.1666, lag),
        ("simple_rnn", 1, MSE, [0.2, 0.9, 0.2, 0.2], 0.1666, lag),
    )
    assert columns["variant"] == ("gru", "lstm", "simple_rnn")
    assert columns["test/mse"] == ("0.00300 ± 0.00141", "0.0858 ± 0.114", "0.167")
    assert columns["worst"] == ("0.00400 of 2", "0.167 of 2", "0.167 of 1")
    assert columns["to_solve/0.01"] == ("2.0 ± 1.4 k", "in 1 of 2", "never")
    assert metrics["test/mse/gru/mean"] == pytest.approx(0.003)
    assert pictures == {
        *("learning_by_examples_seen.png", "learning_by_seconds.png"),
        "MSE_by_lag_in_steps.png",
    }
    shown = " ".join(capsys.readouterr().out.split())
    assert "test MSE" in shown
    assert "To 0.01: training examples, in thousands, seen until the metric" in shown
    assert "Context used" not in shown


def test_a_table_says_how_far_back_language_models_look(capsys):
    metric = dataclasses.replace(cross_entropy(chance_level=3.0, solved=0.1), solved=None)
    parent = tracking.start_sweep("e", "context", {})
    for seed, context in ((1, 20), (2, 50)):
        keep_run(parent, "gru", seed, metric, [2.0, 1.5], 1.5, {})
        [run] = (
            run for run in tracking.read_sweep(parent.run_id).runs if run.name == f"gru {seed}"
        )
        tracking.RunWriter(run.run_id).log_metrics({"test/context": context})
    compare(parent.run_id)
    shown = " ".join(capsys.readouterr().out.split())
    assert "20, 50" in shown
    assert "the fewest tokens, of 1, 2, 5, 10, 20, 50, 100, 200," in shown
    assert "To " not in shown


def test_points_of_doubling_distance_stand_evenly():
    values = np.array([[3.0, 2.0, 1.5, 1.4, 1.3]])
    even = figures.with_bands(
        [figures.Curve("gru", np.array([0, 2, 5, 10, 20]), values)], "", "", ""
    )
    axes = even.axes[0]
    shown = [axes.transData.transform((x, 1))[0] for x in (2, 5, 10, 20)]
    gaps = np.diff(shown)
    assert gaps.max() < 1.6 * gaps.min()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2", "5", "10", "20"]
    plain = figures.with_bands([figures.Curve("gru", np.arange(1, 6), values)], "", "", "")
    assert plain.axes[0].get_xscale() == "linear"


def test_where_high_is_good_it_is_the_other_way_round():
    metric = accuracy(classes=2, solved=0.9)
    columns, _, _ = compared(
        ("gru", 1, metric, [0.5, 0.9], 0.95, {}),
        ("gru", 2, metric, [0.91, 0.5], 0.85, {}),
    )
    assert columns["test/accuracy"] == ("0.900 ± 0.071",)
    assert columns["worst"] == ("0.850 of 2",)
    assert columns["to_solve/fraction 0.9"] == ("1.5 ± 0.7 k",)


def test_tasks_with_metrics_of_their_own_share_a_table_but_no_picture():
    runs = [
        ("gru task=agreement", 1, accuracy(2, 0.9), [0.5, 0.9], 0.95, {BY_DEPTH: [0.9]}),
        ("gru task=adding", 1, MSE, [0.2, 0.1], 0.1, {}),
        *[
            (f"gru T={T}", 1, cross_entropy(10 / (T + 20), 1 / (T + 20)), [0.5, 0.01], 0.01, {})
            for T in (20, 80)
        ],
    ]
    columns, _, pictures = compared(*runs)
    assert columns["test/accuracy"] == ("0.950", "", "", "")
    assert columns["test/mse"] == ("", "0.100", "", "")
    assert columns["test/cross_entropy"] == ("", "", "0.0100", "0.0100")
    assert columns["to_solve/0.025"] == ("", "", "2.0 k", "")
    assert columns["to_solve/0.01"] == ("", "never", "", "2.0 k")
    assert pictures == {
        f"learning_by_{cost}_{key}.png"
        for cost in ("examples_seen", "seconds")
        for key in ("accuracy", "mse", "cross_entropy")
    } | {"accuracy_by_depth.png"}


PERPLEXITY = Metric("perplexity", "perplexity", 50.0, None, higher_is_better=False)
NATS = Metric("nats", "nats", 3.0, None, higher_is_better=False, logarithmic=True)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("metric", [PERPLEXITY, NATS], ids=lambda metric: metric.name)
def test_an_infinite_metric_is_said_to_be_infinite(metric, capsys):
    parent = tracking.start_sweep("e", "overflowing", baseline_tags(["lstm"]))
    for seed in (1, 2, 3):
        test = math.inf if seed == 2 else 2.0
        by = {Breakdown(metric.name, "place", of_metric=True): [2.0, test]}
        keep_run(parent, "gru", seed, metric, [0.5, 0.5], test, by)
        keep_run(parent, "lstm", seed, metric, [0.5, 0.5], 2 + seed / 10, by)
    compare(parent.run_id)
    shown = " ".join(capsys.readouterr().out.split())
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{parent.run_id}/comparison.json"))
    assert table["data"][0][3:5] == ["inf", "inf of 3"]
    assert "The test metric is infinite for gru (1 of 3 runs)." in shown
    assert "lstm is best" in shown
    assert "is inconclusive (1 infinite)" in shown
    metrics = tracking.read_run(parent.run_id).metrics
    assert metrics[f"test/{metric.key}/gru/mean"] == math.inf
    assert f"test/{metric.key}/gru/sd" not in metrics


def test_a_metric_that_is_not_a_number_is_left_out_by_name(capsys):
    parent = tracking.start_sweep("e", "no numbers", {})
    keep_run(parent, "gru", 1, MSE, [0.2], math.nan, {})
    keep_run(parent, "lstm", 1, MSE, [0.2], 0.1, {})
    compare(parent.run_id)
    assert "gru 1: its test MSE is not a number" in " ".join(capsys.readouterr().out.split())


def test_runs_that_diverged_are_counted():
    parent = tracking.start_sweep("e", "exploding", {})
    for variant, diverged in (("gru", 1), ("lstm", 0), ("simple_rnn", 2)):
        if variant != "simple_rnn":
            keep_run(parent, variant, 1, MSE, [0.2, 0.1], 0.1, {})
        for seed in [*range(2, 2 + diverged), *range(2, 2 + diverged)]:  # Resumed once.
            of_run = tags(variant, seed=seed)
            run = tracking.TrackedRun("e", f"{variant} {seed}", of_run, {}, parent.run_id)
            run.fail("training step 7", tracking.Failure.DIVERGED)
    compare(parent.run_id)
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{parent.run_id}/comparison.json"))
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["data"]}
    assert {name: row["diverged"] for name, row in rows.items()} == {
        **{"gru": "1 of 2", "lstm": "0 of 1", "simple_rnn": "2 of 2"}
    }
    assert rows["simple_rnn"]["test/mse"] == ""
    note = mlflow.MlflowClient().get_run(parent.run_id).data.tags["mlflow.note.content"]
    assert "training step 7" in note


def test_more_variants_than_colors_are_drawn_apart_by_what_they_have_in_common():
    cells = ("simple_rnn", "gru", "lstm", "lstm_peephole")
    _, _, pictures = compared(
        *((f"{cell} T={T}", 1, MSE, [0.2, 0.1], 0.1, {}) for cell in cells for T in (50, 100))
    )
    assert pictures == {
        f"learning_by_{cost}_T={T}.png" for cost in ("examples_seen", "seconds") for T in (50, 100)
    }


def test_runs_of_an_earlier_version_are_left_out_with_the_reason(capsys):
    parent = tracking.start_sweep("e", "earlier", {})
    with tracking.TrackedRun("e", "gru 1", {"variant": "gru"}, {}, parent.run_id) as run:
        run.log_report({"metrics": {"accuracy": 0.9}, "breakdowns": {}})
    keep_run(parent, "lstm", 1, MSE, [0.2, 0.009], 0.005, {})
    compare(parent.run_id)
    shown = capsys.readouterr().out
    assert "lstm" in shown
    assert "gru 1: report.json does not name the metric" in shown
    assert "Run the sweep again" in shown


def test_with_a_baseline_there_are_differences_a_forest_and_a_verdict(capsys):
    parent = tracking.start_sweep("e", "with a baseline", baseline_tags(["lstm"]))
    for variant, values in (("lstm", (0.01, 0.012, 0.009)), ("gru", (0.001, 0.0012, 0.0009))):
        for seed, value in enumerate(values):
            keep_run(parent, variant, seed, MSE, [0.2, value], value, {})
    compare(parent.run_id)
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{parent.run_id}/differences.json"))
    (row,) = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert (row["variant"], row["baseline"], row["outcome"]) == ("gru", "lstm", "better")
    assert row["difference"] == pytest.approx(-1)
    assert row["low"] < -1 < row["high"] < 0
    folder = mlflow.artifacts.download_artifacts(run_id=parent.run_id)
    assert matplotlib.image.imread(f"{folder}/forest.png")[..., :3].std() > 0.05
    note = mlflow.MlflowClient().get_run(parent.run_id).data.tags["mlflow.note.content"]
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("gru is best", "log10 MSE", "-1.000", "solved (test MSE"):
        assert words in note
        assert words in shown
    assert "| gru | lstm | 3 : 3 | -1.000 |" in note


def baselines_kept(run_id):
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{run_id}/differences.json"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    return {row["variant"]: row["baseline"] for row in rows}


def test_a_sweep_is_compared_again_with_other_baselines(capsys, monkeypatch):
    parent = tracking.start_sweep("e", "of before", baseline_tags(["lstm"]))
    units = {"lstm": "LSTM", "lstm_coupled": "LSTM", "gru": "GRU", "gru_minimal": "GRU"}
    for number, (variant, unit) in enumerate(units.items(), 1):
        for seed in range(3):
            error = number / 100 + seed / 1000
            params = {"cell._target_": f"unrolled.layers.{unit}"}
            keep_run(parent, variant, seed, MSE, [0.2, error], error, {}, params)
    parent.finish()
    assert main([parent.run_id]) == 0
    assert baselines_kept(parent.run_id) == dict.fromkeys(list(units)[1:], "lstm")
    for wrong in ("baseline=[lstm,gruu]", "baseline=[lstm,lstm_coupled]", "seed=1"):
        assert main([parent.run_id, wrong]) == 2
    assert set(baselines_kept(parent.run_id).values()) == {"lstm"}
    monkeypatch.setenv("MAKE_OVERRIDES", "baseline=[lstm,gru]")
    assert main(["--from-make", parent.run_id]) == 0
    by_family = {"lstm_coupled": "lstm", "gru": "lstm", "gru_minimal": "gru"}
    assert baselines_kept(parent.run_id) == by_family
    assert "against the baseline gru" in " ".join(capsys.readouterr().out.split())
    compare(parent.run_id)  # It keeps them.
    assert baselines_kept(parent.run_id) == by_family


def test_of_several_baselines_one_that_never_ended_well_is_named(capsys):
    parent = tracking.start_sweep("e", "without one", baseline_tags(["lstm", "gru"]))
    for variant, unit in (("lstm", "LSTM"), ("lstm_coupled", "LSTM"), ("gru_minimal", "GRU")):
        for seed in range(2):
            params = {"cell._target_": f"unrolled.layers.{unit}"}
            keep_run(parent, variant, seed, MSE, [0.2, 0.1], 0.1 + seed, {}, params)
    run = tracking.TrackedRun(
        "e", "gru 1", tags("gru"), {"cell._target_": "unrolled.layers.GRU"}, parent.run_id
    )
    run.fail("training step 7")
    compare(parent.run_id)
    assert baselines_kept(parent.run_id) == {"lstm_coupled": "lstm"}
    said = " ".join(capsys.readouterr().out.split())
    assert "Nothing is compared with gru, of which no run succeeded." in said


def test_a_baseline_that_never_ran_is_said_to_be_missing(capsys):
    parent = tracking.start_sweep("e", "without its baseline", baseline_tags(["lstm"]))
    keep_run(parent, "gru", 1, MSE, [0.2, 0.1], 0.1, {})
    compare(parent.run_id)
    said = " ".join(capsys.readouterr().out.split())
    assert "runs that succeeded of the baseline lstm and of a variant" in said
    kept = {artifact.path for artifact in mlflow.MlflowClient().list_artifacts(parent.run_id)}
    assert "comparison.json" in kept
    assert not kept & {"differences.json", "forest.png"}


def test_a_sweep_that_an_earlier_version_tracked_is_compared(capsys):
    """One without settings, kinds of failures and keys of metrics and breakdowns."""
    metric = {name: value for name, value in dataclasses.asdict(MSE).items() if name != "key"}
    parent = tracking.start_sweep("e", "of before", {"baseline": "lstm"})
    for variant, error in (("lstm T=5", 0.01), ("gru T=5", 0.001), ("gru T=9", 0.002)):
        for seed in (1, 2, 3):
            of_run = {"variant": variant, "cell": variant.split()[0], "seed": seed}
            name = f"{variant} seed={seed}"
            with tracking.TrackedRun("e", name, of_run, {}, parent.run_id) as run:
                found = error * (1 + seed / 10)
                series = {"validation/mse": [(1, 0.2), (2, found)], "seconds": [(1, 1), (2, 2)]}
                series |= {"examples_seen": [(1, 10), (2, 20)], "seconds_per_epoch": [(1, 1)] * 2}
                run.log_series(series)
                run.log_metrics({"test/mse": found, "parameters": 12})
                points = [{"at": 1, "value": found, "count": 5}, {"at": 2, "value": 1, "count": 5}]
                report = {"metric": metric, "metrics": {"mse": found}, "judged": {}}
                run.log_report({**report, "breakdowns": {"MSE by lag": points}})
    of_run = {"variant": "gru T=9", "cell": "gru", "seed": 4}
    run = tracking.TrackedRun("e", "gru T=9 seed=4", of_run, {}, parent.run_id)
    run.set_tags({"error": "DivergedError: training step 7"})
    mlflow.MlflowClient().set_terminated(run.run_id, "FAILED")
    parent.finish()
    compare(parent.run_id)
    assert baselines_kept(parent.run_id) == {"gru T=5": "lstm T=5"}
    said = " ".join(capsys.readouterr().out.split())
    assert "T=5: gru T=5 is best" in said
    assert "1 of 10 runs diverged: gru T=9 (1 of 4)." in said
    kept = {artifact.path for artifact in mlflow.MlflowClient().list_artifacts(parent.run_id)}
    assert {"MSE_by_lag.png", "forest.png"} <= kept
