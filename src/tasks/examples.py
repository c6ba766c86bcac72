"""Examples of unequal length, and the batches made of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

PADDING = 0  # The word number of padding; every vocabulary keeps it free.
_BATCHES_SORTED_TOGETHER = 50


@dataclass(frozen=True)
class Examples:
    """One split of a data set: word numbers, and what is asked about them.

    `inputs` is int32 `(examples, steps)`, padded with `PADDING` on the right.
    For one question an example, `targets` is int32 `(examples,)` and `asked` is None.
    For questions at single steps, `targets` is int32 `(examples, steps)` and `asked` float32 of the
    same shape: 1 at a step with a question, 0 elsewhere.
    """

    inputs: np.ndarray
    targets: np.ndarray
    asked: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Steps of each example without its padding, int64 `(examples,)`."""
        return np.count_nonzero(self.inputs != PADDING, axis=1)

    def first(self, count: int | None) -> "Examples":
        """The first `count` examples, or all of them for None or a count beyond the last."""
        part = slice(count)
        asked = None if self.asked is None else self.asked[part]
        return Examples(self.inputs[part], self.targets[part], asked)

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


def training_batches(examples: Examples, batch_size: int, seed: int) -> tf.data.Dataset:
    """All examples once an epoch, in another order each epoch, the same for the same seed."""
    rng = np.random.default_rng(seed)
    lengths = examples.lengths

    def epoch() -> Iterator[tuple[np.ndarray, ...]]:
        for rows in batches_by_length(lengths, batch_size, rng):
            yield examples.batch(rows)

    return _as_dataset(epoch, examples, len(batches_by_length(lengths, batch_size)))


def evaluation_batches(examples: Examples, batch_size: int) -> tf.data.Dataset:
    """All examples once, by length."""
    batches = batches_by_length(examples.lengths, batch_size)
    return _as_dataset(lambda: map(examples.batch, batches), examples, len(batches))


def _as_dataset(epoch, examples: Examples, count: int) -> tf.data.Dataset:
    inputs, targets = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)
    if examples.asked is None:
        signature = (inputs, targets)
    else:
        signature = (inputs, inputs, tf.TensorSpec((None, None), tf.float32))
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)


def predict(model, examples: Examples, batch_size: int = 256) -> np.ndarray:
    """The class of highest score for every target, int32, shaped as `examples.targets`."""
    predicted = np.zeros_like(examples.targets)
    for rows in batches_by_length(examples.lengths, batch_size):
        scores = np.argmax(model.predict_on_batch(examples.batch(rows)[0]), axis=-1)
        if scores.ndim == 1:
            predicted[rows] = scores
        else:
            predicted[rows, : scores.shape[1]] = scores
    return predicted
