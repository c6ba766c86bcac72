"""The results of a benchmark so far, which are also in MLflow."""

from dataclasses import dataclass, field
from statistics import geometric_mean, median

from matplotlib.figure import Figure

from benchmarks import figures, tables
from benchmarks.imdb import Epochs
from benchmarks.language import LanguageSteps
from benchmarks.limit import Limit
from benchmarks.memory import Memory
from benchmarks.steps import Steps
from unrolled.console.tables import as_markdown
from unrolled.tracking import RunWriter


@dataclass
class Results:
    """The rows of all parts; each is in MLflow as soon as it is added.

    Args:
        writer: the run that gets the figures.
        title: what was measured, and on which machine.
        remarks: what a reader of the results must know.
    """

    writer: RunWriter
    title: str
    remarks: list[str] = field(default_factory=list)
    limit: Limit | None = None
    steps: list[Steps] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    epochs: list[Epochs] = field(default_factory=list)
    language: list[LanguageSteps] = field(default_factory=list)

    def add(self, row: Limit | Steps | Memory | Epochs | LanguageSteps) -> None:
        """Add a row."""
        if isinstance(row, Limit):
            self.limit = row
        else:
            kinds = {
                Steps: self.steps,
                Memory: self.memory,
                Epochs: self.epochs,
                LanguageSteps: self.language,
            }
            kinds[type(row)].append(row)
        self.writer.log_metrics({**row.metrics(), **self._fractions(row)})

    def conclude(self) -> list[tables.Table]:
        """Log tables, figure and summary of the rows so far to MLflow.

        Returns:
            The tables.
        """
        made = [
            *tables.of_steps(self.steps, self.limit),
            *tables.of_memory(self.memory),
            *tables.of_epochs(self.epochs),
            *tables.of_language(self.language),
        ]
        for table in made:
            self.writer.log_table(table.columns, f"{table.name}.json")
        self.writer.log_metrics(self._summary())
        parts = {
            "steps": self.steps,
            "memory": self.memory,
            "imdb": self.epochs,
            "language": self.language,
        }
        report = {name: [row.report() for row in rows] for name, rows in parts.items()}
        self.writer.log_report({"limit": self.limit and self.limit.report(), **report})
        markdown = self._as_markdown(made)
        self.writer.log_text(markdown, "speed.md")
        self.writer.describe(markdown)
        if self.steps or self.memory:
            self.writer.log_figure(self._picture(), "speed.png")
        return made

    def _as_markdown(self, made: list[tables.Table]) -> str:
        """The page of the run, which the documents quote."""
        parts = [self.title, *self.remarks]
        for table in made:
            parts += [f"**{table.title}**", as_markdown(table.columns)]
            parts += [table.note] if table.note else []
        return "\n\n".join(parts) + "\n"

    def _picture(self) -> Figure:
        panels = {
            "Time of a training step": [_point(row, row.training.ratio) for row in self.steps],
            "Time of an inference": [_point(row, row.inference.ratio) for row in self.steps],
            "Peak memory of a training step": [_point(row, row.ratio) for row in self.memory],
        }
        drawn = {name: points for name, points in panels.items() if points}
        return figures.ratios(drawn, f"What the peer needs / what ours needs\n{self.title}")

    def _fractions(self, row) -> dict[str, float]:
        # With masks, some of the products are of padding, which a better method would leave out.
        if self.limit is None or not isinstance(row, Steps) or row.masked:
            return {}
        fractions = row.fractions(self.limit.rate)._asdict()
        return {row.key("training", f"{who} of the limit"): f for who, f in fractions.items()}

    def _summary(self) -> dict[str, float]:
        metrics = {}
        for (what, mask, peers), found in tables.groups(self.steps).items():
            ratios = [ratio for ratio, _ in found]
            key = f"summary/{what}/{mask}/{peers}"
            metrics[f"{key}/geometric mean"] = geometric_mean(ratios)
            metrics[f"{key}/least"] = min(ratios)
        for unit, batches in {(row.unit, row.batches) for row in self.epochs}:
            if padded := tables.padded_ratios(self.epochs, unit, batches):
                metrics[f"summary/imdb/{unit}/{batches}/peer on padded"] = median(padded)
        return metrics


def _point(row: Steps | Memory, value: float) -> figures.Ratio:
    return figures.Ratio(row.unit, row.shape, row.masked, value)
