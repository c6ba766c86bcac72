"""Trained models, found by the id of a run."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.console.printable import reason_of
from unrolled.console.refusals import RefusedError
from unrolled.console.terminal import quiet_start, say

LATEST = "latest"
MODEL_FILE = "model.keras"
DIGESTS = "model_files"
"""The tag of a run with the SHA-256 of each file of its model, as JSON. It is in the database and
not beside the files, so files that were damaged or exchanged do not bring one of their own."""


@dataclass(frozen=True)
class Kind:
    """A kind of model that can be asked.

    Attributes:
        model: as in conf/model.
        called: for people, with its article.
        train: a command that trains one.
        kept: the file beside it that says how texts become numbers.
        read: makes of that file's content and the Keras model what a program needs; raises
            ValueError, or any error that a file of another form causes, if they do not belong
            together.
    """

    model: str
    called: str
    train: str
    kept: str
    read: Callable[[dict, Any], Any]


@dataclass(frozen=True)
class Trained:
    """A model of a run.

    Attributes:
        name: what the run is called, and in which task.
        model: the Keras model of its best epoch.
        reads: what `Kind.read` made of the file beside it.
    """

    name: str
    model: Any
    reads: Any


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
        from unrolled import (
            models,  # noqa: F401
            tracking,
        )
    try:
        tracking.connect()
        run = _run(run_id, kind, tracking)
    except tracking.TrackingError as error:
        raise RefusedError(str(error)) from error
    try:
        folder = Path(tracking.files_of(run.run_id, "model"))
        model, reads = read_model(folder, kind, run.tags)
    except Exception as error:  # Damaged files make Keras, HDF5 and zipfile raise many kinds.
        raise RefusedError(
            f"run={run_id}: the model of {run.name} cannot be read ({reason_of(error)}). Its files "
            "may be deleted, damaged, or of another run or version of this project; it was saved "
            f"at commit {run.tags.get('git_commit', 'unknown')}. Train it again, or name another "
            "run."
        ) from error
    return Trained(f"{run.name} ({run.tags['task']}, run {run.run_id})", model, reads)


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """The tag `DIGESTS` of the files of a model, by name."""
    found = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {DIGESTS: json.dumps(found)}


def read_model(folder: Path, kind: Kind, tags: Mapping[str, str]) -> tuple[Any, Any]:
    """The model in a folder, not compiled, and what `kind.read` makes of the file beside it.

    Args:
        folder: with the files of a model.
        kind: of model.
        tags: of the run that saved it. Runs of older versions have no `DIGESTS`; of their files
            only the sizes are compared.

    Raises:
        ValueError: if a file is not as the run saved it, or the two do not fit.
        Exception: whatever reading a damaged file causes.
    """
    import keras

    from unrolled import (
        layers,  # noqa: F401  (for Keras to know them)
        models,  # noqa: F401
    )

    for name, expected in json.loads(tags.get(DIGESTS, "{}")).items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{name} is not the file that the run has saved")
    kept = json.loads((folder / kind.kept).read_text())
    model = keras.saving.load_model(folder / MODEL_FILE, compile=False)
    return model, kind.read(kept, model)


def require_same(sizes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse a model that takes or gives other numbers than the file beside it makes.

    Args:
        sizes: what is compared, by its name: the model's size, and the file's.

    Raises:
        ValueError: for the first that differ.
    """
    for name, (of_model, of_file) in sizes.items():
        if of_model != of_file:
            raise ValueError(f"the model has {of_model} {name}, the file beside it {of_file}")


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
    from unrolled.tasks.base.metric import Metric

    found = [
        run
        for run in sweep.runs
        if run.status == "FINISHED" and run.tags.get("model") == kind.model
    ]
    if not found:
        raise RefusedError(f"run={run_id}: no run of the sweep {sweep.name!r} is {kind.called}.")

    def merit(run):
        try:
            metric = Metric(**run.report["metric"])
            values = run.series[f"validation/{metric.key}"]
        except (KeyError, TypeError) as error:  # TypeError also for no report at all.
            raise RefusedError(
                f"run={run_id}: expected of each run of the sweep {sweep.name!r} a report and its "
                f"metric in validation, got none that can be read of {run.name} "
                f"({reason_of(error)}). Name the run whose model to take: run=<its id>."
            ) from error
        return max(metric.merit(value) for _, value in values)

    return max(found, key=merit)
