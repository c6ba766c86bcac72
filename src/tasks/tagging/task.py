"""Which words are names, and of what? Entities in sentences, a tag at every word."""

import abc
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np

from unrolled.tasks.base.examples import PADDING, Examples, batches_by_length, pad
from unrolled.tasks.base.grouped_metrics import points
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.options import require_whole
from unrolled.tasks.base.task import Breakdown, Confusion, Report, Task
from unrolled.tasks.data.cache import fingerprint
from unrolled.tasks.data.pretrained_embeddings import read_vectors
from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.tagging.columns import Sentence, check_columns
from unrolled.tasks.tagging.conll import PreparedConll, Splits, read_folder
from unrolled.tasks.tagging.entities import EntityF1, Scores, Tags, count_entities, entities
from unrolled.tasks.tagging.word_features import SHAPES, Speller, normal

LOSS_BY_STEP = Breakdown("loss", "step")
_WORST = 20
_BATCH = 256
_STEPS_SHOWN = 40  # Of the loss by step; few sentences are longer.


@dataclass(frozen=True, kw_only=True)
class TaggedSentences(Examples):
    """A split: `inputs` are word numbers, `targets` tags, both `(sentences, steps)`.

    Attributes:
        capitals: kinds, `(sentences, steps)`; see `unrolled.tasks.tagging.word_features`.
        characters: `(sentences, steps, longest word)`.
    """

    capitals: np.ndarray
    characters: np.ndarray

    def batch(self, rows: np.ndarray) -> tuple:
        """What a `models.Tagger` takes in `fit`: its inputs and the tags, cut to the longest."""
        steps = slice(int(self.lengths[rows].max()))
        inputs = {
            "words": self.inputs[rows, steps],
            "capitals": self.capitals[rows, steps].astype(np.int32),
            "characters": self.characters[rows, steps].astype(np.int32),
        }
        return inputs, self.targets[rows, steps]

    @property
    def words(self) -> int:
        """How many there are in all."""
        return int(self.lengths.sum())

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, by name."""
        parts = ("inputs", "targets", "capitals", "characters")
        return {name: getattr(self, name) for name in parts}


def spelled(
    sentences: Sequence[Sequence[str]], speller: Speller, tags: Sequence[np.ndarray] | None = None
) -> TaggedSentences:
    """Sentences as numbers.

    Args:
        sentences: of words, each with one at least.
        speller: makes the numbers.
        tags: the tags of each sentence, int `(steps,)`; None where they are not known.
    """
    each = [speller.spell(words) for words in sentences]
    words = pad([one.words for one in each])
    shape = (*words.shape, speller.longest_word)
    capitals, characters = np.zeros(words.shape, np.uint8), np.zeros(shape, np.uint16)
    for row, one in enumerate(each):
        capitals[row, : len(one.words)] = one.capitals
        characters[row, : len(one.words)] = one.characters
    targets = np.zeros_like(words) if tags is None else pad(list(tags))
    return TaggedSentences(words, targets, capitals=capitals, characters=characters)


@dataclass(eq=False)
class Tagging(Task):
    """A tag for every word of a sentence: many-to-many.

    Words and characters that the model knows are those of the training sentences.

    Attributes:
        longest_word: characters that are read of a word.
        vectors: a text file of word vectors to begin with, such as GloVe's, whose words are known
            too where any split has them; None for none.
        train_examples: at most this many sentences are trained on, the first ones; None for all.
        evaluation_examples: the same of validation and test.
        tags: after `load`, the `unrolled.tasks.tagging.entities.Tags`.
        speller: after `load`, makes numbers of words.
        test_sentences: after `load`, the `Sentence`s of the test split.
        unknown_share: after `load`, by split the share of its words that the model does not know.
    """

    per_step: ClassVar[bool] = True
    model: ClassVar[str] = "tagger"
    counted: ClassVar[str] = "sentences"

    longest_word: int = 15
    vectors: str | os.PathLike | None = None
    train_examples: int | None = None
    evaluation_examples: int | None = None

    tags: ClassVar[Tags]
    speller: ClassVar[Speller]
    test_sentences: ClassVar[list[Sentence]]
    unknown_share: ClassVar[dict[str, float]]

    def __post_init__(self):
        require_whole("longest_word", self.longest_word, 1)
        for name in ("train_examples", "evaluation_examples"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), 1)

    @abc.abstractmethod
    def read(self) -> Splits:
        """All sentences of each split."""

    def load(self) -> None:
        splits = self.read()
        kept = {
            "training": splits.training[: self.train_examples],
            "validation": splits.validation[: self.evaluation_examples],
            "test": splits.test[: self.evaluation_examples],
        }
        self.test_sentences = kept["test"]
        # A type of which no sentence is trained on can be asked for all the same, and missed.
        self.tags = Tags(sorted(_types([*splits.training, *splits.validation, *splits.test])))
        self._vectors = self._read_vectors(kept)
        self.speller = Speller.of(
            [sentence.words for sentence in kept["training"]], self.longest_word, self._vectors
        )
        self.vocabulary = self.speller.vocabulary.words
        self.classes = len(self.tags.names)
        self.unknown_share = {}
        for split, sentences in kept.items():
            found = self._spelled(sentences)
            setattr(self, split, found)
            self.unknown_share[split] = float((found.inputs == UNKNOWN).sum() / found.words)
        self.fingerprint = self._fingerprint()

    def _read_vectors(self, splits):
        if self.vectors is None:
            return {}
        words = {normal(word) for each in splits.values() for one in each for word in one.words}
        return read_vectors(Path(str(self.vectors)).expanduser(), words)

    def _spelled(self, sentences: list[Sentence]) -> TaggedSentences:
        tags = [self.tags.encode(sentence.tags) for sentence in sentences]
        return spelled([sentence.words for sentence in sentences], self.speller, tags)

    def _fingerprint(self) -> str:
        kept = json.dumps(self.keepsakes(), sort_keys=True).encode()
        arrays = {"speller": np.frombuffer(kept, np.uint8)}
        if self._vectors:
            arrays["vectors"] = np.stack(list(self._vectors.values()))
        for split in ("training", "validation", "test"):
            for name, array in getattr(self, split).arrays().items():
                arrays[f"{split} {name}"] = array
        return fingerprint(arrays)

    def answers(self) -> dict:
        return {
            "vocabulary_size": len(self.vocabulary),
            "characters": self.speller.character_numbers,
            "longest_word": self.longest_word,
            "shapes": len(SHAPES),
            "tags": self.classes,
            "legal_starts": self.tags.legal_starts().tolist(),
            "legal_transitions": self.tags.legal_transitions().tolist(),
            "vectors": self._vectors_by_number(),
        }

    def _vectors_by_number(self):
        if not self._vectors:
            return None
        words = list(self._vectors)
        return self.speller.vocabulary.encode(words), np.stack([self._vectors[w] for w in words])

    def keepsakes(self) -> dict[str, dict]:
        return {"speller.json": {**self.speller.to_json(), "types": self.tags.types}}

    def loss(self) -> None:
        return None

    def metrics_in_keras(self) -> list[keras.metrics.Metric]:
        return [EntityF1(self.tags)]

    def evaluate(self, model) -> Report:
        """Entities of the test split as conlleval counts them, overall and by type.

        Beside them the share of words whose tag is right; the mean loss L<t> at every step t, whose
        sum over a sentence is its loss; how often words of each type were taken for another; and
        the sentences with the most entities missed or made up, of several the least probable.

        Args:
            model: a `models.Tagger`.
        """
        found, losses = self._judged(model)
        asked = self.test.inputs != PADDING
        scores = Scores.of(count_entities(self.test.targets, found, asked, self.tags), self.tags)
        right = found == self.test.targets
        metrics = {
            "f1": scores.overall.f1,
            "precision": scores.overall.precision,
            "recall": scores.overall.recall,
            "token_accuracy": float(right[asked].mean()),
            "loss_a_sentence": float(losses.sum() / len(losses)),
            "unknown_share": self.unknown_share["test"],
        }
        steps = np.broadcast_to(np.arange(1, asked.shape[1] + 1), asked.shape)
        shown = asked & (steps <= _STEPS_SHOWN)
        more = self._more(found)
        return Report(
            metrics | {f"f1_{each.type}": each.f1 for each in scores.by_type} | more.metrics,
            {LOSS_BY_STEP: points(steps[shown], losses[shown]), **more.breakdowns},
            {"entities_by_type": scores.table(), "worst_sentences": self._worst(found, losses)},
            {"types_of_words": self._confusion(found[asked], self.test.targets[asked])},
            more.judged,
        )

    def _judged(self, model):
        """Predicted tags and losses of the test split, `(sentences, steps)`."""
        found = np.zeros_like(self.test.targets)
        losses = np.zeros(found.shape)
        for rows in batches_by_length(self.test.lengths, _BATCH):
            tags, of_steps = model.tag_and_judge(*self.test.batch(rows))
            steps = tags.shape[1]
            found[rows, :steps], losses[rows, :steps] = tags, of_steps
        return found, losses

    def _more(self, found: np.ndarray) -> Report:  # noqa: ARG002
        """What else a task has to say of the tags found, `(sentences, steps)`."""
        return Report({})

    def _confusion(self, found, right):
        classes = ["O", *self.tags.types]
        counts = np.zeros((len(classes), len(classes)), int)
        np.add.at(counts, ((right + 1) // 2, (found + 1) // 2), 1)
        return Confusion(classes, counts)

    def _worst(self, found, losses):
        rows = []
        for row, sentence in enumerate(self.test_sentences):
            tags = self.tags.decode(found[row, : len(sentence.words)])
            right, answered = entities(sentence.tags), entities(tags)
            wrong = len(set(right) ^ set(answered))
            rows.append((wrong, losses[row].sum(), sentence.words, right, answered))
        rows.sort(key=lambda each: each[:2], reverse=True)
        rows = [each for each in rows if each[0]][:_WORST]
        return {
            "entities wrong": [wrong for wrong, *_ in rows],
            "loss": [round(float(loss), 2) for _, loss, *_ in rows],
            "right": [marked(words, right) for *_, words, right, _ in rows],
            "found": [marked(words, answered) for *_, words, _, answered in rows],
        }


def marked(words: Sequence[str], found: Sequence) -> str:
    """A sentence with its entities in brackets.

    >>> from unrolled.tasks.tagging.entities import entities
    >>> marked(["Teddy", "Roosevelt", "was"], entities(["B-PER", "I-PER", "O"]))
    '[PER Teddy Roosevelt] was'
    """
    starts = {each.start: each for each in found}
    stops = {each.stop for each in found}
    text = []
    for step, word in enumerate(words):
        before = f"[{starts[step].type} " if step in starts else ""
        text.append(f"{before}{word}{']' if step + 1 in stops else ''}")
    return " ".join(text)


def _types(sentences):
    return {tag.partition("-")[2] for sentence in sentences for tag in sentence.tags if tag != "O"}


@dataclass(eq=False)
class Conll2003(Tagging):
    """The news of CoNLL-2003: persons, organisations, places and others (MISC).

    Source: Tjong Kim Sang & De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task:
    Language-Independent Named Entity Recognition".
    """

    name: ClassVar[str] = "conll2003"
    metric: ClassVar[Metric] = Metric("f1", "F1", 0.0, 0.8, higher_is_better=True, share=True)

    def read(self) -> Splits:
        prepared = PreparedConll()
        prepared.prepare()
        return prepared.read()


@dataclass(eq=False)
class ConllFiles(Tagging):
    """Files in CoNLL columns: a word with its tag on each line, an empty line between sentences.

    Attributes:
        path: the folder of the three files; see `unrolled.tasks.tagging.conll.read_folder`.
        columns: a name for each of their columns, of which `word`, `tag` and `id` are read; None
            for the word first and the tag last. See `unrolled.tasks.tagging.columns`.
    """

    name: ClassVar[str] = "conll"
    metric: ClassVar[Metric] = Metric("f1", "F1", 0.0, None, higher_is_better=True, share=True)

    path: str | os.PathLike = ""
    columns: Sequence[str] | None = None

    def __post_init__(self):
        super().__post_init__()
        check_columns(self.columns)

    def read(self) -> Splits:
        return read_folder(self.path, self.columns)
