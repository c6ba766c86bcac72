"""Runs as jobs of submitit: on a SLURM cluster, or on this machine with `submitit_local`.

Such a job may be on another machine than its sweep, and may start after the sweep has ended. So the
sweep shows in a file in its folder that it is running, and its jobs end when it does not.
"""

import contextlib
import itertools
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from unrolled.comparison.variants import STAGE
from unrolled.sweeps.claim import InUseError, claimed
from unrolled.sweeps.output import output_to
from unrolled.system.atomic import write_atomically

_PULSE = "running"
"""The file in the folder of a sweep that exists, and changes, while the sweep is running."""
_LOG = "submitit.log"  # Messages of submitit and of SLURM's commands.
_PATIENCE = 10.0  # Seconds; a job ends sooner after its sweep.
_SECONDS_BETWEEN_BEATS = 10.0
_SECONDS_WITHOUT_BEAT = 120.0  # Other machines may see a file of a network folder a minute late.
_SECONDS_BETWEEN_LOOKS = 0.5
_JOBS = "slurm"  # The folder with one folder per job: see conf/hydra/launcher/slurm.yaml.


class JobError(RuntimeError):
    """Raised if the jobs of a sweep cannot be submitted, or one of them was killed."""


@contextlib.contextmanager
def jobs_of(directory: Path, folders: Sequence[Path]) -> Iterator[None]:
    """A context in which the jobs of a sweep run. Those that are left at its end are stopped.

    Args:
        directory: the folder of the sweep.
        folders: the folder of each run.

    Raises:
        JobError: if submitit raises an error.
    """
    from submitit.core.utils import FailedSubmissionError, UncompletedJobError

    # Its log has a handler for the standard output, where the progress bar is.
    logging.getLogger("submitit").setLevel(logging.ERROR)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(directory / _PULSE, ended), daemon=True)
    (directory / _PULSE).touch()
    beat.start()
    try:
        with output_to(directory / _LOG, is_worker=False):
            yield
    except (FailedSubmissionError, UncompletedJobError) as error:
        # What follows is the log of the job, which is in a file already.
        said = " ".join(str(error).splitlines()[:2])
        raise JobError(f"{said}; the logs of the jobs are in {directory}") from error
    finally:
        ended.set()
        beat.join()
        stop_jobs(directory)
        for folder in folders:
            _wait_for_end(folder)


def _beat(pulse: Path, ended: threading.Event) -> None:
    for number in itertools.count():
        with contextlib.suppress(OSError):  # The disk may be full; the next beat may succeed.
            write_atomically(pulse, str(number).encode())
        if ended.wait(_SECONDS_BETWEEN_BEATS):
            return


def _wait_for_end(folder: Path) -> None:
    if folder.exists():
        with contextlib.suppress(InUseError), claimed(folder, _PATIENCE):
            pass


def stop_jobs(directory: Path) -> None:
    """Stop the jobs of a sweep that are left: those that run, and those in the queue of SLURM.

    Args:
        directory: the folder of the sweep.
    """
    (directory / _PULSE).unlink(missing_ok=True)
    unfinished = [
        submitted.parent.name
        for stage in (directory, directory / STAGE)
        for submitted in (stage / _JOBS).glob("*/*_submitted.pkl")
        if not list(submitted.parent.glob("*_result.pkl"))
    ]
    if unfinished and shutil.which("scancel"):
        subprocess.run(["scancel", "--quiet", *unfinished], capture_output=True)


def machines() -> list[str]:
    """The names of the cluster's nodes; none if SLURM is not on this machine."""
    if shutil.which("sinfo") is None:
        return []
    asked = ["sinfo", "--noheader", "--Node", "--format=%n"]
    nodes = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return list(dict.fromkeys(nodes))


@contextlib.contextmanager
def watched(directory: Path) -> Iterator[None]:
    """A context in which a job of submitit ends with its sweep, and as soon as it is preempted.

    It has no effect in other processes.

    Args:
        directory: the folder of the sweep.
    """
    if "SUBMITIT_FOLDER" not in os.environ:  # submitit sets it in its jobs.
        yield
        return
    pulse, done = directory / _PULSE, threading.Event()
    if not pulse.exists():  # The job was in the queue for longer than its sweep was running.
        os._exit(1)
    threading.Thread(target=_end_without, args=(pulse, done), daemon=True).start()
    _end_at_once_when_preempted()
    try:
        yield
    finally:
        done.set()


def _end_without(pulse: Path, done: threading.Event) -> None:
    beat, since = b"", time.monotonic()
    while time.monotonic() - since < _SECONDS_WITHOUT_BEAT:
        try:
            found = pulse.read_bytes()
        except FileNotFoundError:
            break
        except OSError:  # The network folder does not answer.
            found = beat
        if found != beat:
            beat, since = found, time.monotonic()
        if done.wait(_SECONDS_BETWEEN_LOOKS):
            return
    os._exit(1)


def _end_at_once_when_preempted() -> None:
    """Let the process end as soon as submitit has queued its job again.

    submitit raises SystemExit then. Raised in a function that TensorFlow calls from C++, it would
    be lost or turn into another error. The run stays RUNNING in MLflow, and the job goes on from
    its last epoch.
    """
    from submitit import JobEnvironment

    number = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
    queue_again = signal.getsignal(number)
    assert callable(queue_again)  # submitit sets it before it calls the job.

    def handle(received: int, frame: FrameType | None) -> None:
        try:
            queue_again(received, frame)
        except SystemExit as ended:
            os._exit(ended.code & 0xFF if isinstance(ended.code, int) else 1)

    signal.signal(number, handle)
