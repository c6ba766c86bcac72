"""What a sweep's parent run stores for the commands that resume or compare the sweep.

It is an artifact, as a tag is cut at a few thousand characters, which a long command line exceeds.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from tracking.errors import UnreadableRecordError
from tracking.patience import patience

RECORD = "sweep.json"


class OldRecord(Mapping[str, Any]):
    """The record of a parent run that an earlier version of this project wrote into tags.

    Args:
        name: of the sweep.
        tags: of its parent run.

    Raises:
        UnreadableRecordError: on access to an entry that is incomplete or missing; the others can
            be read.
    """

    _IN_JSON = ("arguments", "search")

    def __init__(self, name: str, tags: Mapping[str, str]):
        self._entries = {key: tags[key] for key in (*self._IN_JSON, "directory") if key in tags}
        self._name = name

    def __getitem__(self, key: str) -> Any:
        if key not in self._entries and key in ("arguments", "directory"):
            raise UnreadableRecordError(
                f"{self._name}: expected its command line in the artifact {RECORD} of its parent "
                "run, and found none. The sweep was interrupted before it had begun, or its "
                "artifacts were deleted. Start it anew: make experiment name=..."
            )
        entry = self._entries[key]
        if key not in self._IN_JSON:
            return entry
        try:
            return json.loads(entry)
        except json.JSONDecodeError as error:
            raise UnreadableRecordError(
                f"{self._name}: its tag `{key}` is incomplete: expected JSON, got "
                f"{len(entry)} characters that end in {entry[-20:]!r}. An earlier version of this "
                "project cut long command lines there. Start the sweep anew: "
                "make experiment name=..."
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def read_record(client, run) -> Mapping[str, Any]:
    """The record of a sweep's parent run, of this or an earlier version of the project.

    Args:
        client: an `mlflow.MlflowClient`.
        run: the parent run, an `mlflow.entities.Run`.

    Raises:
        UnreadableRecordError: if it cannot be read.
    """
    if RECORD not in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}:
        return OldRecord(run.info.run_name, run.data.tags)
    try:
        record = patience.call(mlflow.artifacts.load_dict, f"runs:/{run.info.run_id}/{RECORD}")
    except MlflowException as error:
        raise UnreadableRecordError(
            f"{run.info.run_name}: the artifact {RECORD} of its parent run cannot be read: "
            f"expected a JSON object ({error}). Start the sweep anew: make experiment name=..."
        ) from error
    if not isinstance(record, dict):
        raise UnreadableRecordError(
            f"{run.info.run_name}: the artifact {RECORD} of its parent run: expected a JSON "
            f"object, got {type(record).__name__}. Start the sweep anew: make experiment name=..."
        )
    return record
