"""The plan of a benchmark, checked in full before anything slow is imported."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from unrolled.console.refusals import RefusedError, unknown
from unrolled.project import CONFIGURATION
from unrolled.sweeps.checks import (
    at_least,
    at_least_or_null,
    check_key,
    check_limits,
    check_numbers,
    is_whole,
    number,
    one_of,
    or_null,
    parse_overrides,
    refusing_unreadable,
)
from unrolled.sweeps.limits import check_references

PARTS = ("limit", "steps", "memory", "imdb", "language")  # In the order of measurement.
BATCHES = ("padded", "bucketed")
_SHAPE = ("batch", "steps", "inputs", "units")


def make_plan(arguments: list[str]) -> DictConfig:
    """The configuration of the benchmark with the overrides of a command line.

    Raises:
        RefusedError: for an unknown key or name, or a value beyond its limits.
    """
    with refusing_unreadable(), initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        _check_overrides(arguments, compose("benchmark"))
        config = compose("benchmark", arguments)
    check_references(config)
    cells = _cells()
    for key, known in _NAMES.items():
        _check_names(key, OmegaConf.select(config, key), known or cells)
    check_numbers(config)
    check_limits(config, _LIMITS)
    if "limit" in config.parts and "steps" not in config.parts:
        raise RefusedError("parts: limit is compared with what steps measures; add steps.")
    return config


def _cells() -> list[str]:
    """The units that have a peer: all but Keras's own layers, which are the peers."""
    paths = sorted((CONFIGURATION / "cell").glob("*.yaml"))
    return [path.stem for path in paths if not _is_of_keras(OmegaConf.load(path)._target_)]


def _is_of_keras(target: str) -> bool:
    return target.split(".")[0] == "keras"


def _check_overrides(arguments: list[str], defaults: DictConfig) -> None:
    for key, values in parse_overrides(arguments).items():
        check_key(key.lstrip("+~"), defaults)
        if key.startswith("hydra"):
            raise RefusedError(f"{key}: the benchmark is one run, which Hydra only configures.")
        if len(values) > 1:
            raise RefusedError(f"{key}: expected a list in brackets, {key}=[{','.join(values)}].")


def _check_names(key: str, names: Any, known: tuple[str, ...] | list[str]) -> None:
    if not OmegaConf.is_list(names) or not names:
        raise RefusedError(f"{key}: expected a list such as [{known[0]}], got {names!r}.")
    for name in names:
        if name not in known:
            raise RefusedError(unknown(f"name in {key}:", str(name), list(known)))
    if len(set(names)) < len(names):
        raise RefusedError(f"{key}: expected each name once, got {names}.")


def _is_shape(value: Any) -> bool:
    if not OmegaConf.is_dict(value) or set(value) != set(_SHAPE):
        return False
    return all(is_whole(number) and number >= 1 for number in value.values())


def _some(allowed, what: str):
    def allows(values):
        is_list = OmegaConf.is_list(values) and len(values) > 0
        plain = [str(value) for value in values] if is_list else []
        return is_list and all(map(allowed, values)) and len(set(plain)) == len(plain)

    return allows, f"a list of different {what}"


_MASKS = _some(lambda value: isinstance(value, bool), "values of true and false")
_NAMES = {
    "parts": PARTS,
    "units": None,
    "language.cells": None,
    "imdb.units": None,
    "imdb.batches": BATCHES,
}
_POSITIVE = number(lambda value: value > 0, "more than 0")
_LIMITS = {
    "shapes": _some(_is_shape, f"shapes, each {{{', '.join(f'{k}: ..' for k in _SHAPE)}}}"),
    "masks": _MASKS,
    "repeats": at_least(1),
    "tolerance": _POSITIVE,
    "seed": at_least(0),
    "limit.size": at_least(1),
    "limit.repeats": at_least(1),
    "memory.masks": _MASKS,
    "memory.repeats": at_least(1),
    **{
        f"language.{key}": at_least(1)
        for key in ("units", "layers", "batch", "window", "windows", "repeats")
    },
    "language.vocabulary_size": at_least(3),
    "language.cutoffs": _some(lambda value: is_whole(value) and value >= 1, "integers above 0"),
    "imdb.seeds": _some(lambda value: is_whole(value) and value >= 0, "integers of 0 or more"),
    "imdb.size": at_least(1),
    "imdb.embedding": at_least(1),
    "imdb.vocabulary_size": at_least(1),
    "imdb.max_words": at_least(1),
    "imdb.train_examples": at_least_or_null(1),
    "imdb.test_examples": at_least_or_null(1),
    "imdb.batch_size": at_least(1),
    "imdb.optimizer": (
        (lambda value: isinstance(value, str) and value.startswith("keras.optimizers.")),
        "a class of keras.optimizers, such as keras.optimizers.Adam",
    ),
    "imdb.learning_rate": _POSITIVE,
    "imdb.clip_norm": or_null(_POSITIVE),
    "imdb.clip_value": or_null(_POSITIVE),
    "imdb.schedule": one_of("constant", "cosine"),
    "imdb.jit_compile": ((lambda value: isinstance(value, bool)), "true or false"),
}
