"""Reads the runs of a sweep from MLflow."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from unrolled.tracking.earlier import updated_report, updated_tags
from unrolled.tracking.errors import DeletedError, NoSuchRunError
from unrolled.tracking.patience import PatientClient, patience
from unrolled.tracking.record import read_record
from unrolled.tracking.secrets import masked
from unrolled.tracking.store import restore_experiment, restore_run
from unrolled.tracking.writing import REPORT

_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # The latter for a malformed id.


@dataclass(frozen=True)
class RunRecord:
    """One run as stored in MLflow.

    Attributes:
        metrics: last value of each metric.
        series: all values of each metric, as (step, value).
        report: content of the run's report.json; None if there is none.
    """

    run_id: str
    name: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    series: dict[str, list[tuple[int, float]]]
    report: dict[str, Any] | None


@dataclass(frozen=True)
class SweepRecord:
    """The parent run of a sweep and its child runs, in the order in which they started.

    Attributes:
        record: the record that was passed to `start_sweep`.
    """

    run_id: str
    name: str
    experiment: str
    experiment_id: str
    status: str
    tags: dict[str, str]
    record: Mapping[str, Any]
    runs: list[RunRecord]


def read_sweep(run_id: str) -> SweepRecord:
    """Reads the sweep whose parent run is `run_id`, with all its runs so far.

    Raises:
        NoSuchRunError: if the run does not exist, or is not a sweep's parent run.
        DeletedError: if it was deleted.
        UnreadableRecordError: if its record cannot be read.
    """
    client = PatientClient()
    parent = _run(client, run_id, "a sweep's parent run")
    if parent.data.tags.get("role") != "sweep":
        above = parent.data.tags.get(MLFLOW_PARENT_RUN_ID)
        raise NoSuchRunError(
            f"The run {parent.info.run_name!r} ({run_id}) is not a sweep; expected the id of a "
            f"sweep's parent run{f', which is {above}' if above else ''}."
        )
    children = client.search_runs(
        [parent.info.experiment_id],
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'",
        order_by=["attributes.start_time ASC"],
        max_results=10_000,
    )
    return SweepRecord(
        run_id,
        parent.info.run_name,
        client.get_experiment(parent.info.experiment_id).name,
        parent.info.experiment_id,
        parent.info.status,
        updated_tags(parent.data.tags),
        read_record(client, parent),
        [_record(client, child) for child in children],
    )


def read_run(run_id: str) -> RunRecord:
    """Reads the run with an id.

    Raises:
        NoSuchRunError: if it does not exist.
        DeletedError: if it was deleted.
    """
    client = PatientClient()
    return _record(client, _run(client, run_id, "a run"))


def status_of(run_id: str) -> str | None:
    """Returns MLflow's status of a run, such as FINISHED; None if it is missing or deleted."""
    try:
        run = PatientClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        return None
    return run.info.status if run.info.lifecycle_stage == "active" else None


def _run(client: PatientClient, run_id: str, what: str) -> Run:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        raise NoSuchRunError(
            f"There is no run {run_id!r} in {masked(mlflow.get_tracking_uri())}; expected the id "
            f"of {what}, which its page in the UI shows."
        ) from error
    experiment = client.get_experiment(run.info.experiment_id)
    if "deleted" in (run.info.lifecycle_stage, experiment.lifecycle_stage):
        cause, restore = "", restore_run(run_id)
        if experiment.lifecycle_stage == "deleted":
            cause = f" with the experiment {experiment.name!r}"
            restore = restore_experiment(experiment.experiment_id)
        raise DeletedError(
            f"The run {run.info.run_name!r} ({run_id}) was deleted{cause}. Restore it: {restore}; "
            "or use another run."
        )
    return run


def latest_run(tags: Mapping[str, str]) -> RunRecord | None:
    """Returns the finished run with these tags that started last, or None."""
    client = PatientClient()
    conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        " and ".join([*conditions, "attributes.status = 'FINISHED'"]),
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return _record(client, runs[0]) if runs else None


def files_of(run_id: str, folder: str) -> str:
    """Returns the local path of a folder of a run's artifacts, downloading it if necessary.

    Raises:
        OSError: if the artifacts are unavailable.
    """
    try:
        return patience.call(mlflow.artifacts.download_artifacts, f"runs:/{run_id}/{folder}")
    except MlflowException as error:
        raise OSError(masked(str(error))) from error


def latest_sweep() -> str | None:
    """Returns the id of the parent run of the newest sweep, or None."""
    client = PatientClient()
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        "tags.role = 'sweep'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0].info.run_id if runs else None


def _record(client: PatientClient, run: Run) -> RunRecord:
    series = {
        name: _series(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics
    }
    return RunRecord(
        run.info.run_id,
        run.info.run_name,
        run.info.status,
        updated_tags(run.data.tags),
        run.data.params,
        {name: _as_logged(value) for name, value in run.data.metrics.items()},
        series,
        _report(client, run.info.run_id),
    )


def _series(history: Sequence[Metric]) -> list[tuple[int, float]]:
    """Returns the values of a metric by step; a value that was logged again replaces earlier ones.

    If a run is killed after it logged an epoch, but before it saved a checkpoint, it logs this
    epoch again.
    """
    latest: dict[int, int] = {}
    for metric in history:
        latest[metric.step] = max(metric.timestamp, latest.get(metric.step, 0))
    return sorted(
        (metric.step, _as_logged(metric.value))
        for metric in history
        if metric.timestamp == latest[metric.step]
    )


def _as_logged(value: float) -> float:
    """Returns the original value of a metric: SQL stores write ±infinity as ±1.797e308."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _report(client: PatientClient, run_id: str) -> dict[str, Any] | None:
    if REPORT not in {artifact.path for artifact in client.list_artifacts(run_id)}:
        return None
    return updated_report(patience.call(mlflow.artifacts.load_dict, f"runs:/{run_id}/{REPORT}"))
