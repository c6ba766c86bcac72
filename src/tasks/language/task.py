"""The language modeling tasks, on characters or words."""

import json
import logging
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from unrolled.tasks.base.examples import Examples
from unrolled.tasks.base.grouped_metrics import points
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.options import require_integer
from unrolled.tasks.base.task import Breakdown, Report, Task
from unrolled.tasks.data.cache import fingerprint
from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.language import bptt_batches
from unrolled.tasks.language.bptt_batches import TokenSequence
from unrolled.tasks.language.context import use_of_context
from unrolled.tasks.language.corpora import CORPORA, Corpus
from unrolled.tasks.language.tokenizers import CharacterTokenizer, Tokenizer, WordTokenizer

_SPLITS = ("training", "validation", "test")
_MIN_TOKENS = 1000  # Per split.
_DIAGNOSTIC_STEPS = 100
_EVALUATION_ROWS, _EVALUATION_STEPS = 8, 256
_LONGEST_WORD = 10
_CONTEXT_SEED = 0
_MAX_REPEATED = 0.05  # Of validation or test; all built-in corpora have less.

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class LanguageModelling(Task):
    """Predict y<t> from y<1>, ..., y<t-1>, given to the model as x<t> = y<t-1>.

    The vocabulary is built from the training split only. During training, the validation text is
    evaluated in eight parallel parts. Seven of these start without their preceding context, so the
    loss is slightly too high. The test text is evaluated as a whole, and every token of it counts.

    Attributes:
        corpus: "shakespeare", "pydoc", "ptb" or "text"; see `unrolled.tasks.language.corpora`.
        path: path of the text, if the corpus needs one.
        train_tokens: maximum number of training tokens, from the beginning; None for all.
        evaluation_tokens: the same for validation and test.
        context_positions: number of test positions at which the use of context is measured
            (`unrolled.tasks.language.context`); 0 for none.
        tokenizer: after `load`, the tokenizer.
        unknown_fraction: after `load`, by split, the fraction of tokens that are not in the
            vocabulary.
        repeated_fraction: after `load`, by split, the fraction of its text in long lines (at least
            40 characters) that also occur in training.
    """

    per_step: ClassVar[bool] = True
    model: ClassVar[str] = "language"
    counted: ClassVar[str] = "tokens"
    kind: ClassVar[str]

    corpus: str = "pydoc"
    path: str | None = None
    train_tokens: int | None = None
    evaluation_tokens: int | None = None
    context_positions: int = 0

    def __post_init__(self):
        if self.corpus not in CORPORA:
            raise ValueError(f"`corpus`: expected {', '.join(CORPORA)}, got {self.corpus!r}.")
        for name in ("train_tokens", "evaluation_tokens"):
            if getattr(self, name) is not None:
                require_integer(name, getattr(self, name), _MIN_TOKENS)
        require_integer("context_positions", self.context_positions, 0)
        self._chance_level = math.nan

    @property
    def name(self) -> str:  # type: ignore[override]  # Nothing assigns it.
        """The name in conf/task."""
        return f"{self.corpus}_{self.kind}"

    def make_tokenizer(self, text: str) -> Tokenizer:
        """Creates a tokenizer from the training text."""
        raise NotImplementedError

    def load(self) -> None:
        corpus = CORPORA[self.corpus](self.path)
        self.tokenizer = self.make_tokenizer(corpus.training)
        self.vocabulary = self.tokenizer.vocabulary
        self.classes = len(self.vocabulary)
        training, validation, test = (self._sequence(corpus, split) for split in _SPLITS)
        # Texts instead of examples: this class overrides all methods that read them.
        self.training: TokenSequence = training.first(self.train_tokens)  # type: ignore[assignment]
        self.validation: TokenSequence = validation.first(self.evaluation_tokens)  # type: ignore[assignment]
        self.test: TokenSequence = test.first(self.evaluation_tokens)  # type: ignore[assignment]
        self.unknown_fraction = {
            split: float((getattr(self, split).tokens == UNKNOWN).mean()) for split in _SPLITS
        }
        self.repeated_fraction = {
            split: corpus.repeated_fraction(split) for split in ("validation", "test")
        }
        self._tokens_per_character = len(test) / len(corpus.test)
        self._chance_level = _unigram(self.training.tokens, self.test.tokens, self.classes)
        self._warn_about_repeated()
        self._warn_about_unknown()
        self.fingerprint = self._fingerprint()

    def _sequence(self, corpus: Corpus, split: str) -> TokenSequence:
        tokens = self.tokenizer.encode(getattr(corpus, split))
        if len(tokens) < _MIN_TOKENS:
            raise ValueError(
                f"task.path: the text is too short: expected at least {_MIN_TOKENS} tokens for "
                f"{split}, got {len(tokens)}. Use a longer text. Without predefined splits, 5% "
                f"each are for validation and test, so about {20 * _MIN_TOKENS} tokens are enough."
            )
        return TokenSequence(tokens, self.tokenizer.start)

    def _fingerprint(self) -> str:
        tokenizer = json.dumps(self.tokenizer.to_json(), sort_keys=True).encode()
        arrays = {split: getattr(self, split).tokens for split in _SPLITS}
        return fingerprint({"tokenizer": np.frombuffer(tokenizer, np.uint8), **arrays})

    def _warn_about_repeated(self) -> None:
        for split, fraction in self.repeated_fraction.items():
            if fraction > _MAX_REPEATED:
                _logger.warning(
                    "%s: %.0f%% of the text in long lines of %s also occurs in training, so a "
                    "model may have memorized it. Remove the repeated text.",
                    self.name,
                    100 * fraction,
                    split,
                )

    def _warn_about_unknown(self) -> None:
        """Warns if the unknown word is never trained; only for words."""

    def model_arguments(self) -> dict[str, Any]:
        return {"vocabulary_size": self.classes}

    def model_files(self) -> dict[str, dict]:
        return {"tokenizer.json": self.tokenizer.to_json()}

    def loss(self) -> None:
        return None

    def keras_metrics(self) -> list:
        return []

    def training_batches(
        self, batch_size: int, seed: int, window: int | None = None, first_epoch: int = 0
    ) -> tf.data.Dataset:
        steps = self._required(window)
        return bptt_batches.training_batches(self.training, batch_size, steps, seed, first_epoch)

    def validation_batches(self, batch_size: int, window: int | None = None) -> tf.data.Dataset:  # noqa: ARG002
        self._required(window)
        return bptt_batches.evaluation_batches(self.validation, _EVALUATION_ROWS, _EVALUATION_STEPS)

    def batches_per_epoch(self, batch_size: int, window: int | None = None) -> int:
        return self.training.windows_per_epoch(batch_size, self._required(window))

    def _required(self, window: int | None) -> int:
        if window is None:
            raise ValueError(
                f"training.window: expected the number of steps of a window, because {self.name} "
                "is one long text, got null. Use training=language, or set training.window."
            )
        return window

    def diagnostic_examples(self, count: int) -> Examples:
        """Returns windows of the validation text, each with zero initial states."""
        steps = min(_DIAGNOSTIC_STEPS, (len(self.validation) - 1) // count)
        y = self.validation.tokens[1 : 1 + count * steps].reshape(count, steps)
        x = self.validation.tokens[: count * steps].reshape(count, steps)
        return Examples(x, y, np.ones(y.shape, np.float32))

    def step_labels(self, inputs: np.ndarray) -> list[str]:
        return [repr(word)[1:-1] for word in super().step_labels(inputs)]

    def evaluate(self, model: keras.Model) -> Report:
        """Reports cross-entropy in nats per token and perplexity, over the whole test text.

        Bits per character divide the bits of the whole test text by its number of characters, for
        words too. However, a word that is read as `<UNK>` costs no bits for its spelling. If
        `evaluation_tokens` truncates the text, its characters are estimated in proportion.

        Args:
            model: with a method `negative_log_likelihoods(tokens, start)`.
        """
        losses = model.negative_log_likelihoods(self.test.tokens, self.test.start)
        mean = float(losses.mean())
        context = Report({})
        if self.context_positions:
            context = use_of_context(model, self.test, self.context_positions, _CONTEXT_SEED)
        breakdowns = {**self._breakdowns(losses), **context.breakdowns}
        judged = breakdowns if self.metric.key == "cross_entropy" else ()
        return Report(
            {
                "cross_entropy": mean,
                "bits_per_character": mean / math.log(2) * self._tokens_per_character,
                "perplexity": _perplexity(mean),
                "unknown_fraction": self.unknown_fraction["test"],
                "repeated_fraction": self.repeated_fraction["test"],
                **context.metrics,
            },
            breakdowns,
            judged=dict.fromkeys(judged, self.metric),
        )

    def _breakdowns(self, losses: np.ndarray) -> dict[Breakdown, list]:
        raise NotImplementedError


@dataclass(eq=False)
class Characters(LanguageModelling):
    """A text as characters; the vocabulary contains all characters of the training text."""

    kind: ClassVar[str] = "char"

    @property
    def metric(self) -> Metric:  # type: ignore[override]  # Nothing assigns it.
        return Metric(
            "cross_entropy",
            "cross-entropy",
            self._chance_level,
            None,
            higher_is_better=False,
            unit="nats per character",
            is_loss=True,
            logarithmic=True,
        )

    def make_tokenizer(self, text: str) -> Tokenizer:
        return CharacterTokenizer.of(text)

    def _breakdowns(self, losses: np.ndarray) -> dict[Breakdown, list]:
        """Groups the loss of letters by their position in the word."""
        is_letter = np.array([word.isalpha() for word in self.tokenizer.vocabulary])
        is_letter = is_letter[self.test.tokens]
        steps = np.arange(len(is_letter))
        last_nonletter = np.maximum.accumulate(np.where(is_letter, -1, steps))
        position = np.minimum(steps - last_nonletter, _LONGEST_WORD)
        found = points(position[is_letter], losses[is_letter])
        return {Breakdown("cross-entropy", "letter's place in its word"): found}


@dataclass(eq=False)
class Words(LanguageModelling):
    """A text as words, with `<UNK>` for rare words and `<EOS>` at the end of each sentence.

    Attributes:
        vocabulary_size: maximum number of words, including `<UNK>` and `<EOS>`.
        lower: whether the text is lowercased.
    """

    kind: ClassVar[str] = "word"

    vocabulary_size: int = 10_000
    lower: bool = True

    def __post_init__(self):
        super().__post_init__()
        require_integer("vocabulary_size", self.vocabulary_size, 3)

    @property
    def metric(self) -> Metric:  # type: ignore[override]  # Nothing assigns it.
        chance_level = _perplexity(self._chance_level)
        return Metric("perplexity", "perplexity", chance_level, None, higher_is_better=False)

    def make_tokenizer(self, text: str) -> Tokenizer:
        tokenised = self.corpus == "ptb"
        return WordTokenizer.of(text, self.vocabulary_size, self.lower, tokenised)

    def _warn_about_unknown(self) -> None:
        if not self.unknown_fraction["training"] and self.unknown_fraction["test"]:
            _logger.warning(
                "%s: task.vocabulary_size=%d includes all training words, so <UNK> is never "
                "trained, but %.1f%% of the test tokens are <UNK>. Decrease it.",
                self.name,
                self.vocabulary_size,
                100 * self.unknown_fraction["test"],
            )

    def _breakdowns(self, losses: np.ndarray) -> dict[Breakdown, list]:
        """Groups the loss by the frequency rank of the word, in powers of ten."""
        ranks = 10.0 ** np.floor(np.log10(np.maximum(self.test.tokens, 1)))
        return {Breakdown("cross-entropy", "rank of the word, from"): points(ranks, losses)}


def _perplexity(nats: float) -> float:
    """Returns e^nats; infinity on overflow, for example of a diverged run."""
    with np.errstate(over="ignore"):
        return float(np.exp(nats))


def _unigram(training: np.ndarray, test: np.ndarray, classes: int) -> float:
    """Returns the test loss of a unigram model with add-one smoothing, in nats per token."""
    counts = np.bincount(training, minlength=classes) + 1
    return float(-np.log(counts / counts.sum())[test].mean())
