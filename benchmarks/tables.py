"""The tables of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import geometric_mean, mean, median, stdev

from benchmarks.imdb import Epochs
from benchmarks.language import LanguageSteps
from benchmarks.limit import Limit
from benchmarks.memory import Memory
from benchmarks.steps import MASKS, Steps
from benchmarks.timing import Two
from unrolled.console.tables import Columns

_OURS_AND_PEER = "ours : peer"


@dataclass(frozen=True)
class Table:
    """A table for the terminal and for Markdown.

    Attributes:
        name: of its artifact in MLflow.
        title: above it.
        columns: the cells of each column, by its heading.
        note: below it: what one needs to know to read it.
        names: how many of the first columns hold names.
    """

    name: str
    title: str
    columns: Columns
    note: str | None = None
    names: int = 1


def of_steps(rows: list[Steps], limit: Limit | None) -> list[Table]:
    """Summary, ratios by shape, and times; the fraction of the limit if the limit is known."""
    if not rows:
        return []
    peers = {row.unit: row.peer for row in rows}
    note = "Each against: " + ", ".join(f"{unit} {peer}" for unit, peer in peers.items()) + "."
    title = "Time of the peer / ours: above 1 ours is faster"
    tables = [Table("summary", title, _summary(rows), note, names=3)]
    for what in ("training", "inference"):
        title = f"{_AS_WORDS[what]}, time of the peer / ours{_with_masks(rows)}"
        tables.append(Table(f"{what}_ratio", title, _ratios(rows, what)))
    plain = [row for row in rows if not row.masked] or rows
    tables += _of_seconds(plain)
    if limit and not plain[0].masked:
        title = (
            "Fraction of the arithmetic limit reached in a training step, the products at "
            f"{limit.rate / 1e9:.0f} GFLOP/s, no mask, {_OURS_AND_PEER}"
        )
        fractions = _by_shape(plain, lambda row: _two(row.fractions(limit.rate), ".0%"))
        tables.append(Table("limit", title, fractions))
    return tables


def of_memory(rows: list[Memory]) -> list[Table]:
    """The peaks by shape."""
    if not rows:
        return []
    kind = _with_masks(rows) or f", {MASKS[rows[0].masked]}"
    title = f"Peak memory of a training step, MiB, {_OURS_AND_PEER}{kind}"
    return [Table("memory", title, _by_shape(rows, lambda row: _two(row.megabytes, ".1f")))]


def of_epochs(rows: list[Epochs]) -> list[Table]:
    """One row per unit and kind of batches, over the seeds."""
    if not rows:
        return []
    note = (
        "peer on padded / ours: against the peer's model on batches all padded to the longest "
        "review. First batch: it traces and compiles, and is part of the epoch. "
        "±: standard deviation over the seeds."
    )
    lines = []
    for unit, batches in dict.fromkeys((row.unit, row.batches) for row in rows):
        these = [row for row in rows if (row.unit, row.batches) == (unit, batches)]
        padded = padded_ratios(rows, unit, batches)
        lines.append(
            {
                "unit": unit,
                "batches": batches,
                f"seconds\n{_OURS_AND_PEER}": _over_seeds(these, "seconds", ".1f"),
                "peer\n/ ours": f"{median(row.ratio for row in these):.2f}",
                "peer on padded\n/ ours": f"{median(padded):.2f}" if padded else "",
                f"first batch, s\n{_OURS_AND_PEER}": _over_seeds(these, "first_batch", ".1f"),
                f"test accuracy\n{_OURS_AND_PEER}": _over_seeds(these, "accuracy", ".3f"),
            }
        )
    return [Table("imdb", "An epoch of film reviews", _as_columns(lines), note, names=2)]


def of_language(rows: list[LanguageSteps]) -> list[Table]:
    """One row per unit and pair of heads."""
    if not rows:
        return []
    lines = [
        {
            "unit": row.unit,
            f"softmax\n{_OURS_AND_PEER}": " : ".join(row.heads),
            f"a step, ms\n{_OURS_AND_PEER}": _two(row.timing.milliseconds, ".1f"),
            "peer\n/ ours": f"{row.timing.ratio:.2f}",
            f"softmax, fraction\n{_OURS_AND_PEER}": _two(row.fractions, ".0%"),
        }
        for row in rows
    ]
    peers = {row.unit: row.peer for row in rows}
    note = "Each against: " + ", ".join(f"{unit} {peer}" for unit, peer in peers.items()) + "."
    title = "A training step of Zaremba's small language model"
    return [Table("language", title, _as_columns(lines), note, names=2)]


def padded_ratios(rows: list[Epochs], unit: str, batches: str) -> list[float]:
    """By seed: the peer's time on padded batches over ours on `batches`."""
    found = {(row.batches, row.seed): row.both for row in rows if row.unit == unit}
    return [
        found["padded", seed].peer.seconds / both.ours.seconds
        for (kind, seed), both in found.items()
        if kind == batches and ("padded", seed) in found
    ]


