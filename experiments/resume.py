"""Resume an interrupted sweep: `python -m experiments.resume [id] [lost=<machine>]`.

The id is that of the sweep's parent run; the default is the latest sweep. `lost` names a machine
that has failed and on which the sweep was running.
"""

from unrolled.console.program import run
from unrolled.sweeps.resume import main

if __name__ == "__main__":
    run(main, goes_on=True)
