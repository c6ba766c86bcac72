"""What a comparison says beyond its table: differences, the verdict, what was searched for."""

from collections import Counter
from dataclasses import asdict, replace

import numpy as np

from unrolled.comparison import baselines, search, significance
from unrolled.comparison.forest import forest
from unrolled.comparison.verdict import verdict
from unrolled.console.tables import as_markdown
from unrolled.console.terminal import say, show_table
from unrolled.tracking import RunWriter, SweepRecord


class Findings:
    """The differences and the verdict of a sweep.

    Args:
        sweep: as it was read.
        runs: of each variant those that can be compared.
        heading: what stands above tables and below titles.
    """

    def __init__(self, sweep: SweepRecord, runs: significance.Runs, heading: str):
        self._heading = heading
        names = baselines.of_tag(sweep.tags.get("baseline"))
        self._absent = [n for n in names if not any(baselines.is_of(each, n) for each in runs)]
        self._names = names
        failed = failures(sweep)
        found = significance.differences(runs, baselines.compared_with(names, units(sweep)), failed)
        self._by_metric = {}
        for each in found:
            self._by_metric.setdefault(each.metric.key, []).append(each)
        self.verdict = verdict(
            runs,
            found,
            failed,
            diverged(sweep),
            baselines=names,
            quick=sweep.tags.get("budget") == "quick",
        )

    def show(self) -> None:
        """On the terminal."""
        for group in self._by_metric.values():
            caption = significance.caption(group[0].metric)
            show_table(significance.table(group), "Differences from the baseline", caption)
        if self._missing:
            say.print(self._missing)
        for sentence in self.verdict:
            say.print(sentence)

    def markdown(self) -> str:
        """For the parent's page."""
        parts = ["\n".join(f"- {sentence}" for sentence in self.verdict)]
        for group in self._by_metric.values():
            caption = significance.caption(group[0].metric)
            parts += [as_markdown(significance.table(group)), caption]
        if self._missing:
            parts.append(self._missing)
        return "\n\n".join(parts)

    def keep(self, writer: RunWriter) -> None:
        """On the parent run, as artifacts."""
        if not self._by_metric:
            return
        found = [each for group in self._by_metric.values() for each in group]
        writer.log_table(_columns(found), "differences.json")
        for key, group in self._by_metric.items():
            if any(np.isfinite(each.interval.value) for each in group):
                several = f"_{key}" if len(self._by_metric) > 1 else ""
                writer.log_figure(forest(group, self._heading), f"forest{several}.png")

    @property
    def _missing(self) -> str:
        """What is not compared for want of runs; empty where nothing is missing."""
        if self._names and not self._by_metric:
            return (
                "No differences to show: they would take runs that ended well of the baseline "
                f"{' or '.join(self._names)} and of a variant to compare with it."
            )
        if self._absent:
            absent = " or ".join(self._absent)
            return f"Nothing is compared with {absent}, of which no run ended well."
        return ""


class Searched:
    """What the stage found that chose a key's value for each variant; nothing where there was none.

    Args:
        sweep: as it was read, with the runs of all stages.
    """

    def __init__(self, sweep: SweepRecord):
        asked = sweep.record.get("search") or {}
        self._key = asked.get("key")
        self._seeds = len(asked.get("seeds", []))
        self._choices = search.choices(sweep.runs, self._key, asked["values"]) if asked else []

    def report(self, writer: RunWriter) -> None:
        """On the terminal, and on the parent run; its page says so until there is more to say."""
        if not self._choices:
            return
        caption = search.caption(self._choices, self._key)
        show_table(search.table(self._choices, self._key), self._title, caption)
        for sentence in search.sentences(self._choices, self._key, self._seeds):
            say.print(sentence)
        writer.log_table(search.as_columns(self._choices, self._key), "search.json")
        writer.describe(self.markdown())

    def markdown(self) -> str:
        """For the parent's page."""
        if not self._choices:
            return ""
        table = as_markdown(search.table(self._choices, self._key))
        said = search.sentences(self._choices, self._key, self._seeds)
        return "\n\n".join([self._title, table, search.caption(self._choices, self._key), *said])

    @property
    def _title(self) -> str:
        return f"The search for {self._key}"


def main_stage(sweep: SweepRecord) -> SweepRecord:
    """The sweep without the runs that chose values for the others."""
    return replace(sweep, runs=[run for run in sweep.runs if not search.is_search(run)])


def units(sweep: SweepRecord) -> dict[str, str]:
    """What the unit of each variant is made by, whether its runs ended well or not."""
    return {
        run.tags["variant"]: run.params.get("cell._target_", run.tags["variant"])
        for run in sweep.runs
    }


def with_baselines(sweep: SweepRecord, names: list[str]) -> SweepRecord:
    """The sweep with other baselines than it was started with.

    Raises:
        RefusedError: for names that cannot be the sweep's baselines.
    """
    baselines.check(names, units(sweep))
    return replace(sweep, tags=sweep.tags | {"baseline": baselines.as_tag(names)})


def failures(sweep: SweepRecord) -> Counter:
    """How many runs of each variant failed by themselves; those stopped or killed did not."""
    return Counter(run.tags["variant"] for run in sweep.runs if significance.failed_by_itself(run))


def diverged(sweep: SweepRecord) -> Counter:
    """How many runs of each variant ended because their gradients exploded."""
    return Counter(run.tags["variant"] for run in sweep.runs if "diverged_at_step" in run.tags)


def _columns(found: list[significance.Difference]) -> dict[str, list]:
    """All numbers in full, a row a difference; null where there is no number."""
    rows = [
        {
            "variant": each.variant,
            "baseline": each.baseline,
            "metric": each.metric.name,
            "scale": "log10" if each.metric.by_ratio else "as it is",
            "runs": each.runs,
            "baseline_runs": each.baseline_runs,
            **{
                {"value": "difference", "p": "p_uncorrected"}.get(name, name): value
                for name, value in asdict(each.interval).items()
            },
            "p_holm": each.p,
            "outcome": each.flag,
        }
        for each in found
    ]
    return {name: [_or_null(row[name]) for row in rows] for name in rows[0]}


def _or_null(value):
    return None if isinstance(value, float) and not np.isfinite(value) else value
