"""What a command line and the values of a configuration are held to."""

import difflib
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml.error import MarkedYAMLError
from yaml.reader import Reader, ReaderError

from unrolled.console.refusals import RefusedError, unknown
from unrolled.project import CONFIGURATION

Limit = tuple[Callable[[Any], bool], str]
"""What is allowed, and how to say it."""

_MOST_VALUES = 1000  # Of one key in a sweep.
_LARGEST_NUMBER = float.fromhex("0x1.fffffep+127")  # Of float32, in which everything is computed.
_LARGEST_INTEGER = 2**32 - 1  # Also the largest seed of NumPy and Keras.


def parse_overrides(arguments: list[str]) -> dict[str, list[str]]:
    """The values of each key on the command line, in the order typed, several where it sweeps.

    Raises:
        RefusedError: for what is no override, a key that is swept and there twice, or a sweep
            over no value, or over what has no end.
    """
    typed = {}
    for argument in arguments:
        try:
            override = OverridesParser.create().parse_override(argument)
        except HydraException as error:
            raise RefusedError(
                f"{argument!r} is no override; expected key=value, or key=value,value to sweep"
                f"{_quoted(argument)}. ({first_line(error)})"
            ) from error
        key = override.get_key_element()
        if not key:
            raise RefusedError(f"{argument!r} is no override; expected key=value, got no key.")
        _check_order(key, argument)
        values = (
            _swept(argument, override)
            if override.is_sweep_override()
            else [override.get_value_element_as_str()]
        )
        # Of plain values the last counts, as Hydra has it; a sweep it would run once for each.
        if max(len(values), len(typed.get(key, []))) > 1 and key in typed:
            raise RefusedError(f"{key}: is there twice; expected all values to sweep at once.")
        typed[key] = values
    return typed


def refuse_secrets(arguments: list[str]) -> None:
    """A command line is stored with every run and quoted in errors, so it holds no password.

    Raises:
        RefusedError: if a URI in it, such as that of a store, contains one.
    """
    for argument in arguments:
        if "://" in argument:
            from unrolled import tracking  # Slow to import, and seldom needed here.

            try:
                tracking.refuse_secrets(argument)
            except tracking.StoreError as error:
                raise RefusedError(str(error)) from None


def _check_order(key: str, argument: str) -> None:
    """A sweep that is resumed must find each of its values where it was."""
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
        # interval(...) and glob(...); the others for a range with a step of 0, or with nan.
        raise RefusedError(
            f"{argument!r} names no values; expected some, as in seed=1,2,3 or seed=range(1,4)."
        ) from error
    if not 0 < len(values) <= _MOST_VALUES:
        raise RefusedError(
            f"{argument!r}: expected 1 to {_MOST_VALUES} values, got "
            f"{'more' if values else 'none'}."
        )
    return values


def first_line(error: BaseException) -> str:
    """What an error says first; the lines below are often about the library that raised it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(error: BaseException) -> str:
    """What an error of Hydra says, and the one that caused it, which it leaves out."""
    causes = [error, *([error.__cause__] if error.__cause__ else [])]
    said = " ".join(str(each) for each in causes)
    # What follows says where in the library it was found.
    return " ".join(re.sub(r"(?s)\n\s*(full_key:|Config search path:).*", "", said).split())


@contextmanager
def refusing_unreadable() -> Iterator[None]:
    """Turns what Hydra, OmegaConf and YAML say of the files of conf/ into a line.

    Raises:
        RefusedError: in place of their errors.
    """
    try:
        yield
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}" if mark else "conf"
        where = where.removeprefix(f"{CONFIGURATION.parent}/")
        raise RefusedError(
            f"{where}: expected YAML, got a syntax error: {error.problem}. Indent with "
            "spaces, not tabs, close brackets and quotes, and put a space behind each colon."
        ) from error
    except (UnicodeDecodeError, ReaderError) as error:
        raise RefusedError(
            f"{_unreadable()}: expected a text file in UTF-8 without control characters, "
            f"got invalid bytes ({first_line(error)}). Save it as UTF-8."
        ) from error
    except RecursionError as error:
        raise RefusedError("conf: expected YAML without a value that contains itself.") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise RefusedError(one_line(error)) from error


def _unreadable() -> Path:
    """The first file of conf/ that is no text in UTF-8, or conf/."""
    for path in sorted(CONFIGURATION.rglob("*.yaml")):
        try:
            if Reader.NON_PRINTABLE.search(path.read_text(encoding="utf-8")):
                break
        except UnicodeDecodeError:
            break
    else:
        path = CONFIGURATION
    return path.relative_to(CONFIGURATION.parent)


def _quoted(argument):
    """A hint for a value that has `=` in it, such as a baseline."""
    key, _, value = argument.partition("=")
    if "=" not in value or '"' in value:
        return ""
    return (
        ". A value with = in it must be quoted, and the shell must pass the quotes on: "
        f"'{key}=\"{value}\"'"
    )


def check_key(key: str, defaults: DictConfig) -> None:
    """A key must be in `defaults`, or be a section of them, or be Hydra's own.

    Raises:
        RefusedError: if it is not; the message has the nearest that is.
    """
    known = dotted_keys(defaults)
    if is_of_hydra(key) or key in known or any(k.startswith(f"{key}.") for k in known):
        return
    raise RefusedError(unknown("value", key, near(key, known)))


def is_of_hydra(key: str) -> bool:
    """Whether a key, without what stands before it, is in Hydra's own section or a group there."""
    return re.match(r"hydra($|[./@])", key) is not None


