"""One configuration to one tracked run."""

import dataclasses
import functools
import json
import logging
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import hydra
import keras
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import tracking
from diagnostics import DivergedError
from experiments import interruption
from experiments.catalogue import CONFIGURATION
from experiments.checkpoint import Checkpoint
from experiments.diagnosis import Diagnosis
from experiments.figures import confusion_matrix, learning_curves
from experiments.flow_figures import gate_histograms, gate_trace
from experiments.memory import graphs_released
from experiments.samples import EpochSamples
from experiments.sweep import Outcome, Progress, Sweep
from experiments.training import compile_model, fit, training_steps
from models import trainable_parameters, units_for_parameters
from tasks.metric import Metric
from tasks.task import Report, Task


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
    if Progress(directory).ended_well:  # before the sweep was interrupted and resumed.
        return
    sweep = Sweep.handed_over(directory.parent)
    start = time.perf_counter()
    tuned = sweep.tuned(config)
    if tuned is not config:  # Hydra has kept the one from before.
        OmegaConf.save(tuned, directory / HydraConfig.get().output_subdir / "config.yaml")
    config = tuned
    name = sweep.run_name(config)
    try:
        summary = run(config, directory, sweep).summary
        error = None
    except Exception as problem:
        logging.getLogger(__name__).exception("%s failed", name)
        summary, error = "", f"{type(problem).__name__}: {problem}"
    Progress(directory).finish(Outcome(name, time.perf_counter() - start, summary, error))


@graphs_released()
def run(config: DictConfig, directory: Path, sweep: Sweep | None = None) -> Result:
    """Load the task, build the model, train, evaluate, and track all of it.

    Args:
        config: a composed configuration.
        directory: where the run keeps its files; made if it is not there.
        sweep: the sweep it belongs to, if any.

    Raises:
        MissingDataError: if the task's data set is not to be had.
        ValueError: for options that the task, the unit or the model refuse.
    """
    sweep = sweep or Sweep()
    name = sweep.run_name(config)
    directory.mkdir(parents=True, exist_ok=True)
    progress = Progress(directory)
    tracking.connect(config.tracking.uri)
    with (
        tracking.TrackedRun(
            sweep.experiment,
            name,
            _tags(config, sweep),
            flat(config),
            sweep.parent_run_id,
            run_id=progress.run_id,
        ) as tracked,
        interruption.kept(),
    ):
        progress.tracked_as(tracked.run_id)
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
        best = directory / "model.keras"
        diagnosis = _diagnosis(model, task, config, tracked)
        checkpoint = Checkpoint(directory, flat(config))
        history, best_epoch = _fit(
            model,
            task,
            config,
            tracked,
            best,
            progress.report,
            checkpoint,
            diagnosis,
            [EpochSamples(task.tokenizer, tracked)] if config.model.name == "language" else [],
        )
        model.load_weights(best)
        report = task.evaluate(model)
        found = {
            "metric": dataclasses.asdict(task.metric),
            "metrics": report.metrics,
            "judged": {name: dataclasses.asdict(each) for name, each in report.judged.items()},
            "breakdowns": {
                name: [dataclasses.asdict(point) for point in each]
                for name, each in report.breakdowns.items()
            },
        }
        if diagnosis:
            found["diagnosis"] = _log_diagnosis(tracked, diagnosis, history, name)
        _log_result(tracked, report, best_epoch)
        tracked.log_report(found)
        picture = learning_curves(name, history, best_epoch, task.metric)
        tracked.log_figure(picture, "learning_curves.png")
        tracked.log_file(best, "model")
        for file, content in task.keepsakes().items():
            tracked.log_text(json.dumps(content), f"model/{file}")
    checkpoint.remove()
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
        f"test/{name}": [(point.at, point.value) for point in points]
        for name, points in report.breakdowns.items()
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
    task = _maker(json.loads(options))()
    task.load()
    return task


def build(config: DictConfig, task: Task) -> keras.Model:
    """The model of a configuration for a loaded task, sized as `model.match` says.

    It begins with the random numbers of `seed`, and what comes after goes on with them.

    Raises:
        ValueError: what the unit or the model refuses, and for which cell and which sizes.
    """
    try:
        return _build(config, task)
    except ValueError as problem:
        sizes = ", ".join(
            f"model.{key}={config.model[key]}"
            for key in ("units", "embedding", "layers", "direction", "match")
            if key in config.model
        )
        raise ValueError(f"{problem} (This is cell={config.cell.name} with {sizes}.)") from problem


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
    make = _maker({**options, **task.answers()})
    unit = _maker(_without_name(config.cell))
    if match == "parameters":
        like = make(hydra.utils.get_class(match_unit), units=units)
        units = units_for_parameters(
            lambda size: make(unit, units=size), trainable_parameters(like)
        )
    keras.utils.set_random_seed(config.seed)  # After the sizes tried, which drew numbers, too.
    return make(unit, units=units, name=config.cell.name)


def _maker(options: dict) -> functools.partial:
    """What `_target_` names, with the other options.

    Not by `hydra.utils.instantiate`: that one buries the message of an option that is refused.
    """
    target = hydra.utils.get_object(options.pop("_target_"))
    return functools.partial(target, **options)


def _without_name(section: DictConfig) -> dict:
    """The options of what a section of the configuration makes; its name is for people."""
    resolved = OmegaConf.to_container(section, resolve=True)
    return {key: value for key, value in resolved.items() if key != "name"}


def _tags(config: DictConfig, sweep: Sweep) -> dict[str, str]:
    return {
        "variant": sweep.variant(config),
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
