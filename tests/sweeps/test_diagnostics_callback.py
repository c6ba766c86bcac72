"""Runs that are looked into while they train."""

import json

import matplotlib.image
import mlflow
import numpy as np
import pytest

from tests.whole_runs import composed, connect, untraced
from unrolled import tracking
from unrolled.comparison.comparison import compare
from unrolled.diagnostics import DivergedError, FlowMeter, GateMeter, decay
from unrolled.sweeps import diagnostics_callback
from unrolled.sweeps.building import build, load_task
from unrolled.sweeps.plan import make_plan
from unrolled.sweeps.run import run
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.training import compile_model

SMALL = [
    "budget=quick",
    "budget.train_examples=128",
    "budget.evaluation_examples=40",
    "model.units=6",
    "training.batch_size=32",
    "diagnostics=gradients",
    "diagnostics.measurements=4",
    "diagnostics.examples=8",
]
ADDING = ["task=adding", "task.T=8"]
AGREEMENT = [
    "task=agreement",
    "task.distance.min=1",
    "task.depth.max=1",
    "task.distance.max=6",
    "model.embedding=5",
]


pytestmark = pytest.mark.usefixtures("store")


def configuration(*overrides):
    return composed(*SMALL, *overrides)


@pytest.fixture(scope="module")
def swept(shared_store):
    """A store with a sweep, the id of its parent run, and what its runs found."""
    with shared_store() as (folder, uri), untraced():
        parent = tracking.start_sweep("flows", "flows", {})
        sweep = Sweep("flows", parent.run_id, ["cell", "seed"])
        found = {}
        for cell, seed in (("simple_rnn", 1), ("lstm", 1), ("lstm", 2)):
            config = configuration(*ADDING, f"cell={cell}", f"seed={seed}")
            found[cell, seed] = run(config, folder / f"{cell}{seed}", sweep)
        parent.finish()
    return uri, parent.run_id, found


@pytest.fixture
def sweep(store, swept, monkeypatch):  # noqa: ARG001  (that store gives way to this one)
    """The sweep's id, and what its runs found by cell and seed."""
    connect(swept[0], monkeypatch)
    return swept[1:]


LSTM = [*AGREEMENT, "cell=lstm", "diagnostics.losses=[late,own]", "training.clip_norm=1e-6"]


@pytest.fixture(scope="module")
def twice(shared_store):
    """A store with the same run, measured and not measured, and what these found."""
    with shared_store() as (folder, uri):
        measured = run(configuration(*LSTM), folder / "measured")
        left_alone = run(configuration(*LSTM, "diagnostics.measurements=0"), folder / "alone")
    return uri, measured, left_alone


@pytest.fixture
def measured_and_not(store, twice, monkeypatch):  # noqa: ARG001  (as above)
    """What the same run found, measured and not measured."""
    connect(twice[0], monkeypatch)
    return twice[1:]


def report_of(run_id):
    return json.loads(mlflow.artifacts.load_text(f"runs:/{run_id}/report.json"))


def artifacts_of(run_id):
    return {artifact.path for artifact in mlflow.MlflowClient().list_artifacts(run_id)}


def history_of(run_id, metric):
    return {m.step: m.value for m in mlflow.MlflowClient().get_metric_history(run_id, metric)}


def test_a_run_is_measured_before_during_and_after_training(measured_and_not):
    config, (found, _) = configuration(*LSTM), measured_and_not
    looked = report_of(found.run_id)["diagnosis"]
    assert [measured["step"] for measured in looked["measured"]] == [0, 1, 3, 8]
    assert 0 < looked["fraction_of_time"] < 1
    task, model = load_task(config), build(config, load_task(config))
    compile_model(model, task, config.training)
    model.load_weights(found.model_file)
    batch = task.validation.first(8).batch(np.arange(8))
    flows = FlowMeter(model).measure(*batch, loss="late")
    assert [flow.state for flow in flows] == ["a", "c"]
    for flow, kept in zip(flows, looked["kept"]["flows"], strict=False):
        curve = flow.by_lag()
        np.testing.assert_allclose(kept["log10_mean"], curve.log10_mean, rtol=1e-9)
        assert kept["memory"] == decay(curve.at, curve.log10_mean).memory
        assert (kept["state"], kept["loss"]) == (flow.state, "late")
    (gates,) = GateMeter(model).measure(batch[0])
    for gate, use in looked["kept"]["gates"][0]["gates"].items():
        values = gates.values[gate][gates.mask]
        assert use["mean"] == pytest.approx(values.mean())
        assert use["shut"] == pytest.approx((values < 0.1).mean())
        assert sum(use["histogram"]) == pytest.approx(1)
    memory = history_of(found.run_id, "flow/recurrent_1/forward/c/own/memory")
    assert list(memory) == [0, 1, 3, 8]
    explodes = history_of(found.run_id, "flow/recurrent_1/forward/c/late/explodes")
    assert explodes == {each["step"]: 0.0 for each in looked["measured"]}
    assert {"gates.png", "gate_trace.png"} <= artifacts_of(found.run_id)


