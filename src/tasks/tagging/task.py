"""The base class of the tagging tasks, and the tasks on CoNLL files."""

import abc
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic

import keras
import numpy as np

from unrolled.tasks.base.examples import PADDING, Examples, batches_by_length, pad
from unrolled.tasks.base.grouped_metrics import points
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.options import require_integer
from unrolled.tasks.base.task import Breakdown, Confusion, Report, Task
from unrolled.tasks.data.cache import fingerprint
from unrolled.tasks.data.pretrained_embeddings import read_vectors
from unrolled.tasks.data.vocabulary import UNKNOWN
from unrolled.tasks.tagging.columns import AnySentence, Sentence, check_columns
from unrolled.tasks.tagging.conll import PreparedConll, Splits, read_folder
from unrolled.tasks.tagging.entities import EntityF1, Scores, Tags, count_entities, entities
from unrolled.tasks.tagging.word_features import SHAPES, WordEncoder, normal

LOSS_BY_STEP = Breakdown("loss", "step")
_WORST = 20
_MAX_LONGEST_WORD = 1000  # Every word is padded to this number of characters.
_BATCH = 256
_STEPS_SHOWN = 40  # For the loss by step; few sentences are longer.


@dataclass(frozen=True, kw_only=True)
class TaggedSentences(Examples):
    """A split: `inputs` are word ids and `targets` tag ids, both `(sentences, steps)`.

    Attributes:
        capitals: capitalization classes, `(sentences, steps)`; see
            `unrolled.tasks.tagging.word_features`.
        characters: character ids, `(sentences, steps, longest word)`.
    """

    capitals: np.ndarray
    characters: np.ndarray

    def batch(self, rows: np.ndarray) -> tuple:
        """Returns inputs and tags for a `models.Tagger`, truncated to the longest sentence."""
        steps = slice(int(self.lengths[rows].max()))
        inputs = {
            "words": self.inputs[rows, steps],
            "capitals": self.capitals[rows, steps].astype(np.int32),
            "characters": self.characters[rows, steps].astype(np.int32),
        }
        return inputs, self.targets[rows, steps]

    @property
    def words(self) -> int:
        """The total number of words."""
        return int(self.lengths.sum())

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all arrays, by name."""
        parts = ("inputs", "targets", "capitals", "characters")
        return {name: getattr(self, name) for name in parts}


def encode_sentences(
    sentences: Sequence[Sequence[str]],
    encoder: WordEncoder,
    tags: Sequence[np.ndarray] | None = None,
) -> TaggedSentences:
    """Converts sentences to arrays of ids.

    Args:
        sentences: non-empty sequences of words.
        encoder: converts words to ids.
        tags: tag ids of each sentence, int `(steps,)`; None if they are unknown.
    """
    encoded = [encoder.encode(words) for words in sentences]
    words = pad([sentence.words for sentence in encoded])
    shape = (*words.shape, encoder.longest_word)
    capitals, characters = np.zeros(words.shape, np.uint8), np.zeros(shape, np.uint16)
    for row, sentence in enumerate(encoded):
        capitals[row, : len(sentence.words)] = sentence.capitals
        characters[row, : len(sentence.words)] = sentence.characters
    targets = np.zeros_like(words) if tags is None else pad(list(tags))
    return TaggedSentences(words, targets, capitals=capitals, characters=characters)


@dataclass(eq=False)
class Tagging(Task, Generic[AnySentence]):
    """Predict a tag for every word of a sentence: many-to-many.

    The vocabulary of words and characters is that of the training sentences.

    Attributes:
        longest_word: maximum number of characters read per word.
        vectors: a text file of pretrained word embeddings, such as GloVe's, or None. Its words are
            added to the vocabulary if they occur in any split.
        train_examples: maximum number of training sentences, from the beginning; None for all.
        evaluation_examples: the same for validation and test.
        tags: after `load`, the `unrolled.tasks.tagging.entities.Tags`.
        encoder: after `load`, converts words to ids.
        test_sentences: after `load`, the `Sentence`s of the test split.
        unknown_fraction: after `load`, by split, the fraction of words that are not in the
            vocabulary.
    """

    per_step: ClassVar[bool] = True
    model: ClassVar[str] = "tagger"
    counted: ClassVar[str] = "sentences"

    longest_word: int = 15
    vectors: str | os.PathLike | None = None
    train_examples: int | None = None
    evaluation_examples: int | None = None

    def __post_init__(self):
        require_integer("longest_word", self.longest_word, 1, _MAX_LONGEST_WORD)
        for name in ("train_examples", "evaluation_examples"):
            if getattr(self, name) is not None:
                require_integer(name, getattr(self, name), 1)

    @abc.abstractmethod
    def read(self) -> Splits[AnySentence]:
        """Returns all sentences of each split."""

    def load(self) -> None:
        splits = self.read()
        sentences_by_split = {
            "training": splits.training[: self.train_examples],
            "validation": splits.validation[: self.evaluation_examples],
            "test": splits.test[: self.evaluation_examples],
        }
        self.test_sentences = sentences_by_split["test"]
        # Includes types that occur only in validation or test: these count as missed.
        self.tags = Tags(sorted(_types([*splits.training, *splits.validation, *splits.test])))
        self._vectors = self._read_vectors(sentences_by_split)
        self.encoder = WordEncoder.of(
            [sentence.words for sentence in sentences_by_split["training"]],
            self.longest_word,
            self._vectors,
        )
        self.vocabulary = self.encoder.vocabulary.words
        self.classes = len(self.tags.names)
        self.unknown_fraction: dict[str, float] = {}
        for split, sentences in sentences_by_split.items():
            examples = self._encode(sentences)
            setattr(self, split, examples)
            self.unknown_fraction[split] = float(
                (examples.inputs == UNKNOWN).sum() / examples.words
            )
        self.fingerprint = self._fingerprint()

    def _read_vectors(self, splits: dict[str, list[AnySentence]]) -> dict[str, np.ndarray]:
        if self.vectors is None:
            return {}
        words = {normal(word) for each in splits.values() for one in each for word in one.words}
        return read_vectors(Path(str(self.vectors)).expanduser(), words)

    def _encode(self, sentences: list[AnySentence]) -> TaggedSentences:
        tags = [self.tags.encode(sentence.tags) for sentence in sentences]
        return encode_sentences([sentence.words for sentence in sentences], self.encoder, tags)

    def _fingerprint(self) -> str:
        files = json.dumps(self.model_files(), sort_keys=True).encode()
        arrays = {"speller": np.frombuffer(files, np.uint8)}
        if self._vectors:
            arrays["vectors"] = np.stack(list(self._vectors.values()))
        for split in ("training", "validation", "test"):
            for name, array in getattr(self, split).arrays().items():
                arrays[f"{split} {name}"] = array
        return fingerprint(arrays)

    def model_arguments(self) -> dict[str, Any]:
        return {
            "vocabulary_size": len(self.encoder.vocabulary),
            "characters": self.encoder.character_count,
            "longest_word": self.longest_word,
            "shapes": len(SHAPES),
            "tags": self.classes,
            "legal_starts": self.tags.legal_starts().tolist(),
            "legal_transitions": self.tags.legal_transitions().tolist(),
            "vectors": self._vectors_by_id(),
        }

    def _vectors_by_id(self) -> tuple[np.ndarray, np.ndarray] | None:
        if not self._vectors:
            return None
        words = list(self._vectors)
        return self.encoder.vocabulary.encode(words), np.stack([self._vectors[w] for w in words])

    def model_files(self) -> dict[str, dict]:
        return {"speller.json": {**self.encoder.to_json(), "types": self.tags.types}}

    def loss(self) -> None:
        return None

    def keras_metrics(self) -> list[keras.metrics.Metric]:
        return [EntityF1(self.tags)]

    def evaluate(self, model: keras.Model) -> Report:
        """Reports the entities of the test split as conlleval counts them, overall and by type.

        Also reports the tag accuracy per word; the mean loss L<t> at every step t, whose sum over a
        sentence is its loss; the confusion matrix of entity types per word; and the sentences with
        the most entity errors, where ties are broken by the higher loss.

        Args:
            model: a `models.Tagger`.
        """
        predicted, losses = self._predict(model)
        mask = self.test.inputs != PADDING
        scores = Scores.of(count_entities(self.test.targets, predicted, mask, self.tags), self.tags)
        correct = predicted == self.test.targets
        metrics = {
            "f1": scores.overall.f1,
            "precision": scores.overall.precision,
            "recall": scores.overall.recall,
            "token_accuracy": float(correct[mask].mean()),
            "loss_a_sentence": float(losses.sum() / len(losses)),
            "unknown_fraction": self.unknown_fraction["test"],
        }
        steps = np.broadcast_to(np.arange(1, mask.shape[1] + 1), mask.shape)
        shown = mask & (steps <= _STEPS_SHOWN)
        task_report = self._task_report(predicted)
        return Report(
            metrics | {f"f1_{each.type}": each.f1 for each in scores.by_type} | task_report.metrics,
            {LOSS_BY_STEP: points(steps[shown], losses[shown]), **task_report.breakdowns},
            {"entities_by_type": scores.table(), "worst_sentences": self._worst(predicted, losses)},
            {"types_of_words": self._confusion(predicted[mask], self.test.targets[mask])},
            task_report.judged,
        )

    def _predict(self, model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
        """Returns the predicted tags and the losses of the test split, `(sentences, steps)`."""
        predicted = np.zeros_like(self.test.targets)
        losses = np.zeros(predicted.shape)
        for rows in batches_by_length(self.test.lengths, _BATCH):
            tags, losses_by_step = model.tag_with_losses(*self.test.batch(rows))
            steps = tags.shape[1]
            predicted[rows, :steps], losses[rows, :steps] = tags, losses_by_step
        return predicted, losses

    def _task_report(self, predicted: np.ndarray) -> Report:  # noqa: ARG002
        """Returns task-specific results for the predicted tags, `(sentences, steps)`."""
        return Report({})

    def _confusion(self, predicted: np.ndarray, targets: np.ndarray) -> Confusion:
        classes = ["O", *self.tags.types]
        counts = np.zeros((len(classes), len(classes)), int)
        np.add.at(counts, ((targets + 1) // 2, (predicted + 1) // 2), 1)
        return Confusion(classes, counts)

    def _worst(self, predicted: np.ndarray, losses: np.ndarray) -> dict[str, list]:
        rows = []
        for row, sentence in enumerate(self.test_sentences):
            tags = self.tags.decode(predicted[row, : len(sentence.words)])
            gold, answer = entities(sentence.tags), entities(tags)
            wrong = len(set(gold) ^ set(answer))
            rows.append((wrong, losses[row].sum(), sentence.words, gold, answer))
        rows.sort(key=lambda each: each[:2], reverse=True)
        rows = [each for each in rows if each[0]][:_WORST]
        return {
            "entities wrong": [wrong for wrong, *_ in rows],
            "loss": [round(float(loss), 2) for _, loss, *_ in rows],
            "right": [bracketed(words, gold) for *_, words, gold, _ in rows],
            "found": [bracketed(words, answer) for *_, words, _, answer in rows],
        }


def bracketed(words: Sequence[str], found: Sequence) -> str:
    """Returns a sentence with its entities in brackets.

    >>> from unrolled.tasks.tagging.entities import entities
    >>> bracketed(["Teddy", "Roosevelt", "was"], entities(["B-PER", "I-PER", "O"]))
    '[PER Teddy Roosevelt] was'
    """
    starts = {each.start: each for each in found}
    stops = {each.stop for each in found}
    text = []
    for step, word in enumerate(words):
        opening = f"[{starts[step].type} " if step in starts else ""
        text.append(f"{opening}{word}{']' if step + 1 in stops else ''}")
    return " ".join(text)


def _types(sentences: Iterable[Sentence]) -> set[str]:
    return {tag.partition("-")[2] for sentence in sentences for tag in sentence.tags if tag != "O"}


@dataclass(eq=False)
class Conll2003(Tagging[Sentence]):
    """The CoNLL-2003 news corpus: persons, organizations, locations and others (MISC).

    Source: Tjong Kim Sang & De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task:
    Language-Independent Named Entity Recognition".
    """

    name: ClassVar[str] = "conll2003"
    metric = Metric("f1", "F1", 0.0, 0.8, higher_is_better=True, is_fraction=True)

    def read(self) -> Splits[Sentence]:
        prepared = PreparedConll()
        prepared.prepare()
        return prepared.read()


@dataclass(eq=False)
class ConllFiles(Tagging[Sentence]):
    """Files in CoNLL columns: a word with its tag on each line, an empty line between sentences.

    Attributes:
        path: folder of the three files; see `unrolled.tasks.tagging.conll.read_folder`.
        columns: a name for each column, of which `word`, `tag` and `id` are read; None for the word
            in the first and the tag in the last column. See `unrolled.tasks.tagging.columns`.
    """

    name: ClassVar[str] = "conll"
    metric = Metric("f1", "F1", 0.0, None, higher_is_better=True, is_fraction=True)

    path: str | os.PathLike = ""
    columns: Sequence[str] | None = None

    def __post_init__(self):
        super().__post_init__()
        check_columns(self.columns)

    def read(self) -> Splits[Sentence]:
        return read_folder(self.path, self.columns)
