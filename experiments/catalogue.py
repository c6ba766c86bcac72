"""The experiments there are: `make list`. Runs on any Python 3.11, before anything is installed."""

import sys

from unrolled.console.program import REFUSED, run
from unrolled.console.refusals import unknown
from unrolled.sweeps.catalogue import experiments, listing


def main(arguments: list[str]) -> int:
    """`list` prints the experiments; `check NAME` refuses a name that none has."""
    if arguments == ["list"]:
        print(listing())
        return 0
    _, name = arguments
    known = [entry.name for entry in experiments()]
    if name in known:
        return 0
    problem = (
        unknown("experiment", name, known) if name else "Which experiment? name=... is missing."
    )
    print(f"{problem}\n\n{listing()}", file=sys.stderr)
    return REFUSED


if __name__ == "__main__":
    run(main)
