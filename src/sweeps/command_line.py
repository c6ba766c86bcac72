"""What stands behind `python -m experiments`: Hydra's overrides and options.

Overrides are checked in the plan. An option (`--help`, `--cfg job`) is for Hydra, as it is.
"""

import sys

from unrolled.console.make_arguments import as_typed
from unrolled.console.program import REFUSED
from unrolled.console.refusals import RefusedError, print_refusal, unknown
from unrolled.sweeps import interruption
from unrolled.sweeps.execution import run_sweep, start_libraries
from unrolled.sweeps.overrides import refuse_secrets
from unrolled.sweeps.plan import make_plan

_OPTIONS: tuple[str, ...] = ("--help", "-h", "--hydra-help", "--version", "--cfg", "-c")
_OPTIONS += ("--resolve", "--package", "-p", "--info", "-i")


def main(arguments: list[str]) -> int:
    """Run what a command line asks for; returns the exit code."""
    arguments = as_typed(arguments)
    for_hydra = any(argument.startswith("-") for argument in arguments)
    try:
        refuse_secrets(arguments)
        _check_options(arguments)
        plan = None if for_hydra else make_plan(arguments)
    except RefusedError as refused:
        print_refusal(refused)
        return REFUSED
    interruption.watch()
    start_libraries()
    if plan is None:
        from unrolled.sweeps.job import job

        sys.argv = ["unrolled", *arguments]
        return job() or 0
    return run_sweep(plan, arguments)


def _check_options(arguments: list[str]) -> None:
    """Reject Hydra's options except those that only show something: others would run unchecked."""
    for argument in arguments:
        option = argument.partition("=")[0]
        if argument.startswith("-") and option not in _OPTIONS:
            raise RefusedError(
                f"{unknown('option', option, list(_OPTIONS))} Values are set without dashes: "
                "model.units=32."
            )
