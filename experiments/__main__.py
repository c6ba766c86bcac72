"""The command line: `python -m experiments experiment=gru_vs_lstm seed=1,2`.

Checks what is asked for, runs the sweep through Hydra, and compares its runs. Overrides are
Hydra's; anything that begins with a dash (`--help`, `--cfg job`) goes to Hydra as it is, but for
`--resume`, `--compare` and `--ui`, which `make` uses.
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments import baselines, interruption
from experiments.catalogue import CONFIGURATION
from experiments.checks import RefusedError
from experiments.entry import FAILED, INTERRUPTED, REFUSED, run
from experiments.plan import Plan, Search, as_typed, make_plan, quoted
from experiments.sweep import STAGE, Progress, Sweep
from experiments.terminal import QUICK, SweepBar, quiet_start, say

_RESUME = "--resume"  # The id of a sweep's parent run follows, or nothing, for the latest.
_COMPARE = "--compare"  # The arguments of `compare.main` follow.
_UI = "--ui"  # Those of `ui.main` follow.
_OUTPUTS = CONFIGURATION.parent / "outputs"
_STOPPED = "stopped by the user"


def main(arguments: list[str]) -> int:
    """Run what a command line asks for; returns the exit code."""
    if arguments[:1] == [_RESUME]:
        return _resume(*arguments[1:2])
    if arguments[:1] == [_COMPARE]:
        with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
            from experiments import compare
        return compare.main(arguments[1:])
    if arguments[:1] == [_UI]:
        from tracking import ui

        return ui.main(arguments[1:])
    arguments = as_typed(arguments)
    for_hydra = any(argument.startswith("-") for argument in arguments)
    try:
        plan = None if for_hydra else make_plan(arguments)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return REFUSED
    interruption.watch()
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        from experiments.run import job
    if plan is None:
        sys.argv = ["unrolled", *arguments]
        return job() or 0
    return _sweep(plan, arguments)


def _resume(run_id: str | None = None) -> int:
    """Go on with a sweep that did not end: with its runs that did not, from their last epochs."""
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import experiments.run  # noqa: F401
    from tracking import NoSuchRunError, connect, fail_abandoned_runs, latest_sweep, read_sweep

    interruption.watch()
    connect()
    fail_abandoned_runs()
    try:
        run_id = run_id or latest_sweep()
        if run_id is None:
            raise NoSuchRunError("There is no sweep yet; make one: make experiment name=...")
        old = read_sweep(run_id)
        left = _Left.by(old)
        plan = make_plan(left.arguments)
    except (NoSuchRunError, RefusedError, ConnectionError) as problem:
        print(problem, file=sys.stderr)
        return REFUSED
    return _sweep(plan, left.arguments, left)


@dataclass(frozen=True)
class _Left:
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
    def by(cls, sweep) -> "_Left":
        """Of a `tracking.SweepRecord`.

        Raises:
            RefusedError: if it has ended, or nothing of it is left on this machine.
        """
        if sweep.status == "FINISHED":
            raise RefusedError(f"{sweep.name}: has ended; all its runs are there (make compare).")
        if sweep.status == "RUNNING":
            raise RefusedError(f"{sweep.name}: is still running.")
        directory = Path(sweep.tags.get("directory", ""))
        if "directory" not in sweep.tags or not directory.is_dir():
            raise RefusedError(
                f"{sweep.name}: expected what its runs have kept in {str(directory)!r}, and found "
                "no such folder. Start it anew: make experiment name=..."
            )
        arguments = json.loads(sweep.tags["arguments"])
        arguments = [each for each in arguments if not each.startswith("hydra.sweep.dir=")]
        return cls(sweep.run_id, sweep.name, arguments, directory)


def _sweep(plan: Plan, arguments: list[str], left: _Left | None = None) -> int:
    from experiments.compare import compare
    from tracking import connect, fail_abandoned_runs, require_writable

    try:
        connect(plan.configurations[0].tracking.uri)
        require_writable()
        _try_out(plan)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return REFUSED
    fail_abandoned_runs()
    started = datetime.now()
    if left is None:
        directory = plan.directory or _OUTPUTS / plan.name / f"{started:%Y-%m-%d_%H-%M-%S}"
        directory.mkdir(parents=True, exist_ok=True)
    else:
        directory = left.directory
    parent = _start_parent(plan, arguments, started, directory, left)
    try:
        with interruption.kept():
            reason = _run_all(plan, arguments, directory, parent.run_id)
    except KeyboardInterrupt:
        reason = _STOPPED
    except BaseException as error:
        parent.fail(f"{type(error).__name__}: {error}")
        raise
    if reason is None:
        parent.finish()
    else:
        parent.fail(reason)
    compare(parent.run_id)
    if reason is not None:
        say.print(f"Go on where it was left: make resume run={parent.run_id}", soft_wrap=True)
    return {None: 0, _STOPPED: INTERRUPTED}.get(reason, FAILED)


def _try_out(plan: Plan) -> None:
    """Load every task, cut it up, and build every model once, so that what is wrong is said now.

    Raises:
        Exception: whatever a task, a unit or a model says of its options or its data.
    """
    from experiments.run import build, load_task
    from experiments.training import training_steps

    for configuration in _differently_built(plan.configurations):
        with say.status(f"Preparing the data of the task {configuration.task.name} ..."):
            task = load_task(configuration)
        training_steps(task, configuration)
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


def _start_parent(
    plan: Plan, arguments: list[str], started: datetime, directory: Path, left: _Left | None
):
    from experiments.run import git_commit
    from tracking import start_sweep

    first = plan.configurations[0]
    title = left.name if left else f"{plan.name} {first.task.name} {started:%d %b %H:%M}"
    again = ", gone on with" if left else ""
    say.print(f"{title}: {plan.runs} runs of {first.budget.epochs} epochs{again}")
    if first.budget.name == "quick":
        say.print(QUICK)
    tags = {
        "experiment": plan.name,
        "task": first.task.name,
        "budget": first.budget.name,
        "git_commit": git_commit(),
        "overrides": " ".join(arguments),
        "arguments": json.dumps(arguments),
        "directory": str(directory),
    }
    if first.baseline is not None:
        tags["baseline"] = baselines.as_tag(baselines.names_of(first.baseline))
    if plan.search is not None:
        tags["search"] = json.dumps(asdict(plan.search))
        say.print(f"{plan.search_runs} more before them choose {plan.search.key} for each variant")
    return start_sweep(plan.name, title, tags, left and left.run_id)


def _run_all(plan: Plan, arguments: list[str], directory: Path, parent_run_id: str) -> str | None:
    """Launch the runs; returns why the sweep is not whole, None if it is.

    A run that fails in the search for a key's values is part of what the search finds.
    """
    sweep = Sweep(plan.name, parent_run_id, list(plan.axes))
    folders = [directory / STAGE / str(number) for number in range(plan.search_runs)]
    folders += [directory / str(number) for number in range(plan.runs)]
    for folder in folders:
        Progress(folder).forget_failure()
    with SweepBar(folders) as bar:
        if plan.search is not None:
            sweep = replace(sweep, searched=plan.search.key)
            overrides = [*arguments, *plan.search.overrides]
            _launch(replace(sweep, stage=STAGE), overrides, directory / STAGE)
            sweep = replace(sweep, chosen=_chosen(plan.search, parent_run_id))
        _launch(sweep, arguments, directory)
    ended = [bar.outcomes.get(number) for number in range(plan.search_runs, len(folders))]
    good = sum(outcome is not None and outcome.error is None for outcome in ended)
    return None if good == plan.runs else f"{plan.runs - good} of {plan.runs} runs failed"


def _launch(sweep: Sweep, overrides: list[str], directory: Path) -> None:
    """The runs of one stage, in folders 0, 1, ... of `directory`."""
    from experiments.run import job

    sweep.hand_over(directory)
    given = [each for each in overrides if not each.startswith("hydra.sweep.dir=")]
    sys.argv = ["unrolled", "--multirun", *given, f"hydra.sweep.dir={quoted(str(directory))}"]
    job()
    interruption.check()


def _chosen(asked: Search, parent_run_id: str) -> dict[str, Any]:
    """The value of each variant that did best in the stage that has ended."""
    from experiments.search import choices, chosen
    from tracking import read_sweep

    return chosen(choices(read_sweep(parent_run_id).runs, asked.key, asked.values))


if __name__ == "__main__":
    run(main, goes_on=True)
