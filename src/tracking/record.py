"""The record that a sweep's parent run stores for the commands that resume or compare it.

It is an artifact, because tags are truncated at a few thousand characters, which a long command
line exceeds.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from unrolled.tracking.errors import UnreadableRecordError
from unrolled.tracking.patience import PatientClient, patience

RECORD = "sweep.json"
_START_AGAIN = "Start the sweep again: make experiment name=..."


class _Record(dict):
    """The validated entries of the artifact.

    Args:
        name: name of the sweep.
        entries: content of the artifact.

    Raises:
        UnreadableRecordError: on access to a missing entry.
    """

    def __init__(self, name: str, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self._name = name

    def __missing__(self, key: str) -> Any:
        raise UnreadableRecordError(
            f"{self._name}: expected `{key}` in the artifact {RECORD} of its parent run, but found "
            f"none. The sweep stopped before its runs began. {_START_AGAIN}"
        )


class OldRecord(Mapping[str, Any]):
    """The record of a parent run whose entries are tags, written by an earlier version.

    Args:
        name: name of the sweep.
        tags: tags of its parent run.

    Raises:
        UnreadableRecordError: on access to an entry that is incomplete or missing; the others are
            readable.
    """

    _IN_JSON = ("arguments", "search")

    def __init__(self, name: str, tags: Mapping[str, str]) -> None:
        self._entries = {key: tags[key] for key in (*self._IN_JSON, "directory") if key in tags}
        self._name = name

    def __getitem__(self, key: str) -> Any:
        if key not in self._entries and key in ("arguments", "directory"):
            raise UnreadableRecordError(
                f"{self._name}: expected its command line in the artifact {RECORD} of its parent "
                "run, but found none. The sweep was interrupted before it began, or its artifacts "
                "were deleted. Start it again: make experiment name=..."
            )
        entry = self._entries[key]
        if key not in self._IN_JSON:
            return entry
        try:
            value = json.loads(entry)
        except json.JSONDecodeError as error:
            raise UnreadableRecordError(
                f"{self._name}: its tag `{key}` is incomplete: expected JSON, got "
                f"{len(entry)} characters that end in {entry[-20:]!r}. An earlier version of this "
                "project truncated long command lines. Start the sweep again: "
                "make experiment name=..."
            ) from error
        _check(self._name, f"tag `{key}`", key, value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def read_record(client: PatientClient, run: Run) -> Mapping[str, Any]:
    """Reads the record of a sweep's parent run, also that of an earlier version of the project.

    Args:
        client: the client of the store.
        run: the parent run.

    Raises:
        UnreadableRecordError: if it cannot be read.
    """
    if RECORD not in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}:
        return OldRecord(run.info.run_name, run.data.tags)
    try:
        record = patience.call(mlflow.artifacts.load_dict, f"runs:/{run.info.run_id}/{RECORD}")
    except (MlflowException, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecordError(
            f"{run.info.run_name}: the artifact {RECORD} of its parent run cannot be read: "
            f"expected a JSON object ({error}). {_START_AGAIN}"
        ) from error
    name, artifact = run.info.run_name, f"artifact {RECORD} of its parent run"
    if not isinstance(record, dict):
        raise UnreadableRecordError(
            f"{name}: the {artifact}: expected a JSON object, got {type(record).__name__}. "
            f"{_START_AGAIN}"
        )
    for key, value in record.items():
        _check(name, artifact, key, value)
    return _Record(name, record)


def _check(name: str, where: str, key: str, value: Any) -> None:
    """Checks the type of a known entry.

    Raises:
        UnreadableRecordError: if it is wrong.
    """
    is_valid, expected = {
        "arguments": (_is_list_of_strings(value), "a list of strings"),
        "directory": (isinstance(value, str), "a string"),
        "runs": (type(value) is int, "an integer"),
        "search": (value is None or isinstance(value, dict), "an object or null"),
    }.get(key, (True, ""))
    if not is_valid:
        received = json.dumps(value)[:60]
        raise UnreadableRecordError(
            f"{name}: `{key}` in the {where}: expected {expected}, got {received}. {_START_AGAIN}"
        )


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
