"""Reading the runs of a sweep back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tracking.errors import NoSuchRunError
from tracking.writing import REPORT


@dataclass(frozen=True)
class RunRecord:
    """One run as MLflow has it.

    `metrics` holds the last value of each metric; `series` all of them, as (step, value);
    `report` what the run kept as report.json, None where it kept nothing.
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
    """The parent run of a sweep and its children, in the order in which they started."""

    run_id: str
    name: str
    experiment: str
    experiment_id: str
    status: str
    tags: dict[str, str]
    runs: list[RunRecord]


def read_sweep(run_id: str) -> SweepRecord:
    """The sweep whose parent run is `run_id`, with every run that is there so far.

    Raises:
        NoSuchRunError: if there is no such run.
    """
    client = mlflow.MlflowClient()
    try:
        parent = client.get_run(run_id)
    except MlflowException as error:
        raise NoSuchRunError(
            f"There is no run {run_id!r} in {mlflow.get_tracking_uri()}; expected the id of a "
            "sweep's parent run, as its page in the UI shows it."
        ) from error
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
        parent.data.tags,
        [_record(client, child) for child in children],
    )


def read_run(run_id: str) -> RunRecord:
    """The run of an id.

    Raises:
        NoSuchRunError: if there is none.
    """
    client = mlflow.MlflowClient()
    try:
        return _record(client, client.get_run(run_id))
    except MlflowException as error:
        raise NoSuchRunError(
            f"There is no run {run_id!r} in {mlflow.get_tracking_uri()}; expected the id of a run, "
            "as its page in the UI shows it."
        ) from error


def latest_run(tags: Mapping[str, str]) -> RunRecord | None:
    """The run with these tags that started last of those that ended well, or None."""
    client = mlflow.MlflowClient()
    wanted = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        " and ".join([*wanted, "attributes.status = 'FINISHED'"]),
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return _record(client, runs[0]) if runs else None


def files_of(run_id: str, folder: str) -> str:
    """Where the files are that a run has kept in a folder; they are fetched if need be.

    Raises:
        OSError: if they are not there.
    """
    try:
        return mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{folder}")
    except MlflowException as error:
        raise OSError(str(error)) from error


def latest_sweep() -> str | None:
    """The id of the parent run of the newest sweep, or None."""
    client = mlflow.MlflowClient()
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        "tags.role = 'sweep'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0].info.run_id if runs else None


def _record(client, run) -> RunRecord:
    series = {}
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        series[name] = sorted((metric.step, metric.value) for metric in history)
    return RunRecord(
        run.info.run_id,
        run.info.run_name,
        run.info.status,
        run.data.tags,
        run.data.params,
        run.data.metrics,
        series,
        _report(client, run.info.run_id),
    )


def _report(client, run_id: str) -> dict[str, Any] | None:
    if REPORT not in {artifact.path for artifact in client.list_artifacts(run_id)}:
        return None
    return mlflow.artifacts.load_dict(f"runs:/{run_id}/{REPORT}")
