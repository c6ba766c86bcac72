"""What a comparison says beyond its table: differences with their tests, and the verdict."""

from collections import Counter
from dataclasses import asdict

import numpy as np

from experiments import statistics
from experiments.forest import forest
from experiments.tables import as_markdown, as_rich, blocks
from experiments.terminal import say
from experiments.verdict import verdict
from tracking import RunWriter, SweepRecord

_NOT_ITS_OWN = ("KeyboardInterrupt", "its process ended")  # A run so ended says nothing of a unit.


class Findings:
    """The differences and the verdict of a sweep.

    Args:
        sweep: as it was read.
        runs: of each variant those that can be compared.
        heading: what stands above tables and below titles.
    """

    def __init__(self, sweep: SweepRecord, runs: statistics.Runs, heading: str):
        self._heading = heading
        self._baseline = sweep.tags.get("baseline")
        failed = failures(sweep)
        diverged = Counter(r.tags["variant"] for r in sweep.runs if "diverged_at_step" in r.tags)
        found = statistics.differences(runs, self._baseline, failed) if self._baseline else []
        self._by_metric = {}
        for each in found:
            self._by_metric.setdefault(each.metric.key, []).append(each)
        self.verdict = verdict(
            runs,
            found,
            failed,
            diverged,
            baseline=self._baseline,
            quick=sweep.tags.get("budget") == "quick",
        )

    def show(self) -> None:
        """On the terminal."""
        for group in self._by_metric.values():
            caption, title = statistics.caption(group[0].metric), "Differences from the baseline"
            *parts, last = blocks(statistics.table(group), 1, say.width)
            for part in parts:
                say.print(as_rich(part, title))
            say.print(as_rich(last, title, caption))
        if self._baseline and not self._by_metric:
            say.print(self._nothing_to_compare)
        for sentence in self.verdict:
            say.print(sentence)

    def markdown(self) -> str:
        """For the parent's page."""
        parts = ["\n".join(f"- {sentence}" for sentence in self.verdict)]
        for group in self._by_metric.values():
            caption = statistics.caption(group[0].metric)
            parts += [as_markdown(statistics.table(group)), caption]
        if self._baseline and not self._by_metric:
            parts.append(self._nothing_to_compare)
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
    def _nothing_to_compare(self) -> str:
        return (
            f"No differences to show: of the baseline {self._baseline}, or of what it would be "
            "compared with, no run ended well."
        )


def failures(sweep: SweepRecord) -> Counter:
    """How many runs of each variant failed by themselves; those stopped or killed did not."""
    return Counter(
        run.tags["variant"]
        for run in sweep.runs
        if run.status == "FAILED" and not run.tags.get("error", "").startswith(_NOT_ITS_OWN)
    )


def _columns(found: list[statistics.Difference]) -> dict[str, list]:
    """All numbers in full, a row a difference; null where there is no number."""
    rows = [
        {
            "variant": each.variant,
            "baseline": each.baseline,
            "metric": each.metric.name,
            "scale": "as it is" if each.metric.higher_is_better else "log10",
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
