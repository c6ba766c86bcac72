"""What comes next? Texts, character by character or word by word."""

import json
import logging
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import Examples
from unrolled.tasks.base.grouped_metrics import points
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.options import require_whole
from unrolled.tasks.base.task import Breakdown, Report, Task
from unrolled.tasks.data.cache import fingerprint
from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.language import bptt_batches
from unrolled.tasks.language.bptt_batches import Stream
from unrolled.tasks.language.context import use_of_context
from unrolled.tasks.language.corpora import CORPORA, Corpus
from unrolled.tasks.language.tokenizers import CharacterTokenizer, Tokenizer, WordTokenizer

_FEWEST_TOKENS = 1000  # Of a split.
_STEPS_LOOKED_INTO = 100
_EVALUATION_ROWS, _EVALUATION_STEPS = 8, 256
_LONGEST_WORD = 10
_CONTEXT_SEED = 0
_MUCH_REPEATED = 0.05  # Of validation or test: more than in any of our corpora.

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class LanguageModelling(Task):
    """Predict y<t> from y<1>, ..., y<t-1>, which a model reads as x<t> = y<t-1>.

    The vocabulary is made of the training part alone. In training the validation text is read as
    eight streams side by side, seven of which begin without what went before them, so its loss is
    a little too high; the test text is read as one, and every token of it counts.

    Attributes:
        corpus: "shakespeare", "pydoc", "ptb" or "text"; see `unrolled.tasks.language.corpora`.
        path: of a text, where the corpus needs one.
        train_tokens: at most this many are trained on, the first ones; None for all.
        evaluation_tokens: the same of validation and test.
        context_positions: at so many places of the test text the use of context is measured
            (`unrolled.tasks.language.context`); 0 for none.
        tokenizer: after `load`, makes numbers of texts.
        unknown_share: after `load`, by split the share of tokens that are not in the vocabulary.
        repeated_share: after `load`, by split the share of its text in long lines (40 characters
            and more) that training has as well.
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

    tokenizer: ClassVar[Tokenizer]
    unknown_share: ClassVar[dict[str, float]]
    repeated_share: ClassVar[dict[str, float]]

    def __post_init__(self):
        if self.corpus not in CORPORA:
            raise ValueError(f"`corpus`: expected {', '.join(CORPORA)}, got {self.corpus!r}.")
        for name in ("train_tokens", "evaluation_tokens"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), _FEWEST_TOKENS)
        require_whole("context_positions", self.context_positions, 0)
        self._guessing = math.nan

    @property
    def name(self) -> str:
        """As in conf/task."""
        return f"{self.corpus}_{self.kind}"

    def make_tokenizer(self, text: str) -> Tokenizer:
        """Of the training text."""
        raise NotImplementedError

    def load(self) -> None:
        corpus = CORPORA[self.corpus](self.path)
        self.tokenizer = self.make_tokenizer(corpus.training)
        self.vocabulary = self.tokenizer.vocabulary
        self.classes = len(self.vocabulary)
        caps = {"training": self.train_tokens}
        self.unknown_share, self.repeated_share = {}, {}
        for split in ("training", "validation", "test"):
            whole = self._stream(corpus, split)
            stream = whole.first(caps.get(split, self.evaluation_tokens))
            setattr(self, split, stream)
            self.unknown_share[split] = float((stream.tokens == UNKNOWN).mean())
            if split != "training":
                self.repeated_share[split] = corpus.repeated_share(split)
        self._tokens_a_character = len(whole) / len(corpus.test)
        self._guessing = _unigram(self.training.tokens, self.test.tokens, self.classes)
        self._warn_of_repeated()
        self._warn_of_unknown()
        self.fingerprint = self._fingerprint()

    def _stream(self, corpus: Corpus, split: str) -> Stream:
        tokens = self.tokenizer.encode(getattr(corpus, split))
        if len(tokens) < _FEWEST_TOKENS:
            raise ValueError(
                f"task.path: the text is too short: expected {_FEWEST_TOKENS} tokens for {split} "
                f"at least, got {len(tokens)}. Take a longer one; of a text without splits of its "
                "own a twentieth each is for validation and test, so about "
                f"{20 * _FEWEST_TOKENS} tokens are enough."
            )
        return Stream(tokens, self.tokenizer.start)

    def _fingerprint(self) -> str:
        tokenizer = json.dumps(self.tokenizer.to_json(), sort_keys=True).encode()
        arrays = {
            split: getattr(self, split).tokens for split in ("training", "validation", "test")
        }
        return fingerprint({"tokenizer": np.frombuffer(tokenizer, np.uint8), **arrays})

    def _warn_of_repeated(self):
        for split, share in self.repeated_share.items():
            if share > _MUCH_REPEATED:
                _logger.warning(
                    "%s: %.0f%% of the text in long lines of %s is in training as well, so a model "
                    "may know it by heart and its loss say little. Remove what is repeated.",
                    self.name,
                    100 * share,
                    split,
                )

    def _warn_of_unknown(self):
        """Of characters nothing: all of them are to be known."""

    def answers(self) -> dict:
        return {"vocabulary_size": self.classes}

    def keepsakes(self) -> dict[str, dict]:
        return {"tokenizer.json": self.tokenizer.to_json()}

    def loss(self) -> None:
        return None

    def metrics_in_keras(self) -> list:
        return []

    def training_batches(self, batch_size, seed, window=None, first_epoch=0):
        self._require(window)
        return bptt_batches.training_batches(self.training, batch_size, window, seed, first_epoch)

    def validation_batches(self, batch_size, window=None):  # noqa: ARG002
        self._require(window)
        return bptt_batches.evaluation_batches(self.validation, _EVALUATION_ROWS, _EVALUATION_STEPS)

    def batches_an_epoch(self, batch_size, window=None) -> int:
        self._require(window)
        return self.training.windows_an_epoch(batch_size, window)

    def _require(self, window):
        if window is None:
            raise ValueError(
                f"training.window: expected the steps of a window, as {self.name} is one long "
                "text, got null. Take training=language, or set it."
            )

    def examples_to_look_into(self, count: int) -> Examples:
        """Windows of the validation text, each read by itself."""
        steps = min(_STEPS_LOOKED_INTO, (len(self.validation) - 1) // count)
        y = self.validation.tokens[1 : 1 + count * steps].reshape(count, steps)
        x = self.validation.tokens[: count * steps].reshape(count, steps)
        return Examples(x, y, np.ones(y.shape, np.float32))

    def names_of_steps(self, inputs: np.ndarray) -> list[str]:
        return [repr(word)[1:-1] for word in super().names_of_steps(inputs)]

    def evaluate(self, model) -> Report:
        """Cross-entropy in nats a token and perplexity, over every token of the test text.

        Bits per character are the bits of the whole test text by the number of its characters, of
        words, too; yet a word that is read as `<UNK>` has cost no bits to spell. Where
        `evaluation_tokens` cuts the text, its characters count by its share of the tokens.

        Args:
            model: with a method `negative_log_likelihoods(tokens, start)`.
        """
        losses = model.negative_log_likelihoods(self.test.tokens, self.test.start)
        mean = float(losses.mean())
        use = Report({})
        if self.context_positions:
            use = use_of_context(model, self.test, self.context_positions, _CONTEXT_SEED)
        breakdowns = {**self._breakdowns(losses), **use.breakdowns}
        judged = breakdowns if self.metric.key == "cross_entropy" else ()
        return Report(
            {
                "cross_entropy": mean,
                "bits_per_character": mean / math.log(2) * self._tokens_a_character,
                "perplexity": _perplexity(mean),
                "unknown_share": self.unknown_share["test"],
                "repeated_share": self.repeated_share["test"],
                **use.metrics,
            },
            breakdowns,
            judged=dict.fromkeys(judged, self.metric),
        )

    def _breakdowns(self, losses: np.ndarray) -> dict[Breakdown, list]:
        raise NotImplementedError


@dataclass(eq=False)
class Characters(LanguageModelling):
    """A text character by character; all characters of the training text are known."""

    kind: ClassVar[str] = "char"

    @property
    def metric(self) -> Metric:
        return Metric(
            "cross_entropy",
            "cross-entropy",
            self._guessing,
            None,
            higher_is_better=False,
            unit="nats a character",
            is_loss=True,
            logarithmic=True,
        )

    def make_tokenizer(self, text: str) -> Tokenizer:
        return CharacterTokenizer.of(text)

    def _breakdowns(self, losses):
        """How hard is a word's first character, how hard the later ones?"""
        letter = np.array([word.isalpha() for word in self.vocabulary])[self.test.tokens]
        steps = np.arange(len(letter))
        last_other = np.maximum.accumulate(np.where(letter, -1, steps))
        position = np.minimum(steps - last_other, _LONGEST_WORD)
        found = points(position[letter], losses[letter])
        return {Breakdown("cross-entropy", "letter's place in its word"): found}


