"""Resume a sweep that was interrupted."""

from unrolled.console.program import REFUSED
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.console.terminal import quiet_start, say
from unrolled.sweeps import interruption
from unrolled.sweeps.execution import Interrupted, run_sweep
from unrolled.sweeps.plan import make_plan
from unrolled.sweeps.requested import one_id, or_latest


def main(arguments: list[str]) -> int:
    """Run the unfinished runs of a sweep, from their last epochs; returns the exit code.

    Args:
        arguments: the id of the sweep's parent run, or nothing, for the latest sweep.
    """
    try:
        run_id = one_id(arguments)
    except RefusedError as refused:
        print_refusal(refused)
        return REFUSED
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import unrolled.sweeps.run  # noqa: F401
        from unrolled.sweeps.memory import freeze_imports

        freeze_imports()
    from unrolled.tracking import TrackingError, connect, fail_abandoned_runs, read_sweep

    interruption.watch()
    try:
        connect()
        fail_abandoned_runs()
        interrupted = Interrupted.of(read_sweep(or_latest(run_id or None)))
        plan = make_plan(interrupted.arguments)
    except (TrackingError, RefusedError) as problem:
        print_refusal(problem)
        return REFUSED
    return run_sweep(plan, interrupted.arguments, interrupted)
