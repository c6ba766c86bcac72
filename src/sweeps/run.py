"""One configuration to one tracked run: prepare, fit, report."""

import contextlib
import json
import logging
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
from omegaconf import DictConfig, OmegaConf

from unrolled import tracking
from unrolled.comparison.figures import confusion_matrix, learning_curves
from unrolled.comparison.flow_figures import gate_histograms, gate_trace
from unrolled.diagnostics import DivergedError
from unrolled.inference.loading import MODEL_FILE, digests_of
from unrolled.models import trainable_parameters
from unrolled.sweeps import interruption
from unrolled.sweeps.building import build, load_task
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.diagnostics_callback import Diagnosis, measured_part
from unrolled.sweeps.memory import graphs_released
from unrolled.sweeps.progress import Begun, Progress
from unrolled.sweeps.provenance import flat, identity_of, tags_of
from unrolled.sweeps.sample_callback import EpochSamples
from unrolled.sweeps.state_files import StateError
from unrolled.sweeps.stored_runs import UploadedCheckpoints, remove_uploaded
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.training import best_model, compile_model, fit, training_steps
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.task import Report, Task


@dataclass(frozen=True)
class Result:
    """What a run found.

    `metrics` are those of the test split, at the epoch that validation chose, and `metric` says by
    which of them answers are judged; `history` holds each metric of training and validation after
    each epoch.
    """

    run_id: str
    name: str
    parameters: int
    best_epoch: int
    metric: Metric
    metrics: dict[str, float]
    history: dict[str, list[float]]
    model_file: Path

    @property
    def summary(self) -> str:
        """The test metric in a few words."""
        return f"test {self.metric.name} {self.metric.text(self.metrics[self.metric.key])}"


@dataclass(frozen=True)
class _Prepared:
    """What a run trains, and where it is recorded.

    Attributes:
        config: the whole configuration.
        task: loaded.
        model: built and compiled.
        diagnosis: the callback that measures gradient flow and gates; None if nothing is measured.
        tracked: the MLflow run.
        directory: of its files.
        checkpoint: the state of training.
    """

    config: DictConfig
    task: Task
    model: keras.Model
    diagnosis: Diagnosis | None
    tracked: tracking.TrackedRun
    directory: Path
    checkpoint: Checkpoint


@dataclass(frozen=True)
class _Fitted:
    """What training has left.

    Attributes:
        history: each metric of training and validation after each epoch.
        best_epoch: the epoch that validation chose, from 1.
        weights: the file of its weights.
    """

    history: dict[str, list[float]]
    best_epoch: int
    weights: Path


@graphs_released()
def run(config: DictConfig, directory: Path, sweep: Sweep | None = None) -> Result:
    """Load the task, build the model, train, evaluate, and track all of it.

    Args:
        config: a composed configuration.
        directory: where the run writes its files; it is created if it does not exist.
        sweep: the sweep it belongs to, if any.

    Raises:
        MissingDataError: if the data set of the task is unavailable.
        StateError: if the folder holds files of another run, or files that cannot be read.
        ValueError: for options that the task, the unit or the model rejects.
    """
    sweep = sweep or Sweep()
    name = sweep.run_name(config)
    with _started(config, directory, sweep) as prepared:
        fitted = _fit(prepared)
        report = _report(name, prepared, fitted)
        model_file = _save(prepared, fitted.weights)
    forget_training(prepared.checkpoint)
    return Result(
        prepared.tracked.run_id,
        name,
        trainable_parameters(prepared.model),
        fitted.best_epoch,
        prepared.task.metric,
        report.metrics,
        fitted.history,
        model_file,
    )


@graphs_released()
def run_until(epochs: int, config: DictConfig, directory: Path, sweep: Sweep) -> None:
    """Train a run to the end of a round of a search, and track its epochs and its model so far.

    In MLflow it is finished, with the tag `stopped_after`. `run`, or this function with more
    epochs, goes on from its checkpoint in the same MLflow run. The test split is not used.

    Args:
        epochs: the last epoch of the round.
        config, directory, sweep: as for `run`.

    Raises:
        Exception: as `run`.
    """
    tracking.connect(config.tracking.uri, config.tracking.patience, wait=True)
    begun = Progress(directory).begun(identity_of(config, sweep))
    if begun is not None and (tracking.stopped_after(begun.run_id) or 0) >= epochs:
        return
    with _started(config, directory, sweep) as prepared:
        history, best_epoch = _train(prepared, epochs)
        _save(prepared, best_model(directory, best_epoch))
        prepared.tracked.log_report({"metric": asdict(prepared.task.metric)})
        trained = len(history["validation/loss"])
        prepared.tracked.set_tags({tracking.STOPPED_AFTER: trained})


