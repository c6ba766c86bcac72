"""Processes of this machine."""

import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether there is a process with this id that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It belongs to another user.
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and its parent has not yet read its exit code.

    Such a process still accepts signals. False on systems without /proc, such as macOS.
    """
    try:
        # "pid (name) state ..."; the name may contain parentheses.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False
