"""The command line: `python -m experiments experiment=gru_vs_lstm seed=1,2`.

Checks what is asked for, runs the sweep through Hydra, and compares its runs. Overrides are
Hydra's; anything that begins with a dash (`--help`, `--cfg job`) goes to Hydra as it is.
"""

import os
import sys
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from experiments import interruption
from experiments.catalogue import CONFIGURATION
from experiments.checks import RefusedError
from experiments.plan import Plan, make_plan, overrides_of_make, quoted
from experiments.sweep import Sweep
from experiments.terminal import QUICK, SweepBar, quiet_start, say

_FROM_MAKE = "--from-make"  # More arguments are in the variable MAKE_OVERRIDES, as make has them.
_OUTPUTS = CONFIGURATION.parent / "outputs"
_FAILED, _REFUSED, _INTERRUPTED = 1, 2, 130
_STOPPED = "stopped by the user"


def main(arguments: list[str]) -> int:
    """Run what a command line asks for; returns the exit code."""
    if arguments[:1] == [_FROM_MAKE]:
        arguments = [*arguments[1:], *overrides_of_make(os.environ.get("MAKE_OVERRIDES", ""))]
    for_hydra = any(argument.startswith("-") for argument in arguments)
    try:
        plan = None if for_hydra else make_plan(arguments)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return _REFUSED
    interruption.watch()
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        from experiments.run import job
    if plan is None:
        sys.argv = ["unrolled", *arguments]
        return job() or 0
    return _sweep(plan, arguments)


def _sweep(plan: Plan, arguments: list[str]) -> int:
    from experiments.compare import compare
    from tracking import connect, fail_abandoned_runs

    try:
        connect(plan.configurations[0].tracking.uri)
        _try_out(plan)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return _REFUSED
    fail_abandoned_runs()
    started = datetime.now()
    directory = plan.directory or _OUTPUTS / plan.name / f"{started:%Y-%m-%d_%H-%M-%S}"
    directory.mkdir(parents=True, exist_ok=True)
    parent = _start_parent(plan, arguments, started)
    Sweep(plan.name, parent.run_id, list(plan.axes)).hand_over()
    try:
        with interruption.kept():
            reason = _run_all(plan, arguments, directory)
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
    return {None: 0, _STOPPED: _INTERRUPTED}.get(reason, _FAILED)


def _try_out(plan: Plan) -> None:
    """Load every task and build every model once, so that what is wrong is said now.

    Raises:
        Exception: whatever a task, a unit or a model says of its options or its data.
    """
    from experiments.run import build, load_task

    for configuration in _differently_built(plan.configurations):
        with say.status(f"Preparing the data of the task {configuration.task.name} ..."):
            task = load_task(configuration)
        build(configuration, task)


def _differently_built(configurations: list[DictConfig]) -> list[DictConfig]:
    """One of those that have the same task and model, as all seeds of a unit have."""
    built = {}
    for configuration in configurations:
        resolved = OmegaConf.to_container(configuration, resolve=True)
        built.setdefault(str([resolved[k] for k in ("task", "cell", "model")]), configuration)
    return list(built.values())


def _start_parent(plan: Plan, arguments: list[str], started: datetime):
    from experiments.run import git_commit
    from tracking import start_sweep

    first = plan.configurations[0]
    title = f"{plan.name} {first.task.name} {started:%d %b %H:%M}"
    say.print(f"{title}: {plan.runs} runs of {first.budget.epochs} epochs")
    if first.budget.name == "quick":
        say.print(QUICK)
    tags = {
        "experiment": plan.name,
        "task": first.task.name,
        "budget": first.budget.name,
        "git_commit": git_commit(),
        "overrides": " ".join(arguments),
    }
    if first.baseline is not None:
        tags["baseline"] = first.baseline
    return start_sweep(plan.name, title, tags)


def _run_all(plan: Plan, arguments: list[str], directory: Path) -> str | None:
    """Launch the runs; returns why the sweep is not whole, None if it is."""
    from experiments.run import job

    given = [a for a in arguments if not a.startswith("hydra.sweep.dir=")]
    sys.argv = ["unrolled", "--multirun", *given, f"hydra.sweep.dir={quoted(str(directory))}"]
    with SweepBar(directory, plan.runs) as bar:
        job()
    good = sum(outcome.error is None for outcome in bar.outcomes.values())
    return None if good == plan.runs else f"{plan.runs - good} of {plan.runs} runs failed"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
