"""conf/training: how weights are updated."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from unrolled.settings.errors import ContradictionError
from unrolled.settings.section import Options, PositiveInteger, PositiveNumber, Rate, Section, Text


class Optimization(Options):
    """How a gradient changes the weights."""

    learning_rate: PositiveNumber
    clip_norm: PositiveNumber | None
    clip_value: PositiveNumber | None
    schedule: Literal["constant", "cosine"]
    jit_compile: bool

    @model_validator(mode="after")
    def _check_clipping(self):
        if self.clip_norm is not None and self.clip_value is not None:
            raise ContradictionError(
                "clip_value",
                f"got {self.clip_value}, with clip_norm={self.clip_norm}. Gradients are clipped "
                "by one of them; set the other to null.",
            )
        return self


class Training(Optimization, Section):
    """Options of the optimizer, the batches and the learning rate."""

    optimizer: Text
    batch_size: PositiveInteger
    window: PositiveInteger | None
    decay: Annotated[float, Field(gt=0, lt=1)] | None
    gain: Rate
    explosion: PositiveNumber

    @model_validator(mode="after")
    def _check_schedule(self):
        if self.schedule != "constant" and self.decay is not None:
            raise ContradictionError(
                "decay",
                f"got {self.decay}, with schedule={self.schedule}. One of them sets the learning "
                "rate; set decay to null or the schedule to constant.",
            )
        return self
