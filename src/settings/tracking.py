"""conf/tracking: where results are stored."""

from typing import Annotated

from pydantic import Field

from unrolled.settings.section import Section, Text


class Tracking(Section):
    """The MLflow store, and how long a run waits for it."""

    uri: Text | None
    patience: Annotated[int, Field(ge=0)]
    checkpoint_minutes: Annotated[float, Field(ge=0)]
