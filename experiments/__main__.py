"""The command line: `python -m experiments experiment=gru_vs_lstm seed=1,2`.

Checks what is asked for, runs the sweep through Hydra, and compares its runs. Overrides are
Hydra's; anything that begins with a dash (`--help`, `--cfg job`) goes to Hydra as it is.
"""

import signal
import sys
from datetime import datetime

from experiments.catalogue import CONFIGURATION
from experiments.plan import Plan, RefusedError, make_plan
from experiments.sweep import Sweep
from experiments.terminal import QUICK, SweepBar, quiet_start, say

_OUTPUTS = CONFIGURATION.parent / "outputs"
_REFUSED, _FAILED, _INTERRUPTED = 2, 1, 130


def main(arguments: list[str]) -> int:
    """Run what a command line asks for; returns the exit code."""
    if any(argument.startswith("-") for argument in arguments):
        return _hand_to_hydra(arguments)
    try:
        plan = make_plan(arguments)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return _REFUSED
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import keras  # noqa: F401

    return _sweep(plan, arguments)


def _hand_to_hydra(arguments: list[str]) -> int:
    with quiet_start():
        from experiments.run import job
    sys.argv = ["unrolled", *arguments]
    job()
    return 0


def _sweep(plan: Plan, arguments: list[str]) -> int:
    from experiments.compare import compare
    from experiments.run import job
    from tracking import connect, fail_abandoned_runs

    first = plan.configurations[0]
    try:
        connect(first.tracking.uri)
        _try_out(plan)
    except (MemoryError, OSError, RuntimeError, TypeError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return _REFUSED
    fail_abandoned_runs()
    parent = _start_parent(plan, arguments)
    Sweep(plan.name, parent.run_id, list(plan.axes)).hand_over()
    directory = _OUTPUTS / plan.name.replace(" ", "_") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    sys.argv = ["unrolled", "--multirun", *arguments, f"hydra.sweep.dir={directory}"]
    bar = SweepBar(directory, plan.runs)
    code = 0
    try:
        with bar:
            job()
    except KeyboardInterrupt:
        code = _INTERRUPTED
        parent.fail("stopped by the user")
    failed = sum(outcome.error is not None for outcome in bar.outcomes.values())
    if failed:
        code = code or _FAILED
        parent.fail(f"{failed} of {plan.runs} runs failed")
    elif not code:
        parent.finish()
    compare(parent.run_id)
    return code


def _try_out(plan: Plan) -> None:
    """Load every task and build every model once, so that what is wrong is said now.

    Raises:
        Exception: whatever a task, a unit or a model says of its options or its data.
    """
    from experiments.run import build, load_task

    for configuration in plan.configurations:
        build(configuration, load_task(configuration))


def _start_parent(plan: Plan, arguments: list[str]):
    from experiments.run import git_commit
    from tracking import start_sweep

    first = plan.configurations[0]
    title = f"{plan.name} {first.task.name} {datetime.now():%d %b %H:%M}"
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
