"""Hydra's own keys on a command line: which of them can be set, and to what."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrolled.console.printable import printable
from unrolled.console.refusals import RefusedError
from unrolled.sweeps.claim import LOCK
from unrolled.sweeps.keys import is_of_hydra
from unrolled.sweeps.launchers import check_launcher
from unrolled.sweeps.overrides import value_of
from unrolled.sweeps.values import shown

_OF_SWEEP = "expected one value, as it holds for the whole sweep."
_ONE_VALUE = {
    "jobs": _OF_SWEEP,
    "threads": "expected one value, as all runs of a sweep have as many.",
    "stop_at_first_failure": _OF_SWEEP,
    "search": "expected one search; several values of a key are [a,b].",
    "tracking": "expected one value, as a sweep and all its runs are in one store.",
    "hydra": _OF_SWEEP,
}
_FIXED = {
    "hydra": "expected a key below it, such as hydra/launcher=joblib.",
    "hydra.launcher.n_jobs": "is the option jobs here; expected jobs=<runs that train at once>.",
    "hydra.launcher.submitit_folder": "stays in the folder of the sweep, which reads it.",
    "hydra.launcher.nodes": "stays 1, as a run is one process.",
    "hydra.launcher.tasks_per_node": "stays 1, as a run is one process.",
    "hydra.mode": "stays MULTIRUN, as every command is a sweep, if only of one run.",
    "hydra.run.dir": "is not used, as every command is a sweep; expected hydra.sweep.dir=<folder>.",
    "hydra.sweep.subdir": "stays the number of the run, as the progress bar reads that folder.",
    "hydra.sweeper": "expected the sweep in key=value,value on the command line.",
}


def check_of_whole_sweep(values: Mapping[str, list[str]]) -> None:
    """Keys that hold for the whole sweep must have one value, and Hydra's own a valid one.

    Raises:
        RefusedError: for the first that has not.
    """
    if len(values.get("baseline", [])) > 1:
        raise RefusedError(
            "baseline: expected one variant to compare the others with, or a list such as "
            f"[lstm,gru]; got {','.join(values['baseline'])}."
        )
    for key, options in values.items():
        section = re.split("[./@]", key.lstrip("+~"))[0]
        if section in _ONE_VALUE and len(options) > 1:
            raise RefusedError(f"{key}: {_ONE_VALUE[section]}")
        if is_of_hydra(key.lstrip("+~")):
            _check_key(key)
            _check_value(key, options[0])


def _check_key(key: str) -> None:
    plain = key.lstrip("+~")
    if plain in _FIXED or plain.startswith("hydra.sweeper."):
        raise RefusedError(f"{key}: {_FIXED.get(plain, _FIXED['hydra.sweeper'])}")
    option = plain.removeprefix("hydra.launcher.")
    is_option = option != plain and not option.startswith("_")
    # With + or ~ a key would be missed by the checks that look for it by its name.
    if key not in ("hydra.sweep.dir", "hydra/launcher") and not (is_option and key == plain):
        raise RefusedError(
            f"{key}: expected one of the keys of Hydra that can be set here: hydra.sweep.dir=<a "
            "new folder>, hydra/launcher=joblib, or hydra.launcher.<option>=<value>."
        )


def _check_value(key: str, typed: str) -> None:
    if key == "hydra/launcher":
        check_launcher(typed)
    if key == "hydra.sweep.dir":
        _check_can_be_made(value_of(typed))


def _check_can_be_made(folder: Any) -> None:
    if not isinstance(folder, str):
        raise RefusedError(
            f"hydra.sweep.dir: expected the path of a folder, got {shown(folder)}; a folder of "
            "that name is ./<name>."
        )
    # A reference would be resolved at another time for each run, to another folder.
    if "${" in folder or printable(folder) != folder or {"\n", "\t"} & set(folder):
        raise RefusedError(
            "hydra.sweep.dir: expected a folder without ${...} and without control characters, "
            f"got {folder!r}."
        )
    there = Path(folder).absolute()
    while not there.exists():
        there = there.parent
    if not folder or not there.is_dir() or not os.access(there, os.W_OK):
        raise RefusedError(
            f"hydra.sweep.dir: expected a folder that can be made, got {folder!r}"
            + (f", but {there} is no folder that can be written to." if folder else ".")
        )


def sweep_directory(typed: Mapping[str, list[str]]) -> Path | None:
    """The folder that the command line names for the runs, None if it names none.

    Raises:
        RefusedError: if the folder is in use; see `check_is_new`.
    """
    if "hydra.sweep.dir" not in typed:
        return None
    directory = Path(value_of(typed["hydra.sweep.dir"][0])).absolute()
    check_is_new(directory)
    return directory


def check_is_new(directory: Path) -> None:
    """A folder that the command line names must be new or empty.

    Raises:
        RefusedError: if it holds files, or is no folder.
    """
    held = directory.exists() and (
        not directory.is_dir() or any(each.name != LOCK for each in directory.iterdir())
    )
    if held:
        raise RefusedError(f"hydra.sweep.dir: expected a new or an empty folder, got {directory}.")
