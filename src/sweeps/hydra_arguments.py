"""The command line that is passed to Hydra, which checks less than the plan and in another order.

Hydra first composes a configuration of the default choices and applies to it what is not swept. It
rejects `task=adding,copying task.T=20` if the default task has no T, although every task of the
sweep has one.
"""

from collections.abc import Mapping

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION
from unrolled.sweeps.composition import choices_in, composed, is_choice
from unrolled.sweeps.keys import dotted_keys
from unrolled.sweeps.overrides import parse_overrides


def forced(arguments: list[str]) -> list[str]:
    """A command line that Hydra accepts even if its keys are only in swept choices.

    A sweep over one value says the same as the value, and is applied to each run alone. `make_plan`
    has checked the keys with every choice.
    """
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return _forced(arguments)


def _forced(arguments: list[str]) -> list[str]:
    typed = parse_overrides(arguments)
    fixed = {key: values[0] for key, values in typed.items() if len(values) == 1}
    known = dotted_keys(composed(choices_in(fixed)))
    return [_forced_if_unknown(argument, known) for argument in arguments]


def _forced_if_unknown(argument: str, known: list[str]) -> str:
    override = OverridesParser.create().parse_override(argument)
    key, value = override.get_key_element(), argument.partition("=")[2]
    is_known = any(each == key or each.startswith(f"{key}.") for each in known)
    if is_known or override.is_sweep_override() or is_choice(key):
        return argument
    if key.startswith(("~", "++", "hydra")):
        return argument
    if value.lstrip()[:1] in ("'", '"', ""):  # Of these Hydra would sweep what is in the quotes.
        return f"++{key.lstrip('+')}={value}"
    return f"{key}=choice({value})"


def check_launchable(arguments: list[str], values: Mapping[str, list[str]]) -> None:
    """A removed value must be in the default choice: there is no way to force that.

    Args:
        arguments: the command line.
        values: what the experiment's file and the command line say of each key.

    Raises:
        RefusedError: if it is not.
    """
    removed = [key for key in values if key.startswith("~")]
    swept = [key for key, options in values.items() if len(options) > 1 and is_choice(key)]
    if not removed or not swept:
        return
    parser = OverridesParser.create()
    fixed = [
        each for each in _forced(arguments) if not parser.parse_override(each).is_sweep_override()
    ]
    try:
        compose("config", fixed)
    except HydraException as error:
        raise RefusedError(
            f"{', '.join(removed)}: expected a value that the default choice of "
            f"{', '.join(swept)} has, as Hydra removes it there first. Run each choice by itself."
        ) from error
