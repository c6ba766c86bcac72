"""The values of a composed configuration: their types, their limits, and what contradicts what.

The limits themselves are declared in `unrolled.settings`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unrolled.console.refusals import RefusedError
from unrolled.settings.configuration import SECTIONS, settings
from unrolled.settings.problems import first_problem
from unrolled.settings.section import Made, Options, keys
from unrolled.sweeps.conf_errors import first_line
from unrolled.sweeps.keys import dotted_keys

_LARGEST_NUMBER = float.fromhex("0x1.fffffep+127")  # Of float32, in which everything is computed.
_LARGEST_INTEGER = 2**32 - 1  # Also the largest seed of NumPy and Keras.


def check_sections(config: DictConfig) -> None:
    """Every section must be there, with its name and with what makes it, and with words as keys.

    Raises:
        RefusedError: for the first that is not.
    """
    for group, section in SECTIONS.items():
        value = config.get(group)
        needed = ["name", "_target_"] if issubclass(section, Made) else ["name"]
        for key in needed:
            if not OmegaConf.is_dict(value) or not isinstance(value.get(key), str):
                raise RefusedError(
                    f"{group}: expected a section with {' and '.join(needed)}, each a word, got "
                    f"{value}. Compare its file with the others in conf/{group}."
                )
        for key in value:
            if not isinstance(key, str):
                raise RefusedError(
                    f"{group}: expected keys that are words, got {key!r}. Put it in quotes in the "
                    f"file in conf/{group}."
                )


def plain_values(config: DictConfig) -> dict[str, Any]:
    """The values of a configuration or of a section, with all references resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def check_references(config: DictConfig) -> None:
    """Every `${...}` must lead to a value.

    Raises:
        RefusedError: for the first that does not.
    """
    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        key = error.full_key or "the configuration"
        if _written(config, key).startswith("${recommended."):
            raise RefusedError(
                f"{key}: the task {config.task.name} recommends no value for it, as it is not "
                f"learned by model={config.model.name}. Leave model=... out to get the model of "
                f"the task, or say {key}=<value>."
            ) from error
        raise RefusedError(
            f"{key}: expected a value, got a reference that cannot be resolved "
            f"({first_line(error)}). Correct it, or say {key}=<value>."
        ) from error


def _written(config: DictConfig, key: str) -> str:
    """The value of a key as it is written, with its references; "" if there is no such key."""
    value = OmegaConf.to_container(config)
    for part in key.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return str(value)


def check_type(key: str, config: DictConfig, defaults: DictConfig) -> None:
    """A value that was set must have the type of its default, unless its section declares another.

    Args:
        key: what was set.
        config: the configuration with it.
        defaults: the configuration without it.

    Raises:
        RefusedError: if the type is another. A value whose default is null may have any type.
    """
    if key == "search" or key in _declared(defaults):
        return
    known = dotted_keys(defaults)
    below = [each for each in known if each.startswith(f"{key}.")]
    if key not in known and not below:
        return
    value, default = OmegaConf.select(config, key), OmegaConf.select(defaults, key)
    if below:
        if not OmegaConf.is_dict(value):
            raise RefusedError(
                f"{key}: got {shown(value)}, but it has values below it; set one of "
                f"{', '.join(below)}."
            )
        return
    if default is not None and not _is_like(value, default):
        usual = shown(default) if isinstance(default, bool) else default
        kind = "a list" if OmegaConf.is_list(default) else _NAMES[type(default)]
        raise RefusedError(
            f"{key}: expected {kind}, such as {usual}; got {shown(value)}.{_sweep_hint(key, value)}"
        )


_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a word"}


def _declared(config: DictConfig) -> set[str]:
    """The keys with declared limits."""
    return {
        f"{name}.{key}".lstrip(".")
        for name, section in settings(config).items()
        for key in keys(section)
    }


def _is_like(value: Any, default: Any) -> bool:
    if OmegaConf.is_list(default):
        return OmegaConf.is_list(value)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def _sweep_hint(key: str, value: Any) -> str:
    """A hint for users who put the values of a sweep in brackets."""
    if not (OmegaConf.is_list(value) or isinstance(value, list)) or len(value) == 0:
        return ""
    return f" Several values to sweep stand without brackets: {key}={','.join(map(str, value))}."


def check_values(config: DictConfig) -> None:
    """Every value must be within its limits, and none may contradict another.

    Raises:
        RefusedError: for the first that is not or does.
    """
    check_numbers(config)
    values = plain_values(config)
    for name, section in settings(values).items():
        check_section(name, section, values[name] if name else values)


def check_section(name: str, section: type[Options], values: Any) -> None:
    """The values of one section must be as its class declares.

    Args:
        name: of the section; "" for the options that are in none.
        section: the class that declares them.
        values: of the section, resolved.

    Raises:
        RefusedError: for the first that is not.
    """
    if not isinstance(values, Mapping):
        raise RefusedError(
            f"{name}: expected a section with {', '.join(sorted(keys(section)))}, got "
            f"{shown(values)}."
        )
    problem = first_problem(section, values)
    if problem is None:
        return
    key = f"{name}.{problem.key}".lstrip(".")
    if problem.expected is None:
        raise RefusedError(f"{key}: {problem.reason}")
    if problem.key not in values:
        raise RefusedError(f"{key}: expected {problem.expected}, got no such key.")
    value = values[problem.key]
    hint = "" if problem.takes_list else _sweep_hint(key, value)
    raise RefusedError(f"{key}: expected {problem.expected}, got {shown(value)}.{hint}")


def check_numbers(config: DictConfig) -> None:
    """Every number must be one that 32 bits hold: not nan, not infinite, not too large.

    Raises:
        RefusedError: for the first that is not.
    """
    # Not resolved: the value of a reference is found at its own key.
    for key, value in _leaves(OmegaConf.to_container(config)):
        if isinstance(value, float) and not abs(value) <= _LARGEST_NUMBER:
            raise RefusedError(
                f"{key}: expected a finite number, of at most {_LARGEST_NUMBER:.3g}, got {value}."
            )
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if is_integer and abs(value) > _LARGEST_INTEGER:
            raise RefusedError(
                f"{key}: expected an integer of at most {_LARGEST_INTEGER}, got {value}."
            )


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values with their dotted keys; an element of a list has the list's key."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, key)
    else:
        yield key, value


def shown(value: Any) -> str:
    """A value for a message, as YAML has it; texts are in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if OmegaConf.is_config(value) else repr(value)
