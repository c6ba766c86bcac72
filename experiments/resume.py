"""Go on with a sweep that was interrupted: `python -m experiments.resume [id]`.

The id is that of the sweep's parent run; without one it is the latest sweep.
"""

from unrolled.console.program import run
from unrolled.sweeps.resume import main

if __name__ == "__main__":
    run(main, goes_on=True)
