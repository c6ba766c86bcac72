"""One sweep from its plan to its comparison."""

import contextlib
import os
import socket
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from unrolled.comparison import baselines
from unrolled.console.program import FAILED, INTERRUPTED, REFUSED
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.console.terminal import QUICK, quiet_start, say
from unrolled.project import PROJECT
from unrolled.sweeps import cluster, interruption, ray_cluster
from unrolled.sweeps.cluster import JobError
from unrolled.sweeps.launch import OUTPUTS, Folder, in_project, run_all, without_directory
from unrolled.sweeps.launchers import RAY, SLURM, is_of_submitit
from unrolled.sweeps.plan import Plan
from unrolled.sweeps.search import Search
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.values import plain_values
from unrolled.sweeps.workers import Workers

if TYPE_CHECKING:  # MLflow is slow to import.
    from unrolled.tracking import SweepRecord, TrackedRun


@dataclass(frozen=True)
class Interrupted:
    """An interrupted sweep, which can be resumed.

    Attributes:
        run_id: of its parent run.
        name: of its parent run.
        arguments: its command line.
        directory: the folder with the files of its runs.
    """

    run_id: str
    name: str
    arguments: list[str]
    directory: Path

    @classmethod
    def of(cls, sweep: "SweepRecord") -> "Interrupted":
        """Read it from the record of a sweep.

        Raises:
            RefusedError: if the sweep is complete or running.
            tracking.UnreadableRecordError: if its record has no command line.
        """
        from unrolled.comparison.runs import identity_of, is_search

        finished = (run for run in sweep.runs if run.status == "FINISHED")
        there = {identity_of(run) for run in finished if not is_search(run)}
        if sweep.status == "FINISHED" and len(there) >= sweep.record.get("runs", 0):
            raise RefusedError(f"{sweep.name}: is complete; there is nothing to resume.")
        if sweep.status == "RUNNING":
            raise RefusedError(_still_running(sweep))
        arguments = without_directory(sweep.record["arguments"])
        return cls(sweep.run_id, sweep.name, arguments, _directory_of(sweep))


def _still_running(sweep: "SweepRecord") -> str:
    host, _, process = sweep.tags.get("process", "").rpartition(":")
    if host in ("", socket.gethostname()):
        return f"{sweep.name}: is still running, as process {process}."
    return (
        f"{sweep.name}: is still running on the machine {host}, as process {process}. If that "
        f"machine has failed, say so: make resume run={sweep.run_id} lost={host}"
    )


def _directory_of(sweep: "SweepRecord") -> Path:
    """The folder with the files of a sweep's runs; on another machine it does not exist yet."""
    # The path is recorded relative to the project, which may have been moved.
    recorded = Path(sweep.record["directory"])
    directory = PROJECT / recorded
    if directory.is_dir():
        return directory
    say.print(
        f"The files of its runs are not on this machine (no folder {directory}). Finished runs "
        "stay as they are. Each of the others continues from its last checkpoint in the tracking "
        "store, or from its first epoch if there is none.",
        soft_wrap=True,
        markup=False,
    )
    return OUTPUTS / sweep.experiment / sweep.run_id if recorded.is_absolute() else directory


@dataclass(frozen=True)
class _Failure:
    """Why a sweep is not complete.

    Attributes:
        reason: for people.
        code: the exit code of the program.
    """

    reason: str
    code: int = FAILED


def start_libraries() -> None:
    """Import TensorFlow, Keras and MLflow, which takes seconds, with a line on the terminal."""
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import unrolled.sweeps.run  # noqa: F401
        from unrolled.sweeps.memory import freeze_imports

        freeze_imports()


