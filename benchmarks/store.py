"""Made-up runs in the tracking store: `python -m benchmarks.store runs=300 at_once=50`.

Each run makes the requests of a run of `gru_vs_lstm` without training anything: 18 batches of
parameters, tags and metrics, about 530 rows in all, and 4 files, of which the model takes 0.35 MB.
`at_once` processes make them. A request that fails is not repeated: its run counts as an error. On
the machine of the store, `server=<pid>,<pid>` adds the processor time of each of these processes,
with all that it started.
"""

import multiprocessing
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import psutil

from unrolled import tracking
from unrolled.console.program import FAILED, run
from unrolled.console.refusals import RefusedError

_EXPERIMENT = "store_benchmark"
_EPOCHS = 12
_MODEL = 350_000  # Bytes.


def main(arguments: list[str]) -> int:
    """Measures; returns the exit code, FAILED if a run failed."""
    options = {"runs": "300", "at_once": "50", "server": ""}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in options or not re.fullmatch("[1-9][0-9,]*", value):
            raise RefusedError(
                f"python -m benchmarks.store: expected {', '.join(options)} with integers, such "
                f"as runs=300 at_once=50, got {argument!r}"
            )
        options[key] = value
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    runs, at_once = int(options["runs"]), int(options["at_once"])
    servers = [int(pid) for pid in options["server"].split(",") if pid]
    try:
        tracking.connect()
    except tracking.TrackingError as error:
        raise RefusedError(str(error)) from error
    before, start = [_processor_seconds(each) for each in servers], time.monotonic()
    with multiprocessing.get_context("fork").Pool(at_once) as pool:
        errors = [error for error in pool.imap_unordered(_run, range(runs)) if error]
    seconds = time.monotonic() - start
    print(f"{runs} runs, {at_once} at once: {seconds:.1f} s, {len(errors)} errors")
    for server, earlier in zip(servers, before, strict=True):
        used = (_processor_seconds(server) - earlier) / runs
        print(f"processor time of process {server}: {used:.2f} s per run")
    for error in sorted(set(errors))[:5]:
        print(error, file=sys.stderr)
    return FAILED if errors else 0


def _run(number: int) -> str | None:
    """Makes one run; returns the reason if it failed."""
    try:
        tracking.connect()
        params = {f"section.parameter_{each}": each for each in range(130)}
        tags = {f"tag_{each}": "value" for each in range(10)}
        with tracking.TrackedRun(_EXPERIMENT, f"run {number}", tags, params) as tracked:
            tracked.log_text("a: 1\n" * 100, "configuration.yaml")
            for epoch in range(_EPOCHS):
                tracked.log_metrics({f"metric_{each}": epoch for each in range(18)}, epoch + 1)
            for batch in range(4):
                tracked.log_metrics({f"batch_{batch}_{each}": each for each in range(8)})
            tracked.log_series({"by_step": [(step, step) for step in range(80)]})
            tracked.log_report({"metric": "accuracy"})
            tracked.log_text("x" * 20_000, "learning_curves.svg")
            with tempfile.TemporaryDirectory() as folder:
                model = Path(folder) / "model.keras"
                model.write_bytes(os.urandom(_MODEL))
                tracked.log_file(model, "model")
    except Exception as error:
        return f"{type(error).__name__}: {tracking.masked(str(error))}"
    return None


def _processor_seconds(pid: int) -> float:
    """Returns the processor time of a process and of all that it started, also of ended ones."""
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))


if __name__ == "__main__":
    run(main, goes_on=True)