def near(key: str, known: list[str]) -> list[str]:
    """The keys in the same section as `key`, or all where there is no such section."""
    section = key.rpartition(".")[0]
    return [k for k in known if section and k.startswith(f"{section}.")] or known


def dotted_keys(config: DictConfig, above: str = "") -> list[str]:
    """All keys with a value, dotted."""
    keys = []
    for key in config:
        value = config._get_node(key)
        section = isinstance(value, DictConfig)
        keys += dotted_keys(value, f"{above}{key}.") if section else [above + key]
    return keys


def check_settable(key: str, groups: Collection[str]) -> None:
    """A key on a command line must be one that can be set there, or taken away.

    Args:
        key: as typed, with what stands before it.
        groups: the folders of conf/.

    Raises:
        RefusedError: if it is not.
    """
    plain = key.lstrip("+~")
    group, _, rest = plain.partition(".")
    if group in groups and rest == "name":
        raise RefusedError(
            f"{plain}: says which file of conf/{group} was chosen, and is not set by itself; "
            f"expected {group}=<name of a file>."
        )
    if key.startswith("+") and plain in groups:
        raise RefusedError(
            f"{key}: expected {plain}=<name of a file>, without +, as there is one already."
        )
    if key.startswith("~") and (group != "cell" or rest in ("", "_target_")):
        raise RefusedError(
            f"{key}: expected {plain}=<value>, as it cannot be taken away; only the options of a "
            "cell can, as in ~cell.forget_bias."
        )


def check_numbers(config: DictConfig) -> None:
    """Every number must be one that 32 bits hold: not nan, not infinite, not huge.

    Raises:
        RefusedError: for the first that is not.
    """
    # Not resolved: what a reference leads to is found where it stands.
    for key, value in _leaves(OmegaConf.to_container(config)):
        if isinstance(value, float) and not abs(value) <= _LARGEST_NUMBER:
            raise RefusedError(
                f"{key}: expected a finite number, of at most {_LARGEST_NUMBER:.3g}, got {value}."
            )
        if is_whole(value) and abs(value) > _LARGEST_INTEGER:
            raise RefusedError(
                f"{key}: expected an integer of at most {_LARGEST_INTEGER}, got {value}."
            )


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values with their dotted keys; those in a list have the list's."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, key)
    else:
        yield key, value


def imported(key: str, name: str, such_as: str, kind: type | None = None) -> Any:
    """What a dotted name in a configuration stands for, such as layers.LSTM.

    Not by `hydra.utils.get_object`, which prints what it does not find.

    Args:
        key: where the name stands, for the message.
        name: a module and what is in it.
        such_as: a name that would do, for the message.
        kind: what it has to be a class of; None for anything.

    Raises:
        RefusedError: if there is no such module, nothing of that name in it, or it is no such
            class.
    """
    module, _, attribute = name.rpartition(".")
    hint, found = "", None
    try:
        found = getattr(import_module(module), attribute)
        problem = f"which is no class of {kind.__name__}" if kind else ""
    except (ImportError, ValueError) as error:  # ValueError: there is no dot in it.
        problem = f"which cannot be imported: {first_line(error)}"
    except AttributeError:
        guess = difflib.get_close_matches(attribute, dir(sys.modules[module]), n=1)
        hint = f" Did you mean {module}.{guess[0]}?" if guess else ""
        problem = f"and {module} has no {attribute!r}"
    if found is None or (kind and not (isinstance(found, type) and issubclass(found, kind))):
        raise RefusedError(
            f"{key}: expected a module and a name in it, such as {such_as}, got {name!r}, "
            f"{problem}.{hint}"
        )
    return found


def check_limits(config: DictConfig, limits: Mapping[str, Limit]) -> None:
    """Every value that has limits must be within them.

    Raises:
        RefusedError: for the first that is not.
    """
    for key, (allowed, expected) in limits.items():
        value = OmegaConf.select(config, key)
        if not _allows(allowed, value):
            raise RefusedError(f"{key}: expected {expected}, got {shown(value)}.")


def shown(value: Any) -> str:
    """A value for a message, as YAML has it; texts are in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if OmegaConf.is_config(value) else repr(value)


def _allows(allowed: Callable[[Any], bool], value: Any) -> bool:
    try:
        return allowed(value)
    except TypeError:  # A word or null where a number is compared.
        return False


def is_whole(value: Any) -> bool:
    """Whether it is an integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(allowed: Callable[[float], bool], expected: str) -> Limit:
    return (lambda value: is_number(value) and allowed(value)), expected


def or_null(limit: Limit) -> Limit:
    allowed, expected = limit
    return (lambda value: value is None or allowed(value)), f"{expected}, or null"


def between(least: int, most: int) -> Limit:
    allowed = lambda value: is_whole(value) and least <= value <= most  # noqa: E731
    return allowed, f"an integer from {least} to {most}"


def at_least(least: int) -> Limit:
    return (lambda value: is_whole(value) and value >= least), f"an integer of at least {least}"


def at_least_or_null(least: int) -> Limit:
    return or_null(at_least(least))


def one_of(*words: str) -> Limit:
    return (lambda value: value in words), f"one of {', '.join(words)}"
