"""Options that a plain unit leaves to its variant.

`layers.LSTM` is the lecture's LSTM and nothing else; `forget_gate="coupled"` is an option of
`layers.variants.LSTM`. At first one class had all of these options, so files saved then hold a
value for each of them. They still load: as the plain unit, or as the variant if a value is not the
plain unit's. The same holds for the configuration of `keras.layers.GRU`, with its `reset_after`.
"""

from collections.abc import Mapping
from typing import Any


class VariantOptions:
    """Mixin of cells, and of layers over them.

    Attributes:
        variant: the class of the same kind that has the further options, or None.
    """

    variant: Any = None

    @classmethod
    def _cell_class(cls) -> Any:
        return cls

    @classmethod
    def variant_options(cls) -> dict[str, Any]:
        """The options that only the variant has, each with the value that makes it this unit."""
        cell = cls._cell_class()
        if cell.variant is None:
            return {}
        return {
            name: parameter.default
            for name, parameter in cell.variant.options().items()
            if name not in cell.options()
        }

    @classmethod
    def without_variant_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options without those of the variant, which may only have this unit's values.

        Raises:
            TypeError: for another value. The message names the variant.
        """
        fixed = cls.variant_options()
        for name in sorted(options.keys() & fixed.keys()):
            if not _equal(options[name], fixed[name]):
                variant = cls.variant or cls._cell_class().variant
                raise TypeError(
                    f"{cls.__name__} has no option {name!r}, got {options[name]!r}. Use "
                    f"{variant.__module__}.{variant.__name__}, which has all options of "
                    f"{cls.__name__}, and {', '.join(sorted(fixed))}."
                )
        return {name: value for name, value in options.items() if name not in fixed}

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> Any:
        """The unit with these options: of this class, or of its variant if they ask for it."""
        fixed = cls.variant_options()
        plain = all(_equal(options[name], fixed[name]) for name in options.keys() & fixed.keys())
        # A class derived from a plain unit inherits `variant`, which would lose what it adds.
        if plain or vars(cls).get("variant") is None:
            return cls(**options)
        return cls.variant(**options)


def _equal(one, other):
    return type(one) is type(other) and one == other  # 1 == True, and is no valid value.
