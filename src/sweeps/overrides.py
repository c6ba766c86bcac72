"""The overrides on a command line, as Hydra's grammar has them."""

import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from unrolled.console.refusals import RefusedError
from unrolled.sweeps.conf_errors import first_line

_MOST_VALUES = 1000  # Of one key in a sweep.


def parse_overrides(arguments: list[str]) -> dict[str, list[str]]:
    """The values of each key on the command line, in the order typed; several where it sweeps.

    Raises:
        RefusedError: if an argument is no override, a swept key is there twice, or a sweep has no
            values or no end.
    """
    typed: dict[str, list[str]] = {}
    for argument in arguments:
        override = _parsed(argument)
        key = override.get_key_element()
        if not key:
            raise RefusedError(f"{argument!r} is no override; expected key=value, got no key.")
        _check_order(key, argument)
        values = (
            _swept(argument, override)
            if override.is_sweep_override()
            else [override.get_value_element_as_str()]
        )
        # Of several plain values Hydra takes the last. A sweep it would run once for each.
        if max(len(values), len(typed.get(key, []))) > 1 and key in typed:
            raise RefusedError(f"{key}: given twice; list all values in one argument.")
        typed[key] = values
    return typed


def _parsed(argument: str) -> Override:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException as error:
        raise RefusedError(
            f"{argument!r} is no override; expected key=value, or key=value,value to sweep"
            f"{_quotes_needed(argument)}. ({first_line(error)})"
        ) from error


def _quotes_needed(argument: str) -> str:
    """A hint for a value that contains `=`, as the name of a baseline may."""
    key, _, value = argument.partition("=")
    if "=" not in value or '"' in value:
        return ""
    return (
        ". A value with = in it must be quoted, and the shell must pass the quotes on: "
        f"'{key}=\"{value}\"'"
    )


def _check_order(key: str, argument: str) -> None:
    """A sweep that is resumed must find each of its values in its place."""
    value = _IN_QUOTES.sub("''", argument.partition("=")[2])
    if re.search(r"\bshuffle\s*\(", value):
        raise RefusedError(
            f"{argument!r}: expected values in an order that stays the same when the sweep is "
            f"resumed, got shuffle. Write {key}=1,2,3 or {key}=range(1,4)."
        )


_IN_QUOTES = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")


def _swept(argument: str, override: Override) -> list[str]:
    try:
        values = list(islice(override.sweep_string_iterator(), _MOST_VALUES + 1))
    except (HydraException, ValueError, ArithmeticError) as error:
        # Hydra's own for interval(...) and glob(...); the others for a range whose step is 0 or
        # whose limit is nan.
        raise RefusedError(
            f"{argument!r} names no values; expected some, as in seed=1,2,3 or seed=range(1,4)."
        ) from error
    if not 0 < len(values) <= _MOST_VALUES:
        raise RefusedError(
            f"{argument!r}: expected 1 to {_MOST_VALUES} values, got "
            f"{'more' if values else 'none'}."
        )
    return values


def refuse_secrets(arguments: list[str]) -> None:
    """Reject a password: the command line is stored with every run and quoted in errors.

    Raises:
        RefusedError: if a URI on the command line, such as that of a store, contains one.
    """
    for argument in arguments:
        if "://" in argument:
            from unrolled import tracking  # Slow to import, and seldom needed here.

            try:
                tracking.refuse_secrets(argument)
            except tracking.StoreError as error:
                raise RefusedError(str(error)) from None


def value_of(text: str) -> Any:
    """The value that a text on a command line stands for."""
    return OverridesParser.create().parse_override(f"value={text}").value()


def text_of(value: Any) -> str:
    """A value as it is written on a command line."""
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def without(key: str, arguments: Sequence[str]) -> list[str]:
    """A command line without the overrides of a key."""
    return [each for each in arguments if _parsed(each).get_key_element() != key]


def quoted(value: str) -> str:
    """A text in quotes, so that Hydra takes every character in it literally."""
    return QuotedString(text=value, quote=Quote.single).with_quotes()
