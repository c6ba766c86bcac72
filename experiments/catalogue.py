"""List the experiments: `make list`. Runs on a plain Python, before anything is installed."""

import sys

from unrolled.console.program import REFUSED, run
from unrolled.console.refusals import unknown
from unrolled.sweeps.catalogue import experiments, listing


def main(arguments: list[str]) -> int:
    """Print the experiments (`list`), or check that one has a name (`check NAME`).

    Returns:
        The exit code.
    """
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