def groups(rows: list[Steps]) -> dict[tuple[str, str, str], list[tuple[float, Steps]]]:
    """Ratios with their rows, by training or inference, masks or not, and kind of peer."""
    grouped = {}
    for what in ("training", "inference"):
        for row in rows:
            peers = "RNN(cell)" if row.generic else "built-in"
            key = (what, MASKS[row.masked], peers)
            grouped.setdefault(key, []).append((getattr(row, what).ratio, row))
    return grouped


_AS_WORDS = {"training": "Training step", "inference": "Inference"}


def _summary(rows: list[Steps]) -> Columns:
    lines = []
    for (what, mask, peers), found in groups(rows).items():
        least, where = min(found, key=lambda pair: pair[0])
        lines.append(
            {
                "time of": f"{what}, {mask}",
                "peers": peers,
                "least at": f"{where.unit} {where.shape}",
                "least": f"{least:.2f}",
                "geometric\nmean": f"{geometric_mean(ratio for ratio, _ in found):.2f}",
                "of": str(len(found)),
            }
        )
    return _as_columns(lines)


def _ratios(rows: list[Steps], what: str) -> Columns:
    columns = _by_shape(rows, lambda row: f"{getattr(row, what).ratio:.2f}")
    means = []
    for unit in columns["unit"]:
        by_mask = {}
        for row in rows:
            if row.unit == unit:
                by_mask.setdefault(row.masked, []).append(getattr(row, what).ratio)
        means.append({mask: f"{geometric_mean(found):.2f}" for mask, found in by_mask.items()})
    return {**columns, "geometric\nmean": [_with_the_masked(each) for each in means]}


def _of_seconds(rows: list[Steps]) -> list[Table]:
    kind = MASKS[rows[0].masked]
    tables = [
        Table(
            f"{what}_ms",
            f"{words}, ms, {kind}, {_OURS_AND_PEER}",
            _by_shape(rows, lambda row, what=what: _two(getattr(row, what).milliseconds, ".1f")),
        )
        for what, words in _AS_WORDS.items()
    ]
    title = f"First call of a training step, s, {kind}, {_OURS_AND_PEER}"
    columns = _by_shape(rows, lambda row: _two(row.training.first, ".1f"))
    return [*tables, Table("first_call_s", title, columns, "It traces and compiles.")]


def _by_shape(rows: list, cell: Callable[[Steps | Memory], str]) -> Columns:
    """One row per unit and one column per shape."""
    units = list(dict.fromkeys(row.unit for row in rows))
    shapes = list(dict.fromkeys(row.shape for row in rows))
    cells = {(unit, shape): {} for unit in units for shape in shapes}
    for row in rows:
        cells[row.unit, row.shape][row.masked] = cell(row)
    columns = {"unit": units}
    for shape in shapes:
        columns[shape.heading] = [_with_the_masked(cells[unit, shape]) for unit in units]
    return columns


def _with_the_masked(cells: dict[bool, str]) -> str:
    """One cell; if both are there, the value with masks is in brackets."""
    if len(cells) == 2:
        return f"{cells[False]} ({cells[True]})"
    return "".join(cells.values())


def _with_masks(rows: list) -> str:
    return " (with masks)" if {row.masked for row in rows} == {False, True} else ""


def _two(values: Two, form: str) -> str:
    return " : ".join(f"{value:{form}}" for value in values)


def _over_seeds(rows: list[Epochs], what: str, form: str) -> str:
    both = zip(*(row.both for row in rows), strict=True)
    values = [[getattr(epoch, what) for epoch in epochs] for epochs in both]
    return " : ".join(
        f"{mean(v):{form}} ± {stdev(v):{form}}" if len(v) > 1 else f"{v[0]:{form}}" for v in values
    )


def _as_columns(lines: list[dict[str, str]]) -> Columns:
    return {name: [line[name] for line in lines] for name in lines[0]}
