"""conf/model: the options of each model builder.

A builder outside this package needs no class here. Of its options only those of `Model` are checked
before it is imported, and it raises ValueError for the others.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from unrolled.settings.section import Expected, Made, PositiveInteger, Rate, Text
from unrolled.settings.wiring import (
    MERGES,
    MOST_LAYERS,
    CausalDirection,
    Direction,
    LanguageHead,
    Merge,
    TagHead,
    check_cutoffs,
    check_direction,
    check_tied,
)

Layers = Annotated[int, Field(ge=1, le=MOST_LAYERS)]
MergeOrReason = Annotated[
    Merge,
    Expected(
        f"one of {', '.join(MERGES)} (null, as in Keras, returns two outputs, but the next layer "
        "takes one input)"
    ),
]


def _increasing(cutoffs: list[int]) -> list[int]:
    check_cutoffs(cutoffs)
    return cutoffs


Cutoffs = Annotated[list[PositiveInteger], AfterValidator(_increasing)]


class Model(Made):
    """What every model has: a size, and what two variants have in common.

    Attributes:
        builder: the function of `unrolled.models` that these are the options of; None for any
            other builder.
    """

    builder: ClassVar[str | None] = None

    units: PositiveInteger
    match: Literal["units", "parameters"]
    match_unit: Text


class TwoWay(Model):
    """Options of a stack of layers that may read in both directions."""

    layers: Layers
    dropout: Rate
    direction: Direction
    merge: MergeOrReason

    @model_validator(mode="after")
    def _check_direction(self):
        check_direction(self.direction, self.merge)
        return self


class Stack(TwoWay):
    """Options of `build_model`."""

    builder = "build_model"

    embedding: PositiveInteger | None


class Tagger(TwoWay):
    """Options of `build_tagger`."""

    builder = "build_tagger"

    embedding: PositiveInteger
    vectors: Text | None
    capitals: PositiveInteger | None
    character_embedding: PositiveInteger
    character_units: PositiveInteger | None
    variational: bool
    word_dropout: Rate
    head: TagHead


class Language(Model):
    """Options of `build_language_model`."""

    builder = "build_language_model"

    layers: Layers
    embedding: PositiveInteger | None
    dropout: Rate
    direction: Annotated[
        CausalDirection,
        Expected("forward, as a layer that reads backwards has already seen the next word"),
    ]
    tied: bool
    head: LanguageHead
    cutoffs: Annotated[
        Cutoffs | None,
        Expected("a list of increasing integers, such as [1000,4000], or null"),
    ]

    @model_validator(mode="after")
    def _check_tied(self):
        if self.tied:
            check_tied(self.units, self.embedding, self.head)
        return self


_BY_BUILDER = {each.builder: each for each in (Stack, Tagger, Language)}


def settings_of(builder: str) -> type[Model]:
    """The class of the options of the builder that `_target_` names.

    A builder has several names: `unrolled.models.build_model` is also in `unrolled.models.stack`.
    """
    module, _, name = builder.rpartition(".")
    if f"{module}.".startswith("unrolled.models."):
        return _BY_BUILDER.get(name, Model)
    return Model
