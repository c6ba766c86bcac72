"""Run an experiment: `python -m experiments experiment=gru_vs_lstm seed=1,2`."""

from unrolled.console.program import run
from unrolled.sweeps.command_line import main

if __name__ == "__main__":
    run(main, goes_on=True)
