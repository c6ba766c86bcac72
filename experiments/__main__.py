"""The command line: `python -m experiments experiment=gru_vs_lstm seed=1,2`.

Checks what is asked for, runs the sweep through Hydra, and compares its runs. Overrides are
Hydra's; anything that begins with a dash (`--help`, `--cfg job`) goes to Hydra as it is.
"""

import signal
import sys
from datetime import datetime
from pathlib import Path

from experiments.catalogue import CONFIGURATION
from experiments.plan import Plan, RefusedError, make_plan
from experiments.sweep import Sweep
from experiments.terminal import QUICK, SweepBar, quiet_start, say

_OUTPUTS = CONFIGURATION.parent / "outputs"
_FAILED, _REFUSED, _INTERRUPTED = 1, 2, 130


def main(arguments: list[str]) -> int:
    """Run what a command line asks for; returns the exit code."""
    for_hydra = any(argument.startswith("-") for argument in arguments)
    try:
        plan = None if for_hydra else make_plan(arguments)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return _REFUSED
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
    except (OSError, RuntimeError, TypeError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return _REFUSED
    fail_abandoned_runs()
    started = datetime.now()
    parent = _start_parent(plan, arguments, started)
    Sweep(plan.name, parent.run_id, list(plan.axes)).hand_over()
    directory = plan.directory or _OUTPUTS / plan.name / f"{started:%Y-%m-%d_%H-%M-%S}"
    code, reason = _run_all(plan, arguments, directory)
    if reason is None:
        parent.finish()
    else:
        parent.fail(reason)
    compare(parent.run_id)
    return code


def _try_out(plan: Plan) -> None:
    """Load every task and build every model once, so that what is wrong is said now.

    Raises:
        Exception: whatever a task, a unit or a model says of its options or its data.
    """
    from experiments.run import build, load_task

    for configuration in plan.configurations:
        with say.status(f"Preparing the data of the task {configuration.task.name} ..."):
            task = load_task(configuration)
        build(configuration, task)


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
    return start_sweep(plan.name, title, tags)


def _run_all(plan: Plan, arguments: list[str], directory: Path) -> tuple[int, str | None]:
    """Launch the runs; returns the exit code, and why the sweep is not whole if it is not."""
    from experiments.run import job

    sys.argv = ["unrolled", "--multirun", *arguments, f"hydra.sweep.dir={directory}"]
    bar = SweepBar(directory, plan.runs)
    try:
        with bar:
            job()
    except KeyboardInterrupt:
        return _INTERRUPTED, "stopped by the user"
    failed = sum(outcome.error is not None for outcome in bar.outcomes.values())
    return (_FAILED, f"{failed} of {plan.runs} runs failed") if failed else (0, None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
