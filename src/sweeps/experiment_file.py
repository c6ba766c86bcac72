"""Checks of a file of conf/experiment before Hydra reads it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION
from unrolled.sweeps.conf_errors import refusing_unreadable
from unrolled.sweeps.values import shown

_HEADER = re.compile(r"\A(\s*(#.*)?\n)*\s*#\s*@package\s+_global_\s*$", re.MULTILINE)
_MARK = "\ufeff"


def check_experiment_file(name: str) -> None:
    """Check that an experiment is a mapping in YAML that sets values of the whole configuration.

    Hydra accepts any YAML. Without the line `# @package _global_`, or with a byte order mark before
    it, the values of the file end up in a section that nothing reads.

    Raises:
        RefusedError: if the file is anything else.
    """
    path = Path("conf") / "experiment" / f"{name}.yaml"
    with refusing_unreadable(), (CONFIGURATION.parent / path).open(encoding="utf-8") as file:
        text = file.read()
        file.seek(0)
        content = yaml.safe_load(file)  # From the file object, so that errors name the file.
    if text.startswith(_MARK):
        raise RefusedError(
            f"{path}: expected UTF-8 without a byte order mark, got one. Save it without."
        )
    if not isinstance(content, dict):
        raise RefusedError(
            f"{path}: expected keys and values, such as `seed: 1`, got {_kind(content)}. See "
            "conf/experiment/gru_vs_lstm.yaml."
        )
    if not _HEADER.search(text):
        raise RefusedError(
            f"{path}: expected the line `# @package _global_` at the beginning, got none. Without "
            "it the file sets nothing."
        )
    for key in _keys(content, ()):
        if not isinstance(key, str):
            raise RefusedError(
                f"{path}: expected keys that are words, got {key!r}. Put it in quotes."
            )
    _check_sweep(path, content.get("hydra"))


def _check_sweep(path: Path, hydra: Any) -> None:
    """If there is `hydra.sweeper.params`, it must map keys to the values to sweep."""
    for key in ("sweeper", "params"):
        hydra = hydra.get(key) if isinstance(hydra, dict) else None
    if hydra is None:
        return
    if not isinstance(hydra, dict):
        raise RefusedError(
            f"{path}: hydra.sweeper.params: expected keys with the values to sweep, such as "
            f"`cell: gru,lstm`, got {hydra!r}."
        )
    for key, values in hydra.items():
        if values is None or isinstance(values, dict | list):
            example = ",".join(map(str, values)) if isinstance(values, list) else "a,b"
            raise RefusedError(
                f"{path}: hydra.sweeper.params.{key}: expected values to sweep without brackets, "
                f"such as `{key}: {example}`, got {shown(values)}."
            )


def _keys(content: Any, above: tuple[int, ...]) -> Iterator[Any]:
    """All keys at any depth. `above` ends the recursion in a mapping that contains itself."""
    if not isinstance(content, dict | list) or id(content) in above:
        return
    if isinstance(content, dict):
        yield from content
        content = list(content.values())
    for each in content:
        yield from _keys(each, (*above, id(content)))


def _kind(content: Any) -> str:
    if content is None:
        return "none"
    return "a list" if isinstance(content, list) else f"only the text {str(content)[:40]!r}"
