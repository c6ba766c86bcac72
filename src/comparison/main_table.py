"""The table of a comparison: one row per variant."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from unrolled.comparison import flow_comparison
from unrolled.comparison.runs import VariantRuns
from unrolled.comparison.sections import Heading, Table, rows_of, table_of
from unrolled.comparison.variants import Variant
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.language.context import LENGTHS, TOLERANCE

_VARIANT = Heading("variant", "variant")
_RANK = Heading("rank", "rank")
_CONTEXT = Heading("context", "context\nused")
_DIVERGED = Heading("diverged", "diverged")


def table(variants: Sequence[VariantRuns], diverged: Mapping[Variant, int]) -> Table:
    """The table of all variants; where they have several tasks, some cells are empty.

    Args:
        variants: with the runs that can be compared.
        diverged: how many runs of each variant did.
    """
    rows = {each.variant: _row(each) for each in variants}
    if diverged:
        ended = {each.variant: len(each.runs) for each in variants}
        for variant in diverged:
            rows.setdefault(variant, {_VARIANT: variant.name})
        for variant, row in rows.items():
            count = diverged.get(variant, 0)
            row[_DIVERGED] = f"{count} of {count + ended.get(variant, 0)}"
    return table_of(list(rows.values()))


def excerpt(whole: Table, rows: Sequence[int], ranks: Sequence[int | None]) -> Table:
    """Some rows of the table, each with the rank of its variant if it has one."""
    shown = dict(rows_of(whole, rows))
    names = {_VARIANT: shown.pop(_VARIANT)}
    return {**names, _RANK: ["" if rank is None else str(rank) for rank in ranks], **shown}


def _row(variant: VariantRuns) -> dict[Heading, str]:
    metric = variant.metric
    found = variant.last(f"test/{metric.key}")
    row = {
        _VARIANT: variant.name,
        Heading("parameters", "parameters"): f"{variant.last('parameters').mean():,.0f}",
        Heading("seconds", "s/epoch"): f"{np.median(variant.all('seconds_per_epoch')):.1f}",
        _test(metric): mean_and_spread(found, metric.text),
        Heading("worst", "worst run"): f"{metric.text(metric.worst(found))} of {len(found)}",
    }
    if metric.solved is not None:
        row[_to_solve(metric)] = _examples_to_solve(variant)
    row |= flow_comparison.columns(variant.runs)
    context = variant.last("test/context")
    if len(context):
        row[_CONTEXT] = ", ".join(f"{tokens:.0f}" for tokens in context)
    return row


def _test(metric: Metric) -> Heading:
    return Heading("test", f"test {metric.name}", metric.key)


def _to_solve(metric: Metric) -> Heading:
    """Tasks with the same threshold have one column, whatever their metrics."""
    kind = "fraction " if metric.is_fraction else ""
    return Heading("to_solve", f"to {metric.solved_text}", f"{kind}{metric.solved}")


def _examples_to_solve(variant: VariantRuns) -> str:
    """The mean number of examples seen until the task was solved, if every run got there."""
    prices, metric = [], variant.metric
    for run in variant.runs:
        values = run.series[f"validation/{metric.key}"]
        curve = zip(run.series["examples_seen"], values, strict=True)
        reached = [seen for (_, seen), (_, value) in curve if metric.is_solved(value)]
        prices += reached[:1]
    if len(prices) < len(variant.runs):  # The mean of a few would favour variants that rarely do.
        return f"in {len(prices)} of {len(variant.runs)}" if prices else "never"
    return mean_and_spread(np.array(prices) / 1000, "{:.1f}".format) + " k"


def mean_and_spread(values: np.ndarray, text: Callable[[float], str]) -> str:
    """The mean, with the standard deviation of several finite values."""
    mean = text(values.mean())
    if len(values) < 2 or not np.isfinite(values).all():
        return mean
    return f"{mean} ± {text(values.std(ddof=1))}"


def caption(table: Table) -> str:
    """What the columns of the table mean."""
    sentences = [
        "Mean ± standard deviation over the seeds, which decide initial weights and the order of "
        "training examples. s/epoch: median, including validation."
    ]
    solved = [heading.text for heading in table if heading.key == "to_solve"]
    if solved:
        sentences.append(
            f"{' and '.join(solved).capitalize()}: training examples, in thousands, seen until the "
            "metric reached this value on the validation split."
        )
    sentences.append(flow_comparison.caption(table))
    if _CONTEXT in table:
        sentences.append(
            "Context used, one value per run: the fewest tokens, of "
            f"{', '.join(map(str, LENGTHS))}, "
            "with which the loss at some positions of the test, read from states of zero, is "
            f"within {TOLERANCE:.0%} of that with {LENGTHS[-1]}."
        )
    return " ".join(filter(None, sentences))
