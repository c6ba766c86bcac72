"""Resume a sweep that was interrupted."""

from unrolled.console.program import REFUSED
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.sweeps import interruption
from unrolled.sweeps.execution import Interrupted, run_sweep, start_libraries
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
    start_libraries()
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
