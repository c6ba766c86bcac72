"""The stage that finds each variant's own value of a key, before the sweep."""

import json

import mlflow
import pytest
from omegaconf import OmegaConf

from tests.comparison.made_up import ACCURACY, MSE, record
from unrolled import tracking
from unrolled.comparison import search
from unrolled.comparison.halving import Asked, Halving
from unrolled.comparison.sections import columns_of
from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION
from unrolled.sweeps.plan import make_plan
from unrolled.sweeps.sweep import Sweep

KEY = "training.learning_rate"


def asked(**changes):
    section = {"key": KEY, "values": "[0.001,0.01]", "seeds": "[101,102]", **changes}
    return "search={" + ",".join(f"{k}:{v}" for k, v in section.items() if v is not None) + "}"


AXES = ["cell=gru,lstm", "seed=1,2,3"]
REFUSED = [
    ([asked(seeds=None)], "search: expected key, values and seeds, or null"),
    ([asked(sedes="[1]")], "search: expected key, values and seeds, or null"),
    (["search=yes_please"], "search: "),
    ([asked(values="[0.1]")], "search.values: expected two different values at least"),
    ([asked(values="[0.1,0.1]")], "search.values: expected two different"),
    ([asked(values="0.1")], "search.values: expected two different"),
    (
        [asked(values="[0.1,-1]")],
        "training.learning_rate: expected a number greater than 0, got -1",
    ),
    ([asked(values="[0.1,fast]")], "training.learning_rate: expected a number"),
    ([asked(seeds="[]")], "search.seeds: expected integers"),
    ([asked(seeds="[a]")], "search.seeds: expected integers"),
    ([asked(seeds="[101,3]")], "search.seeds: 3 would be judged by what they chose"),
    ([asked(key="training.learning_rat")], "search.key: There is no value .* Did you mean tra"),
    ([asked(key="training")], "search.key: There is no value 'training'"),
    ([asked(key="seed")], "search.key: expected a value with which a variant learns better or"),
    ([asked(), f"{KEY}=0.1,0.2"], f"search.key: {KEY} is set or swept as well"),
    ([asked(), f"{KEY}=0.1"], f"search.key: {KEY} is set or swept as well"),
    ([f"{asked()},null"], "search: expected one search"),
    *(
        ([asked(halving=wrong)], f"search.halving: expected an integer of at least 2, .* {shown}")
        for wrong, shown in ((1, "1"), (0, "0"), (2.5, "2.5"), ("many", "'many'"), (True, "true"))
    ),
    (
        [asked(halving=2), "budget.epochs=4,8"],
        "search.halving: expected one value of budget.epochs, .* got 4, 8. Set budget.epochs=",
    ),
    (
        [asked(halving=2, key="budget.epochs", values="[4,9]")],
        "search.halving: expected one value of budget.epochs, .* got 4, 9.* Set budget.epochs=",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=str)
def test_a_search_that_cannot_be_made_is_refused(arguments, message):
    with pytest.raises(RefusedError, match=message):
        make_plan([*AXES, *arguments])


def test_a_search_has_every_variant_with_every_value_and_seed():
    plan = make_plan(["task=adding", "task.T=5,6", *AXES, asked()])
    assert (plan.runs, plan.search_runs) == (12, 4 * 2 * 2)
    assert plan.search.overrides == [f"{KEY}=0.001,0.01", "seed=101,102"]
    assert {config.training.learning_rate for config in plan.configurations} == {0.001, 0.01}
    assert make_plan([*AXES]).search_runs == 0


def test_a_search_with_halving_has_the_same_rounds_for_every_variant():
    plan = make_plan([*AXES, asked(values="[0.001,0.003,0.01]", halving=3), "budget.epochs=9"])
    assert plan.search.halving == Halving(3, [3, 9])
    assert plan.search_runs == 2 * 3 * 2
    # Of each variant and seed three values are trained for 3 epochs, and one for 6 more.
    assert plan.trained_runs == pytest.approx(plan.runs + 2 * 2 * (3 * 3 + 6) / 9)
    whole = make_plan([*AXES, asked(halving="null")])
    assert (whole.search.halving, whole.trained_runs) == (None, whole.runs + whole.search_runs)


def test_halving_with_too_few_epochs_is_one_round_and_with_few_values_two():
    assert make_plan([*AXES, asked(halving=3), "budget.epochs=2"]).search.halving.rungs == [2]
    assert make_plan([*AXES, asked(halving=3), "budget.epochs=9"]).search.halving.rungs == [3, 9]


def test_an_experiment_in_the_package_is_searched_with_halving():
    plan = make_plan(["experiment=gate_variants", "search.halving=3"])
    assert plan.search.halving == Halving(3, [3, 7, 20])
    assert make_plan(["experiment=gate_variants"]).search.halving is None


@pytest.fixture
def experiment_file():
    path = CONFIGURATION / "experiment" / "of_a_search.yaml"
    path.write_text(
        "# @package _global_\n"
        "by_budget:\n  quick: {values: [0.1, 0.2], seeds: [7]}\n"
        "  default: {values: [0.1, 0.2, 0.3], seeds: [7, 8]}\n"
        f"search:\n  key: {KEY}\n"
        "  values: ${by_budget.${budget.name}.values}\n  seeds: ${by_budget.${budget.name}.seeds}\n"
        "hydra: {sweeper: {params: {cell: 'gru,lstm', seed: '1,2'}}}\n"
    )
    yield "experiment=of_a_search"
    path.unlink()


def test_an_experiment_file_asks_for_a_search_that_the_command_line_changes(experiment_file):
    assert make_plan([experiment_file]).search_runs == 12
    assert make_plan([experiment_file, "budget=quick"]).search_runs == 4
    plan = make_plan([experiment_file, "search.values=[0.5,0.6]", "search.seeds=[9]"])
    assert (plan.search.values, plan.search.seeds) == ([0.5, 0.6], [9])
    assert make_plan([experiment_file, "search=null", f"{KEY}=0.5"]).search is None
    with pytest.raises(RefusedError, match=r"no value 'search.value'\. Did you mean search.values"):
        make_plan([experiment_file, "search.value=[1,2]"])


def searched(*values, seeds=(101, 102), halving=None):
    """A search for the best of these values."""
    return Asked(KEY, values, seeds, halving)


def tried(variant, value, curve, metric=MSE, status="FINISHED", losses=None):
    """A run of the search with this metric and these losses after each epoch."""
    run = record(variant, 0.5, metric)
    run.tags["stage"] = "search"
    run.params[KEY] = str(value)
    run.series["validation/loss"] = list(enumerate(losses or [0.5] * len(curve)))
    run.series[f"validation/{metric.key}"] = list(enumerate(curve))
    return run if status == "FINISHED" else type(run)(**{**vars(run), "status": status})


def test_the_best_mean_of_the_best_epochs_is_chosen():
    for metric, best in ((MSE, 0.01), (ACCURACY, 0.1)):
        runs = [
            tried("gru", 0.001, [0.5, 0.3], metric),
            tried("gru", 0.001, [0.5, 0.3], metric),
            tried("gru", 0.01, [0.5, 0.1, 0.9], metric),
            tried("gru", 0.01, [0.4, 0.2, 0.4], metric),
            tried("gru", 0.1, [0.8, 0.7], metric),
            tried("gru", 0.1, [0.8, 0.7], metric),
            record("gru", 0.0),
        ]
        (choice,) = search.choices(runs, searched(0.001, 0.01, 0.1))
        assert choice.value == best
        assert choice.trials[1].mean == pytest.approx(0.15 if metric is MSE else 0.65)
        assert choice.at_the_edge == (best == 0.1)
        assert bool(search.sentences([choice], KEY)) == choice.at_the_edge
    assert search.chosen([choice]) == [({"cell": "gru"}, 0.1)]


def test_of_equal_accuracies_that_of_the_lower_loss_is_chosen():
    runs = [
        tried("gru", 0.001, [1.0, 0.9, 1.0], ACCURACY, losses=[0.3, 0.001, 0.2]),
        tried("gru", 0.01, [0.9, 1.0], ACCURACY, losses=[0.01, 0.1]),
        tried("gru", 0.1, [1.0, 1.0], ACCURACY, losses=[0.15, 0.4]),
    ]
    for values in ([0.001, 0.01, 0.1], [0.1, 0.01, 0.001]):
        (choice,) = search.choices(runs, searched(*values))
        assert choice.value == 0.01
        assert {t.value: t.loss for t in choice.trials} == {0.001: 0.2, 0.01: 0.1, 0.1: 0.15}
    assert "ties are broken by the lowest loss" in search.caption([choice], searched(*values))


def test_a_run_that_failed_counts_as_worst():
    runs = [
        tried("gru", 0.001, [0.16]),
        tried("gru", 0.001, [0.15]),
        tried("gru", 0.01, [0.0001]),
        tried("gru", 0.01, [], status="FAILED"),
        tried("lstm", 0.001, [], status="FAILED"),
        tried("lstm", 0.01, [], status="FAILED"),
    ]
    for run in runs[3:]:
        run.tags[tracking.FAILURE] = tracking.Failure.DIVERGED
    gru, lstm = search.choices(runs, searched(0.001, 0.01))
    assert gru.value == 0.001
    assert lstm.value is None
    assert search.chosen([gru, lstm]) == [({"cell": "gru"}, 0.001)]
    columns = columns_of(search.table([gru, lstm], searched(0.001, 0.01)))
    assert columns["learning_rate=0.01"] == ["0.000100, 1 failed", "1 failed"]
    assert columns["chosen"] == ["0.001", "its own: all failed"]


@pytest.mark.parametrize("failure", ["interrupted", "error"])
def test_a_run_that_was_stopped_counts_for_nothing_and_the_search_is_said_to_be_cut(failure):
    stopped = tried("gru", 0.01, [], status="FAILED")
    stopped.tags[tracking.FAILURE] = failure
    runs = [tried("gru", 0.001, [0.16]), tried("gru", 0.01, [0.1]), tried("gru", 0.001, [0.16])]
    (choice,) = search.choices([*runs, stopped], searched(0.001, 0.01))
    assert [(trial.runs, trial.failed) for trial in choice.trials] == [(2, 0), (1, 0)]
    assert "stopped before its end for gru" in search.sentences([choice], KEY)[0]


def test_a_run_gets_the_value_of_its_variant_and_no_other_does():
    sweep = Sweep("e", None, ["cell", "seed"], KEY, None, [({"cell": "gru"}, 0.5)])
    gru, lstm = make_plan(AXES[:1]).configurations
    assert sweep.tuned(gru).training.learning_rate == 0.5
    assert gru.training.learning_rate != 0.5
    assert sweep.tuned(lstm) is lstm


@pytest.mark.usefixtures("store", "untraced")
def test_a_sweep_in_two_stages_runs_every_variant_at_its_own_value(main, tmp_path, capsys):
    small = ["experiment=gru_vs_lstm", "task=adding", "task.T=5", "budget=quick", "model.units=4"]
    small += ["budget.train_examples=64", "budget.evaluation_examples=32", "budget.epochs=1"]
    small += [
        "cell=simple_rnn,gru",
        "seed=1",
        "training.clip_norm=null",
        "jobs=1",
        f"hydra.sweep.dir={tmp_path}/outputs",
    ]
    search_for = asked(values="[3e38,0.003]", seeds="[101]")
    assert main(*small, search_for) == 0
    said, wrong = capsys.readouterr()
    said = " ".join(said.split())
    assert wrong == ""
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert len(sweep.runs) == 6
    main = [run for run in sweep.runs if run.tags.get("stage") != "search"]
    assert [run.name for run in main] == ["simple_rnn seed=1", "gru seed=1"]
    rows = json.loads(mlflow.artifacts.load_text(f"runs:/{sweep.run_id}/search.json"))
    rows = [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]]
    assert [(r["variant"], r["failed"]) for r in rows if r["value"] > 1] == [
        ("simple_rnn", 1),
        ("gru", 1),
    ]
    for variant in ("simple_rnn", "gru"):
        means = {r["value"]: r["mean"] for r in rows if r["variant"] == variant and r["runs"]}
        best = min(means, key=means.get)
        assert [r["value"] for r in rows if r["variant"] == variant and r["kept"]] == [best]
        for run in main:
            if run.tags["variant"] == variant:
                assert run.params[KEY] == str(best)
                text = mlflow.artifacts.load_text(f"runs:/{run.run_id}/configuration.yaml")
                assert OmegaConf.create(text).training.learning_rate == best
    for number, run in enumerate(main):
        kept = OmegaConf.load(tmp_path / "outputs" / str(number) / "configuration" / "config.yaml")
        assert str(kept.training.learning_rate) == run.params[KEY]
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{sweep.run_id}/comparison.json"))
    assert [row[0] for row in table["data"]] == ["simple_rnn", "gru"]
    assert all(row[table["columns"].index("worst")].endswith("of 1") for row in table["data"])
    assert "4 more before them choose training.learning_rate" in said
    assert "gru learning_rate=0.003 seed=101" in said
    assert "The search for training.learning_rate" in said
    note = mlflow.MlflowClient().get_run(sweep.run_id).data.tags["mlflow.note.content"]
    assert "its own: all failed" not in note
    assert "1 failed" in note
