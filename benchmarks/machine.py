"""The machine that a benchmark runs on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_BUSY = 0.5


def machine() -> dict[str, str]:
    """The processor, its cores, memory, the system, and the versions that affect speed."""
    described = {
        "processor": _processor(),
        "cores": str(_cores()),
        "memory GiB": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return described | {name: version(name) for name in ("tensorflow", "keras", "numpy")}


def in_words(described: dict[str, str]) -> str:
    """The machine in a heading."""
    return (
        f"{described['processor']}, {described['cores']} cores, TensorFlow "
        f"{described['tensorflow']}, Keras {described['keras']}"
    )


def load() -> float:
    """The mean number of processes that ran or waited for a core in the last minute."""
    return os.getloadavg()[0]


def warning_of(load: float) -> str | None:
    """A warning if other work ran on the machine, else None."""
    if load < _BUSY:
        return None
    return (
        f"Other work ran here at the start (load {load:.1f}): "
        "take times as upper bounds and ratios as rough."
    )


def _cores() -> int:
    """The number of cores that this process may use."""
    on_linux = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if on_linux else os.cpu_count()


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    for line in described.read_text().splitlines() if described.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