def run_sweep(plan: Plan, arguments: list[str], interrupted: Interrupted | None = None) -> int:
    """Check a sweep, run it, and compare its runs.

    Args:
        plan: of the sweep.
        arguments: its command line.
        interrupted: the sweep to resume; None for a new one.

    Returns:
        The exit code: REFUSED if the sweep was not started, INTERRUPTED if the user stopped it,
        FAILED if it is not complete for another reason, else 0.
    """
    from unrolled.tracking import TrackingError

    workers = Workers.of(plan)
    workers.limit_threads()
    refusals = (ImportError, OSError, RuntimeError, TypeError, ValueError, TrackingError)
    with contextlib.ExitStack() as claims:
        try:
            _connect(plan)
            _check_machines(plan, arguments, claims)
            _check_by_building(plan)
            folder = Folder(plan, interrupted.directory if interrupted else None)
            folder.claim(claims)
        except refusals as problem:
            print_refusal(problem)
            return REFUSED
        try:
            parent = _start_parent(plan, arguments, folder, interrupted)
        except TrackingError as problem:
            print_refusal(problem)
            return FAILED
        with parent.failing_on_error():
            directory = folder.made_for(parent.run_id, claims)
            sweep = Sweep(
                plan.name,
                parent.run_id,
                list(plan.axes),
                # Ray starts a run again whose node has failed.
                resumed=interrupted is not None or plan.launcher == RAY,
                process=os.getpid(),
                host=socket.gethostname(),
            )
            failure = _run(plan, arguments, directory, sweep, workers)
            if failure is not None:
                _mark_failed(parent, failure)
            failure = _compare(parent, failure is None) or failure
    if failure is None:
        return 0
    say.print(f"The sweep is not complete: {failure.reason}.", soft_wrap=True, markup=False)
    say.print(f"Resume it with: make resume run={parent.run_id}", soft_wrap=True)
    return failure.code


def _connect(plan: Plan) -> None:
    """Connect to the store, and mark runs of killed processes as failed.

    Raises:
        tracking.TrackingError: if the store cannot be used for this sweep.
    """
    from unrolled.tracking import (
        check_experiment,
        connect,
        fail_abandoned_runs,
        require_writable,
    )

    settings = plan.configurations[0].tracking
    connect(settings.uri, settings.patience)
    require_writable()
    check_experiment(plan.name)
    fail_abandoned_runs()


def _check_machines(plan: Plan, arguments: list[str], claims: contextlib.ExitStack) -> None:
    """Connect to the cluster, if there is one, and check that its machines can use the store.

    Raises:
        RefusedError: if there is no such cluster.
        tracking.StoreError: if the store is a database on this machine alone.
    """
    from unrolled.tracking import refuse_other_machines

    machines = []
    if plan.launcher == SLURM:
        machines = cluster.machines()
    elif plan.launcher == RAY:
        with say.status("Connecting to Ray ..."):
            machines = claims.enter_context(ray_cluster.connected(arguments))
    refuse_other_machines(machines)


def _run(
    plan: Plan, arguments: list[str], directory: Path, sweep: Sweep, workers: Workers
) -> _Failure | None:
    """Run all runs of the sweep; returns None if all of them are complete.

    Runs whose worker was killed, by Ctrl-C or from outside, are marked as failed.
    """
    from unrolled.tracking import TrackingError, fail_abandoned_runs

    failure = _launched(plan, arguments, directory, sweep, workers)
    jobs = is_of_submitit(plan.launcher) or plan.launcher == RAY
    if failure is not None and (workers.jobs > 1 or jobs):
        with contextlib.suppress(TrackingError):  # Then the next command marks them.
            fail_abandoned_runs(failure.reason, sweep.parent_run_id, on_all_machines=jobs)
    return failure


def _launched(
    plan: Plan, arguments: list[str], directory: Path, sweep: Sweep, workers: Workers
) -> _Failure | None:
    from unrolled.tracking import TrackingError

    try:
        with interruption.reraised():
            reason = run_all(plan, arguments, directory, sweep, workers)
            return None if reason is None else _Failure(reason)
    except KeyboardInterrupt:
        return _Failure("stopped by the user", INTERRUPTED)
    except BrokenExecutor as error:
        return _Failure(f"a worker process of the sweep was killed ({type(error).__name__})")
    except JobError as error:
        return _Failure(str(error))
    except (OSError, TrackingError) as error:  # The disk is full, or the store is gone.
        return _Failure(f"{type(error).__name__}: {error}")


def _compare(parent: "TrackedRun", complete: bool) -> _Failure | None:
    """Compare the runs, and finish a complete sweep; returns None if that succeeded.

    The sweep is finished last: if the process is killed during the comparison, the sweep can be
    resumed, and its runs are compared then.
    """
    from unrolled.comparison.comparison import compare
    from unrolled.tracking import TrackingError

    try:
        compare(parent.run_id)
        if complete:
            parent.finish()
    except (OSError, TrackingError) as error:
        failure = _Failure(f"the comparison could not be written ({error})")
        _mark_failed(parent, failure)
        return failure
    return None


