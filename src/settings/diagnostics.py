"""conf/diagnostics: what is measured of a model during training."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from unrolled.settings.section import Different, Expected, PositiveInteger, Section

_MOST = 10_000


def _a_curve(measurements: int) -> int:
    if measurements == 1:
        raise ValueError("one measurement shows no change")
    return measurements


class Diagnostics(Section):
    """How often gradients and gates are measured, on which examples, for which losses."""

    measurements: Annotated[
        int,
        Field(ge=0, le=_MOST),
        AfterValidator(_a_curve),
        Expected(f"0, or an integer from 2 to {_MOST}"),
    ]
    examples: PositiveInteger
    losses: Annotated[
        list[Literal["late", "own"]],
        Field(min_length=1),
        Different,
        Expected("[late], [own] or [late,own]"),
    ]
