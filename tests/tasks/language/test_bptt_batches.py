"""Windows of a text are disjoint, complete, and continue the previous window."""

import numpy as np
import pytest

from unrolled.tasks.language.bptt_batches import TokenSequence, evaluation_batches, training_batches

START = 99


def _stream(count):
    return TokenSequence(np.arange(1, count + 1, dtype=np.int32), START)


def _rows(windows):
    """Returns x and y of each row, with all windows concatenated."""
    x = np.concatenate([window[0][0] for window in windows], axis=1)
    return x, np.concatenate([window[1] for window in windows], axis=1)


@pytest.mark.parametrize("skip", [0, 3])
def test_rows_continue_from_window_to_window(skip):
    windows = list(_stream(50).training_windows(rows=3, steps=4, skip=skip))
    x, y = _rows(windows)
    assert x.shape == (3, 12)
    np.testing.assert_array_equal(y, skip + 1 + np.arange(36).reshape(3, 12))
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    np.testing.assert_array_equal(
        x[1:, 0], y[:-1, -1]
    )  # A row starts where the previous row ended.
    assert x[0, 0] == (START if skip == 0 else skip)
    assert [bool(begins.all()) for (_, begins), _, _ in windows] == [True, False, False]


@pytest.mark.parametrize("count", [1, 7, 24, 25, 37])
@pytest.mark.parametrize("rows", [1, 3])
def test_an_evaluation_contains_every_token_once(count, rows):
    windows = list(_stream(count).evaluation_windows(rows, steps=4))
    counted = [y[weights == 1] for _, y, weights in windows]
    np.testing.assert_array_equal(np.sort(np.concatenate(counted)), np.arange(1, count + 1))
    x, y = _rows(windows)
    weights = np.concatenate([window[2] for window in windows], axis=1)
    before = np.concatenate([[START], np.arange(1, count)])
    np.testing.assert_array_equal(x[weights == 1], before[y[weights == 1] - 1])


def test_each_epoch_has_another_offset_determined_by_the_seed():
    def firsts(seed, first_epoch=0, epochs=6):
        dataset = training_batches(_stream(500), 2, 10, seed, first_epoch)
        return [int(next(iter(dataset))[1][0, 0]) for _ in range(epochs)]

    found = firsts(1)
    assert found == firsts(1)
    assert len(set(found)) > 1
    assert found != firsts(2)
    assert found[2:] == firsts(1, first_epoch=2, epochs=4)


def test_datasets_have_a_known_cardinality():
    stream = _stream(500)
    training = training_batches(stream, 4, 7, seed=1)
    assert len(list(training)) == int(training.cardinality()) == stream.windows_per_epoch(4, 7)
    validation = evaluation_batches(stream, 4, 7)
    assert len(list(validation)) == int(validation.cardinality())


def test_a_text_too_short_for_a_window_raises():
    with pytest.raises(ValueError, match=r"expected at least 49 for.*training.window=10"):
        training_batches(_stream(20), 4, 10, seed=1)
