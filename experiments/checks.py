"""What a command line and the values of a configuration are held to."""

from collections.abc import Callable, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from experiments.catalogue import unknown

Limit = tuple[Callable[[Any], bool], str]
"""What is allowed, and how to say it."""


class RefusedError(ValueError):
    """A command line that cannot be run; the message says what is wrong and what would be right."""


def parse_overrides(arguments: list[str]) -> dict[str, list[str]]:
    """The values of each key on the command line, in the order typed, several where it sweeps."""
    typed = {}
    for argument in arguments:
        try:
            override = OverridesParser.create().parse_override(argument)
        except HydraException as error:
            raise RefusedError(
                f"{argument!r} is no override; expected key=value, or key=value,value to sweep"
                f"{_quoted(argument)}. ({str(error).splitlines()[0]})"
            ) from error
        if override.is_sweep_override():
            typed[override.get_key_element()] = list(override.sweep_string_iterator())
        else:
            typed[override.get_key_element()] = [override.get_value_element_as_str()]
    return typed


def refuse_secrets(arguments: list[str]) -> None:
    """A command line is stored with every run and quoted in errors, so it holds no password.

    Raises:
        RefusedError: if it names a store with one.
    """
    for argument in arguments:
        key, _, uri = argument.partition("=")
        if key.lstrip("+").endswith("tracking.uri"):
            import tracking  # Slow to import, and seldom needed here.

            try:
                tracking.refuse_secrets(uri)
            except tracking.StoreError as error:
                raise RefusedError(str(error)) from None


def _quoted(argument):
    """A hint for a value that has `=` in it, such as a baseline."""
    key, _, value = argument.partition("=")
    if "=" not in value or '"' in value:
        return ""
    return (
        f". A value with = in it stands in quotes, which the shell shall leave: '{key}=\"{value}\"'"
    )


def check_key(key: str, defaults: DictConfig) -> None:
    """A key must be in `defaults`, or be a section of them, or be Hydra's own.

    Raises:
        RefusedError: if it is not; the message has the nearest that is.
    """
    known = dotted_keys(defaults)
    if key.startswith("hydra") or key in known or any(k.startswith(f"{key}.") for k in known):
        return
    raise RefusedError(unknown("value", key, near(key, known)))


def near(key: str, known: list[str]) -> list[str]:
    """The keys in the same section as `key`, or all where there is no such section."""
    section = key.rpartition(".")[0]
    return [k for k in known if section and k.startswith(f"{section}.")] or known


def dotted_keys(config: DictConfig, above: str = "") -> list[str]:
    """All keys with a value, dotted."""
    keys = []
    for key in config:
        value = config._get_node(key)
        section = isinstance(value, DictConfig)
        keys += dotted_keys(value, f"{above}{key}.") if section else [above + key]
    return keys


def check_limits(config: DictConfig, limits: Mapping[str, Limit]) -> None:
    """Every value that has limits must be within them.

    Raises:
        RefusedError: for the first that is not.
    """
    for key, (allowed, expected) in limits.items():
        value = OmegaConf.select(config, key)
        if not _allows(allowed, value):
            raise RefusedError(f"{key}: expected {expected}, got {value!r}.")


def _allows(allowed: Callable[[Any], bool], value: Any) -> bool:
    try:
        return allowed(value)
    except TypeError:  # A word or null where a number is compared.
        return False


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def at_least(least: int) -> Limit:
    return (lambda value: is_whole(value) and value >= least), f"at least {least}"


def at_least_or_null(least: int) -> Limit:
    allowed, expected = at_least(least)
    return (lambda value: value is None or allowed(value)), f"{expected}, or null"


def one_of(*words: str) -> Limit:
    return (lambda value: value in words), f"one of {', '.join(words)}"
