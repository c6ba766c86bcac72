"""Loads trained models by the id of a run."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from unrolled.console.printable import reason_of
from unrolled.console.refusals import RefusedError
from unrolled.console.terminal import quiet_start, say

LATEST = "latest"
MODEL_FILE = "model.keras"
DIGESTS = "model_files"
"""The tag of a run with the SHA-256 digest of each file of its model, as JSON. It is stored in the
database, not beside the files, so that it detects damaged or replaced files."""


@dataclass(frozen=True)
class Kind:
    """A kind of model that can be loaded.

    Attributes:
        model: as in conf/model.
        label: display name, with its article.
        train: a command that trains one.
        file: the JSON file beside the model that defines its preprocessing.
        load: creates the preprocessing from the content of that file and the Keras model; raises
            ValueError, or any error due to an invalid file, if they do not match.
    """

    model: str
    label: str
    train: str
    file: str
    load: Callable[[dict, Any], Any]


@dataclass(frozen=True)
class Trained:
    """The model of a run.

    Attributes:
        name: name of the run, and its task.
        model: the Keras model of the best epoch.
        preprocessing: the result of `Kind.load`.
    """

    name: str
    model: Any
    preprocessing: Any


def load_trained(run_id: str, kind: Kind) -> Trained:
    """Loads the model of a run, or of the best run of a sweep by its validation metric.

    Args:
        run_id: a run or the parent run of a sweep; "latest" for the last started run that has saved
            such a model.
        kind: kind of model.

    Raises:
        RefusedError: if the run does not exist, or has not saved such a model.
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
        _import_own_code(run.params)
        model, preprocessing = read_model(folder, kind, run.tags)
    except Exception as error:  # For damaged files, Keras, HDF5 and zipfile raise many types.
        raise RefusedError(
            f"run={run_id}: the model of {run.name} cannot be read ({reason_of(error)}). Its files "
            "may be deleted, damaged, or from another run or version of this project; it was saved "
            f"at commit {run.tags.get('git_commit', 'unknown')}. Train it again, or use another "
            "run."
        ) from error
    return Trained(f"{run.name} ({run.tags['task']}, run {run.run_id})", model, preprocessing)


def _import_own_code(params: Mapping[str, str]) -> None:
    """Imports the modules of the unit and the model if they are not in this package.

    Their classes register themselves with Keras, which cannot load a model without them.

    Args:
        params: parameters of the run that trained the model.
    """
    for key in ("cell._target_", "model._target_"):
        module = params.get(key, "").rpartition(".")[0]
        # Before there was one package, its units and models were in `layers` and `models`.
        if module.partition(".")[0] not in ("", "keras", "layers", "models", "unrolled"):
            import_module(module)


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Returns the tag `DIGESTS` for the files of a model, given by name."""
    found = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {DIGESTS: json.dumps(found)}


def read_model(folder: Path, kind: Kind, tags: Mapping[str, str]) -> tuple[Any, Any]:
    """Reads an uncompiled model from a folder, and its preprocessing.

    Args:
        folder: folder with the files of a model.
        kind: kind of model.
        tags: tags of the run that saved it. Runs of older versions have no `DIGESTS`; for these,
            only the sizes are compared.

    Raises:
        ValueError: if a file differs from the saved one, or the model and the preprocessing do not
            match.
        Exception: any error due to a damaged file.
    """
    import keras

    from unrolled import (
        layers,  # noqa: F401  (registers them with Keras)
        models,  # noqa: F401
    )

    for name, expected in json.loads(tags.get(DIGESTS, "{}")).items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{name} is not the file that the run saved")
    config = json.loads((folder / kind.file).read_text())
    model = keras.saving.load_model(folder / MODEL_FILE, compile=False)
    return model, kind.load(config, model)


def check_sizes(sizes: Mapping[str, tuple[int, int]]) -> None:
    """Checks that the sizes of a model match those of its preprocessing.

    Args:
        sizes: pairs of sizes, of the model and of the preprocessing, by name.

    Raises:
        ValueError: for the first pair that differs.
    """
    for name, (of_model, of_file) in sizes.items():
        if of_model != of_file:
            raise ValueError(f"the model has {of_model} {name}, the file beside it {of_file}")


def _run(run_id: str, kind: Kind, tracking: Any) -> Any:
    if run_id == LATEST:
        found = tracking.latest_run({"model": kind.model})
        if found is None:
            raise RefusedError(
                f"run=latest: expected {kind.label}, but none has been trained yet. Train one, for "
                f"example: {kind.train}"
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
            f"run={run_id}: expected {kind.label}, but {run.name!r} was trained on "
            f"{run.tags.get('task', 'another task')}. Find a run with `make ui`, or use "
            "run=latest."
        )
    if run.status != "FINISHED":
        raise RefusedError(
            f"run={run_id}: {run.name!r} is {run.status} and has no model. "
            f"{run.tags.get('error', '')}".strip()
        )
    return run


def _best(sweep: Any, run_id: str, kind: Kind) -> Any:
    from unrolled.tasks.base.metric import Metric

    candidates = [
        run
        for run in sweep.runs
        if run.status == "FINISHED" and run.tags.get("model") == kind.model
    ]
    if not candidates:
        raise RefusedError(f"run={run_id}: no run of the sweep {sweep.name!r} is {kind.label}.")

    def merit(run):
        try:
            metric = Metric(**run.report["metric"])
            values = run.series[f"validation/{metric.key}"]
        except (KeyError, TypeError) as error:  # TypeError if there is no report.
            raise RefusedError(
                f"run={run_id}: expected a report and a validation metric for each run of the "
                f"sweep {sweep.name!r}, but {run.name} has no readable one ({reason_of(error)}). "
                "Choose a run by its id: run=<id>."
            ) from error
        return max(metric.merit(value) for _, value in values)

    return max(candidates, key=merit)
