"""What all sections of a configuration have in common."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PositiveInteger = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0)]


def _different(values: list) -> list:
    if len(set(map(str, values))) < len(values):
        raise ValueError("not different")
    return values


Different = AfterValidator(_different)


@dataclass(frozen=True)
class Expected:
    """Says in an annotation what is allowed, where its type does not say it well.

    Attributes:
        text: what follows the word "expected" in a message.
    """

    text: str


class Options(BaseModel):
    """Options that have limits, each with the annotation that says which.

    Types are strict: the text "32" is no integer, and true is no number. Options that the class
    does not declare are not checked here.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Section(Options):
    """A section of the configuration that a file of conf/ fills."""

    name: Text


class Made(Section):
    """A section that names the function or class that is called with its options."""

    target: Text = Field(alias="_target_")


def keys(section: type[Options]) -> set[str]:
    """The options that a section declares."""
    return {field.alias or name for name, field in section.model_fields.items()}
