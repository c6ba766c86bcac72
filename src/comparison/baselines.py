"""Which variants of a sweep are its baselines, and which baseline each variant is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from unrolled.comparison.variants import Variant, keys_of, short
from unrolled.console.refusals import RefusedError, unknown

Units = Mapping[Variant, str]
"""The class of each variant's unit, from `cell._target_`, such as unrolled.layers.LSTM."""


@dataclass(frozen=True)
class Baseline:
    """The settings that make a variant a baseline.

    Attributes:
        name: as the user typed it.
        settings: the text of each value by its key.
    """

    name: str
    settings: Mapping[str, str]

    def includes(self, variant: Variant) -> bool:
        """Whether a variant has all these settings, as "lstm T=50" has those of "lstm"."""
        return self.settings.items() <= variant.texts.items()


def names_of(baseline: str | Sequence[str] | None) -> list[str]:
    """The names in a configuration's `baseline`: null, one, or a list."""
    if baseline is None:
        return []
    return [baseline] if isinstance(baseline, str) else list(baseline)


def read(name: str, keys: Sequence[str]) -> Baseline:
    """The baseline that a user typed.

    Args:
        name: as typed: the name of a unit, `key=value`, or several of these. A key is a whole key
            or its last part.
        keys: that the sweep varies, in order.

    >>> dict(read("lstm T=50 losses=['late', 'own']", ["cell", "task.T", "losses"]).settings)
    {'cell': 'lstm', 'task.T': '50', 'losses': "['late', 'own']"}
    """
    settings, current = {}, "cell"
    for word in name.split(" "):
        typed, equals, value = word.partition("=")
        # Two keys may end in the same word: the first one typed is the first one varied.
        free = [key for key in keys if typed in (key, short(key)) and key not in settings]
        if equals and free:
            current = free[0]
            settings[current] = value
        else:  # The unit, or the rest of a value with spaces.
            settings[current] = f"{settings[current]} {word}" if current in settings else word
    return Baseline(name, settings)


def read_all(names: Sequence[str], units: Units) -> list[Baseline]:
    """The baselines that a user typed for a sweep of these variants."""
    keys = keys_of(units)
    return [read(name, keys) for name in names]


def check(names: Sequence[str], units: Units) -> None:
    """Check that baselines are in the sweep, and that several of them are of different families.

    Args:
        names: of the baselines, as typed.
        units: of variants in which every value that the sweep has occurs.

    Raises:
        RefusedError: for a baseline that cannot be used.
    """
    there = {setting for variant in units for setting in variant.texts.items()}
    made_by: dict[str | None, str] = {}
    for baseline in read_all(names, units):
        name = baseline.name
        if not baseline.settings.items() <= there:
            raise RefusedError(f"baseline: {unknown('variant', name, list(map(str, units)))}")
        if names.count(name) > 1:
            raise RefusedError(f"baseline: {name} is there twice; expected different names.")
        if len(names) > 1 and "cell" not in baseline.settings:
            raise RefusedError(
                f"baseline: expected one setting, such as {name}, or a list of units, such as "
                f"[lstm,gru]; got {name} in a list."
            )
        unit = _unit_of(baseline, units)
        if unit in made_by:
            raise RefusedError(
                f"baseline: {made_by[unit]} and {name} are both {unit}, and no variant is nearer "
                "to the one than to the other; expected one of each family, such as [lstm,gru]."
            )
        made_by[unit] = name


def compared_with(baselines: Sequence[Baseline], units: Units) -> dict[Variant, Variant]:
    """The variant that each variant is compared with, for those that have one.

    It has the baseline's settings and is like the variant in all others: with the baseline "lstm",
    "gru T=50" is compared with "lstm T=50". Of several baselines the one of the variant's family is
    taken: its cell is of the same class, of one that the variant's inherits from, of one that
    inherits from it, or of one with a common parent. The nearest class wins. A variant of no
    baseline's family is compared with the first baseline, and so are the other baselines.

    Args:
        baselines: of the sweep.
        units: of all variants.
    """
    by_settings = {frozenset(variant.texts.items()): variant for variant in units}
    found = {}
    for variant in units if baselines else ():
        wanted = {**variant.texts, **_baseline_for(variant, baselines, units).settings}
        like = by_settings.get(frozenset(wanted.items()), variant)
        if like != variant:
            found[variant] = like
    return found


def _baseline_for(variant: Variant, baselines: Sequence[Baseline], units: Units) -> Baseline:
    first = baselines[0]
    if len(baselines) == 1 or any(each.includes(variant) for each in baselines):
        return first
    away = [(_away(units[variant], _unit_of(each, units)), each) for each in baselines]
    family = [(classes, each) for classes, each in away if classes is not None]
    return min(family, key=lambda pair: pair[0])[1] if family else first


def _unit_of(baseline: Baseline, units: Units) -> str | None:
    """The class of a baseline's unit, None if no variant has that unit."""
    name = baseline.settings.get("cell")
    return next((unit for each, unit in units.items() if each.texts["cell"] == name), None)


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
    """The class of a unit's cell and the classes that it inherits from, the nearest first.

    Layers do not inherit from one another: `layers.PeepholeLSTM` is in one family with
    `layers.LSTM` through its cell. A layer of Keras is in the family of the layer here that
    computes the same. A unit that does not exist any more is in a family of its own.
    """
    module, _, name = unit.rpartition(".")
    if module == "layers":  # In runs from before there was one package.
        module = "unrolled.layers"
    try:  # Not by `hydra.utils.get_class`, which prints what it does not find.
        made = getattr(import_module(module), name)
        made = import_module("unrolled.layers.conversion").IN_PLACE_OF.get(made, made)
        return getattr(made, "cell_class", made).__mro__
    except (ImportError, AttributeError, ValueError):  # ValueError: there is no dot in it.
        return (unit,)
