"""Compare the runs of a sweep again: `python -m experiments.compare [id] [baseline=lstm]`.

The id is that of the sweep's parent run; the default is the latest sweep.
"""

from unrolled.console.make_arguments import as_typed
from unrolled.console.program import REFUSED, run
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.console.terminal import quiet_start, say
from unrolled.sweeps.plan import baselines_of
from unrolled.sweeps.requested import one_id, or_latest


def main(arguments: list[str]) -> int:
    """Compare the sweep with the id, or the latest, against its baselines or those given.

    Returns:
        The exit code.
    """
    arguments = as_typed(arguments)
    overrides = [argument for argument in arguments if "=" in argument]
    ids = [argument for argument in arguments if "=" not in argument]
    try:
        run_id = one_id(ids)
        baselines = baselines_of(overrides)
    except RefusedError as refused:
        print_refusal(refused)
        return REFUSED
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        from unrolled import tracking
        from unrolled.comparison.comparison import compare
        from unrolled.sweeps.memory import freeze_imports

        freeze_imports()
    try:
        tracking.connect()
        tracking.require_writable()
        tracking.fail_abandoned_runs()
        compare(or_latest(run_id), baselines)
    except (tracking.TrackingError, RefusedError) as error:
        print_refusal(error)
        return REFUSED
    return 0


if __name__ == "__main__":
    run(main, goes_on=True)
