"""The sections of a configuration, and the options beside them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from unrolled.settings.budget import Budget
from unrolled.settings.diagnostics import Diagnostics
from unrolled.settings.models import settings_of
from unrolled.settings.section import (
    Expected,
    Made,
    Options,
    PositiveInteger,
    Section,
    Seed,
    Text,
)
from unrolled.settings.tracking import Tracking
from unrolled.settings.training import Training


class Run(Options):
    """The options that are in no section."""

    seed: Seed
    baseline: Annotated[
        Text | Annotated[list[Text], Field(min_length=1)] | None,
        Expected("the name of a variant, such as lstm, or a list such as [lstm,gru], or null"),
    ]
    jobs: PositiveInteger | None
    threads: PositiveInteger | None
    stop_at_first_failure: bool


SECTIONS: dict[str, type[Section]] = {
    "cell": Made,
    "model": Made,
    "training": Training,
    "task": Made,
    "budget": Budget,
    "diagnostics": Diagnostics,
    "tracking": Tracking,
}
"""The sections that every configuration has, each with a group of files in conf/."""


def settings(values: Mapping[str, Any]) -> dict[str, type[Options]]:
    """The class of each section of a configuration; that of `Run` has the key "".

    Args:
        values: a configuration that has every section, with its `_target_` where it needs one.
    """
    return {"": Run, **SECTIONS, "model": settings_of(values["model"]["_target_"])}
