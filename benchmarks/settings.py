"""Which values conf/benchmark.yaml may have."""

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from unrolled.settings.models import Cutoffs, Layers
from unrolled.settings.section import (
    Different,
    Expected,
    Options,
    PositiveInteger,
    PositiveNumber,
    Seed,
)
from unrolled.settings.training import Optimization
from unrolled.settings.wiring import check_cutoffs

Masks = Annotated[
    list[bool],
    Field(min_length=1),
    Different,
    Expected("a list of different values of true and false"),
]


class Shape(Options):
    """Of a batch."""

    model_config = ConfigDict(extra="forbid")

    batch: PositiveInteger
    steps: PositiveInteger
    inputs: PositiveInteger
    units: PositiveInteger


class Benchmark(Options):
    """The options that are in no section."""

    shapes: Annotated[
        list[Shape],
        Field(min_length=1),
        Different,
        Expected(
            "a list of different shapes, each "
            f"{{{', '.join(f'{name}: ..' for name in Shape.model_fields)}}}"
        ),
    ]
    masks: Masks
    repeats: PositiveInteger
    tolerance: PositiveNumber
    seed: Seed


class Limit(Options):
    """The product whose rate is the machine's."""

    size: PositiveInteger
    repeats: PositiveInteger


class Memory(Options):
    """The peak of memory."""

    masks: Masks
    repeats: PositiveInteger


class Imdb(Optimization):
    """The epoch of film reviews."""

    seeds: Annotated[
        list[Seed], Field(min_length=1), Different, Expected("a list of different integers")
    ]
    size: PositiveInteger
    embedding: PositiveInteger
    vocabulary_size: PositiveInteger
    max_words: PositiveInteger
    train_examples: PositiveInteger | None
    test_examples: PositiveInteger | None
    batch_size: PositiveInteger
    optimizer: Annotated[
        str,
        Field(pattern=r"^keras\.optimizers\."),
        Expected("a class of keras.optimizers, such as keras.optimizers.Adam"),
    ]


class Language(Options):
    """The training step of a language model."""

    vocabulary_size: Annotated[int, Field(ge=3)]
    units: PositiveInteger
    layers: Layers
    batch: PositiveInteger
    window: PositiveInteger
    cutoffs: Annotated[Cutoffs, Expected("a list of increasing integers, such as [1000,4000]")]
    windows: PositiveInteger
    repeats: PositiveInteger

    @model_validator(mode="after")
    def _check_cutoffs(self):
        check_cutoffs(self.cutoffs, self.vocabulary_size)
        return self


SECTIONS: dict[str, type[Options]] = {
    "": Benchmark,
    "limit": Limit,
    "memory": Memory,
    "imdb": Imdb,
    "language": Language,
}
"""By the name of the section; "" for the options that are in none."""
