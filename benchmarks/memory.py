"""The peak memory of a training step, counted allocation by allocation.

memray counts what is asked of the C library during a step and not yet given back: the step's
tensors and the gradients it returns, not inputs or weights, which were there before. Resident
memory, which the system tells, would not do for small shapes: it has what allocators keep for later
as well, and that differs by several MiB from process to process. What tracing and compiling leave
behind is counted apart, over the first steps.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import memray

from benchmarks.peers import Shape, make_pair, name_of_peer, training_step
from benchmarks.steps import MASKS, warm_up
from benchmarks.timing import Two
from unrolled.project import CONFIGURATION

_MIB = 2**20
_WARM_UP = 2
_PEAK = memray.FileReader.get_high_watermark_allocation_records  # in use at once, at the most
_LEFT = memray.FileReader.get_leaked_allocation_records  # still in use after it
# TensorFlow's own allocator takes memory in large pieces, of which one cannot see what is in use.
_SYSTEM_ALLOCATOR = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}


@dataclass(frozen=True)
class Memory:
    """Bytes of a unit and of its peer: peaks, a list each, a value a step, and programs."""

    unit: str
    shape: Shape
    masked: bool
    peer: str
    peaks: Two
    programs: Two

    @property
    def megabytes(self) -> Two:
        """The medians, in MiB."""
        return Two(*(median(peaks) / _MIB for peaks in self.peaks))

    @property
    def ratio(self) -> float:
        """The peer's peak over ours: above 1 ours is lower."""
        return self.megabytes.peer / self.megabytes.ours

    def metrics(self) -> dict[str, float]:
        """As MLflow gets them."""
        key = f"memory/{self.unit}/{self.shape}/{MASKS[self.masked]}"
        sizes = {f"{key}/{who} MiB": size for who, size in self.megabytes._asdict().items()}
        programs = {
            f"{key}/{who} programs MiB": size / _MIB
            for who, size in self.programs._asdict().items()
        }
        return {**sizes, **programs, f"{key}/ratio": self.ratio}

    def line(self) -> str:
        """What the terminal says of it."""
        return (
            f"peak {self.megabytes.ours:.1f} MiB, peer {self.megabytes.peer:.1f}, "
            f"ratio {self.ratio:.2f}; programs {self.programs.ours / _MIB:.0f} MiB, "
            f"peer {self.programs.peer / _MIB:.0f}"
        )

    def report(self) -> dict:
        """All of it as plain values."""
        return {**asdict(self), "shape": str(self.shape), **self._twos()}

    def _twos(self):
        return {"peaks": self.peaks._asdict(), "programs": self.programs._asdict()}


def measure_memory(unit: str, shape: Shape, masked: bool, *, repeats: int, seed: int) -> Memory:
    """Both in a process that takes all memory from the C library.

    Raises:
        RuntimeError: if that process fails; the message ends as its own did.
    """
    asked = {"unit": unit, "shape": asdict(shape), "masked": masked, "repeats": repeats}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory"],
        cwd=CONFIGURATION.parent,
        env={**os.environ, **_SYSTEM_ALLOCATOR},
        input=json.dumps({**asked, "seed": seed}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RuntimeError(f"measuring memory ended with code {done.returncode}: {last}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Memory(unit, shape, masked, found["peer"], Two(*found["peaks"]), Two(*found["programs"]))


def _measure_here(unit, shape, masked, repeats, seed) -> dict:
    pair = make_pair(unit, Shape(**shape), masked, seed)
    warm_up()
    peaks, programs = [], []
    for layer in (pair.ours, pair.peer):
        step = partial(training_step(layer), pair.x, pair.mask)
        programs.append(_bytes(_LEFT, step, times=_WARM_UP))
        peaks.append([_bytes(_PEAK, step) for _ in range(repeats)])
    return {"peer": name_of_peer(pair.peer), "peaks": peaks, "programs": programs}


def _bytes(records: Callable[..., Iterable], step: Callable, times: int = 1) -> int:
    """What these records count of the memory that some steps ask for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "allocations"
        with memray.Tracker(path):
            for _ in range(times):
                step()
        with memray.FileReader(path) as reader:
            return sum(record.size for record in records(reader, merge_threads=True))


if __name__ == "__main__":
    print(json.dumps(_measure_here(**json.load(sys.stdin))))
