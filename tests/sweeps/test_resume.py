"""What was computed is not lost: a run, and a sweep, go on after the last epoch that was done."""

import keras
import mlflow
import pytest

from experiments import resume
from tests.whole_runs import composed
from unrolled import tracking
from unrolled.sweeps import sample_callback
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.run import run
from unrolled.sweeps.state_files import StateError
from unrolled.sweeps.sweep import Sweep

TINY = [
    "task=pydoc_char",
    "cell=gru",
    "model.units=8",
    "model.dropout=0.3",
    "training.batch_size=8",
    "training.window=10",
    "task.train_tokens=1000",
    "task.evaluation_tokens=1000",
    "budget.epochs=3",
]
FEW = ["model.units=4", "budget.train_examples=200", "budget.evaluation_examples=60"]


pytestmark = pytest.mark.usefixtures("store")


class _StoppedError(Exception):
    pass


def _interrupted(config, directory, monkeypatch, epochs=2):
    save = Checkpoint.save

    def stopping(self, model, epoch, states):
        save(self, model, epoch, states)
        if epoch == epochs:
            raise _StoppedError

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", stopping)
        with pytest.raises(_StoppedError):
            run(config, directory)


@pytest.mark.parametrize(
    "overrides",
    [
        [
            *TINY,
            *("diagnostics=gradients", "diagnostics.measurements=3", "diagnostics.examples=2"),
            *("training.schedule=constant", "training.decay=0.5", "training.gain=0.9"),
        ],
        [
            *("task=agreement", "task.distance.min=1", "task.distance.max=6", "task.depth.max=1"),
            *("cell=simple_rnn", "budget.epochs=3", *FEW),
        ],
        [
            *("task=adding", "task.T=10", "cell=simple_rnn", "budget.epochs=3", *FEW),
            "training.schedule=cosine",
        ],
    ],
    ids=["language model", "examples", "fresh examples"],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(overrides, tmp_path, monkeypatch):
    monkeypatch.setattr(sample_callback, "LENGTH", 30)  # characters after each epoch
    config = composed(*overrides)
    whole = run(config, tmp_path / "whole")
    _interrupted(config, tmp_path / "resumed", monkeypatch)
    resumed = run(config, tmp_path / "resumed")
    for name, values in whole.history.items():
        if "seconds" not in name:
            assert resumed.history[name] == pytest.approx(values, rel=1e-4), name
    assert resumed.metrics == pytest.approx(whole.metrics, rel=1e-4)
    assert resumed.best_epoch == whole.best_epoch
    # It went on in the same run and left nothing behind.
    tracked = mlflow.MlflowClient().get_run(resumed.run_id)
    assert tracked.info.status == "FINISHED"
    assert "error" not in tracked.data.tags
    losses = mlflow.MlflowClient().get_metric_history(resumed.run_id, "validation/loss")
    assert [metric.step for metric in losses] == list(range(1, config.budget.epochs + 1))
    assert not list((tmp_path / "resumed").glob("*.weights.h5"))


@pytest.mark.usefixtures("untraced")
def test_another_configuration_is_no_continuation(tmp_path, monkeypatch):
    tiny = ["task=adding", "task.T=6", "cell=gru", "model.units=2", "budget.train_examples=40"]
    tiny += ["budget.evaluation_examples=40", "budget.epochs=2"]
    _interrupted(composed(*tiny), tmp_path / "run", monkeypatch, epochs=1)
    with pytest.raises(StateError, match=r"configuration: seed was 1, is 2. .* Put that back"):
        run(composed(*tiny, "seed=2"), tmp_path / "run")


def test_a_checkpoint_half_written_leaves_the_one_before(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    checkpoint = Checkpoint(tmp_path, "1234")
    checkpoint.save(model, 1, [])
    (tmp_path / "epoch_2.weights.h5").write_bytes(b"half of it")
    assert checkpoint.restore(model) == (1, [])


@pytest.mark.usefixtures("untraced")
def test_of_a_sweep_s_runs_one_that_was_deleted_is_run_anew(main, tmp_path):
    arguments = ["task=adding", "task.T=6", "cell=simple_rnn", "seed=1,2", "budget.epochs=1", *FEW]
    arguments += ["jobs=1"]
    assert main(*arguments, f"hydra.sweep.dir={tmp_path}/sweep") == 0
    before = tracking.read_sweep(tracking.latest_sweep())
    first, second = before.runs
    client = mlflow.MlflowClient()
    client.delete_run(first.run_id)
    assert main(before.run_id, of=resume) == 0
    after = tracking.read_sweep(before.run_id)
    assert [run.name for run in after.runs] == [second.name, first.name]
    kept, new = after.runs
    assert kept == second
    assert new.run_id != first.run_id
    assert new.status == "FINISHED"
    assert new.metrics["test/mse"] == first.metrics["test/mse"]
    assert main(before.run_id, of=resume) == 2  # Now all of it is there.


@pytest.mark.usefixtures("untraced")
def test_progress_of_another_sweep_is_left_alone(tmp_path):
    config = composed("task=adding", "task.T=6", "cell=gru", "budget.epochs=1", *FEW)
    result = run(config, tmp_path / "run")
    with pytest.raises(StateError, match=r"another sweep \(parent run None; this one is other"):
        run(config, tmp_path / "run", Sweep("e", "other"))
    assert result.model_file.exists()
    assert len(mlflow.search_runs(search_all_experiments=True, output_format="list")) == 1
