"""`search`: a stage before the sweep that finds the best value of one key for each variant."""

from typing import Annotated, Any

from pydantic import Field

from unrolled.settings.section import Different, Expected, Options, Seed, Text


class Search(Options):
    """The key, the values that are tried, and the seeds of the runs that try them.

    `halving` is the reduction factor of successive halving; null trains every value in full.
    """

    key: Annotated[Text, Expected("a key such as training.learning_rate")]
    values: Annotated[
        list[Any],
        Field(min_length=2),
        Different,
        Expected("two different values at least, such as [0.001,0.003]"),
    ]
    seeds: Annotated[
        list[Seed],
        Field(min_length=1),
        Different,
        Expected("integers, all different, such as [101]"),
    ]
    halving: Annotated[int, Field(ge=2)] | None = None
