"""The peak memory of a training step, counted allocation by allocation.

memray counts the memory that a step has allocated from the C library and not yet freed: the step's
tensors and the gradients that it returns, without inputs and weights, which were allocated before.
Resident memory, as the system reports it, is too coarse for small shapes: it includes what
allocators hold in reserve, which differs by several MiB from process to process. Memory that
tracing and compiling leave allocated is counted separately, over the first steps.
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
_PEAK = memray.FileReader.get_high_watermark_allocation_records
_LEFT = memray.FileReader.get_leaked_allocation_records  # Still allocated after the step.
# TensorFlow's own allocator takes memory in large blocks, and memray cannot see what is in use.
_SYSTEM_ALLOCATOR = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}


@dataclass(frozen=True)
class Memory:
    """The memory of a unit and of its peer in bytes.

    Attributes:
        unit: its name in conf/cell.
        shape: of the batch.
        masked: whether examples differ in length.
        peer: the name of the layer that it was compared with.
        peaks: a list for each, one value per step.
        programs: what tracing and compiling leave allocated.
    """

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
        """The metrics that are logged to MLflow."""
        key = f"memory/{self.unit}/{self.shape}/{MASKS[self.masked]}"
        sizes = {f"{key}/{who} MiB": size for who, size in self.megabytes._asdict().items()}
        programs = {
            f"{key}/{who} programs MiB": size / _MIB
            for who, size in self.programs._asdict().items()
        }
        return {**sizes, **programs, f"{key}/ratio": self.ratio}

    def line(self) -> str:
        """One line for the terminal."""
        return (
            f"peak {self.megabytes.ours:.1f} MiB, peer {self.megabytes.peer:.1f}, "
            f"ratio {self.ratio:.2f}; programs {self.programs.ours / _MIB:.0f} MiB, "
            f"peer {self.programs.peer / _MIB:.0f}"
        )

    def report(self) -> dict:
        """All fields as plain values."""
        return {**asdict(self), "shape": str(self.shape), **self._twos()}

    def _twos(self):
        return {"peaks": self.peaks._asdict(), "programs": self.programs._asdict()}


def measure_memory(unit: str, shape: Shape, masked: bool, *, repeats: int, seed: int) -> Memory:
    """Measure both in a process that allocates all memory from the C library.

    Raises:
        RuntimeError: if that process fails; the message ends with the last line of its own.
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
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
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
    """The bytes that these records count over some steps."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "allocations"
        with memray.Tracker(path):
            for _ in range(times):
                step()
        with memray.FileReader(path) as reader:
            return sum(record.size for record in records(reader, merge_threads=True))


if __name__ == "__main__":
    print(json.dumps(_measure_here(**json.load(sys.stdin))))
