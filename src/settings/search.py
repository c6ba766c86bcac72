"""`search`: a stage before the sweep that finds the best value of one key for each variant."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from unrolled.settings.errors import ContradictionError
from unrolled.settings.section import Different, Expected, Options, Seed, Text


class Search(Options):
    """The key, the values that are tried, the seeds of the runs that try them, and how many stop.

    With `halving`, the runs stop several times together, and the best 1 in `halving` values go on.
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

    @model_validator(mode="after")
    def _check_halving(self):
        most = len(self.values)
        if self.halving is not None and self.halving > most:
            raise ContradictionError(
                "halving",
                f"expected at most the number of search.values ({most}), as the best 1 of every "
                f"{self.halving} values goes on, got {self.halving}. Try more values, or set a "
                "lower number or null.",
            )
        return self
