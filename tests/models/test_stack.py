"""The models' shapes, masks and sizes."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.models import (
    MERGES,
    build_language_model,
    build_model,
    build_tagger,
    trainable_parameters,
    units_for_parameters,
)

SHAPE = {"vocabulary_size": 11, "classes": 3, "per_step": True, "embedding": 5}
WAYS = [("forward", "concat"), *[("bidirectional", merge) for merge in MERGES]]


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_shapes_for_any_number_of_steps(per_step, direction):
    shape = {**SHAPE, "per_step": per_step}
    model = build_model(layers.GRU, units=4, layers=3, direction=direction, **shape)
    for steps in (1, 4):
        answers = model(np.ones((2, steps), int))
        assert answers.shape == ((2, steps, 3) if per_step else (2, 3))


def keras_model(direction, merge, depth, per_step):
    """The model of `SHAPE` with 4 LSTM units, built of Keras's layers."""
    model = keras.Sequential([keras.layers.Embedding(11, 5, mask_zero=True)])
    for number in range(depth):
        layer = keras.layers.LSTM(4, return_sequences=per_step or number < depth - 1)
        if direction == "bidirectional":
            layer = keras.layers.Bidirectional(layer, merge_mode=merge)
        model.add(layer)
    model.add(keras.layers.Dense(3))
    return model


def answers_and_gradients(model, words):
    with tf.GradientTape() as tape:
        answers = model(words)
        loss = tf.reduce_sum(tf.sin(answers))
    return [answers, *map(tf.convert_to_tensor, tape.gradient(loss, model.trainable_weights))]


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize(("direction", "merge"), WAYS)
@pytest.mark.parametrize("depth", [1, 2])
def test_it_equals_a_model_of_keras_layers(per_step, direction, merge, depth):
    rng = np.random.default_rng(0)
    lengths = 4 * [[4], [1], [3]]  # Words enough for a look-up.
    words = np.where(np.arange(4) < lengths, rng.integers(1, 11, (12, 4)), 0)
    shape = {**SHAPE, "per_step": per_step}
    model = build_model(
        layers.LSTM, units=4, layers=depth, direction=direction, merge=merge, **shape
    )
    reference = keras_model(direction, merge, depth, per_step)
    reference.build((None, None))
    weights = [rng.normal(size=w.shape) for w in model.weights]
    for each in (model, reference):
        each.set_weights(weights)
    found, expected = (answers_and_gradients(each, words) for each in (model, reference))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(
    ("merge", "together"),
    [
        ("concat", lambda a, b: np.concatenate([a, b], axis=-1)),
        ("sum", np.add),
        ("mul", np.multiply),
        ("ave", lambda a, b: (a + b) / 2),
    ],
)
@pytest.mark.parametrize("per_step", [True, False])
def test_a_bidirectional_layer_is_two_layers_merged(merge, together, per_step):
    """a→ runs from the first step to the last, a← from the last to the first."""
    shape = {**SHAPE, "per_step": per_step}
    model = build_model(layers.GRU, units=4, direction="bidirectional", merge=merge, **shape)
    words = np.array([[3, 1, 4, 1, 5]])
    e = model.get_layer("embedding")(words)
    both = model.get_layer("recurrent_1")
    there, back = layers.GRU(4, return_sequences=True), layers.GRU(4, return_sequences=True)
    for alone, way in ((there, both.forward_layer), (back, both.backward_layer)):
        alone.build(e.shape)
        alone.set_weights(way.get_weights())
    a, b = there(e).numpy(), back(np.array(e)[:, ::-1]).numpy()[:, ::-1]
    if not per_step:
        a, b = a[:, -1], b[:, 0]
    scores = model.get_layer("scores")(together(a, b))
    np.testing.assert_allclose(model(words), scores, atol=1e-6)


VECTORS = {"features": 2, "classes": None, "per_step": False}


