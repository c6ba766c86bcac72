"""The task `names`: recognize ambiguous names from a later word, which needs both directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.distance import Distance
from unrolled.tasks.base.examples import PADDING
from unrolled.tasks.base.grouped_metrics import bin_centers, points
from unrolled.tasks.base.metric import Metric, accuracy
from unrolled.tasks.base.options import as_dataclass
from unrolled.tasks.base.task import Breakdown, Report
from unrolled.tasks.tagging.entities import Scores, count_entities
from unrolled.tasks.tagging.name_sentences import NameSentence, NameSplits, Options, draw_splits
from unrolled.tasks.tagging.task import Tagging

BY_DISTANCE = Breakdown("accuracy at ambiguous words", "distance of the deciding word in words")
BY_DISTANCE_UNSEEN = Breakdown(
    "accuracy at unseen ambiguous words", "distance of the deciding word in words"
)
_NAME_OR_NONE = accuracy(2, solved=0.95)


@dataclass(eq=False)
class Names(Tagging[NameSentence]):
    """Names of persons, organizations and places, and words that only look like names.

        Teddy Roosevelt apologised again .      Teddy bears broke again .
        B-PER I-PER     O          O     O      O     O     O     O     O

    The sentences are generated (`unrolled.tasks.tagging.name_sentences`), without a download.

    Attributes:
        distance, held_out, data_seed: as in `name_sentences.Options`, which validates them.
        train_examples, evaluation_examples: number of sentences for training, and for validation
            and test each.
    """

    name: ClassVar[str] = "names"
    metric = Metric("f1", "F1", 0.0, 0.95, higher_is_better=True, is_fraction=True)

    train_examples: int = 4000
    evaluation_examples: int = 2000
    distance: Distance | Mapping = field(default_factory=lambda: Distance(max=20))
    held_out: float = 0.2
    data_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        self.options = Options(
            as_dataclass("distance", Distance, self.distance),
            self.held_out,
            self.train_examples,
            self.evaluation_examples,
            self.evaluation_examples,
            self.data_seed,
        )

    def read(self) -> NameSplits:
        return draw_splits(self.options)

    def _task_report(self, predicted: np.ndarray) -> Report:
        """Reports the accuracy at ambiguous words, overall and by distance.

        Words that are absent from training, "unseen", are reported separately.
        "baseline_forward_f1" is the F1 of the best possible tags from left to right.
        """
        sentences = self.test_sentences
        positions = np.array([each.ambiguous for each in sentences])
        rows = np.arange(len(sentences))
        correct = predicted[rows, positions] == self.test.targets[rows, positions]
        held_out = np.array([each.held_out for each in sentences])
        limits = self.options.distance
        distances = np.array([each.distance for each in sentences])
        distances = bin_centers(distances, limits.min, limits.max)
        metrics, breakdowns = {"baseline_forward_f1": self._forward_best()}, {}
        for name, selected in (("", ~held_out), ("_unseen", held_out)):
            if selected.any():
                metrics[f"accuracy_ambiguous{name}"] = float(correct[selected].mean())
                by_distance = BY_DISTANCE_UNSEEN if name else BY_DISTANCE
                breakdowns[by_distance] = points(distances[selected], correct[selected])
        return Report(metrics, breakdowns, judged=dict.fromkeys(breakdowns, _NAME_OR_NONE))

    def _forward_best(self) -> float:
        """Returns the F1 of the best possible tags from left to right."""
        best = np.zeros_like(self.test.targets)
        for row, sentence in enumerate(self.test_sentences):
            best[row, : len(sentence.words)] = self.tags.encode(sentence.forward_best())
        mask = self.test.inputs != PADDING
        return Scores.of(
            count_entities(self.test.targets, best, mask, self.tags), self.tags
        ).overall.f1
