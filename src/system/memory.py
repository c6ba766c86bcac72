"""The memory that new processes can use."""

from pathlib import Path

import psutil

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that this machine, or the container that this process runs in, has left."""
    available = psutil.virtual_memory().available
    try:  # psutil knows nothing of the limit of a container.
        limit, used = (
            (_CONTROL_GROUP / name).read_text().strip() for name in ("memory.max", "memory.current")
        )
    except OSError:
        return available
    return available if limit == "max" else min(available, int(limit) - int(used))
