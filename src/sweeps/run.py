"""One configuration to one tracked run."""

import contextlib
import functools
import json
import logging
import math
import shutil
import subprocess
import time
import traceback
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hydra
import keras
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from unrolled import tracking
from unrolled.comparison.figures import confusion_matrix, learning_curves
from unrolled.comparison.flow_figures import gate_histograms, gate_trace
from unrolled.diagnostics import DivergedError
from unrolled.inference.loading import MODEL_FILE, digests_of
from unrolled.models import trainable_parameters, units_for_parameters
from unrolled.project import CONFIGURATION
from unrolled.sweeps import interruption
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.checks import imported
from unrolled.sweeps.claim import claimed
from unrolled.sweeps.diagnostics_callback import Diagnosis
from unrolled.sweeps.memory import graphs_released
from unrolled.sweeps.progress import Begun, Identity, Outcome, Progress
from unrolled.sweeps.sample_callback import EpochSamples
from unrolled.sweeps.state_files import StateError
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.training import best_model, compile_model, fit, training_steps
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.options import require_memory
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


@hydra.main(version_base="1.3", config_path=str(CONFIGURATION), config_name="config")
def job(config: DictConfig) -> None:
    """One run of a sweep as Hydra's launchers call it: it tells how it ended, and never raises.

    An error here must not take the other runs of the sweep with it.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    start = time.perf_counter()
    name = directory.name
    try:
        sweep = Sweep.handed_over(directory.parent)
        interruption.end_with(sweep.process, sweep.host)
        tuned = sweep.tuned(config)
        if tuned is not config:  # Hydra has kept the one from before.
            OmegaConf.save(tuned, directory / HydraConfig.get().output_subdir / "config.yaml")
        name = sweep.run_name(tuned)
        with claimed(directory):
            outcome = _ended_before(tuned, directory, sweep)
            if outcome is None:
                result = run(tuned, directory, sweep)
                outcome = Outcome(name, time.perf_counter() - start, result.summary)
                Progress(directory).ended_well(_identity(tuned, sweep), result.run_id, outcome)
    except Exception as problem:
        # On a full disk it cannot be logged either: logging would print a traceback of its own.
        logging.raiseExceptions = False
        said = tracking.masked("".join(traceback.format_exception(problem)))
        logging.getLogger(__name__).error("%s failed\n%s", name, said)
        error = tracking.masked(f"{type(problem).__name__}: {problem}")
        seconds, failure = time.perf_counter() - start, tracking.failure_of(problem)
        outcome = Outcome(name, seconds, "", error, failure)
    Progress(directory).finish(outcome)


def _ended_before(config: DictConfig, directory: Path, sweep: Sweep) -> Outcome | None:
    """How this run ended if it did so before the sweep was interrupted; None if it did not.

    MLflow has the last word: a run may have been killed after MLflow had it as finished, or have
    been deleted there since.
    """
    begun = Progress(directory).begun(_identity(config, sweep))
    if begun is None:
        return None
    tracking.connect(config.tracking.uri, config.tracking.patience, wait=True)
    if tracking.status_of(begun.run_id) != "FINISHED":
        return None
    return begun.outcome or Outcome(sweep.run_name(config), 0.0, "ended before")


def _identity(config: DictConfig, sweep: Sweep) -> Identity:
    decisive = {k: v for k, v in flat(config).items() if not k.startswith("tracking.")}
    return Identity(sweep.parent_run_id, json.loads(json.dumps(decisive)))


@graphs_released()
def run(config: DictConfig, directory: Path, sweep: Sweep | None = None) -> Result:
    """Load the task, build the model, train, evaluate, and track all of it.

    Args:
        config: a composed configuration.
        directory: where the run keeps its files; made if it is not there.
        sweep: the sweep it belongs to, if any.

    Raises:
        MissingDataError: if the task's data set is not to be had.
        StateError: if the folder holds what another run has left, or what cannot be read.
        ValueError: for options that the task, the unit or the model refuse.
    """
    sweep = sweep or Sweep()
    name = sweep.run_name(config)
    directory.mkdir(parents=True, exist_ok=True)
    progress, identity = Progress(directory), _identity(config, sweep)
    tracking.connect(config.tracking.uri, config.tracking.patience, wait=True)
    begun = _still_tracked(progress.begun(identity), directory)
    with (
        tracking.TrackedRun(
            sweep.experiment,
            name,
            _tags(config, sweep),
            flat(config),
            sweep.parent_run_id,
            run_id=begun and begun.run_id,
        ) as tracked,
        interruption.kept(),
    ):
        progress.begin(identity, tracked.run_id)
        tracked.log_text(OmegaConf.to_yaml(config, resolve=True), "configuration.yaml")
        task = load_task(config)
        tracked.set_tags({"data_fingerprint": task.fingerprint, "counted": task.counted})
        keras.utils.clear_session()  # Or weights' names would count on from the run before.
        model = build(config, task)
        compile_model(model, task, config.training, training_steps(task, config))
        tracked.log_metrics(
            {
                "parameters": trainable_parameters(model),
                "guessing": task.metric.guessing,
                **({} if task.metric.learnt is None else {"learnt": task.metric.learnt}),
            }
        )
        diagnosis = _diagnosis(model, task, config, tracked)
        checkpoint = Checkpoint(directory, tracked.run_id, task.fingerprint)
        history, best_epoch = _fit(
            model,
            task,
            config,
            tracked,
            directory,
            progress.report,
            checkpoint,
            diagnosis,
            [EpochSamples(task.tokenizer, tracked)] if config.model.name == "language" else [],
        )
        best = best_model(directory, best_epoch)
        _load(model, best)
        report = task.evaluate(model)
        found = report.as_data(task.metric)
        if diagnosis:
            found["diagnosis"] = _log_diagnosis(tracked, diagnosis, history, name)
        _log_result(tracked, report, best_epoch)
        tracked.log_report(found)
        picture = learning_curves(name, history, best_epoch, task.metric)
        tracked.log_figure(picture, "learning_curves.png")
        best = Path(shutil.copyfile(best, directory / MODEL_FILE))
        tracked.log_file(best, "model")
        texts = {file: json.dumps(content) for file, content in task.keepsakes().items()}
        for file, text in texts.items():
            tracked.log_text(text, f"model/{file}")
        files = {best.name: best.read_bytes(), **{k: text.encode() for k, text in texts.items()}}
        tracked.set_tags(digests_of(files))
    checkpoint.remove()
    best_model(directory, best_epoch).unlink()
    return Result(
        tracked.run_id,
        name,
        trainable_parameters(model),
        best_epoch,
        task.metric,
        report.metrics,
        history,
        best,
    )


def _load(model: keras.Model, best: Path) -> None:
    try:
        model.load_weights(best)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StateError(
            f"{best}: the weights of the best epoch cannot be read back ({error}). Delete the "
            f"folder {best.parent}, so that the run starts from its first epoch."
        ) from error


def _still_tracked(begun: Begun | None, directory: Path) -> Begun | None:
    """What a run left, unless its MLflow run was deleted since: then it starts from nothing."""
    if begun is None or tracking.status_of(begun.run_id) is not None:
        return begun
    logging.getLogger(__name__).warning(
        "The MLflow run %s was deleted; a new one starts from the first epoch.", begun.run_id
    )
    Checkpoint(directory, begun.run_id).remove()
    return None


def _diagnosis(
    model: keras.Model, task: Task, config: DictConfig, tracked: tracking.TrackedRun
) -> Diagnosis | None:
    if not config.diagnostics.measurements:
        return None
    network = getattr(model, "network", model)  # Of layers alone, as what measures it needs.
    return Diagnosis(network, task, config.diagnostics, training_steps(task, config), tracked)


def _fit(model, task, config, tracked, *rest) -> tuple[dict[str, list[float]], int]:
    """`fit`, which leaves on the run where it diverged, if it does."""
    try:
        return fit(model, task, config, tracked, *rest)
    except DivergedError as error:
        tracked.set_tags(
            {
                "diverged_at_step": error.step,
                "diverged_weight": error.weight,
                "diverged_norm": f"{error.norm:.3g}",
            }
        )
        raise


def _log_diagnosis(
    tracked: tracking.TrackedRun,
    diagnosis: Diagnosis,
    history: dict[str, list[float]],
    name: str,
) -> dict:
    """What was measured in training and of the model that is kept, and pictures of the latter."""
    share = diagnosis.seconds / sum(history["seconds_per_epoch"])
    tracked.log_metrics({"diagnostics_share_of_time": share})
    gates = diagnosis.gates()
    kept = diagnosis.now(gates)
    if gates:
        before = diagnosis.measured[0]
        tracked.log_figure(gate_histograms(name, before, kept), "gates.png")
        number, *words_and_answer = diagnosis.longest()
        norms = diagnosis.norms(number, gates[0])
        trace = gate_trace(name, gates[0], number, *words_and_answer, norms)
        tracked.log_figure(trace, "gate_trace.png")
    return {"measured": diagnosis.measured, "kept": kept, "share_of_time": share}


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


def load_task(config: DictConfig) -> Task:
    """The task of a configuration, with its data; made once a process for the same options."""
    return _loaded_task(json.dumps(_without_name(config.task)))


@functools.lru_cache(maxsize=2)
def _loaded_task(options: str) -> Task:
    task = _maker(json.loads(options), "task", "unrolled.tasks.synthetic.adding.Adding", Task)()
    task.load()
    return task


def build(config: DictConfig, task: Task) -> keras.Model:
    """The model of a configuration for a loaded task, sized as `model.match` says.

    It begins with the random numbers of `seed`, and what comes after goes on with them.

    Raises:
        ValueError: what the unit or the model refuses, and for which cell and which sizes.
    """
    with _naming_sizes(config):
        return _build(config, task)


@contextlib.contextmanager
def _naming_sizes(config: DictConfig) -> Iterator[None]:
    """Adds to a ValueError for which cell and which sizes it is."""
    try:
        yield
    except ValueError as problem:
        sizes = ", ".join(
            f"model.{key}={config.model[key]}"
            for key in ("units", "embedding", "layers", "direction", "match")
            if key in config.model
        )
        raise ValueError(f"{problem} (This is cell={config.cell.name} with {sizes}.)") from problem


def check_room(config: DictConfig, task: Task) -> None:
    """The weights of a configuration's model must fit into memory; none of them is made.

    Raises:
        ValueError: if they do not, and as `build`.
    """
    with _naming_sizes(config):
        with keras.StatelessScope(initialize_variables=False):
            model = _build(config, task)
        keras.utils.clear_session(free_memory=False)  # Keras remembers what it has not initialized.
        weights = sum(math.prod(weight.shape) for weight in model.weights)
        require_memory("model", f"one of {weights:,} weights", weights * _BYTES_PER_WEIGHT)


_BYTES_PER_WEIGHT = 4 * 4  # In float32: the weight, its gradient, and two averages for Adam.


def _build(config: DictConfig, task: Task) -> keras.Model:
    options = _without_name(config.model)
    if config.model.name != task.model:
        raise ValueError(
            f"`model`: expected {task.model}, the kind that learns {task.name}, got "
            f"{config.model.name}."
        )
    units, match, match_unit = (options.pop(key) for key in ("units", "match", "match_unit"))
    if task.features is not None and options["embedding"] is not None:
        raise ValueError(
            f"`model.embedding`: expected null, as the inputs of {task.name} are vectors already, "
            f"got {options['embedding']}."
        )
    make = _maker({**options, **task.answers()}, "model", "unrolled.models.build_model")
    unit = _maker(_without_name(config.cell), "cell", "unrolled.layers.LSTM")
    if match == "parameters":
        like = imported("model.match_unit", match_unit, "unrolled.layers.LSTM", keras.layers.Layer)
        like = make(like, units=units)
        units = units_for_parameters(
            lambda size: make(unit, units=size), trainable_parameters(like)
        )
    keras.utils.set_random_seed(config.seed)  # After the sizes tried, which drew numbers, too.
    return make(unit, units=units, name=config.cell.name)


def _maker(
    options: dict, section: str, such_as: str, kind: type | None = None
) -> functools.partial:
    """What `_target_` of a section names, with the section's other options.

    Not by `hydra.utils.instantiate`: that one buries the message of an option that is refused.
    """
    target = imported(f"{section}._target_", options.pop("_target_"), such_as, kind)
    return functools.partial(target, **options)


def _without_name(section: DictConfig) -> dict:
    """The options of what a section of the configuration makes; its name is for people."""
    resolved = OmegaConf.to_container(section, resolve=True)
    return {key: value for key, value in resolved.items() if key != "name"}


def _tags(config: DictConfig, sweep: Sweep) -> dict[str, str]:
    variant = sweep.variant(config)
    return {
        "variant": variant,
        tracking.SETTINGS: json.dumps(variant.settings),
        "cell": config.cell.name,
        "task": config.task.name,
        "seed": config.seed,
        "model": config.model.name,
        "budget": config.budget.name,
        "experiment": sweep.experiment,
        "git_commit": git_commit(),
        **({} if sweep.stage is None else {"stage": sweep.stage}),
    }


@functools.cache
def git_commit() -> str:
    """The commit of this project, marked where files differ from it."""
    git = ["git", "-C", str(CONFIGURATION.parent)]
    try:
        head, changes = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("-dirty" if changes else "")


def flat(config: DictConfig) -> dict[str, str]:
    """All values by their dotted keys."""
    resolved = OmegaConf.to_container(config, resolve=True)

    def walk(part, above):
        for key, value in part.items():
            if isinstance(value, dict):
                yield from walk(value, f"{above}{key}.")
            else:
                yield above + key, value

    return dict(walk({k: v for k, v in resolved.items() if k != "budgets"}, ""))
