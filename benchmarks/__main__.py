"""The command line: `python -m benchmarks parts=[steps] units=[lstm,gru]`.

Measures every unit against its peer in Keras. Overrides are Hydra's, of conf/benchmark.yaml.
"""

import signal

from benchmarks.plan import make_plan
from unrolled.console.make_arguments import as_typed
from unrolled.console.program import FAILED, INTERRUPTED, REFUSED, run
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.console.terminal import quiet_start, say
from unrolled.sweeps.overrides import refuse_secrets


def main(arguments: list[str]) -> int:
    """Measure what a command line asks for; returns the exit code."""
    arguments = as_typed(arguments)
    try:
        refuse_secrets(arguments)
        config = make_plan(arguments)
    except RefusedError as refused:
        print_refusal(refused)
        return REFUSED
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        from benchmarks.run import run as measure
        from unrolled import tracking
        from unrolled.tasks.base.task import MissingDataError
    try:
        outcome = measure(config)
    except (tracking.TrackingError, MissingDataError, RefusedError) as problem:
        print_refusal(problem)
        return REFUSED
    where = tracking.how_to_browse(outcome.experiment_id, outcome.run_id)
    say.print(f"All figures, the picture and speed.md: {where}", soft_wrap=True)
    if outcome.failure is None:
        return 0
    return INTERRUPTED if outcome.failure is tracking.Failure.INTERRUPTED else FAILED


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run(main, goes_on=True)