@dataclass(eq=False)
class Words(LanguageModelling):
    """A text word by word, with `<UNK>` for rare ones and `<EOS>` at the end of each sentence.

    Attributes:
        vocabulary_size: at most this many words, with `<UNK>` and `<EOS>`.
        lower: whether letters are made small.
    """

    kind: ClassVar[str] = "word"

    vocabulary_size: int = 10_000
    lower: bool = True

    def __post_init__(self):
        super().__post_init__()
        require_whole("vocabulary_size", self.vocabulary_size, 3)

    @property
    def metric(self) -> Metric:
        guessing = _perplexity(self._guessing)
        return Metric("perplexity", "perplexity", guessing, None, higher_is_better=False)

    def make_tokenizer(self, text: str) -> Tokenizer:
        tokenised = self.corpus == "ptb"
        return WordTokenizer.of(text, self.vocabulary_size, self.lower, tokenised)

    def _warn_of_unknown(self):
        if not self.unknown_share["training"] and self.unknown_share["test"]:
            _logger.warning(
                "%s: task.vocabulary_size=%d has room for all words of training, so <UNK> is never "
                "trained, and %.1f%% of the test is read as it. Make it smaller.",
                self.name,
                self.vocabulary_size,
                100 * self.unknown_share["test"],
            )

    def _breakdowns(self, losses):
        """How much harder are rare words? Those of a rank to ten times that rank together."""
        ranks = 10.0 ** np.floor(np.log10(np.maximum(self.test.tokens, 1)))
        return {Breakdown("cross-entropy", "rank of the word, from"): points(ranks, losses)}


def _perplexity(nats: float) -> float:
    """e to the nats; infinity where no number is large enough, as of a run that diverges."""
    with np.errstate(over="ignore"):
        return float(np.exp(nats))


def _unigram(training: np.ndarray, test: np.ndarray, classes: int) -> float:
    """Nats a token by how frequent each is in training, with one more of each, whatever is read."""
    counts = np.bincount(training, minlength=classes) + 1
    return float(-np.log(counts / counts.sum())[test].mean())
