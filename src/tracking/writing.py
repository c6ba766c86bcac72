"""Writes a run to MLflow."""

import contextlib
import json
import math
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
)

from unrolled.tracking.errors import StoreError
from unrolled.tracking.failure import FAILURE, Failure, failure_of
from unrolled.tracking.patience import PatientClient, patience
from unrolled.tracking.record import RECORD
from unrolled.tracking.secrets import masked
from unrolled.tracking.store import experiment_id

SETTINGS = "settings"  # The tag of a run with the settings that its sweep varies, a JSON object.
BASELINES = "baselines"  # The tag of a sweep with its baselines as typed, a JSON list.
STOPPED_AFTER = "stopped_after"
"""The tag of a run of a search that was stopped early, with the number of its epochs."""
REPORT = "report.json"

_PARAMS_PER_CALL, _METRICS_PER_CALL = 100, 1000  # The limits of MLflow's log_batch.
_MAX_TAG, _MAX_NOTE = 5000, 7500  # MLflow allows 8,000; other servers may allow less.
_DESCRIPTION = "description.md"
_MASKED = ("error", "overrides", "tracking.uri")  # See `tracking.secrets`.
_DATA = (SETTINGS, BASELINES)
_CREATION = "creation"  # The tag that identifies a run whose creation was not confirmed.
_FORBIDDEN = re.compile(r"[^\w\-. :/]")


