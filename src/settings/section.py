"""What all sections of a configuration have in common, and the message for an invalid value."""

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Lt, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from unrolled.settings.errors import ContradictionError

PositiveInteger = Annotated[int, Ge(1)]
PositiveNumber = Annotated[float, Gt(0)]
Rate = Annotated[float, Ge(0), Lt(1)]
Text = Annotated[str, MinLen(1)]
Seed = Annotated[int, Ge(0)]


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


@dataclass(frozen=True)
class Problem:
    """Why a section is invalid.

    Attributes:
        key: the option, without its section.
        expected: what is allowed; None if each option is valid and they contradict each other.
        takes_list: whether the option may be a list.
        reason: of a contradiction, what is wrong and how to correct it.
    """

    key: str
    expected: str | None = None
    takes_list: bool = False
    reason: str = ""


def first_problem(section: type[Options], values: Mapping[str, Any]) -> Problem | None:
    """The first problem of a section; None if its values are valid."""
    try:
        section.model_validate(values)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_input=False)[0]
        contradiction = error.get("ctx", {}).get("error")
        if isinstance(contradiction, ContradictionError):
            return Problem(contradiction.key, reason=contradiction.reason)
        key = error["loc"][0]  # The rest is the index in a list, or the member of a union.
        by_alias = {field.alias or name: name for name, field in section.model_fields.items()}
        annotation = typing.get_type_hints(section, include_extras=True)[by_alias[key]]
        return Problem(key, expected(annotation), takes_list=_takes_list(annotation))
    return None


def keys(section: type[Options]) -> set[str]:
    """The options that a section declares."""
    return {field.alias or name for name, field in section.model_fields.items()}


def expected(annotation: Any) -> str:
    """What an annotation allows, in words.

    >>> expected(Annotated[int, Ge(1), Le(100)] | None)
    'an integer from 1 to 100, or null'
    >>> expected(Literal["units", "parameters"])
    'one of units, parameters'
    """
    constraints = ()
    if get_origin(annotation) is Annotated:
        annotation, *constraints = get_args(annotation)
    for each in constraints:
        if isinstance(each, Expected):
            return each.text
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return ", or ".join(map(expected, get_args(annotation)))
    if get_origin(annotation) is Literal:
        choices = list(map(str, get_args(annotation)))
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if annotation in (int, float):
        return _NAMES[annotation] + _range(constraints, whole=annotation is int)
    return _NAMES[annotation]


_NAMES = {
    type(None): "null",
    bool: "true or false",
    float: "a number",
    int: "an integer",
    str: "a text that is not empty",
}


def _range(constraints: Iterable[Any], whole: bool) -> str:
    words = {"ge": "of at least", "gt": "greater than", "lt": "less than", "le": "of at most"}
    limits = {
        name: getattr(each, name) for each in constraints for name in words if hasattr(each, name)
    }
    if whole and limits.keys() == {"ge", "le"}:
        return f" from {limits['ge']} to {limits['le']}"
    said = " and ".join(f"{words[name]} {limit}" for name, limit in limits.items())
    return f" {said}" if said else ""


def _takes_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_takes_list, get_args(annotation)))
