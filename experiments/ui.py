"""Browse the results in the MLflow UI: `python -m experiments.ui [port]`."""

from unrolled.console.program import run
from unrolled.tracking.ui import main

if __name__ == "__main__":
    run(main, goes_on=True)
