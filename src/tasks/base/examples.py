"""Examples of variable length, and batches of them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import count

import keras
import numpy as np
import tensorflow as tf
from keras import tree

PADDING = 0  # Token id of padding, reserved in every vocabulary.
_BATCHES_PER_POOL = 50


@dataclass(frozen=True)
class Examples:
    """One split of a data set: inputs and targets.

    Attributes:
        inputs: int32 token ids `(examples, steps)`, padded with `PADDING` on the right; or float32
            vectors `(examples, steps, features)` without padding.
        targets: `(examples,)` for one target per sequence, or `(examples, steps)`; int32 for
            classes, float32 for regression.
        target_mask: float32 `(examples, steps)`, 1 at steps with a target and 0 elsewhere; None for
            one target per sequence.
    """

    inputs: np.ndarray
    targets: np.ndarray
    target_mask: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def lengths(self) -> np.ndarray:
        """The number of steps of each example without padding, int64 `(examples,)`."""
        if self.inputs.ndim == 3:  # Vectors have no padding.
            return np.full(len(self), self.inputs.shape[1])
        return np.count_nonzero(self.inputs != PADDING, axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by name; fingerprints of the data depend on these names."""
        arrays = {"inputs": self.inputs, "targets": self.targets, "asked": self.target_mask}
        return {name: array for name, array in arrays.items() if array is not None}

    def first(self, count: int | None) -> "Examples":
        """Returns the first `count` examples; all of them if `count` is None or too large."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: v[:count] for k, v in arrays.items() if v is not None})

    def of_epoch(self, seed: int, epoch: int) -> "Examples":  # noqa: ARG002
        """Returns the training examples of an epoch, which are always the same."""
        return self

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns inputs, targets and sample weights, if any, for `keras.Model.fit`.

        The batch is truncated to the length of its longest example.
        """
        longest = int(self.lengths[rows].max())
        steps = slice(longest)
        if self.target_mask is None:
            return self.inputs[rows, steps], self.targets[rows]
        # Keras's metrics average the weights over the steps before summing them. Without this
        # factor, a target in a longer batch would have less weight.
        weights = self.target_mask[rows, steps] * np.float32(longest)
        return self.inputs[rows, steps], self.targets[rows, steps], weights


@dataclass(frozen=True)
class FreshExamples:
    """A training split that is generated anew for each epoch.

    Attributes:
        count: number of examples per epoch.
        make: generates the `Examples` of an epoch from the run's seed and the index of the epoch.
            The result is deterministic.
    """

    count: int
    make: Callable[[int, int], Examples]

    def __len__(self) -> int:
        return self.count

    def of_epoch(self, seed: int, epoch: int) -> Examples:
        """Returns the training examples of an epoch."""
        return self.make(seed, epoch)


def pad(sequences: list[np.ndarray], dtype: type = np.int32) -> np.ndarray:
    """Stacks sequences of different lengths, padded with `PADDING` on the right."""
    shape = (len(sequences), max(map(len, sequences), default=0))
    padded: np.ndarray = np.full(shape, PADDING, dtype)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded


def batches_by_length(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Groups row indices into batches of similar length, to reduce padding.

    Args:
        lengths: length of every row, `(rows,)`.
        batch_size: number of rows per batch.
        rng: if given, the rows are shuffled, sorted by length within pools of `_BATCHES_PER_POOL`
            batches, and the batches are shuffled, so that batches differ between epochs. If None,
            all rows are sorted by length.
    """
    rows = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    pool_size = len(rows) if rng is None else batch_size * _BATCHES_PER_POOL
    batches = []
    for start in range(0, len(rows), max(pool_size, 1)):
        pool = rows[start : start + pool_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    if rng is not None:
        rng.shuffle(batches)
    return batches


def training_batches(
    training: Examples | FreshExamples, batch_size: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Returns the shuffled training batches; every epoch has a different, deterministic order.

    Args:
        training: the training split.
        batch_size: number of examples per batch.
        seed: determines the order.
        first_epoch: index of the first epoch; the order is the same as if training had started at
            0.
    """
    rng = np.random.default_rng(seed)
    epochs = count(first_epoch)  # Keras starts one extra epoch to inspect the first batch.
    for index in range(first_epoch):
        batches_by_length(training.of_epoch(seed, index).lengths, batch_size, rng)

    def epoch() -> Iterator[tuple[np.ndarray, ...]]:
        examples = training.of_epoch(seed, next(epochs))
        for rows in batches_by_length(examples.lengths, batch_size, rng):
            yield examples.batch(rows)

    batches = math.ceil(len(training) / batch_size)
    return _as_dataset(epoch, training.of_epoch(seed, 0), batches)


def evaluation_batches(examples: Examples, batch_size: int) -> tf.data.Dataset:
    """Returns all examples once, sorted by length."""
    batches = batches_by_length(examples.lengths, batch_size)
    return _as_dataset(lambda: map(examples.batch, batches), examples, len(batches))


def _as_dataset(
    epoch: Callable[[], Iterator[tuple[np.ndarray, ...]]], like: Examples, batches: int
) -> tf.data.Dataset:
    """Creates a dataset from a generator of batches; `like` determines dtypes and ranks."""
    signature = tree.map_structure(
        lambda array: tf.TensorSpec((None, None, *array.shape[2:])[: array.ndim], array.dtype),
        like.batch(np.arange(1)),
    )
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(2)


def outputs(
    model: keras.Model, examples: Examples, batch_size: int = 256
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the row indices and the model outputs of batches of similar length.

    All batches have as many rows, so that Keras traces the model for one shape and then for any
    length. The last batch is filled up with its first row.
    """
    size = min(batch_size, len(examples))
    for rows in batches_by_length(examples.lengths, batch_size):
        filled = np.concatenate([rows, np.repeat(rows[:1], size - len(rows))])
        yield rows, model.predict_on_batch(examples.batch(filled)[0])[: len(rows)]


def predict(model: keras.Model, examples: Examples) -> np.ndarray:
    """Returns the highest-scoring class for every target, int32, shaped like `examples.targets`."""
    predicted = np.zeros_like(examples.targets)
    for rows, scores in outputs(model, examples):
        classes = np.argmax(scores, axis=-1)
        if classes.ndim == 1:
            predicted[rows] = classes
        else:
            predicted[rows, : classes.shape[1]] = classes
    return predicted
