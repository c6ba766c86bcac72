"""The output of libraries, which belongs in a log and not on the terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def output_to(log: Path, is_worker: bool) -> Iterator[None]:
    """A context in which the output of libraries goes to a log file.

    Some of it is written by C++, so file descriptors are redirected. The process of the sweep shows
    the progress bar on its standard output. A worker shows nothing, also after its last run.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(log, "ab") as file:
        for number in (1, 2) if is_worker else (2,):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stderr.flush()
        if not is_worker:
            os.dup2(terminal, 2)
        os.close(terminal)