@pytest.mark.parametrize("per_step", [True, False])
def test_vectors_go_directly_into_the_first_layer_and_regression_has_one_output(per_step):
    model = build_model(layers.LSTM, units=4, layers=2, **{**VECTORS, "per_step": per_step})
    lower = keras.layers.LSTM(4, return_sequences=True)
    upper = keras.layers.LSTM(4, return_sequences=per_step)
    reference = keras.Sequential([lower, upper, keras.layers.Dense(1)])
    reference.build((None, None, 2))
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=w.shape) for w in model.weights]
    for each in (model, reference):
        each.set_weights(weights)
    vectors = rng.normal(size=(3, 7, 2)).astype(np.float32)
    vectors[:, 2:] = 0  # No padding: Keras's layers have no mask here.
    found, expected = (answers_and_gradients(each, vectors) for each in (model, reference))
    assert found[0].shape == ((3, 7, 1) if per_step else (3, 1))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_without_an_embedding_token_ids_are_one_hot_vectors():
    """W one-hot(x<t>) is a row of the kernel; padding is masked."""
    shape = {**SHAPE, "per_step": False, "embedding": None}
    model = build_model(layers.SimpleRNN, units=4, **shape)
    words = np.array([[3, 10, 5, 0]])
    kernel, recurrent, bias = model.get_layer("recurrent_1").get_weights()
    a = np.zeros(4)
    for word in (3, 10, 5):
        a = np.tanh(kernel[word] + a @ recurrent + bias)
    np.testing.assert_allclose(model.get_layer("scores")(a[None]), model(words), atol=1e-6)
    assert trainable_parameters(model) == 11 * 4 + 4 * 4 + 4 + 4 * 3 + 3
    assert len(model.trainable_weights) == 5


def test_inputs_are_token_ids_or_vectors():
    for both in ({"vocabulary_size": 11, "features": 2}, {}):
        with pytest.raises(ValueError, match="`vocabulary_size`, `features`: expected one of them"):
            build_model(layers.GRU, units=4, classes=3, per_step=True, **both)


def ancestors(tensors):
    """Returns all operations that these tensors depend on."""
    found, left = set(), [tensor.op for tensor in tensors]
    while left:
        operation = left.pop()
        if operation not in found:
            found.add(operation)
            left += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return found


@pytest.mark.parametrize("unit", [layers.SimpleRNN, layers.GRU, layers.LSTM])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.2, "recurrent_dropout": 0.2}], ids=str)
def test_neither_direction_waits_for_the_other(unit, options):
    """TensorFlow can run both at the same time, in the forward and the backward pass."""
    model = build_model(
        lambda **more: unit(**options, **more), units=4, direction="bidirectional", **SHAPE
    )
    both = model.get_layer("recurrent_1")
    ways = (both.forward_layer, both.backward_layer)
    both.merge_mode = None  # What each direction has for itself.
    made = []

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)])
    def step(words):
        e = model.get_layer("embedding")(words)
        with tf.GradientTape(persistent=True) as tape:
            results = both(e, training=True)
        for result, way in zip(results, ways, strict=True):
            made.append([result, *tape.gradient(result, way.trainable_weights)])
        return tf.nest.flatten(made)

    graph = step.get_concrete_function().graph
    inside = {id(outside): tensor.op for outside, tensor in graph.captures}
    kernels = [inside[id(way.cell.kernel.value.handle)] for way in ways]
    before = [ancestors(tensors) for tensors in made]
    for own, other in ((0, 1), (1, 0)):
        assert kernels[own] in before[own]
        assert kernels[other] not in before[own]


def test_dropout_is_between_all_layers_and_new_at_every_step():
    shape = {"units": 4, "layers": 2, "direction": "bidirectional", **SHAPE}
    model = build_model(layers.GRU, dropout=0.5, **shape)
    assert [layer.name for layer in model.layers[1:]] == [
        *("embedding", "dropout_1", "recurrent_1", "dropout_2", "recurrent_2", "dropout", "scores")
    ]
    dropped = np.array(model.get_layer("dropout_2")(np.ones((1, 20, 8)), training=True))[0]
    assert set(dropped.ravel()) == {0, 2}
    assert len(np.unique(dropped, axis=0)) > 1
    plain = build_model(layers.GRU, **shape)
    plain.set_weights(model.get_weights())
    words = np.array([[3, 1, 4, 0]])
    np.testing.assert_allclose(model(words, training=False), plain(words), atol=1e-6)
    assert not np.allclose(model(words, training=True), plain(words), atol=1e-3)


def test_dropout_exempts_one_hot_vectors():
    model = build_model(layers.GRU, units=4, layers=2, dropout=0.5, **{**SHAPE, "embedding": None})
    assert [layer.name for layer in model.layers[1:]] == [
        *("embedding", "recurrent_1", "dropout_2", "recurrent_2", "dropout", "scores")
    ]


