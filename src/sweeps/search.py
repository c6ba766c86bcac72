"""The search that a command line asks for: a stage before the sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unrolled.comparison.halving import Asked, Halving
from unrolled.console.refusals import RefusedError, unknown
from unrolled.settings import search as settings
from unrolled.sweeps.conf_errors import one_line
from unrolled.sweeps.keys import dotted_keys, near
from unrolled.sweeps.overrides import text_of
from unrolled.sweeps.values import check_section

_NOT_SEARCHED = ("seed", "search", "baseline", "budgets", "by_budget", "tracking")


class Search(Asked):
    """The search that a command line asks for."""

    @property
    def overrides(self) -> list[str]:
        """What turns the command line of the sweep into that of this stage."""
        values = ",".join(map(text_of, self.values))
        return [f"{self.key}={values}", f"seed={','.join(map(str, self.seeds))}"]


def search_of(
    configurations: Sequence[DictConfig], values: Mapping[str, list[str]]
) -> Search | None:
    """The section `search`, checked; None if there is none.

    Args:
        configurations: of the sweep.
        values: what the experiment's file and the command line say of each key.

    Raises:
        RefusedError: if the section is invalid, or its key or its seeds are those of the sweep.
    """
    section = _section_of(configurations[0])
    if section is None:
        return None
    key = section["key"]
    for each in configurations:  # The choices of a group need not have the same keys.
        _check_key(key, each, values)
    check_section("search", settings.Search, section)
    shared = set(section["seeds"]) & {
        int(seed) for seed in values.get("seed", [configurations[0].seed])
    }
    if shared:
        raise RefusedError(
            f"search.seeds: {', '.join(map(str, sorted(shared)))} would be judged by what they "
            "chose; expected none of the seeds of the sweep."
        )
    return Search(**{**section, "halving": _halving_of(section, configurations)})


def _section_of(config: DictConfig) -> dict[str, Any] | None:
    if config.search is None:
        return None
    try:
        section: Any = OmegaConf.to_container(config.search, resolve=True)
    except (OmegaConfBaseException, ValueError) as error:  # ValueError: it is no section.
        raise RefusedError(
            f"search: expected key, values and seeds, or null; got {config.search!r} "
            f"({one_line(error)})."
        ) from error
    fields = settings.Search.model_fields
    required = {name for name, field in fields.items() if field.is_required()}
    if not isinstance(section, dict) or not required <= set(section) <= set(fields):
        raise RefusedError(
            f"search: expected key, values and seeds, or null; got {section}. It may have halving "
            "as well."
        )
    return section


def _halving_of(section: Mapping[str, Any], configurations: Sequence[DictConfig]) -> Halving | None:
    """The rounds of a search, the same for every variant; None if no value is stopped early."""
    factor = section.get("halving")
    if factor is None:
        return None
    found = {each.budget.epochs for each in configurations}
    if section["key"] == "budget.epochs":
        found.update(section["values"])
    if len(found) > 1:
        raise RefusedError(
            "search.halving: expected one value of budget.epochs, so that the rounds are the same "
            f"for every variant, got {', '.join(map(str, sorted(found)))}. Set "
            "budget.epochs=<number>, or search.halving=null."
        )
    (epochs,) = found
    return Halving.of(factor, epochs, len(section["values"]))


def _check_key(key: Any, config: DictConfig, values: Mapping[str, list[str]]) -> None:
    if not isinstance(key, str):
        raise RefusedError(
            f"search.key: expected a key such as training.learning_rate, got {key!r}."
        )
    if key not in (known := dotted_keys(config)):
        raise RefusedError(f"search.key: {unknown('value', key, near(key, known))}")
    parts = key.split(".")
    if parts[0] in _NOT_SEARCHED or parts[-1] == "name" or any(p.startswith("_") for p in parts):
        raise RefusedError(
            "search.key: expected a value with which a variant learns better or worse, such as "
            f"training.learning_rate, got {key!r}."
        )
    if key in (each.lstrip("+") for each in values):
        raise RefusedError(
            f"search.key: {key} is set or swept as well; leave that out, or say search=null."
        )
