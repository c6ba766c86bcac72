"""What a comparison reads of the runs of a sweep."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unrolled import tracking
from unrolled.comparison.variants import STAGE, Variant
from unrolled.tasks.base.metric import Metric
from unrolled.tracking import Failure, RunRecord, SweepRecord

Runs = Mapping[Variant, Sequence[RunRecord]]
"""The runs of each variant that ended well."""


@dataclass(frozen=True)
class VariantRuns:
    """The runs of one variant that can be compared, which differ by their seed alone."""

    variant: Variant
    runs: list[RunRecord]

    @property
    def name(self) -> str:
        """The name of the variant."""
        return self.variant.name

    @property
    def metric(self) -> Metric:
        """The metric of the task."""
        return metric_of(self.runs)

    def last(self, metric: str) -> np.ndarray:
        """The metric's last value in each run that has it."""
        return np.array([run.metrics[metric] for run in self.runs if metric in run.metrics])

    def all(self, metric: str) -> list[float]:
        """Every value of the metric, of all epochs of all runs."""
        return [value for run in self.runs for _, value in run.series[metric]]


def variant_of(run: RunRecord) -> Variant:
    """The variant that a run is of.

    Raises:
        tracking.UnreadableRecordError: if the run does not say which settings set it apart.
    """
    try:
        return Variant(json.loads(run.tags[tracking.SETTINGS]))
    except (KeyError, json.JSONDecodeError) as error:
        raise tracking.UnreadableRecordError(
            f"{run.name}: expected the settings that set it apart from other runs in the tag "
            f"`{tracking.SETTINGS}`, as a JSON object, got {run.tags.get(tracking.SETTINGS)!r}. "
            "Start the sweep again: make experiment name=..."
        ) from error


def identity_of(run: RunRecord, searched: str | None = None) -> Hashable:
    """What two runs of a sweep have in common if one repeats the other.

    Args:
        run: of the sweep.
        searched: the key of which a stage before the sweep tries several values, if there is one.
    """
    value = run.params.get(searched) if searched and is_search(run) else None
    return variant_of(run), run.tags.get("seed"), run.tags.get("stage"), value


def is_search(run: RunRecord) -> bool:
    """Whether a run is of the stage that finds a value for each variant."""
    return run.tags.get("stage") == STAGE


def main_stage(sweep: SweepRecord) -> SweepRecord:
    """The sweep without the runs that chose values for the others."""
    return replace(sweep, runs=[run for run in sweep.runs if not is_search(run)])


def has_diverged(run: RunRecord) -> bool:
    """Whether a run failed because training diverged.

    A run that was stopped or killed, or whose disk was full, says nothing about its unit.
    """
    return run.status == "FAILED" and run.tags.get(tracking.FAILURE) == Failure.DIVERGED


def divergences(sweep: SweepRecord) -> Counter[Variant]:
    """How many runs of each variant diverged; a run that a resumed sweep repeats counts once."""
    finished = {identity_of(run) for run in sweep.runs if run.status == "FINISHED"}
    diverged = {identity_of(run): variant_of(run) for run in filter(has_diverged, sweep.runs)}
    return Counter(variant for run, variant in diverged.items() if run not in finished)


def report_of(run: RunRecord) -> dict[str, Any]:
    """The report of a run that can be compared, which all such runs have."""
    assert run.report is not None
    return run.report


def metric_of(runs: Sequence[RunRecord]) -> Metric:
    """The metric of the task that the runs learned."""
    return Metric(**report_of(runs[0])["metric"])


def results(runs: Sequence[RunRecord]) -> list[float]:
    """The test metric of each run."""
    return [run.metrics[f"test/{metric_of(runs).key}"] for run in runs]


def units(sweep: SweepRecord) -> dict[Variant, str]:
    """The class of each variant's unit, whether its runs ended well or not."""
    found = {}
    for run in sweep.runs:
        variant = variant_of(run)
        found[variant] = run.params.get("cell._target_", variant.name)
    return found


def baseline_tags(names: Iterable[str]) -> dict[str, str]:
    """The tags of a sweep with its baselines, as typed: for people, and as data."""
    names = list(names)
    return {"baseline": ",".join(names), tracking.BASELINES: json.dumps(names)}


def baseline_names(sweep: SweepRecord) -> list[str]:
    """The baselines of a sweep as they were typed, none where it has none."""
    return json.loads(sweep.tags.get(tracking.BASELINES, "[]"))