def test_a_small_vocabulary_is_looked_up(monkeypatch):
    shapes = []
    project = layers.Cell.project

    def noted(cell, inputs, *rest, **weights):
        shapes.append(tuple(inputs.shape))
        return project(cell, inputs, *rest, **weights)

    monkeypatch.setattr(layers.Cell, "project", noted)
    words = np.ones((6, 9), int)
    for dropout, training, looked_up in ((0.0, True, 1), (0.5, True, 0), (0.5, False, 1)):
        model = build_model(layers.GRU, units=4, layers=2, dropout=dropout, **SHAPE)
        shapes.clear()
        model(words, training=training)
        assert shapes.count((11, 5)) == looked_up
        assert len(shapes) == 2


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_padding_does_not_change_the_output(direction):
    model = build_model(
        layers.LSTM, units=4, layers=2, direction=direction, **{**SHAPE, "per_step": False}
    )
    words = np.array([[3, 1, 4]])
    padded = np.pad(words, [(0, 0), (0, 2)])
    np.testing.assert_allclose(model(padded), model(words), atol=1e-6)


def test_only_a_bidirectional_model_sees_the_future():
    now, then = np.array([[1, 2, 3]]), np.array([[1, 2, 4]])
    for direction, sees in (("forward", False), ("bidirectional", True)):
        model = build_model(layers.GRU, units=4, direction=direction, **SHAPE)
        first = [model.predict(words, verbose=0)[0, 0] for words in (now, then)]
        assert (not np.allclose(*first)) == sees


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"layers": 0}, "`layers`: expected an integer from 1"),
        ({"dropout": 1.0}, "`dropout`: .*1.0"),
    ],
)
@pytest.mark.parametrize("builder", [build_model, build_language_model, build_tagger])
def test_layers_or_dropout_out_of_range_raise(builder, option, message):
    arguments = {
        build_model: {"vocabulary_size": 9, "classes": 2, "per_step": False},
        build_language_model: {"vocabulary_size": 9},
        build_tagger: dict.fromkeys(
            ("vocabulary_size", "characters", "longest_word", "shapes", "tags"), 9
        ),
    }[builder]
    with pytest.raises(ValueError, match=message):
        builder(layers.GRU, **arguments, units=2, **option)


def test_an_unknown_direction_raises():
    with pytest.raises(ValueError, match="`direction`: expected one of forward, bidirectional"):
        build_model(layers.GRU, units=4, direction="sideways", **SHAPE)


@pytest.mark.parametrize(
    ("direction", "merge", "message"),
    [
        ("bidirectional", "add", "`merge`: expected one of concat, sum, mul, ave, got 'add'"),
        ("bidirectional", None, "got None. Keras's None returns two outputs"),
        ("forward", "sum", "`merge`: 'sum' needs two directions, and `direction` is 'forward'"),
    ],
)
def test_an_invalid_merge_mode_raises(direction, merge, message):
    with pytest.raises(ValueError, match=message):
        build_model(layers.GRU, units=4, direction=direction, merge=merge, **SHAPE)


def _sized(unit, shape, units):
    return build_model(unit, units=units, **shape)


@pytest.mark.parametrize("unit", [layers.SimpleRNN, layers.GRU, layers.LSTM, keras.layers.GRU])
def test_the_nearest_number_of_parameters_is_found(unit):
    wanted = build_model(layers.LSTM, units=20, **SHAPE).count_params()
    units = units_for_parameters(partial(_sized, unit, SHAPE), wanted)
    missed = [
        abs(build_model(unit, units=size, **SHAPE).count_params() - wanted)
        for size in (units - 1, units, units + 1)
    ]
    assert missed[1] == min(missed)


def test_a_model_of_vectors_is_matched_too():
    wanted = trainable_parameters(build_model(layers.LSTM, units=20, **VECTORS))
    units = units_for_parameters(partial(_sized, layers.GRU, VECTORS), wanted)
    found = trainable_parameters(build_model(layers.GRU, units=units, **VECTORS))
    assert abs(found - wanted) < 0.05 * wanted


def test_at_least_one_unit_is_found():
    assert units_for_parameters(partial(_sized, layers.LSTM, SHAPE), 1) == 1
