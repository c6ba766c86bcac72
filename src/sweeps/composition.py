"""Configurations composed from the files of conf/, checked."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from unrolled.console.refusals import RefusedError, unknown
from unrolled.project import CONFIGURATION, says
from unrolled.sweeps.conf_errors import one_line
from unrolled.sweeps.keys import check_key, check_settable, is_of_hydra
from unrolled.sweeps.overrides import value_of
from unrolled.sweeps.values import check_references, check_sections, check_type, check_values


def is_choice(key: str) -> bool:
    """Whether a key is a group of files in conf/, of which its value chooses one.

    The launcher is not: it belongs to Hydra's own section, which no run sees.
    """
    return not is_of_hydra(key) and (CONFIGURATION / key).is_dir()


def choices_in(overrides: Mapping[str, str]) -> dict[str, str]:
    """Those overrides that choose files."""
    return {key: value for key, value in overrides.items() if is_choice(key)}


def check_choices(choices: Mapping[str, str]) -> None:
    """Every chosen file must be there.

    Raises:
        RefusedError: for the first that is not.
    """
    for group, name in choices.items():
        known = sorted(path.stem for path in (CONFIGURATION / group).glob("*.yaml"))
        if name not in known:
            raise RefusedError(unknown(group, name, known))


def checked(overrides: Mapping[str, str], swept: Iterable[str] = ()) -> DictConfig:
    """The configuration of these overrides, with every key known and every value valid.

    Args:
        overrides: one value for each key.
        swept: the choices for whose values the sweep has several; an error names the value.

    Raises:
        RefusedError: for the first key, choice or value that is not.
    """
    try:
        return _checked(overrides)
    except RefusedError as error:
        chosen = " ".join(f"{key}={overrides[key]}" for key in overrides if key in swept)
        if not chosen:
            raise
        raise RefusedError(f"With {chosen}: {error}") from error


def _checked(overrides: Mapping[str, str]) -> DictConfig:
    choices = choices_in(overrides)
    check_choices(choices)
    defaults = composed(choices)
    check_sections(defaults)
    groups = [path.name for path in CONFIGURATION.iterdir() if path.is_dir()]
    settings = [key.lstrip("+") for key in overrides if key not in choices and key[0] != "~"]
    for key in overrides:
        check_settable(key, groups)
        # A unit takes options that no file of conf/ names; nothing else does.
        if key not in choices and not key.startswith(("+cell.", "++cell.", "~cell.")):
            check_key(key.lstrip("+~"), defaults)
    config = composed(overrides)
    check_references(config)
    for key in settings:
        check_type(key, config, defaults)
    _check_nothing_missing(config)
    check_values(config)
    return config


def _check_nothing_missing(config: DictConfig) -> None:
    """A value without a default, `???` in conf/, must have been set."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise RefusedError(
            f"{missing[0]}: the task {config.task.name} has no default for it; expected "
            f"{missing[0]}=<value>, got none. What it needs: {says(f'task/{config.task.name}')}"
        )


def composed(overrides: Mapping[str, str], with_hydra: bool = False) -> DictConfig:
    """The configuration that Hydra makes of the overrides, unchecked.

    Composing files takes Hydra a tenth of a second, so it is done once for each choice of files.
    Values are then set in a copy, as Hydra sets them.

    Raises:
        RefusedError: with the message of Hydra or OmegaConf.
    """
    set_here = [key for key in overrides if not is_choice(key) and key[0] not in "+~"]
    set_here = [key for key in set_here if not key.startswith("hydra")]
    by_hydra = tuple(f"{k}={v}" for k, v in overrides.items() if k not in set_here)
    try:
        config = (_composed_with_hydra if with_hydra else _composed_without_hydra)(by_hydra)
        if set_here:
            config = deepcopy(config)
        for key in set_here:
            OmegaConf.update(config, key, value_of(overrides[key]), merge=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise RefusedError(one_line(error)) from error
    return config


def forget_files() -> None:
    """Compose anew from now on, as files may have changed."""
    _composed_with_hydra.cache_clear()
    _composed_without_hydra.cache_clear()


@lru_cache
def _composed_with_hydra(overrides: tuple[str, ...]) -> DictConfig:
    return compose("config", list(overrides), return_hydra_config=True)


@lru_cache
def _composed_without_hydra(overrides: tuple[str, ...]) -> DictConfig:
    config = deepcopy(_composed_with_hydra(overrides))
    with open_dict(config):
        del config["hydra"]
    return config
