"""Writing one run."""

import contextlib
import json
import math
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
)

from unrolled.tracking.earlier import BASELINES, SETTINGS
from unrolled.tracking.errors import StoreError
from unrolled.tracking.failure import FAILURE, Failure, failure_of
from unrolled.tracking.patience import PatientClient, patience
from unrolled.tracking.record import RECORD
from unrolled.tracking.secrets import masked
from unrolled.tracking.store import experiment_id

_PARAMS_A_CALL, _METRICS_A_CALL = 100, 1000  # the limits of MLflow's log_batch
_LONGEST_TAG, _LONGEST_NOTE = 5000, 7500  # MLflow takes 8,000, other servers may take less.
_DESCRIPTION = "description.md"
_MASKED = ("error", "overrides", "tracking.uri")  # See `tracking.secrets`.
_DATA = (SETTINGS, BASELINES)
_CREATION = "creation"  # The tag by which a run is found whose creation was not confirmed.
_FORBIDDEN = re.compile(r"[^\w\-. :/]")
REPORT = "report.json"


class RunWriter:
    """Writes to a run that is there.

    Args:
        run_id: MLflow's id of the run.
    """

    def __init__(self, run_id: str):
        self.run_id = run_id
        self._client = PatientClient()
        self._metrics = set()

    def finish(self) -> None:
        """Mark the run FINISHED."""
        self._client.set_terminated(self.run_id, "FINISHED")

    def fail(self, reason: str, failure: Failure = Failure.ERROR) -> None:
        """Mark the run FAILED.

        Args:
            reason: for people, in the tag `error`.
            failure: its kind, in the tag `failure`.
        """
        self.set_tags({"error": reason, FAILURE: failure})
        self._client.set_terminated(self.run_id, "FAILED")

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Add tags, or change them."""
        parts = [RunTag(key, value) for key, value in _cut(tags).items()]
        self._client.log_batch(self.run_id, tags=parts)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Add parameters."""
        parts = [Param(key, value) for key, value in _texts(params).items()]
        for start in range(0, len(parts), _PARAMS_A_CALL):
            self._client.log_batch(self.run_id, params=parts[start : start + _PARAMS_A_CALL])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Add one value of each metric, at `step`."""
        self.log_series({name: [(step, value)] for name, value in metrics.items()})

    def log_series(self, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        """Add several values of each metric, each with its step, in as few calls as can be.

        MLflow stores steps as integers; others are rounded. What it does not allow in a metric's
        name, such as "=", becomes a colon.

        Raises:
            ValueError: for a name that is the folder of another: "a/b" beside "a/b/c". A file store
                cannot hold both.
        """
        now = int(time.time() * 1000)
        named = {_name(name): values for name, values in series.items()}
        self._check_names(named)
        parts = [
            Metric(name, float(value), now, round(step))
            for name, values in named.items()
            for step, value in values
            if not math.isnan(value)
        ]
        for start in range(0, len(parts), _METRICS_A_CALL):
            self._client.log_batch(self.run_id, metrics=parts[start : start + _METRICS_A_CALL])

    def _check_names(self, names):
        self._metrics |= set(names)
        for name in self._metrics:
            parts = name.split("/")
            above = {"/".join(parts[:end]) for end in range(1, len(parts))} & self._metrics
            if above:
                raise ValueError(
                    f"The metric {name!r} cannot be stored beside {above.pop()!r}, which would be "
                    "a file and a folder at once. Rename one of them."
                )

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Keep a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_text(self, text: str, name: str) -> None:
        """Save a text, as it is, as the artifact `name`."""
        self._client.log_text(self.run_id, text, name)

    def log_report(self, report: Mapping[str, Any]) -> None:
        """Keep plain values as what this run found, to be read back with it."""
        self.log_text(json.dumps(report, indent=1), REPORT)

    def log_figure(self, figure, name: str) -> None:
        """Keep a matplotlib figure as the artifact `name`."""
        self._client.log_figure(self.run_id, figure, name)

    def log_table(self, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """Keep a table as the artifact `name`, a .json file that the UI shows as a table."""
        self._client.log_table(self.run_id, dict(columns), name)
        # MLflow would add to a table that an earlier comparison has left.
        rows = list(zip(*columns.values(), strict=True))
        self.log_text(json.dumps({"columns": list(columns), "data": rows}), name)

    def describe(self, markdown: str) -> None:
        """The text at the top of the run's page; a longer one than fits is an artifact, too."""
        markdown = masked(markdown)
        if len(markdown) > _LONGEST_NOTE:
            self.log_text(markdown, _DESCRIPTION)
            cut = markdown[:_LONGEST_NOTE].rpartition("\n")[0]
            markdown = f"{cut}\n\nCut here; the whole text is the artifact {_DESCRIPTION}."
        self._client.set_tag(self.run_id, MLFLOW_RUN_NOTE, markdown)