def forget_training(checkpoint: Checkpoint) -> None:
    """Delete the files from which the training of a run could go on, here and in the store."""
    checkpoint.remove()
    if not tracking.is_on_this_machine():
        remove_uploaded(checkpoint.run_id)
    for best in checkpoint.directory.glob(best_model(checkpoint.directory, "*").name):
        best.unlink()


@contextlib.contextmanager
def _started(config: DictConfig, directory: Path, sweep: Sweep) -> Iterator[_Prepared]:
    """A context in which a run is tracked and ready to train, from where it was left if it was."""
    directory.mkdir(parents=True, exist_ok=True)
    progress, identity = Progress(directory), identity_of(config, sweep)
    tracking.connect(config.tracking.uri, config.tracking.patience, wait=True)
    tracking.refuse_other_machines([] if sweep.host is None else [sweep.host])
    begun = _still_tracked(progress.begun(identity), directory)
    with (
        tracking.TrackedRun(
            sweep.experiment,
            sweep.run_name(config),
            {**tags_of(config, sweep), "folder": directory.name},
            flat(config),
            sweep.parent_run_id,
            run_id=begun.run_id if begun else None,
        ) as tracked,
        interruption.reraised(),
    ):
        progress.begin(identity, tracked.run_id)
        yield _prepare(config, tracked, directory)


def _still_tracked(begun: Begun | None, directory: Path) -> Begun | None:
    """What a run left, unless its MLflow run was deleted since: then it starts from nothing."""
    if begun is None or tracking.status_of(begun.run_id) is not None:
        return begun
    logging.getLogger(__name__).warning(
        "The MLflow run %s was deleted; a new one starts from the first epoch.", begun.run_id
    )
    Checkpoint(directory, begun.run_id).remove()
    return None


def _prepare(config: DictConfig, tracked: tracking.TrackedRun, directory: Path) -> _Prepared:
    """Load the data, build and compile the model, and log what is known before training."""
    tracked.log_text(OmegaConf.to_yaml(config, resolve=True), "configuration.yaml")
    task = load_task(config)
    tracked.set_tags(
        {
            "data_fingerprint": task.fingerprint,
            "counted": task.counted,
            "model": task.model,  # The kind: a user's own model may have another name.
        }
    )
    # Otherwise names of weights are numbered on from the last run, whose memory is released.
    keras.utils.clear_session(free_memory=False)
    model = build(config, task)
    compile_model(model, task, config.training, training_steps(task, config))
    tracked.log_metrics(
        {
            "parameters": trainable_parameters(model),
            "training_examples": len(task.training),
            "chance_level": task.metric.chance_level,
            **({} if task.metric.solved is None else {"solved": task.metric.solved}),
        }
    )
    diagnosis = _diagnosis(model, task, config, tracked)
    checkpoint = Checkpoint(directory, tracked.run_id, task.fingerprint)
    return _Prepared(config, task, model, diagnosis, tracked, directory, checkpoint)


def _diagnosis(
    model: keras.Model, task: Task, config: DictConfig, tracked: tracking.TrackedRun
) -> Diagnosis | None:
    if not config.diagnostics.measurements:
        return None
    network = measured_part(model)
    return Diagnosis(network, task, config.diagnostics, training_steps(task, config), tracked)


def _fit(prepared: _Prepared) -> _Fitted:
    """Train, and load the weights of the best epoch into the model."""
    history, best_epoch = _train(prepared)
    weights = best_model(prepared.directory, best_epoch)
    _load_weights(prepared.model, weights)
    return _Fitted(history, best_epoch, weights)


