"""What is wrong with a section, in words for people."""

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from unrolled.settings.errors import ContradictionError
from unrolled.settings.section import Expected, Options


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
        key = str(error["loc"][0])  # The rest is the index in a list, or the member of a union.
        by_alias = {field.alias or name: name for name, field in section.model_fields.items()}
        annotation = typing.get_type_hints(section, include_extras=True)[by_alias[key]]
        return Problem(key, expected(annotation), takes_list=_takes_list(annotation))
    return None


def expected(annotation: Any) -> str:
    """What an annotation allows, in words.

    >>> from pydantic import Field
    >>> expected(Annotated[int, Field(ge=1, le=100)] | None)
    'an integer from 1 to 100, or null'
    >>> expected(Literal["units", "parameters"])
    'one of units, parameters'
    """
    constraints: Sequence[Any] = ()
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
    constraints = [each for one in constraints for each in getattr(one, "metadata", ())]
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
