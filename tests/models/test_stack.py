"""The models' shapes, masks and sizes."""

import keras
import numpy as np
import pytest

import layers
from models import build_model, units_for_parameters

SHAPE = {"vocabulary_size": 11, "classes": 3, "per_step": True, "embedding": 5}


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("depth", [1, 3])
def test_shapes_for_any_number_of_steps(per_step, direction, depth):
    shape = {**SHAPE, "per_step": per_step}
    model = build_model(layers.GRU, units=4, layers=depth, direction=direction, **shape)
    for steps in (1, 7):
        answers = model.predict(np.ones((2, steps), int), verbose=0)
        assert answers.shape == ((2, steps, 3) if per_step else (2, 3))


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_padding_changes_no_answer(direction):
    model = build_model(
        layers.LSTM, units=4, layers=2, direction=direction, **{**SHAPE, "per_step": False}
    )
    words = np.array([[3, 1, 4, 1, 5]])
    padded = np.pad(words, [(0, 0), (0, 6)])
    np.testing.assert_allclose(
        model.predict(padded, verbose=0), model.predict(words, verbose=0), atol=1e-6
    )


def test_the_future_reaches_an_answer_only_in_both_directions():
    now, then = np.array([[1, 2, 3]]), np.array([[1, 2, 4]])
    for direction, sees in (("forward", False), ("bidirectional", True)):
        model = build_model(layers.GRU, units=4, direction=direction, **SHAPE)
        first = [model.predict(words, verbose=0)[0, 0] for words in (now, then)]
        assert (not np.allclose(*first)) == sees


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="`direction`: expected one of forward, bidirectional"):
        build_model(layers.GRU, units=4, direction="sideways", **SHAPE)


@pytest.mark.parametrize("unit", [layers.SimpleRNN, layers.GRU, layers.LSTM, keras.layers.GRU])
def test_the_nearest_number_of_parameters_is_found(unit):
    wanted = build_model(layers.LSTM, units=20, **SHAPE).count_params()
    units = units_for_parameters(unit, wanted, **SHAPE)
    missed = [
        abs(build_model(unit, units=size, **SHAPE).count_params() - wanted)
        for size in (units - 1, units, units + 1)
    ]
    assert missed[1] == min(missed)


def test_at_least_one_unit_is_found():
    assert units_for_parameters(layers.LSTM, 1, **SHAPE) == 1