def _train(prepared: _Prepared, until: int | None = None) -> tuple[dict[str, list[float]], int]:
    """Train up to an epoch, by default the last; returns the history and the best epoch.

    If training diverges, the run is tagged with where it did.
    """
    task, tracked = prepared.task, prepared.tracked
    callbacks: list[keras.callbacks.Callback] = []
    if not tracking.is_on_this_machine():
        minutes = prepared.config.tracking.checkpoint_minutes
        callbacks.append(UploadedCheckpoints(tracked.run_id, prepared.checkpoint, minutes))
    if task.model == "language":  # Such a task has a tokenizer.
        callbacks.append(EpochSamples(task.tokenizer, tracked))  # type: ignore[attr-defined]
    try:
        return fit(
            prepared.model,
            task,
            prepared.config,
            tracked,
            prepared.directory,
            Progress(prepared.directory).report,
            prepared.checkpoint,
            prepared.diagnosis,
            callbacks,
            until,
        )
    except DivergedError as error:
        tracked.set_tags(
            {
                "diverged_at_step": error.step,
                "diverged_weight": error.weight,
                "diverged_norm": f"{error.norm:.3g}",
            }
        )
        raise


def _load_weights(model: keras.Model, best: Path) -> None:
    try:
        model.load_weights(best)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StateError(
            f"{best}: the weights of the best epoch cannot be read back ({error}). Delete the "
            f"folder {best.parent}, so that the run starts from its first epoch."
        ) from error


def _report(name: str, prepared: _Prepared, fitted: _Fitted) -> Report:
    """Evaluate the model on the test split, and log the report and the figures of the run."""
    task, diagnosis, tracked = prepared.task, prepared.diagnosis, prepared.tracked
    report = task.evaluate(prepared.model)
    found = report.as_data(task.metric)
    if diagnosis:
        found["diagnosis"] = _log_diagnosis(tracked, diagnosis, fitted.history, name)
    _log_result(tracked, report, fitted.best_epoch)
    tracked.log_report(found)
    picture = learning_curves(name, fitted.history, fitted.best_epoch, task.metric)
    tracked.log_figure(picture, "learning_curves.png")
    return report


def _log_diagnosis(
    tracked: tracking.TrackedRun,
    diagnosis: Diagnosis,
    history: dict[str, list[float]],
    name: str,
) -> dict:
    """What was measured in training and of the model that is kept, and pictures of the latter."""
    fraction = diagnosis.seconds / sum(history["seconds_per_epoch"])
    tracked.log_metrics({"diagnostics_fraction_of_time": fraction})
    gates = diagnosis.gates()
    kept = diagnosis.now(gates)
    if gates:
        before = diagnosis.measured[0]
        tracked.log_figure(gate_histograms(name, before, kept), "gates.png")
        number, words, answer = diagnosis.longest()
        norms = diagnosis.norms(number, gates[0])
        trace = gate_trace(name, gates[0], number, words, answer, norms)
        tracked.log_figure(trace, "gate_trace.png")
    return {"measured": diagnosis.measured, "kept": kept, "fraction_of_time": fraction}


def _log_result(tracked: tracking.TrackedRun, report: Report, best_epoch: int) -> None:
    found = {f"test/{name}": value for name, value in report.metrics.items()}
    tracked.log_metrics({**found, "best_epoch": best_epoch})
    breakdowns = {
        f"test/{breakdown.name}": [(point.at, point.value) for point in points]
        for breakdown, points in report.breakdowns.items()
    }
    tracked.log_series(breakdowns)
    for name, columns in report.tables.items():
        tracked.log_table(columns, f"{name}.json")
    for name, confusion in report.confusions.items():
        tracked.log_figure(confusion_matrix(name, confusion), f"{name}.png")


def _save(prepared: _Prepared, weights: Path) -> Path:
    """Log the model and the files beside it that inference needs, with a digest of each."""
    task, tracked, model_file = prepared.task, prepared.tracked, prepared.directory / MODEL_FILE
    shutil.copyfile(weights, model_file)
    tracked.log_file(model_file, "model")
    texts = {file: json.dumps(content) for file, content in task.model_files().items()}
    for file, text in texts.items():
        tracked.log_text(text, f"model/{file}")
    contents = {file: text.encode() for file, text in texts.items()}
    tracked.set_tags(digests_of({model_file.name: model_file.read_bytes(), **contents}))
    return model_file
