"""Resume a sweep that was interrupted."""

from unrolled.console.program import REFUSED
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.console.terminal import quiet_start, say
from unrolled.sweeps import interruption
from unrolled.sweeps.execution import Interrupted, run_sweep
from unrolled.sweeps.plan import make_plan


def main(arguments: list[str]) -> int:
    """Run the unfinished runs of a sweep, from their last epochs; returns the exit code.

    Args:
        arguments: the id of the sweep's parent run, or nothing, for the latest sweep.
    """
    if len(arguments) > 1:
        print_refusal(f"run: expected the id of one sweep, got {' '.join(arguments)!r}.")
        return REFUSED
    run_id = arguments[0] if arguments else None
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import unrolled.sweeps.run  # noqa: F401
    from unrolled.tracking import (
        NoSuchRunError,
        TrackingError,
        connect,
        fail_abandoned_runs,
        latest_sweep,
        read_sweep,
    )

    interruption.watch()
    try:
        connect()
        fail_abandoned_runs()
        run_id = run_id or latest_sweep()
        if run_id is None:
            raise NoSuchRunError("There is no sweep yet; make one: make experiment name=...")
        old = read_sweep(run_id)
        interrupted = Interrupted.of(old)
        plan = make_plan(interrupted.arguments)
    except (TrackingError, RefusedError) as problem:
        print_refusal(problem)
        return REFUSED
    return run_sweep(plan, interrupted.arguments, interrupted)
