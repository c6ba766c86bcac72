"""Reads the runs of a sweep from MLflow."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from unrolled.tracking.earlier import updated_report, updated_tags
from unrolled.tracking.errors import DeletedError, NoSuchRunError
from unrolled.tracking.patience import PatientClient, patience
from unrolled.tracking.record import read_record
from unrolled.tracking.secrets import masked
from unrolled.tracking.store import experiment_id, restore_experiment, restore_run
from unrolled.tracking.writing import REPORT, STOPPED_AFTER

_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # The latter for a malformed id.
_RUNS_PER_QUERY = 500  # Some databases limit the number of values in a query.


@dataclass(frozen=True)
class RunRecord:
    """One run as stored in MLflow.

    Attributes:
        metrics: last value of each metric.
        series: all values of each metric, as (step, value); each is read at first access.
        report: content of the run's report.json; None if there is none.
    """

    run_id: str
    name: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    series: Mapping[str, list[tuple[int, float]]]
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
        _records(client, children),
    )


def read_run(run_id: str) -> RunRecord:
    """Reads the run with an id.

    Raises:
        NoSuchRunError: if it does not exist.
        DeletedError: if it was deleted.
    """
    client = PatientClient()
    (record,) = _records(client, [_run(client, run_id, "a run")])
    return record


def run_of_sweep(experiment: str, parent_run_id: str, name: str) -> RunRecord | None:
    """Returns the run of a sweep with a name, the newest if there are several; None if none is.

    Args:
        experiment: name of the sweep's experiment.
        parent_run_id: the sweep's parent run.
        name: of the run; it is unique unless runs were deleted and restored.
    """
    client = PatientClient()
    condition = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent_run_id}'"
    if "'" not in name:  # There is no escape for it, and names need not be part of the query.
        condition += f" and tags.`{MLFLOW_RUN_NAME}` = '{name}'"
    runs = client.search_runs(
        [experiment_id(experiment)],
        condition,
        order_by=["attributes.start_time DESC"],
        max_results=10_000,
    )
    records = _records(client, [run for run in runs if run.info.run_name == name][:1])
    return next(iter(records), None)


def fractions_of_runs(parent_run_id: str, stage: str | None) -> dict[str, float]:
    """Returns which fraction of its examples each run of a sweep has been trained on.

    Args:
        parent_run_id: the sweep's parent run.
        stage: the tag `stage` of the runs; None for those without it.

    Returns:
        Fractions from 0 to 1, by the tag `folder` of the run.
    """
    client = PatientClient()
    runs = client.search_runs(
        [client.get_run(parent_run_id).info.experiment_id],
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent_run_id}'",
        max_results=10_000,
    )
    return {
        run.data.tags.get("folder", ""): _fraction(run)
        for run in runs
        if run.data.tags.get("stage") == stage
    }


def _fraction(run: Run) -> float:
    seen, epochs = run.data.metrics.get("examples_seen", 0.0), run.data.params.get("budget.epochs")
    each = run.data.metrics.get("training_examples")
    return seen / (each * int(epochs)) if each and epochs else 0.0


def status_of(run_id: str) -> str | None:
    """Returns MLflow's status of a run, such as FINISHED; None if it is missing or deleted."""
    run = _active(run_id)
    return None if run is None else run.info.status


def stopped_after(run_id: str) -> int | None:
    """Returns the number of epochs after which a search stopped a run, else None."""
    run = _active(run_id)
    if run is None or run.info.status != "FINISHED" or STOPPED_AFTER not in run.data.tags:
        return None
    return int(run.data.tags[STOPPED_AFTER])


def _active(run_id: str) -> Run | None:
    try:
        run = PatientClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


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
    return next(iter(_records(client, runs)), None)


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


class _Histories:
    """The values of metrics of several runs, read metric by metric.

    A database is read for all runs at once: hundreds of runs would take a call for each otherwise.

    Args:
        client: the client of the store.
        runs: the runs.
    """

    def __init__(self, client: PatientClient, runs: Sequence[Run]) -> None:
        self._client = client
        # Of the store that the runs are in, whichever the process uses later.
        self._read_many = getattr(_get_store(), "get_metric_history_bulk", None)
        self._run_ids = [run.info.run_id for run in runs]
        self._values: dict[str, dict[str, list[Metric]]] = {}

    def of(self, run_id: str, name: str) -> Sequence[Metric]:
        """Returns all values of a metric of one of the runs."""
        read = self._read_many
        if read is None or len(self._run_ids) == 1:
            return self._client.get_metric_history(run_id, name)
        if name not in self._values:
            by_run: dict[str, list[Metric]] = {}
            for start in range(0, len(self._run_ids), _RUNS_PER_QUERY):
                run_ids = self._run_ids[start : start + _RUNS_PER_QUERY]
                for value in patience.call(read, run_ids, name, sys.maxsize):
                    by_run.setdefault(value.run_id, []).append(value)
            self._values[name] = by_run  # Only now: the store may have failed halfway.
        return self._values[name].get(run_id, [])


class _Series(Mapping[str, list[tuple[int, float]]]):
    """All values of each metric of a run, read from the store at first access.

    A comparison needs only a few of the dozens of metrics of a run.

    Args:
        histories: the values of this run and of others.
        run: the run.
    """

    def __init__(self, histories: _Histories, run: Run) -> None:
        self._histories = histories
        self._run_id = run.info.run_id
        self._values: dict[str, list[tuple[int, float]] | None] = dict.fromkeys(run.data.metrics)

    def __getitem__(self, name: str) -> list[tuple[int, float]]:
        values = self._values[name]
        if values is None:
            values = _series(self._histories.of(self._run_id, name))
            self._values[name] = values
        return values

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _records(client: PatientClient, runs: Sequence[Run]) -> list[RunRecord]:
    histories = _Histories(client, runs)
    return [_record(histories, run) for run in runs]


def _record(histories: _Histories, run: Run) -> RunRecord:
    return RunRecord(
        run.info.run_id,
        run.info.run_name,
        run.info.status,
        updated_tags(run.data.tags),
        run.data.params,
        {name: _as_logged(value) for name, value in run.data.metrics.items()},
        _Series(histories, run),
        _report(run),
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


def _report(run: Run) -> dict[str, Any] | None:
    # By the URI of the artifacts: by the id, MLflow would read the whole run again for each call.
    artifacts = run.info.artifact_uri
    found = patience.call(mlflow.artifacts.list_artifacts, artifact_uri=artifacts)
    if REPORT not in {artifact.path.rpartition("/")[2] for artifact in found}:
        return None
    return updated_report(patience.call(mlflow.artifacts.load_dict, f"{artifacts}/{REPORT}"))
