"""Resume a sweep that was interrupted."""

from collections.abc import Sequence

from unrolled.console.program import REFUSED
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.sweeps import interruption
from unrolled.sweeps.execution import Interrupted, run_sweep, start_libraries
from unrolled.sweeps.plan import make_plan
from unrolled.sweeps.requested import one_id, or_latest

_LOST = "lost="


def main(arguments: list[str]) -> int:
    """Run the unfinished runs of a sweep, from their last epochs; returns the exit code.

    Args:
        arguments: the id of the sweep's parent run, or nothing, for the latest sweep; and
            `lost=<machine>` if that machine has failed.
    """
    try:
        run_id = one_id([each for each in arguments if not each.startswith(_LOST)])
    except RefusedError as refused:
        print_refusal(refused)
        return REFUSED
    start_libraries()
    from unrolled.tracking import TrackingError, connect, fail_abandoned_runs, read_sweep

    interruption.watch()
    try:
        connect()
        fail_abandoned_runs()
        run_id = or_latest(run_id or None)
        _fail_lost_runs(run_id, arguments)
        interrupted = Interrupted.of(read_sweep(run_id))
        plan = make_plan(interrupted.arguments)
    except (TrackingError, RefusedError) as problem:
        print_refusal(problem)
        return REFUSED
    return run_sweep(plan, interrupted.arguments, interrupted)


def _fail_lost_runs(run_id: str, arguments: Sequence[str]) -> None:
    """Mark the runs of each machine that the command line calls lost.

    Raises:
        RefusedError: if no run of the sweep is on such a machine.
    """
    from unrolled.tracking import fail_runs_on, read_sweep

    for machine in (each.removeprefix(_LOST) for each in arguments if each.startswith(_LOST)):
        name = read_sweep(run_id).name
        if not fail_runs_on(machine, run_id):
            raise RefusedError(
                f"lost: expected the name of a machine on which {name} is still running, got "
                f"{machine!r}, where none of its runs is. Leave lost=... out."
            )
