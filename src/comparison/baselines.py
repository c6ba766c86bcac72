"""Which variants of a sweep are the plain ones, and which of these each other is compared with."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module

from unrolled.comparison.variants import parts
from unrolled.console.refusals import RefusedError, unknown

Units = Mapping[str, str]
"""What the unit of each variant is made by: `cell._target_`, such as layers.LSTM."""


def names_of(baseline: str | Sequence[str] | None) -> list[str]:
    """The names in a configuration's `baseline`: null, one, or a list."""
    if baseline is None:
        return []
    return [baseline] if isinstance(baseline, str) else list(baseline)


def as_tag(names: Sequence[str]) -> str:
    """How a sweep's parent run keeps them.

    >>> as_tag(["lstm T=50", "gru T=50"])
    'lstm T=50,gru T=50'
    """
    return ",".join(names)


def of_tag(tag: str | None) -> list[str]:
    """The names in what a parent run keeps, None where its sweep has no baseline.

    >>> of_tag("lstm,gru"), of_tag("lstm losses=['late', 'own']"), of_tag(None)
    (['lstm', 'gru'], ["lstm losses=['late', 'own']"], [])
    """
    return re.split(r",(?! )", tag) if tag else []  # A blank follows the commas in lists.


def is_of(variant: str, baseline: str) -> bool:
    """Whether all that a baseline's name sets is set so in the variant, as T=50 in "gru T=50"."""
    return parts(baseline).items() <= parts(variant).items()


def check(names: Sequence[str], units: Units) -> None:
    """Baselines must be in the sweep, and several of them units that families can be told by.

    Args:
        names: of the baselines.
        units: of variants in which every value that the sweep has occurs.

    Raises:
        RefusedError: if they are not.
    """
    there = {part for variant in units for part in parts(variant).items()}
    for name in names:
        if not parts(name).items() <= there:
            raise RefusedError(f"baseline: {unknown('variant', name, list(units))}")
        if names.count(name) > 1:
            raise RefusedError(f"baseline: {name} is there twice; expected different names.")
        if len(names) > 1 and "cell" not in parts(name):
            raise RefusedError(
                f"baseline: expected one setting, such as {name}, or a list of units, such as "
                f"[lstm,gru]; got {name} in a list."
            )
    made_by = {}
    for name in names:
        unit = _unit_of(name, units)
        if unit in made_by:
            raise RefusedError(
                f"baseline: {made_by[unit]} and {name} are both {unit}, and no variant is nearer "
                "to the one than to the other; expected one of each family, such as [lstm,gru]."
            )
        made_by[unit] = name


def compared_with(names: Sequence[str], units: Units) -> dict[str, str]:
    """The variant that each variant is compared with; without those that have none.

    That is the one like it in all but what the baseline sets: with the baseline "lstm" it is
    "lstm T=50" for "gru T=50". Of several baselines it is the one of the variant's family: whose
    cell is of the same class, or of one that the variant's inherits from, or the other way round,
    or that both inherit from; of two the nearer. A variant of no baseline's family is compared with
    the first, as are the other baselines.

    Args:
        names: of the baselines.
        units: of all variants.
    """
    found = {}
    for variant in units if names else ():
        wanted = parts(variant) | parts(_baseline_for(variant, names, units))
        like = next((name for name in units if parts(name) == wanted), variant)
        if like != variant:
            found[variant] = like
    return found


def _baseline_for(variant: str, names: Sequence[str], units: Units) -> str:
    first = names[0]
    if len(names) == 1 or any(is_of(variant, name) for name in names):
        return first
    away = {name: _away(units[variant], _unit_of(name, units)) for name in names}
    family = [name for name in names if away[name] is not None]
    return min(family, key=away.get, default=first)


def _unit_of(name: str, units: Units) -> str | None:
    """What makes a baseline's unit, None where no variant has it."""
    return next((unit for variant, unit in units.items() if _same_unit(variant, name)), None)


def _same_unit(variant: str, name: str) -> bool:
    return parts(variant)["cell"] == parts(name).get("cell")


def _away(unit: str, baseline: str | None) -> int | None:
    """How many classes lie between two units' cells; None for units of different families.

    Units are of one family if one cell inherits from the other, or both from a third unit's, as the
    LSTM with peepholes and the LSTM with coupled gates do.
    """
    if baseline is None:
        return None
    these, those = _lineage(unit), _lineage(baseline)
    common = [
        kind
        for kind in these
        if kind in those and (kind in (these[0], those[0]) or hasattr(kind, "sites"))
    ]
    return min((these.index(kind) + those.index(kind) for kind in common), default=None)


@cache
def _lineage(unit: str) -> tuple:
    """The class of a unit's cell and those that it inherits from, the nearest first.

    Layers do not inherit from one another: `layers.PeepholeLSTM` is a family with `layers.LSTM` by
    its cell. A layer of Keras's is of the family of ours that stands for it. A unit that is no
    longer there is only like itself.
    """
    module, _, name = unit.rpartition(".")
    if module == "layers":  # In runs from before there was one package.
        module = "unrolled.layers"
    try:  # Not by `hydra.utils.get_class`: it prints what it does not find.
        made = getattr(import_module(module), name)
        made = import_module("unrolled.layers.conversion").IN_PLACE_OF.get(made, made)
        return getattr(made, "cell_class", made).__mro__
    except (ImportError, AttributeError, ValueError):  # ValueError: there is no dot in it.
        return (unit,)
