"""Examples of unequal length, and the batches made of them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import count

import numpy as np
import tensorflow as tf
from keras import tree

PADDING = 0  # The word number of padding; every vocabulary keeps it free.
_BATCHES_SORTED_TOGETHER = 50


@dataclass(frozen=True)
class Examples:
    """One split of a data set: what is read, and what is asked about it.

    `inputs` is int32 `(examples, steps)`, word numbers padded with `PADDING` on the right, or
    float32 `(examples, steps, features)`, vectors without padding.
    For one question an example, `targets` is `(examples,)` and `asked` is None.
    For questions at single steps, `targets` is `(examples, steps)` and `asked` float32 of the same
    shape: 1 at a step with a question, 0 elsewhere.
    Targets are int32 where they are classes and float32 where they are numbers.
    """

    inputs: np.ndarray
    targets: np.ndarray
    asked: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Steps of each example without its padding, int64 `(examples,)`."""
        if self.inputs.ndim == 3:  # A zero in a vector is a number like any other.
            return np.full(len(self), self.inputs.shape[1])
        return np.count_nonzero(self.inputs != PADDING, axis=1)

    def first(self, count: int | None) -> "Examples":
        """The first `count` examples, or all of them for None or a count beyond the last."""
        arrays = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{k: v[:count] for k, v in arrays.items() if v is not None})

    def of_epoch(self, seed: int, epoch: int) -> "Examples":  # noqa: ARG002
        """What an epoch trains on: the same in all."""
        return self

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """What `keras.Model.fit` takes: inputs, targets and any weights, cut to the longest."""
        longest = int(self.lengths[rows].max())
        steps = slice(longest)
        if self.asked is None:
            return self.inputs[rows, steps], self.targets[rows]
        # Keras's metrics take the mean of weights over steps before they sum them up: without the
        # factor a question would count less the longer its batch is.
        weights = self.asked[rows, steps] * np.float32(longest)
        return self.inputs[rows, steps], self.targets[rows, steps], weights


@dataclass(frozen=True)
class FreshExamples:
    """A training split that is made anew for each epoch.

    Attributes:
        count: examples an epoch.
        make: makes an epoch's `Examples` of a run's seed and the epoch's number; the same for the
            same two.
    """

    count: int
    make: Callable[[int, int], Examples]

    def __len__(self) -> int:
        return self.count

    def of_epoch(self, seed: int, epoch: int) -> Examples:
        """What an epoch trains on."""
        return self.make(seed, epoch)


def pad(sequences: list[np.ndarray], dtype=np.int32) -> np.ndarray:
    """Rows of unequal length as one matrix, padded with `PADDING` on the right."""
    padded = np.full((len(sequences), max(map(len, sequences), default=0)), PADDING, dtype)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded


def batches_by_length(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Row numbers in batches of like length, so that little padding is computed.

    With `rng`, rows are shuffled first, sorted only among `_BATCHES_SORTED_TOGETHER` batches, and
    the batches shuffled after, so that each epoch sees other neighbours. Without, by length.
    """
    rows = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    pool = len(rows) if rng is None else batch_size * _BATCHES_SORTED_TOGETHER
    batches = []
    for start in range(0, len(rows), max(pool, 1)):
        part = rows[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    if rng is not None:
        rng.shuffle(batches)
    return batches


def training_batches(
    training: Examples | FreshExamples, batch_size: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """All examples of an epoch once, in another order each epoch, the same for the same seed.

    With `first_epoch` the order is that of the epochs after so many.
    """
    rng = np.random.default_rng(seed)
    epochs = count(first_epoch)  # Keras begins one more than it trains, to look at a first batch.
    for number in range(first_epoch):
        batches_by_length(training.of_epoch(seed, number).lengths, batch_size, rng)

    def epoch() -> Iterator[tuple[np.ndarray, ...]]:
        examples = training.of_epoch(seed, next(epochs))
        for rows in batches_by_length(examples.lengths, batch_size, rng):
            yield examples.batch(rows)

    batches = math.ceil(len(training) / batch_size)
    return _as_dataset(epoch, training.of_epoch(seed, 0), batches)


def evaluation_batches(examples: Examples, batch_size: int) -> tf.data.Dataset:
    """All examples once, by length."""
    batches = batches_by_length(examples.lengths, batch_size)
    return _as_dataset(lambda: map(examples.batch, batches), examples, len(batches))


def _as_dataset(epoch, like: Examples, batches: int) -> tf.data.Dataset:
    """The batches of each call of `epoch`, of whose examples `like` are some."""
    signature = tree.map_structure(
        lambda array: tf.TensorSpec((None, None, *array.shape[2:])[: array.ndim], array.dtype),
        like.batch(np.arange(1)),
    )
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(2)


def outputs(
    model, examples: Examples, batch_size: int = 256
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What the model makes of every batch of like length, after the rows of its examples."""
    for rows in batches_by_length(examples.lengths, batch_size):
        yield rows, model.predict_on_batch(examples.batch(rows)[0])


def predict(model, examples: Examples) -> np.ndarray:
    """The class of highest score for every target, int32, shaped as `examples.targets`."""
    predicted = np.zeros_like(examples.targets)
    for rows, scores in outputs(model, examples):
        classes = np.argmax(scores, axis=-1)
        if classes.ndim == 1:
            predicted[rows] = classes
        else:
            predicted[rows, : classes.shape[1]] = classes
    return predicted
