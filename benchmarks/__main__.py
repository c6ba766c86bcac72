"""The command line: `python -m benchmarks parts=[steps] units=[lstm,gru]`.

Measures every unit against its peer in Keras. Overrides are Hydra's, of conf/benchmark.yaml.
"""

import signal
import sys

from benchmarks.plan import make_plan
from experiments.checks import RefusedError, refuse_secrets
from experiments.plan import as_typed
from experiments.terminal import quiet_start, say

_NOT_WHOLE, _REFUSED, _INTERRUPTED = 1, 2, 130


def main(arguments: list[str]) -> int:
    """Measure what a command line asks for; returns the exit code."""
    arguments = as_typed(arguments)
    try:
        refuse_secrets(arguments)
        config = make_plan(arguments)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return _REFUSED
    with say.status("Starting TensorFlow and MLflow ..."), quiet_start():
        import tracking
        from benchmarks.run import run
        from tasks.task import MissingDataError
    try:
        outcome = run(config)
    except (tracking.TrackingError, MissingDataError, RefusedError) as problem:
        print(problem, file=sys.stderr)
        return _REFUSED
    say.print(f"All figures, the picture and speed.md: {tracking.how_to_browse()}, then")
    say.print(tracking.page(outcome.experiment_id, outcome.run_id), soft_wrap=True)
    if outcome.interrupted:
        return _INTERRUPTED
    return 0 if outcome.reason is None else _NOT_WHOLE


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