def test_the_trace_of_an_example_is_that_of_its_memory():
    config = configuration(*ADDING, "cell=lstm_gate_recurrence")  # c, and more states after it.
    task, model = load_task(config), build(config, load_task(config))
    compile_model(model, task, config.training)
    looking = diagnostics_callback.Diagnosis(model, task, config.diagnostics, 1, None)
    number, *_ = looking.longest()
    batch = task.validation.first(8).batch(np.arange(8))
    states = {flow.state: flow for flow in FlowMeter(model).measure(*batch, loss="late")}
    assert list(states)[:2] == ["a", "c"]
    norms = looking.norms(number, looking.gates()[0])
    np.testing.assert_allclose(norms, states["c"].log10_norms[number])


def test_looking_into_a_run_changes_nothing_of_it(measured_and_not):
    looked_into, left_alone = measured_and_not
    assert "diagnosis" in report_of(looked_into.run_id)
    assert looked_into.metrics == left_alone.metrics
    assert looked_into.history["train/loss"] == left_alone.history["train/loss"]
    assert "diagnosis" not in report_of(left_alone.run_id)


def test_every_run_keeps_the_norms_of_gradients_and_the_share_of_clipped_steps(measured_and_not):
    _, found = measured_and_not  # Norms before clipping: all are above the norm that is clipped to.
    assert found.history["clipped_steps"] == [1.0, 1.0]
    norms = [v for k, v in found.history.items() if k.startswith("gradient_norm/recurrent_1/")]
    assert len(norms) == 3  # kernel, recurrent kernel, bias
    assert np.all(np.array(norms) > 1e-6)
    assert found.history["gradient_norm/largest"] >= found.history["gradient_norm/all"]


def test_no_metric_is_the_folder_of_another(sweep):
    for found in sweep[1].values():
        names = set(tracking.read_run(found.run_id).metrics)
        folders = {name.rpartition("/")[0] for name in names}
        assert len(names) > 20
        assert not names & folders


def test_a_run_that_explodes_is_failed_with_step_weight_and_norm(tmp_path):
    config = configuration(*ADDING, "diagnostics.measurements=0", "training.explosion=1e-3")
    with pytest.raises(DivergedError, match="training step 1: the gradient of"):
        run(config, tmp_path / "run")
    (failed,) = mlflow.MlflowClient().search_runs(
        [mlflow.get_experiment_by_name("single_runs").experiment_id]
    )
    assert failed.info.status == "FAILED"
    assert failed.data.tags["diverged_at_step"] == "1"
    assert failed.data.tags["diverged_weight"].endswith(("kernel", "bias"))
    assert float(failed.data.tags["diverged_norm"]) > 1e-3
    assert "training step 1" in failed.data.tags["error"]


def test_a_unit_without_gates_has_flows_alone(sweep):
    found = sweep[1]["simple_rnn", 1]
    looked = report_of(found.run_id)["diagnosis"]
    assert looked["kept"]["gates"] == []
    assert [flow["state"] for flow in looked["kept"]["flows"]] == ["a"]
    assert "gate_trace.png" not in artifacts_of(found.run_id)


def test_a_model_that_no_gradient_reaches_has_no_memory():
    lags = np.arange(3)
    curve = type("Curve", (), {"at": lags, "log10_mean": np.full(3, -np.inf)})
    assert diagnostics_callback._decay_of(curve).memory == 0


def test_a_sweep_compares_how_far_gradients_reach(sweep, capsys):
    run_id, _ = sweep
    compare(run_id)
    said = " ".join(capsys.readouterr().out.split())
    assert "memory (steps)" in said
    assert "Memory: of the trained model" in said
    pictures = {
        *(f"gradient_flow_{when}_training.png" for when in ("before", "through", "after")),
        "success_by_memory.png",
        "half_life_by_gates.png",
    }
    assert pictures <= artifacts_of(run_id)
    folder = mlflow.artifacts.download_artifacts(run_id=run_id)
    for name in pictures:
        assert matplotlib.image.imread(f"{folder}/{name}")[..., :3].std() > 0.05


@pytest.mark.parametrize(
    ("training", "clipping"),
    [
        ("adam", {"global_clipnorm": 1.0, "clipvalue": None}),
        ("sgd", {"global_clipnorm": 1.0, "clipvalue": None}),
        ("sgd_unclipped", {"global_clipnorm": None, "clipvalue": None}),
        ("sgd_norm_01", {"global_clipnorm": 0.1, "clipvalue": None}),
        ("sgd_norm_10", {"global_clipnorm": 10.0, "clipvalue": None}),
        ("sgd_value_01", {"global_clipnorm": None, "clipvalue": 0.1}),
        ("sgd_value_1", {"global_clipnorm": None, "clipvalue": 1.0}),
    ],
)
def test_a_training_is_the_optimizer_that_its_name_says(training, clipping):
    (config,) = make_plan([f"training={training}", "task=adding"]).configurations
    task = load_task(config)
    model = build(config, task)
    compile_model(model, task, config.training)
    assert type(model.optimizer).__name__.lower() == training.partition("_")[0]
    assert {name: getattr(model.optimizer, name) for name in clipping} == clipping


def test_an_experiment_can_take_its_sweep_from_the_budget():
    lags = {
        budget: make_plan(["experiment=vanishing_gradients", f"budget={budget}"]).axes["task.T"]
        for budget in ("default", "full")
    }
    assert lags == {"default": ["50", "100"], "full": ["50", "100", "200"]}
