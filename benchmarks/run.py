"""One benchmark, from its configuration to the tables."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import product

from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from benchmarks import imdb, steps
from benchmarks.language import measure_language
from benchmarks.limit import measure_limit
from benchmarks.machine import in_words, load, machine, warning_of
from benchmarks.memory import measure_memory
from benchmarks.peers import Shape
from benchmarks.plan import PARTS
from benchmarks.results import Results
from benchmarks.timing import Two
from unrolled import tracking
from unrolled.console.refusals import RefusedError
from unrolled.console.terminal import progress_bar, say, show_table
from unrolled.sweeps.provenance import flat, git_commit
from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.sentiment.imdb import Imdb

EXPERIMENT = "bench"
_HEADS = (Two("softmax", "softmax"), Two("adaptive", "adaptive"), Two("adaptive", "softmax"))


@dataclass(frozen=True)
class Piece:
    """One thing to measure; `weight` is about the seconds that it takes, for the progress bar."""

    name: str
    weight: float
    measure: Callable


@dataclass(frozen=True)
class Outcome:
    """How a benchmark ended.

    Attributes:
        experiment_id, run_id: of its run in MLflow.
        reason: why it is not complete, for people; None if it is.
        failure: the kind of failure; None if it is complete.
        results: what was measured.
    """

    experiment_id: str
    run_id: str
    reason: str | None
    failure: tracking.Failure | None
    results: Results


def run(config: DictConfig) -> Outcome:
    """Measure the parts that the configuration names, and track the results.

    A part that cannot be measured on this machine is named first; a piece that fails is named, and
    the others continue.

    Raises:
        tracking.TrackingError: if MLflow's store does not answer, or no run can be created in it.
        MissingDataError: if there is nothing left to measure.
        RefusedError: for options that the task rejects.
    """
    busy = load()
    tracking.connect(config.tracking.uri, config.tracking.patience)
    tracking.require_writable()
    tracking.fail_abandoned_runs()
    left_out, task = _what_is_missing(config)
    if set(left_out) == set(config.parts):
        raise MissingDataError("\n".join(left_out.values()))
    tracked, results = _start(config, left_out, busy)
    _say_remarks(results)
    return _finish(tracked, results, config, left_out, task)


def _start(
    config: DictConfig, left_out: dict[str, str], busy: float
) -> tuple[tracking.TrackedRun, Results]:
    """The run in MLflow, and results to fill; both name the machine and what is left out."""
    started, described = datetime.now(), machine()
    tags = {
        "role": "benchmark",
        "parts": " ".join(config.parts),
        "left_out": " ".join(left_out),
        "git_commit": git_commit(),
        "processor": described["processor"],
        "cores": described["cores"],
    }
    params = {**flat(config), **{f"machine/{key}": value for key, value in described.items()}}
    name = f"{EXPERIMENT} {started:%d %b %H:%M}"
    tracked = tracking.TrackedRun(EXPERIMENT, name, tags, params, source="benchmarks/run.py")
    tracked.log_text(OmegaConf.to_yaml(config, resolve=True), "configuration.yaml")
    tracked.log_metrics({"machine/load at the start": busy})
    remarks = [warning_of(busy), *(f"Left out: {part}. {why}" for part, why in left_out.items())]
    title = f"{in_words(described)}, {started:%d %B %Y}, commit {git_commit()}"
    results = Results(tracked, title, [remark for remark in remarks if remark])
    say.print(f"{name} on {title}", soft_wrap=True)
    return tracked, results


def _finish(tracked, results: Results, config: DictConfig, left_out: dict, task) -> Outcome:
    """Measure, and report whatever was measured."""
    with tracked.failing_on_error():
        try:
            reasons = _measure(_pieces(config, left_out, task), results)
            reasons += [f"left out: {', '.join(left_out)}"] if left_out else []
            failure = tracking.Failure.ERROR if reasons else None
        except KeyboardInterrupt:
            reasons, failure = ["stopped by the user"], tracking.Failure.INTERRUPTED
    for table in results.conclude():
        show_table(table.columns, table.title, table.note, table.names)
    _say_remarks(results)
    reason = "; ".join(reasons) or None
    if failure is None:
        tracked.finish()
    else:
        tracked.fail(reason, failure)
        say.print(f"Not complete: {reason}.", style="red")
    return Outcome(tracked.experiment_id, tracked.run_id, reason, failure, results)


def _what_is_missing(config: DictConfig) -> tuple[dict[str, str], Imdb | None]:
    """The parts that cannot be measured, with what to do; and the reviews, if asked for."""
    left_out, task = {}, None
    if "imdb" in config.parts:
        try:
            with say.status("Preparing the film reviews ..."):
                task = imdb.load_reviews(config.imdb)
        except MissingDataError as missing:
            left_out["imdb"] = str(missing)
        except ValueError as problem:
            raise RefusedError(f"imdb: {problem}") from problem
    return left_out, task


def _pieces(config: DictConfig, left_out: dict, task: Imdb | None) -> list[Piece]:
    makers = {
        "limit": _limit_pieces,
        "steps": _step_pieces,
        "memory": _memory_pieces,
        "imdb": partial(_imdb_pieces, task=task),
        "language": _language_pieces,
    }
    asked = [part for part in PARTS if part in config.parts and part not in left_out]
    return [piece for part in asked for piece in makers[part](config)]


def _limit_pieces(config: DictConfig) -> Iterator[Piece]:
    yield Piece("limit", 5, partial(measure_limit, config.limit.size, config.limit.repeats))


def _step_pieces(config: DictConfig) -> Iterator[Piece]:
    options = {"tolerance": config.tolerance, "seed": config.seed, "repeats": config.repeats}
    for unit, shape, masked in product(config.units, _shapes(config), config.masks):
        name = f"{unit} {shape} {steps.MASKS[masked]}"
        measure = partial(steps.measure_steps, unit, shape, masked, **options)
        yield Piece(name, 2 + 0.25 * config.repeats, measure)


def _memory_pieces(config: DictConfig) -> Iterator[Piece]:
    options = {"seed": config.seed, "repeats": config.memory.repeats}
    for unit, shape, masked in product(config.units, _shapes(config), config.memory.masks):
        name = f"memory {unit} {shape} {steps.MASKS[masked]}"
        yield Piece(name, 10, partial(measure_memory, unit, shape, masked, **options))


def _imdb_pieces(config: DictConfig, task: Imdb) -> Iterator[Piece]:
    weight = 0.004 * len(task.training) + 0.001 * len(task.test)
    for number, seed in enumerate(config.imdb.seeds):
        for unit, batches in product(config.imdb.units, config.imdb.batches):
            name = f"imdb {unit} {batches} seed {seed}"
            measure = partial(imdb.measure_epochs, task, unit, batches, seed, config.imdb)
            yield Piece(name, weight, partial(measure, peer_first=number % 2 == 1))


def _language_pieces(config: DictConfig) -> Iterator[Piece]:
    for unit in config.language.cells:
        for heads in _HEADS:
            name = f"language {unit} {heads.ours} : {heads.peer}"
            measure = partial(measure_language, unit, heads, config.language, config.seed)
            yield Piece(name, 5 + config.language.repeats, measure)


def _shapes(config: DictConfig) -> list[Shape]:
    return [Shape(**shape) for shape in config.shapes]


def _measure(pieces: list[Piece], results: Results) -> list[str]:
    """Measure piece after piece; returns what went wrong, for people."""
    failed = []
    with progress_bar() as bar:
        whole = bar.add_task("", total=sum(piece.weight for piece in pieces))
        for piece in pieces:
            bar.update(whole, description=piece.name)
            try:
                row = piece.measure()
            except Exception as problem:
                failed.append(f"{piece.name}\n{traceback.format_exc()}")
                results.remarks.append(f"Failed: {piece.name}. {type(problem).__name__}: {problem}")
                _say_line(piece.name, f"FAILED  {problem}", "red")
            else:
                results.add(row)
                _say_line(piece.name, row.line())
            bar.advance(whole, piece.weight)
    if not failed:
        return []
    results.writer.log_text("\n".join(failed), "failures.txt")
    return [f"{len(failed)} of {len(pieces)} measurements failed"]


def _say_line(name: str, text: str, style: str = "") -> None:
    say.print(Text(f"  {name:<48} ").append(text, style=style), soft_wrap=True)


def _say_remarks(results: Results) -> None:
    for remark in results.remarks:
        say.print(Text(remark, style="bold red"), soft_wrap=True)
