"""Trained models, found by the id of a run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.checks import RefusedError
from experiments.terminal import quiet_start, say

LATEST = "latest"


@dataclass(frozen=True)
class Kind:
    """A kind of model that can be asked.

    Attributes:
        model: as in conf/model.
        called: for people, with its article.
        train: a command that trains one.
        kept: the file beside it that says how texts become numbers.
    """

    model: str
    called: str
    train: str
    kept: str


@dataclass(frozen=True)
class Trained:
    """A model of a run.

    Attributes:
        name: what the run is called, and in which task.
        model: the Keras model of its best epoch.
        kept: content of the file that the kind keeps beside it.
    """

    name: str
    model: Any
    kept: dict


def load_trained(run_id: str, kind: Kind) -> Trained:
    """The model of a run, or of the best run of a sweep by its metric in validation.

    Args:
        run_id: of a run or of a sweep's parent; "latest" for the run that started last of those
            that have left such a model.
        kind: of model.

    Raises:
        RefusedError: if there is no such run, or it has left no such model.
    """
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import keras

        import layers  # noqa: F401  (for Keras to know them)
        import models  # noqa: F401
        import tracking
    try:
        tracking.connect()
        run = _run(run_id, kind, tracking)
    except tracking.TrackingError as error:
        raise RefusedError(str(error)) from error
    try:
        folder = Path(tracking.files_of(run.run_id, "model"))
        kept = json.loads((folder / kind.kept).read_text())
        model = keras.saving.load_model(folder / "model.keras", compile=False)
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"run={run_id}: the model of {run.name} cannot be read ({error}). Were its files in "
            "mlruns deleted? Train it again, or name another run."
        ) from error
    return Trained(f"{run.name} ({run.tags['task']}, run {run.run_id})", model, kept)


def _run(run_id, kind, tracking):
    if run_id == LATEST:
        found = tracking.latest_run({"model": kind.model})
        if found is None:
            raise RefusedError(
                f"run=latest: there is not {kind.called} yet; train one, for example: {kind.train}"
            )
        return found
    try:
        run = tracking.read_run(run_id)
    except tracking.NoSuchRunError as error:
        raise RefusedError(f"run={run_id}: {error}") from error
    if run.tags.get("role") == "sweep":
        return _best(tracking.read_sweep(run_id), run_id, kind)
    if run.tags.get("model") != kind.model:
        raise RefusedError(
            f"run={run_id}: expected {kind.called}, and {run.name!r} learnt "
            f"{run.tags.get('task', 'something else')}. Those there are: make ui, or run=latest."
        )
    if run.status != "FINISHED":
        raise RefusedError(
            f"run={run_id}: {run.name!r} is {run.status} and has left no model. "
            f"{run.tags.get('error', '')}".strip()
        )
    return run


def _best(sweep, run_id, kind):
    from tasks.metric import Metric

    found = [
        run
        for run in sweep.runs
        if run.status == "FINISHED" and run.tags.get("model") == kind.model
    ]
    if not found:
        raise RefusedError(f"run={run_id}: no run of the sweep {sweep.name!r} is {kind.called}.")

    def merit(run):
        metric = Metric(**run.report["metric"])
        values = run.series[f"validation/{metric.key}"]
        return max(metric.merit(value) for _, value in values)

    return max(found, key=merit)
