"""The keys of a configuration: which there are, and which of them can be set."""

import re
from collections.abc import Collection

from omegaconf import DictConfig

from unrolled.console.refusals import RefusedError, unknown


def dotted_keys(config: DictConfig, above: str = "") -> list[str]:
    """All keys that have a value, such as model.units."""
    keys: list[str] = []
    for key in config:
        name, value = above + str(key), config._get_node(key)
        keys += dotted_keys(value, f"{name}.") if isinstance(value, DictConfig) else [name]
    return keys


def is_of_hydra(key: str) -> bool:
    """Whether a key, without a prefix, is in Hydra's own section or one of its groups."""
    return re.match(r"hydra($|[./@])", key) is not None


def near(key: str, known: list[str]) -> list[str]:
    """The keys in the same section as `key`, or all if there is no such section."""
    section = key.rpartition(".")[0]
    return [k for k in known if section and k.startswith(f"{section}.")] or known


def check_key(key: str, defaults: DictConfig) -> None:
    """A key must be one of `defaults`, a section of them, or Hydra's own.

    Raises:
        RefusedError: if it is not; the message names the nearest one.
    """
    known = dotted_keys(defaults)
    if is_of_hydra(key) or key in known or any(k.startswith(f"{key}.") for k in known):
        return
    raise RefusedError(unknown("value", key, near(key, known)))


def check_settable(key: str, groups: Collection[str]) -> None:
    """A key on a command line must be one that can be set or removed there.

    Args:
        key: as typed, with its prefix.
        groups: the folders of conf/.

    Raises:
        RefusedError: if it is not.
    """
    plain = key.lstrip("+~")
    group, _, rest = plain.partition(".")
    if group in groups and rest == "name":
        raise RefusedError(
            f"{plain}: says which file of conf/{group} was chosen, and is not set by itself; "
            f"expected {group}=<name of a file>."
        )
    if key.startswith("+") and plain in groups:
        raise RefusedError(
            f"{key}: expected {plain}=<name of a file>, without +, as there is one already."
        )
    if key.startswith("~") and (group != "cell" or rest in ("", "_target_")):
        raise RefusedError(
            f"{key}: expected {plain}=<value>, as it cannot be removed; only the options of a "
            "cell can, as in ~cell.forget_bias."
        )
