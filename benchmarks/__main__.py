"""The command line: `python -m benchmarks parts=[steps] units=[lstm,gru]`.

Measures every unit against its peer in Keras. Overrides are Hydra's, of conf/benchmark.yaml.
"""

import signal

from benchmarks.plan import make_plan
from experiments.checks import refuse_secrets
from experiments.entry import FAILED, INTERRUPTED, REFUSED, RefusedError, run
from experiments.plan import as_typed
from experiments.printable import print_refusal
from experiments.terminal import quiet_start, say


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
        import tracking
        from benchmarks.run import run as measure
        from tasks.task import MissingDataError
    try:
        outcome = measure(config)
    except (tracking.TrackingError, MissingDataError, RefusedError) as problem:
        print_refusal(problem)
        return REFUSED
    say.print(f"All figures, the picture and speed.md: {tracking.how_to_browse()}, then")
    say.print(tracking.page(outcome.experiment_id, outcome.run_id), soft_wrap=True)
    if outcome.interrupted:
        return INTERRUPTED
    return 0 if outcome.reason is None else FAILED


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run(main, goes_on=True)
