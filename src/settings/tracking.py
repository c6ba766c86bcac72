"""conf/tracking: where results are stored."""

from typing import Annotated

from annotated_types import Ge

from unrolled.settings.section import Section, Text


class Tracking(Section):
    """The MLflow store, and how long a run waits for it."""

    uri: Text | None
    patience: Annotated[int, Ge(0)]
