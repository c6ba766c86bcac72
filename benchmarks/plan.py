"""The plan of a benchmark, checked in full before anything slow is imported."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from benchmarks.settings import SECTIONS
from unrolled.console.refusals import RefusedError, unknown
from unrolled.project import CONFIGURATION
from unrolled.sweeps.conf_errors import refusing_unreadable
from unrolled.sweeps.keys import check_key
from unrolled.sweeps.overrides import parse_overrides
from unrolled.sweeps.values import check_numbers, check_references, check_section

PARTS = ("limit", "steps", "memory", "imdb", "language")  # In the order of measurement.
BATCHES = ("padded", "bucketed")


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
    values = OmegaConf.to_container(config, resolve=True)
    for name, section in SECTIONS.items():
        check_section(name, section, values[name] if name else values)
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


_NAMES = {
    "parts": PARTS,
    "units": None,
    "language.cells": None,
    "imdb.units": None,
    "imdb.batches": BATCHES,
}
