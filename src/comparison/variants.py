"""What sets the variants of a sweep apart."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

STAGE = "search"  # The tag `stage` of runs that find a key's values, and the folder they are in.


@dataclass(frozen=True, eq=False)
class Variant:
    """The settings that all runs of a variant share and other variants of the sweep do not.

    Two variants are equal if their settings are. `str` gives the name.

    Attributes:
        settings: the values by key, as in a configuration, of which JSON can hold each. The first
            is "cell", the name of the unit.

    >>> str(Variant({"cell": "lstm", "task.T": 50, "model.match": "units"}))
    'lstm T=50 match=units'
    >>> Variant({"cell": "lstm", "task.T": 50}) == Variant({"cell": "lstm", "task.T": 50.0})
    False
    """

    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """For people, and in the names of runs and metrics."""
        return " ".join(map(label, self.texts, self.texts.values()))

    @cached_property
    def texts(self) -> dict[str, str]:
        """The settings as they are typed."""
        return {key: str(value) for key, value in self.settings.items()}

    @cached_property
    def _identity(self) -> str:
        return json.dumps(self.settings, sort_keys=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Variant):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __str__(self) -> str:
        return self.name


def short(key: str) -> str:
    """The last part of a key, which names and tables show: "T" for "task.T"."""
    return key.rpartition(".")[2]


def label(key: str, text: str) -> str:
    """One setting as names show it.

    >>> label("cell", "lstm"), label("task.T", "50")
    ('lstm', 'T=50')
    """
    return text if key == "cell" else f"{short(key)}={text}"


def keys_of(variants: Iterable[Variant]) -> list[str]:
    """The keys that the variants set, in order."""
    return list(dict.fromkeys(key for variant in variants for key in variant.settings))
