"""Windows of a text for truncated backpropagation through time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import tensorflow as tf

from unrolled.tasks.base.examples import PADDING

Window = tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]
"""Inputs x and flags of rows whose states are reset, targets y, and weights."""


@dataclass(frozen=True)
class TokenSequence:
    """One split of a text as token ids, with x<t> = y<t-1>.

    Attributes:
        tokens: y<1>, y<2>, ...: int32 `(tokens,)`.
        start: y<0>, the token id that precedes the first.
    """

    tokens: np.ndarray
    start: int

    def __len__(self) -> int:
        return len(self.tokens)

    def first(self, count: int | None) -> "TokenSequence":
        """Returns the first `count` tokens; all of them if `count` is None or too large."""
        return TokenSequence(self.tokens[:count], self.start)

    def windows_per_epoch(self, rows: int, steps: int) -> int:
        """Returns the number of complete windows per epoch, for any offset into the text.

        Raises:
            ValueError: if the text is too short for one window.
        """
        windows = (len(self) - (steps - 1)) // rows // steps
        if windows < 1:
            raise ValueError(
                f"The training text has {len(self)} tokens; expected at least "
                f"{rows * steps + steps - 1} for training.batch_size={rows} and "
                f"training.window={steps}. Decrease one of them, or use a longer text."
            )
        return windows

    def training_windows(self, rows: int, steps: int, skip: int) -> Iterator[Window]:
        """Yields windows of the text, starting at token `skip`, divided into `rows` parallel parts.

        Row r of a window continues where row r of the previous window ended, so that states can be
        carried from window to window. The remainder of each part, less than a window, is dropped.

        Yields:
            The inputs x `(rows, steps)` with flags `(rows,)` for rows whose states are reset, the
            targets y `(rows, steps)`, and their weights, all 1.
        """
        windows = self.windows_per_epoch(rows, steps)
        y = self.tokens[skip : skip + rows * windows * steps].reshape(rows, -1)
        x = self._inputs()[skip : skip + y.size].reshape(rows, -1)
        return _split_windows(x, y, np.ones(y.shape, np.float32), steps)

    def evaluation_windows(self, rows: int, steps: int) -> Iterator[Window]:
        """Yields every token once, in `rows` parallel parts; padding at their ends has weight 0."""
        windows = -(-len(self) // (rows * steps))
        size = (rows, windows * steps)
        length = -(-len(self) // rows)  # Of a part, without padding.

        def arranged(values, fill_value):
            values = np.pad(values, (0, rows * length - len(values)), constant_values=fill_value)
            values = values.reshape(rows, length)
            return np.pad(values, ((0, 0), (0, size[1] - length)), constant_values=fill_value)

        weights = arranged(np.ones(len(self), np.float32), 0)
        x, y = arranged(self._inputs(), PADDING), arranged(self.tokens, PADDING)
        return _split_windows(x, y, weights, steps)

    def _inputs(self) -> np.ndarray:
        return np.concatenate([np.array([self.start], np.int32), self.tokens[:-1]])


def _split_windows(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, steps: int
) -> Iterator[Window]:
    for begin in range(0, x.shape[1], steps):
        window = slice(begin, begin + steps)
        begins = np.full(len(x), begin == 0)
        yield (x[:, window], begins), y[:, window], weights[:, window]


def training_batches(
    text: TokenSequence, rows: int, steps: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Returns the windows of each epoch, which starts at a different offset every time.

    Raises:
        ValueError: if the text is too short for one window.
    """
    windows = text.windows_per_epoch(rows, steps)
    epochs = count(first_epoch)  # Keras starts one extra epoch to inspect the first batch.

    def epoch():
        rng = np.random.default_rng([seed, next(epochs)])
        return text.training_windows(rows, steps, int(rng.integers(steps)))

    return _as_dataset(epoch, rows, steps, windows)


def evaluation_batches(text: TokenSequence, rows: int, steps: int) -> tf.data.Dataset:
    """Returns all windows of a text, in which every token counts once."""
    windows = -(-len(text) // (rows * steps))
    return _as_dataset(lambda: text.evaluation_windows(rows, steps), rows, steps, windows)


def _as_dataset(
    epoch: Callable[[], Iterator[Window]], rows: int, steps: int, windows: int
) -> tf.data.Dataset:
    # With static shapes, the layers are traced for this number of steps only.
    words = tf.TensorSpec((rows, steps), tf.int32)
    begins = tf.TensorSpec((rows,), tf.bool)
    weights = tf.TensorSpec((rows, steps), tf.float32)
    dataset = tf.data.Dataset.from_generator(
        epoch, output_signature=((words, begins), words, weights)
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(windows)).prefetch(4)