class RunWriter:
    """Writes to an existing run.

    Args:
        run_id: MLflow's id of the run.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._client = PatientClient()
        self._metrics: set[str] = set()

    def finish(self) -> None:
        """Marks the run FINISHED."""
        self._client.set_terminated(self.run_id, "FINISHED")

    def fail(self, reason: str, failure: Failure = Failure.ERROR) -> None:
        """Marks the run FAILED.

        Args:
            reason: the message, stored in the tag `error`.
            failure: the kind of failure, stored in the tag `failure`.
        """
        self.set_tags({"error": reason, FAILURE: failure})
        self._client.set_terminated(self.run_id, "FAILED")

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Adds or changes tags."""
        parts = [RunTag(key, value) for key, value in _truncated(tags).items()]
        self._client.log_batch(self.run_id, tags=parts)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Adds parameters."""
        parts = [Param(key, value) for key, value in _strings(params).items()]
        for start in range(0, len(parts), _PARAMS_PER_CALL):
            self._client.log_batch(self.run_id, params=parts[start : start + _PARAMS_PER_CALL])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Adds one value per metric, at `step`."""
        self.log_series({name: [(step, value)] for name, value in metrics.items()})

    def log_series(self, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        """Adds several values per metric, each with its step, in as few calls as possible.

        Steps are rounded, because MLflow stores integers. Characters that MLflow does not allow in
        the name of a metric, such as "=", become a colon.

        Raises:
            ValueError: if a name is a parent folder of another, such as "a/b" and "a/b/c", which a
                file store cannot represent.
        """
        now = int(time.time() * 1000)
        named = {_valid_name(name): values for name, values in series.items()}
        self._check_names(named)
        parts = [
            Metric(name, float(value), now, round(step))
            for name, values in named.items()
            for step, value in values
            if not math.isnan(value)
        ]
        for start in range(0, len(parts), _METRICS_PER_CALL):
            self._client.log_batch(self.run_id, metrics=parts[start : start + _METRICS_PER_CALL])

    def _check_names(self, names: Iterable[str]) -> None:
        self._metrics |= set(names)
        for name in self._metrics:
            parts = name.split("/")
            parents = {"/".join(parts[:end]) for end in range(1, len(parts))} & self._metrics
            if parents:
                raise ValueError(
                    f"The metric {name!r} cannot be stored beside {parents.pop()!r}, which would "
                    "be both a file and a folder. Rename one of them."
                )

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Stores a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_text(self, text: str, name: str) -> None:
        """Stores a text, unchanged, as the artifact `name`."""
        self._client.log_text(self.run_id, text, name)

    def log_report(self, report: Mapping[str, Any]) -> None:
        """Stores plain values as the run's report, which `read_run` returns."""
        self.log_text(json.dumps(report, indent=1), REPORT)

    def log_figure(self, figure: Any, name: str) -> None:
        """Stores a matplotlib figure as the artifact `name`."""
        self._client.log_figure(self.run_id, figure, name)

    def log_table(self, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """Stores a table as the artifact `name`, a .json file that the UI displays as a table."""
        self._client.log_table(self.run_id, dict(columns), name)
        # MLflow appends to an existing table, such as that of an earlier comparison.
        rows = list(zip(*columns.values(), strict=True))
        self.log_text(json.dumps({"columns": list(columns), "data": rows}), name)

    def describe(self, markdown: str, excerpt: str | None = None) -> None:
        """Sets the text at the top of the run's page; a long text also becomes an artifact.

        Args:
            markdown: the text.
            excerpt: the beginning of a long text is replaced by it.
        """
        markdown = masked(markdown)
        if len(markdown) > _MAX_NOTE:
            self.log_text(markdown, _DESCRIPTION)
            shown = markdown if excerpt is None else masked(excerpt)
            if len(shown) > _MAX_NOTE:
                shown = shown[:_MAX_NOTE].rpartition("\n")[0]
            markdown = f"{shown}\n\nTruncated; the complete text is the artifact {_DESCRIPTION}."
        self._client.set_tag(self.run_id, MLFLOW_RUN_NOTE, markdown)


def _valid_name(metric: str) -> str:
    """Returns a valid metric name: a path that is the name of one file."""
    parts = _FORBIDDEN.sub(":", metric).split("/")
    return "/".join(":" if part in ("", ".", "..") else part for part in parts)


def _truncated(tags: Mapping[str, Any]) -> dict[str, str]:
    """Returns tags as strings, truncated to a length that MLflow stores, but for tags of data."""
    return {
        key: value if key in _DATA else value[:_MAX_TAG] for key, value in _strings(tags).items()
    }


def _strings(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns tags or parameters as strings, masking those that may contain secrets."""
    return {
        key: masked(str(value)) if key in _MASKED else str(value) for key, value in values.items()
    }


def _create_run(experiment_id: str, name: str, tags: dict[str, str]) -> Run:
    """Creates exactly one run, even if a lost response causes a retry."""
    creation = uuid.uuid4().hex
    client = mlflow.MlflowClient()
    earlier: list[str] = []

    def create() -> Run:
        found: Sequence[Run] = []
        if earlier:  # A failed call may have created it.
            found = client.search_runs([experiment_id], f"tags.{_CREATION} = '{creation}'")
        earlier.append(creation)
        if found:
            return found[0]
        with _without_retries():
            return client.create_run(experiment_id, None, tags, name)

    tags = {**tags, _CREATION: creation}
    return patience.call(create)


@contextlib.contextmanager
def _without_retries() -> Iterator[None]:
    """A context without MLflow's own retries, which `patience` cannot see."""
    before = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get_raw()
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)
    try:
        yield
    finally:
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.unset()
        if before is not None:
            MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(before)


class TrackedRun(RunWriter):
    """One MLflow run as a context: FINISHED at its end, or FAILED with the reason after an error.

    Args:
        experiment: name of the MLflow experiment, created if necessary.
        name: name of the run in the UI.
        tags: tags for searching.
        params: the configuration, flattened.
        parent_run_id: the parent run, if any.
        source: the program that creates the run.
        run_id: an unfinished run to continue; None for a new one.

    Attributes:
        experiment_id: MLflow's id of the experiment.
    """

    def __init__(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, Any] = {},
        params: Mapping[str, Any] = {},
        parent_run_id: str | None = None,
        source: str = "experiments/run.py",
        run_id: str | None = None,
    ) -> None:
        # Not mlflow.start_run, which ignores the parent if MLFLOW_RUN_ID is set.
        all_tags = {
            **tags,
            MLFLOW_RUN_NAME: name,
            MLFLOW_SOURCE_NAME: source,
            "process": f"{socket.gethostname()}:{os.getpid()}",
            **({MLFLOW_PARENT_RUN_ID: parent_run_id} if parent_run_id else {}),
        }
        if run_id is None:
            # The tags are set in the same call: without the tag `process`, the run would remain
            # RUNNING forever if this process were killed before the next call.
            run = _create_run(experiment_id(experiment), name, _truncated(all_tags))
        else:
            run = PatientClient().get_run(run_id)
        super().__init__(run.info.run_id)
        self.experiment_id = run.info.experiment_id
        with self.failing_on_error():
            if run_id is None:
                self.log_params(params)
            else:
                self._reopen(run, all_tags)

    def _reopen(self, run: Run, tags: Mapping[str, Any]) -> None:
        self.set_tags(tags)
        self._client.update_run(self.run_id, status="RUNNING")
        for tag in {"error", FAILURE, STOPPED_AFTER} & set(run.data.tags):
            self._client.delete_tag(self.run_id, tag)

    @contextlib.contextmanager
    def failing_on_error(self) -> Iterator[None]:
        """A context in which an error marks the run FAILED, with the reason in the tag `error`."""
        try:
            yield
        except BaseException as error:
            self._try_to_fail(error)
            raise

    def _try_to_fail(self, error: BaseException) -> None:
        # If the store is unavailable, `fail_abandoned_runs` marks the run later.
        with contextlib.suppress(StoreError):
            self.fail(f"{type(error).__name__}: {error}", failure_of(error))

    def __enter__(self) -> "TrackedRun":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
        else:
            self._try_to_fail(error)


def start_sweep(
    experiment: str,
    name: str,
    tags: Mapping[str, Any] = {},
    record: Mapping[str, Any] | Callable[[str], Mapping[str, Any]] | None = None,
    run_id: str | None = None,
) -> TrackedRun:
    """Creates the parent run of a sweep, which will contain the comparison.

    Args:
        experiment: name of the MLflow experiment.
        name: name of the sweep in the UI.
        tags: tags for searching.
        record: plain values of any length that `read_sweep` returns, such as the command line; or a
            function that creates them from the id of the parent run.
        run_id: an unfinished sweep to continue.
    """
    parent = TrackedRun(experiment, name, {**tags, "role": "sweep"}, run_id=run_id)
    with parent.failing_on_error():
        if callable(record):
            record = record(parent.run_id)
        parent.log_text(json.dumps(record or {}, indent=1), RECORD)
    return parent
