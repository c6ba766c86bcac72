"""Deleted runs and experiments are reported with the command that restores them."""

import mlflow
import pytest

from experiments import __main__ as program
from experiments import resume
from experiments.compare import main as compare
from unrolled import tracking
from unrolled.sweeps import execution, interruption

pytestmark = pytest.mark.usefixtures("store")


def deleted_sweep():
    with tracking.start_sweep("e", "sweep", {}, {"arguments": ["seed=1"]}) as parent:
        pass
    mlflow.MlflowClient().delete_run(parent.run_id)
    return parent


def test_a_deleted_sweep_is_reported_with_the_command_that_restores_it(store, capsys):
    parent = deleted_sweep()
    assert compare([parent.run_id]) == 2
    told = capsys.readouterr().err
    restore = f"MLFLOW_TRACKING_URI={store} .venv/bin/mlflow runs restore --run-id {parent.run_id}"
    assert f"The run 'sweep' ({parent.run_id}) was deleted. Restore it: {restore};" in told
    assert resume.main([parent.run_id]) == 2
    assert restore in capsys.readouterr().err
    with pytest.raises(tracking.DeletedError):
        tracking.read_run(parent.run_id)
    mlflow.MlflowClient().restore_run(parent.run_id)
    assert tracking.read_sweep(parent.run_id).status == "FINISHED"


def test_a_deleted_experiment_is_reported_with_the_command_that_restores_it(store):
    with tracking.start_sweep("e", "sweep", {}) as parent:
        pass
    mlflow.MlflowClient().delete_experiment(parent.experiment_id)
    restore = f"experiments restore -x {parent.experiment_id}"
    with pytest.raises(tracking.DeletedError, match=f"deleted with the experiment 'e'.*{restore}"):
        tracking.read_sweep(parent.run_id)
    for use in (tracking.check_experiment, lambda name: tracking.TrackedRun(name, "n")):
        with pytest.raises(tracking.DeletedError, match=f"'e' was deleted.*{store}.*{restore}"):
            use("e")
    tracking.check_experiment("another")


def test_a_sweep_with_the_name_of_a_deleted_experiment_raises(monkeypatch, tmp_path, capsys):
    with tracking.start_sweep("gru_vs_lstm", "sweep") as parent:
        pass
    mlflow.MlflowClient().delete_experiment(parent.experiment_id)
    monkeypatch.setattr(interruption, "watch", lambda: None)
    monkeypatch.setattr(execution, "_check_by_building", lambda _: pytest.fail("built"))
    asked = ["experiment=gru_vs_lstm", "task=adding", f"hydra.sweep.dir={tmp_path}/out"]
    assert program.main(asked) == 2
    assert f"experiments restore -x {parent.experiment_id}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_run_is_not_reported_as_deleted():
    with pytest.raises(tracking.NoSuchRunError, match="There is no run '0000'") as raised:
        tracking.read_sweep("0000")
    assert not isinstance(raised.value, tracking.DeletedError)
