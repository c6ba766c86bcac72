"""Singular or plural? A verb must agree with a subject that may be far away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unrolled.tasks.agreement import lexicon
from unrolled.tasks.agreement.grammar import Sentence, readable
from unrolled.tasks.agreement.lexicon import PLURAL, SINGULAR
from unrolled.tasks.agreement.sentences import Options, draw_splits
from unrolled.tasks.base.examples import PADDING, Examples, pad, predict
from unrolled.tasks.base.grouped_metrics import middles, points
from unrolled.tasks.base.metric import Metric, accuracy
from unrolled.tasks.base.task import Breakdown, Report, Task
from unrolled.tasks.data.cache import fingerprint
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS

BY_DISTANCE = Breakdown("accuracy", "distance of outermost verbs in words", of_metric=True)
BY_ATTRACTORS = Breakdown("accuracy", "attractors of outermost verbs", of_metric=True)
BY_DEPTH = Breakdown("accuracy", "depth", of_metric=True)
_MANY_ATTRACTORS = 5  # And more are one point.

_VOCABULARY = [SPECIAL_WORDS[PADDING], *lexicon.WORDS]
_WORD_NUMBERS = {word: number for number, word in enumerate(_VOCABULARY)}
_NO_NOUN = -1
_NOUN_NUMBERS = np.array([lexicon.NUMBERS.get(word, _NO_NOUN) for word in _VOCABULARY])


@dataclass(frozen=True)
class Questions:
    """The asked verbs of a split, by sentence and step; every array is `(questions,)`.

    `unrolled.tasks.agreement.grammar` defines distance, depth and attractors.

    Attributes:
        sentence, step: where the verb stands in the split's `inputs`.
        answer: 0 where its subject is singular, 1 where it is plural.
        distance, depth, attractors: whole numbers.
        first_noun, last_noun: the numbers of the first and the last noun before the verb, 0 or 1.
        majority: the number that most nouns before the verb have, 0 or 1; 0.5 where neither has.
        held_out: whether the sentence has a held-out word.
    """

    sentence: np.ndarray
    step: np.ndarray
    answer: np.ndarray
    distance: np.ndarray
    depth: np.ndarray
    attractors: np.ndarray
    first_noun: np.ndarray
    last_noun: np.ndarray
    majority: np.ndarray
    held_out: np.ndarray

    def baselines(self) -> dict[str, float]:
        """Accuracies of three rules that look at the nouns before a verb, but at no grammar.

        They answer with the number of the first noun, of the last, or of most of them; a tie
        between singulars and plurals counts as half a right answer.
        """
        return {
            "baseline_first_noun": float(np.mean(self.first_noun == self.answer)),
            "baseline_last_noun": float(np.mean(self.last_noun == self.answer)),
            "baseline_majority": float(1 - np.mean(np.abs(self.majority - self.answer))),
        }


class Agreement(Task):
    """Is the subject of this verb singular (0) or plural (1)? Asked at the verb, wherever it is.

        the cat , which already ate the apples near the barns , [be] full
                                                                 0

    The sentences are generated (see `grammar`) in a second; they need no download. In
    training, validation and test no two are the same.

    Args:
        **options: the attributes of `sentences.Options`, which raises ValueError for what cannot
            be.

    Attributes:
        options: the `Options`.
        held_out_words: after `load`, the words that training and validation do not contain.
        test_questions: after `load`, the `Questions` of the test split.
    """

    name: ClassVar[str] = "agreement"
    classes: ClassVar[int] = 2
    per_step: ClassVar[bool] = True
    metric: ClassVar[Metric] = accuracy(classes, learnt=0.9)

    held_out_words: frozenset[str]
    test_questions: Questions

    def __init__(self, **options):
        self.options = Options(**options)

    def load(self) -> None:
        splits = draw_splits(self.options)
        self.vocabulary = list(_VOCABULARY)
        self.held_out_words = splits.held_out
        self.training = _examples(splits.training)
        self.validation = _examples(splits.validation)
        self.test = _examples(splits.test)
        self.test_questions = _questions(splits.test, self.test, splits.held_out)
        self.fingerprint = self._fingerprint()

    def evaluate(self, model) -> Report:
        """Accuracy at the asked verbs of the test split, beside that of three blind rules.

        "accuracy_seen_words" and "accuracy_held_out_words" are of the sentences without and with
        held-out words, where there are both.

        Accuracy by distance and by attractors is of outermost verbs alone: inner ones are near
        their subjects and hard, so that of all together it would seem easier to be far away. By
        distance there are at most ten points, of ranges of one width from the least distance to the
        greatest; a point stands in the middle of its range. 5 attractors are 5 or more.
        """
        questions = self.test_questions
        answers = predict(model, self.test)[questions.sentence, questions.step]
        correct = answers == questions.answer
        metrics = {"accuracy": float(correct.mean())}
        if 0 < questions.held_out.sum() < len(correct):
            metrics["accuracy_seen_words"] = float(correct[~questions.held_out].mean())
            metrics["accuracy_held_out_words"] = float(correct[questions.held_out].mean())
        outermost = questions.depth == 1
        limits = self.options.distance
        distances = middles(questions.distance[outermost], limits.min, limits.max)
        attractors = np.minimum(questions.attractors[outermost], _MANY_ATTRACTORS)
        return Report(
            metrics | questions.baselines(),
            {
                BY_DISTANCE: points(distances, correct[outermost]),
                BY_ATTRACTORS: points(attractors, correct[outermost]),
                BY_DEPTH: points(questions.depth, correct),
            },
        )

    @staticmethod
    def encode(words: Sequence[str]) -> np.ndarray:
        """The number of each word, int32 `(words,)`; asked verbs are stems, such as "[be]".

        Raises:
            ValueError: for a word that is not in the vocabulary.
        """
        unknown = [word for word in words if word not in _WORD_NUMBERS]
        if unknown:
            raise ValueError(
                "`words`: expected a sequence of words from "
                f"unrolled.tasks.agreement.lexicon.WORDS, got {unknown[:5]} among them. Asked "
                "verbs stand as stems in brackets, such as [be]."
            )
        return np.array([_WORD_NUMBERS[word] for word in words], np.int32)

    @staticmethod
    def render(inputs: np.ndarray, answers: np.ndarray) -> str:
        """A sentence as text, each asked verb in the number of its answer: "the cats [were] full".

        Args:
            inputs: word numbers, int `(steps,)`, padded or not.
            answers: targets or a model's answers at each step, int `(steps,)`.
        """
        length = np.count_nonzero(inputs != PADDING)
        words = [_VOCABULARY[number] for number in inputs[:length]]
        return readable(words, answers[:length])

    def _fingerprint(self) -> str:
        arrays = {"vocabulary": np.frombuffer("\n".join(self.vocabulary).encode(), np.uint8)}
        for split in ("training", "validation", "test"):
            for name, array in vars(getattr(self, split)).items():
                arrays[f"{split} {name}"] = array
        return fingerprint(arrays)


def _positions(sentences: list[Sentence]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sentence, subject and verb of each question."""
    positions = [
        (row, subject, verb)
        for row, sentence in enumerate(sentences)
        for subject, verb in sentence.agreements
    ]
    return tuple(np.array(positions).T)