def _mark_failed(parent: "TrackedRun", failure: _Failure) -> None:
    """Mark the parent run FAILED, if the store can still be written to.

    If it cannot, the next command marks it, because the process is gone.
    """
    from unrolled.tracking import Failure, TrackingError

    stopped = failure.code == INTERRUPTED
    try:
        parent.fail(failure.reason, Failure.INTERRUPTED if stopped else Failure.ERROR)
    except TrackingError as error:
        say.print(f"Could not record that the sweep stopped: {error}", markup=False)


def _check_by_building(plan: Plan) -> None:
    """Load every task and build every model once, so that errors are reported before training.

    Raises:
        Exception: whatever a task, a unit or a model raises for its options or its data.
    """
    from unrolled.sweeps.building import build, check_options, check_room, load_task
    from unrolled.sweeps.diagnostics_callback import measured_part
    from unrolled.sweeps.training import optimizer_class, training_steps

    for configuration in plan.configurations:
        optimizer_class(configuration.training.optimizer)
    for section in ("task", "cell"):
        for options in plan.combinations.get(section, []):
            check_options(section, options)
    for configuration in _differently_built(plan.configurations):
        with say.status(f"Preparing the data of the task {configuration.task.name} ..."):
            task = load_task(configuration)
        training_steps(task, configuration)
        check_room(configuration, task)
        model = build(configuration, task)
        if configuration.diagnostics.measurements:
            measured_part(model)


def _differently_built(configurations: list[DictConfig]) -> list[DictConfig]:
    """One configuration for each combination of data, batches, model and measurements.

    Seeds do not matter.
    """
    built: dict[str, DictConfig] = {}
    for configuration in configurations:
        resolved = plain_values(configuration)
        parts = [resolved[key] for key in ("task", "cell", "model")]
        batches = [resolved["training"][key] for key in ("batch_size", "window")]
        measured = resolved["diagnostics"]["measurements"]
        built.setdefault(str([*parts, *batches, measured]), configuration)
    return list(built.values())


def _search_words(search: Search, runs: int) -> str:
    """What the search does before the sweep, for people."""
    said = f"{runs} more before them choose {search.key} for each variant"
    if search.halving is None:
        return said
    factor, last = search.halving.factor, search.halving.rungs[-1]
    if not search.halving.early:
        return f"{said}; no value stops early, as {last} epochs are fewer than halving={factor}"
    early = " and ".join(map(str, search.halving.early))
    return (
        f"{said}; after {early} of {last} epochs the best 1/{factor} of the values go on "
        "(rounded up)"
    )


def _start_parent(
    plan: Plan, arguments: list[str], folder: Folder, interrupted: Interrupted | None
) -> "TrackedRun":
    """Announce the sweep, and start its parent run or continue the interrupted one."""
    from unrolled.comparison.runs import baseline_tags
    from unrolled.sweeps.provenance import git_commit
    from unrolled.tracking import start_sweep

    first = plan.configurations[0]
    title = f"{plan.name} {first.task.name} {folder.started:%d %b %H:%M}"
    if interrupted:
        title = interrupted.name
    again = " (resumed)" if interrupted else ""
    say.print(f"{title}: {plan.runs} runs of {first.budget.epochs} epochs{again}")
    if first.budget.name == "quick":
        say.print(QUICK)
    tags = {
        "experiment": plan.name,
        "task": first.task.name,
        "budget": first.budget.name,
        "git_commit": git_commit(),
        "overrides": " ".join(arguments),
    }
    record = {"arguments": arguments, "runs": plan.runs}
    if first.baseline is not None:
        tags |= baseline_tags(baselines.names_of(first.baseline))
    if plan.search is not None:
        record["search"] = asdict(plan.search)
        say.print(_search_words(plan.search, plan.search_runs))
    return start_sweep(
        plan.name,
        title,
        tags,
        lambda run_id: {**record, "directory": str(in_project(folder.of(run_id)))},
        interrupted.run_id if interrupted else None,
    )
