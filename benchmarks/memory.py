"""The peak memory of a training step, measured in processes of its own.

A process's peak is the most memory that it has resident during a step (VmHWM, which Linux lets one
reset) above what it has before its first step. That counts the gradients returned, not inputs or
weights; but also what tracing leaves behind, and XLA's compilation. So the peak for a few examples
of as many steps and a tiny layer, in another process, is taken away: the programs are of the same
kind, which they are not for one example, and the data next to none. What was taken away is told
apart.

What a step adds to the process just before it would be less work to measure, and wrong: XLA's
allocator keeps the memory of a step for the next, which then seems to need none.
"""

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.peers import Shape, make_pair, name_of_peer, training_step
from benchmarks.steps import MASKS
from benchmarks.timing import Two
from experiments.catalogue import CONFIGURATION

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_MIB = 2**20
_WARM_UP = 2
_TINY = 8  # examples, inputs and units
# With an arena for each thread glibc keeps several MiB of free memory that nothing can make it give
# back, and a step that is served from there seems to need none.
_GLIBC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}


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


def why_not() -> str | None:
    """Why this machine cannot measure it; None if it can."""
    try:
        _reset_peak()
        _give_back()
    except (OSError, AttributeError) as error:
        return (
            "The peak of resident memory can be measured on Linux with glibc, where a process may "
            f"write {_RESET} ({type(error).__name__}: {error}). Leave the part out with parts=[...]"
        )
    return None


def measure_memory(unit: str, shape: Shape, masked: bool, *, repeats: int, seed: int) -> Memory:
    """Each of the two in a process of its own.

    Raises:
        RuntimeError: if such a process fails; the message ends as its own did.
    """
    asked = {"unit": unit, "masked": masked, "repeats": repeats, "seed": seed}
    found = []
    for who in Two._fields:
        tiny = replace(shape, batch=_TINY, inputs=_TINY, units=_TINY)
        programs = _in_a_process({**asked, "who": who, "shape": asdict(tiny)})
        data = _in_a_process({**asked, "who": who, "shape": asdict(shape)})
        constant = median(programs["peaks"])
        found.append((data["name"], [peak - constant for peak in data["peaks"]], constant))
    names, peaks, constants = zip(*found, strict=True)
    return Memory(unit, shape, masked, names[1], Two(*peaks), Two(*constants))


def _in_a_process(asked: dict) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory"],
        cwd=CONFIGURATION.parent,
        env={**os.environ, **_GLIBC},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RuntimeError(f"measuring memory ended with code {done.returncode}: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure_here(unit, shape, masked, repeats, seed, who) -> dict:
    pair = make_pair(unit, Shape(**shape), masked, seed)
    layer = getattr(pair, who)
    step = training_step(layer)
    _give_back()
    before = _resident("VmRSS")
    for _ in range(_WARM_UP):
        step(pair.x, pair.mask)
    peaks = [_peak_of(lambda: step(pair.x, pair.mask)) - before for _ in range(repeats)]
    return {"name": name_of_peer(layer), "peaks": peaks}


def _peak_of(call) -> int:
    _give_back()
    _reset_peak()
    call()
    return _resident("VmHWM")


def _give_back() -> None:
    """Free memory to the system, which the C library otherwise keeps for the next step."""
    ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> None:
    _RESET.write_text("5")


def _resident(which: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{which}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(_measure_here(**json.load(sys.stdin))))