def _name(metric: str) -> str:
    """A metric's name as MLflow allows it: it may be a path, which names one file."""
    parts = _FORBIDDEN.sub(":", metric).split("/")
    return "/".join(":" if part in ("", ".", "..") else part for part in parts)


def _cut(tags: Mapping[str, Any]) -> dict[str, str]:
    """Tags as texts of a length that MLflow stores; data, which would be lost, is not cut."""
    return {
        key: value if key in _DATA else value[:_LONGEST_TAG] for key, value in _texts(tags).items()
    }


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values of tags or parameters as texts, without secrets where those can get in."""
    return {
        key: masked(str(value)) if key in _MASKED else str(value) for key, value in values.items()
    }


def _created(experiment_id: str, name: str, tags: dict[str, str]):
    """A new run, and only one, also if the answer of the store that created it is lost."""
    creation = uuid.uuid4().hex
    client, earlier = mlflow.MlflowClient(), []

    def create():
        found = []
        if earlier:  # A call that failed may have created it.
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
    """A context in which MLflow does not repeat a request by itself, unseen by `patience`."""
    before = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get_raw()
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)
    try:
        yield
    finally:
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.unset()
        if before is not None:
            MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(before)


class TrackedRun(RunWriter):
    """One MLflow run, as a context: FINISHED at its end, FAILED with its reason on an error.

    Args:
        experiment: name of the MLflow experiment, made if it is not there.
        name: the run's name in the UI.
        tags: what to find the run by.
        params: the configuration, flat.
        parent_run_id: the run this one belongs to, if any.
        source: the program that makes it.
        run_id: a run that did not end, to go on with; None for a new one.

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
    ):
        # Not with mlflow.start_run: it obeys MLFLOW_RUN_ID and then forgets the parent.
        all_tags = {
            **tags,
            MLFLOW_RUN_NAME: name,
            MLFLOW_SOURCE_NAME: source,
            "process": f"{socket.gethostname()}:{os.getpid()}",
            **({MLFLOW_PARENT_RUN_ID: parent_run_id} if parent_run_id else {}),
        }
        if run_id is None:
            # With its tags, in one call: a run without the tag `process` would stay RUNNING for
            # ever if this process was killed before the next call.
            run = _created(experiment_id(experiment), name, _cut(all_tags))
        else:
            run = PatientClient().get_run(run_id)
        super().__init__(run.info.run_id)
        self.experiment_id = run.info.experiment_id
        with self.failing_on_error():
            if run_id is None:
                self.log_params(params)
            else:
                self._reopen(run, all_tags)

    def _reopen(self, run, tags):
        self.set_tags(tags)
        self._client.update_run(self.run_id, status="RUNNING")
        for tag in {"error", FAILURE} & set(run.data.tags):
            self._client.delete_tag(self.run_id, tag)

    @contextlib.contextmanager
    def failing_on_error(self) -> Iterator[None]:
        """A context in which an error marks the run FAILED, its reason in the tag `error`."""
        try:
            yield
        except BaseException as error:
            self._fail_if_it_can(error)
            raise

    def _fail_if_it_can(self, error):
        # A store that is gone cannot be told; `fail_abandoned_runs` tells it once it is back.
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
            self._fail_if_it_can(error)


def start_sweep(
    experiment: str,
    name: str,
    tags: Mapping[str, Any] = {},
    record: Mapping[str, Any] | Callable[[str], Mapping[str, Any]] | None = None,
    run_id: str | None = None,
) -> TrackedRun:
    """The parent run of a sweep, which will hold the comparison.

    Args:
        experiment: name of the MLflow experiment.
        name: the sweep's name in the UI.
        tags: what to find it by.
        record: plain values of any length that `read_sweep` returns, such as the command line; or
            a function that makes them from the id of the parent run.
        run_id: of a sweep that did not end, to go on with.
    """
    parent = TrackedRun(experiment, name, {**tags, "role": "sweep"}, run_id=run_id)
    with parent.failing_on_error():
        if callable(record):
            record = record(parent.run_id)
        parent.log_text(json.dumps(record or {}, indent=1), RECORD)
    return parent
