"""One sweep from its plan to its comparison."""

import contextlib
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from unrolled.comparison import baselines
from unrolled.console.program import FAILED, INTERRUPTED, REFUSED
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.console.terminal import QUICK, say
from unrolled.project import PROJECT
from unrolled.sweeps import interruption
from unrolled.sweeps.launch import Folder, in_project, run_all, without_directory
from unrolled.sweeps.plan import Plan


@dataclass(frozen=True)
class _Unfinished:
    """Why a sweep is not complete.

    Attributes:
        reason: for people.
        exit_code: of the command.
    """

    reason: str
    exit_code: int = FAILED


@dataclass(frozen=True)
class Left:
    """What an interrupted sweep has left behind.

    Attributes:
        run_id: of its parent run.
        name: of its parent run.
        arguments: its command line.
        directory: where its runs keep their files.
    """

    run_id: str
    name: str
    arguments: list[str]
    directory: Path

    @classmethod
    def by(cls, sweep) -> "Left":
        """Of a `tracking.SweepRecord`.

        Raises:
            RefusedError: if it has ended, or nothing of it is left on this machine.
            tracking.UnreadableRecordError: if its command line is not in its record.
        """
        from unrolled.comparison.runs import identity_of, is_search

        finished = (run for run in sweep.runs if run.status == "FINISHED")
        there = {identity_of(run) for run in finished if not is_search(run)}
        if sweep.status == "FINISHED" and len(there) >= sweep.record.get("runs", 0):
            raise RefusedError(f"{sweep.name}: is complete; there is nothing to resume.")
        if sweep.status == "RUNNING":
            raise RefusedError(f"{sweep.name}: is still running.")
        # What was recorded relative to the project still holds once the project was moved.
        directory = PROJECT / sweep.record["directory"]
        if not directory.is_dir():
            raise RefusedError(
                f"{sweep.name}: expected the files of its runs in {str(directory)!r}, and found no "
                "such folder. Start it again: make experiment name=..."
            )
        arguments = without_directory(sweep.record["arguments"])
        return cls(sweep.run_id, sweep.name, arguments, directory)


def run_sweep(plan: Plan, arguments: list[str], left: Left | None = None) -> int:
    from unrolled.tracking import (
        TrackingError,
        check_experiment,
        connect,
        fail_abandoned_runs,
        require_writable,
    )

    asked = plan.configurations[0].tracking
    refusals = (ImportError, OSError, RuntimeError, TypeError, ValueError, TrackingError)
    with contextlib.ExitStack() as claims:
        try:
            connect(asked.uri, asked.patience)
            require_writable()
            check_experiment(plan.name)
            fail_abandoned_runs()
            _try_out(plan)
            folder = Folder(plan, left and left.directory)
            folder.claim(claims)
        except refusals as problem:
            print_refusal(problem)
            return REFUSED
        try:
            parent = _start_parent(plan, arguments, folder, left)
        except TrackingError as problem:
            print_refusal(problem)
            return FAILED
        with parent.failing_on_error():
            directory = folder.made_for(parent.run_id, claims)
            unfinished = _why_stopped(plan, arguments, directory, parent.run_id)
            if unfinished is not None:
                _fail(parent, unfinished)
            unfinished = _why_not_compared(parent, unfinished is None) or unfinished
    if unfinished is None:
        return 0
    say.print(f"The sweep is not complete: {unfinished.reason}.", soft_wrap=True, markup=False)
    say.print(f"Resume it with: make resume run={parent.run_id}", soft_wrap=True)
    return unfinished.exit_code


def _why_stopped(
    plan: Plan, arguments: list[str], directory: Path, run_id: str
) -> _Unfinished | None:
    """Run the sweep; returns why it is not complete, None if it is."""
    from unrolled.tracking import TrackingError

    try:
        with interruption.kept():
            reason = run_all(plan, arguments, directory, run_id)
    except KeyboardInterrupt:
        return _Unfinished("stopped by the user", INTERRUPTED)
    except BrokenExecutor as error:
        reason = f"a worker process of the sweep was killed ({type(error).__name__})"
    except (OSError, TrackingError) as error:  # The disk is full, or the store is gone.
        reason = f"{type(error).__name__}: {error}"
    return None if reason is None else _Unfinished(reason)


def _why_not_compared(parent, complete: bool) -> _Unfinished | None:
    """Compare the runs, and finish a complete sweep; returns why that could not be done.

    Only then: a sweep that is killed before has to be resumed, and is compared again.
    """
    from unrolled.comparison.comparison import compare
    from unrolled.tracking import TrackingError

    try:
        compare(parent.run_id)
        if complete:
            parent.finish()
    except (OSError, TrackingError) as error:
        unfinished = _Unfinished(f"the comparison could not be written ({error})")
        _fail(parent, unfinished)
        return unfinished
    return None


def _fail(parent, unfinished: _Unfinished) -> None:
    """Mark the parent run FAILED, if the store can still be written to.

    If it cannot, the next command does, which finds that the process is gone.
    """
    from unrolled.tracking import Failure, TrackingError

    stopped = unfinished.exit_code == INTERRUPTED
    try:
        parent.fail(unfinished.reason, Failure.INTERRUPTED if stopped else Failure.ERROR)
    except TrackingError as error:
        say.print(f"Could not record that the sweep stopped: {error}", markup=False)


def _try_out(plan: Plan) -> None:
    """Load every task, cut it up, and build every model once, so that what is wrong is said now.

    Raises:
        Exception: whatever a task, a unit or a model says of its options or its data.
    """
    from unrolled.sweeps.run import build, check_room, load_task
    from unrolled.sweeps.training import optimizer_class, training_steps

    for configuration in plan.configurations:
        optimizer_class(configuration.training.optimizer)
    for configuration in _differently_built(plan.configurations):
        with say.status(f"Preparing the data of the task {configuration.task.name} ..."):
            task = load_task(configuration)
        training_steps(task, configuration)
        check_room(configuration, task)
        build(configuration, task)


def _differently_built(configurations: list[DictConfig]) -> list[DictConfig]:
    """One of those with the same data, cut up alike, and model, as all seeds of a unit have."""
    built = {}
    for configuration in configurations:
        resolved = OmegaConf.to_container(configuration, resolve=True)
        parts = [resolved[key] for key in ("task", "cell", "model")]
        cut = [resolved["training"][key] for key in ("batch_size", "window")]
        built.setdefault(str([*parts, *cut]), configuration)
    return list(built.values())


def _start_parent(plan: Plan, arguments: list[str], folder: Folder, left: Left | None):
    from unrolled.comparison.runs import baseline_tags
    from unrolled.sweeps.run import git_commit
    from unrolled.tracking import start_sweep

    first = plan.configurations[0]
    title = left.name if left else f"{plan.name} {first.task.name} {folder.started:%d %b %H:%M}"
    again = " (resumed)" if left else ""
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
        say.print(f"{plan.search_runs} more before them choose {plan.search.key} for each variant")
    return start_sweep(
        plan.name,
        title,
        tags,
        lambda run_id: {**record, "directory": str(in_project(folder.of(run_id)))},
        left and left.run_id,
    )
