"""A text as streams that are read on and on, and the windows they are trained in."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import tensorflow as tf

from unrolled.tasks.base.examples import PADDING

Window = tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Stream:
    """One split of a text, token after token; x<t> = y<t-1>.

    Attributes:
        tokens: y<1>, y<2>, ...: int32 `(tokens,)`.
        start: y<0>, the number that stands before the first.
    """

    tokens: np.ndarray
    start: int

    def __len__(self) -> int:
        return len(self.tokens)

    def first(self, count: int | None) -> "Stream":
        """The first `count` tokens, or all of them for None or a count beyond the last."""
        return Stream(self.tokens[:count], self.start)

    def windows_an_epoch(self, rows: int, steps: int) -> int:
        """How many windows without a gap each epoch has, wherever in the text it begins.

        Raises:
            ValueError: for a text that has none of that size.
        """
        windows = (len(self) - (steps - 1)) // rows // steps
        if windows < 1:
            raise ValueError(
                f"The training text has {len(self)} tokens; expected "
                f"{rows * steps + steps - 1} at least for training.batch_size={rows} streams of "
                f"training.window={steps} steps. Make one of them smaller, or take a longer text."
            )
        return windows

    def training_windows(self, rows: int, steps: int, skip: int) -> Iterator[Window]:
        """The text from token `skip` on as `rows` streams side by side, a window after the other.

        Row r of a window goes on where row r of the one before has ended, so states can be carried
        from window to window. What is left at the streams' ends, less than a window, is left out.

        Yields:
            The words x `(rows, steps)` with the flags `(rows,)` of rows that begin anew, the
            answers y `(rows, steps)`, and their weights, of ones.
        """
        windows = self.windows_an_epoch(rows, steps)
        y = self.tokens[skip : skip + rows * windows * steps].reshape(rows, -1)
        x = self._before()[skip : skip + y.size].reshape(rows, -1)
        return _cut(x, y, np.ones(y.shape, np.float32), steps)

    def evaluation_windows(self, rows: int, steps: int) -> Iterator[Window]:
        """Every token of the text once, as `rows` streams; padding behind them weighs nothing."""
        windows = -(-len(self) // (rows * steps))
        size = (rows, windows * steps)
        length = -(-len(self) // rows)  # of a stream, without its padding

        def laid_out(values, filling):
            values = np.pad(values, (0, rows * length - len(values)), constant_values=filling)
            values = values.reshape(rows, length)
            return np.pad(values, ((0, 0), (0, size[1] - length)), constant_values=filling)

        weights = laid_out(np.ones(len(self), np.float32), 0)
        x, y = laid_out(self._before(), PADDING), laid_out(self.tokens, PADDING)
        return _cut(x, y, weights, steps)

    def _before(self):
        return np.concatenate([np.array([self.start], np.int32), self.tokens[:-1]])


def _cut(x, y, weights, steps):
    for begin in range(0, x.shape[1], steps):
        part = slice(begin, begin + steps)
        begins = np.full(len(x), begin == 0)
        yield (x[:, part], begins), y[:, part], weights[:, part]


def training_batches(
    stream: Stream, rows: int, steps: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """An epoch's windows, from another token on each epoch: others are cut apart each time.

    Raises:
        ValueError: for a text that has no window of that size.
    """
    windows = stream.windows_an_epoch(rows, steps)
    epochs = count(first_epoch)  # Keras begins one more than it trains, to look at a first batch.

    def epoch():
        rng = np.random.default_rng([seed, next(epochs)])
        return stream.training_windows(rows, steps, int(rng.integers(steps)))

    return _as_dataset(epoch, rows, steps, windows)


def evaluation_batches(stream: Stream, rows: int, steps: int) -> tf.data.Dataset:
    """All windows of a text, in which every token counts once."""
    windows = -(-len(stream) // (rows * steps))
    return _as_dataset(lambda: stream.evaluation_windows(rows, steps), rows, steps, windows)


def _as_dataset(epoch, rows, steps, windows):
    # With shapes known in full the layers make their traces for that number of steps alone.
    words = tf.TensorSpec((rows, steps), tf.int32)
    begins = tf.TensorSpec((rows,), tf.bool)
    weights = tf.TensorSpec((rows, steps), tf.float32)
    dataset = tf.data.Dataset.from_generator(
        epoch, output_signature=((words, begins), words, weights)
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(windows)).prefetch(4)