def _examples(sentences: list[Sentence]) -> Examples:
    inputs = pad([Agreement.encode(sentence.words) for sentence in sentences])
    rows, subjects, verbs = _positions(sentences)
    targets, asked = np.zeros_like(inputs), np.zeros(inputs.shape, np.float32)
    targets[rows, verbs] = _NOUN_NUMBERS[inputs[rows, subjects]]
    asked[rows, verbs] = 1
    return Examples(inputs, targets, asked)


def _questions(
    sentences: list[Sentence], examples: Examples, held_out_words: frozenset[str]
) -> Questions:
    rows, subjects, verbs = _positions(sentences)
    answers = examples.targets[rows, verbs]
    numbers = _NOUN_NUMBERS[examples.inputs]
    nouns = np.stack([np.cumsum(numbers == number, axis=1) for number in (SINGULAR, PLURAL)])
    before = nouns[:, rows, verbs]
    between = before - nouns[:, rows, subjects]
    is_noun = numbers != _NO_NOUN
    last_nouns = np.maximum.accumulate(is_noun * np.arange(numbers.shape[1]), axis=1)
    held_out = np.isin(examples.inputs, Agreement.encode(sorted(held_out_words)))
    return Questions(
        sentence=rows,
        step=verbs,
        answer=answers,
        distance=verbs - subjects,
        depth=np.concatenate([range(len(s.agreements), 0, -1) for s in sentences]),
        attractors=between[1 - answers, np.arange(len(answers))],
        first_noun=numbers[rows, is_noun.argmax(axis=1)[rows]],
        last_noun=numbers[rows, last_nouns[rows, verbs]],
        majority=(1 + np.sign(before[PLURAL] - before[SINGULAR])) / 2,
        held_out=held_out.any(axis=1)[rows],
    )
