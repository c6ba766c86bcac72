"""Long sequences, in compiled chunks: the same function and gradients as step by step."""

import functools
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.layers.scan import chunk_loops, chunks

UNITS, BATCH, FEATURES = 4, 3, 5
LENGTHS = {
    "short": chunks.FEWEST_STEPS_TO_COMPILE - 1,
    "one chunk": chunks.STEPS_PER_CHUNK,
    "part of a chunk": chunks.STEPS_PER_CHUNK - 5,
    "several": 2 * chunks.STEPS_PER_CHUNK + 6,
}
UNITS_OF_ALL_KINDS = {
    "lstm": lambda **options: layers.LSTM(UNITS, **options),
    "peephole": lambda **options: layers.PeepholeLSTM(UNITS, **options),
    "gate recurrence": lambda **options: layers.variants.LSTM(
        UNITS, gate_recurrence=True, **options
    ),
    "gru": lambda **options: layers.GRU(UNITS, **options),
    "reset after": lambda **options: layers.variants.GRU(UNITS, reset_after=True, **options),
    "simple": lambda **options: layers.SimpleRNN(UNITS, **options),
}


def loss_of(results, sequences=True):
    shown = results if sequences else results[1:]
    return tf.add_n([tf.reduce_sum(tf.sin(3 * part)) for part in shown])


def function_and_gradients(layer, signature, sequences=True, training=True, persistent=False):
    """Outputs and last states of a layer, and the gradients of a loss of all of them."""

    @tf.function(input_signature=signature)
    def call(x, mask, *states):
        with tf.GradientTape(persistent=persistent) as tape:
            tape.watch([x, *states])
            results = layer(x, mask=mask, initial_state=list(states), training=training)
            loss = loss_of(results, sequences)
        return results, tape.gradient(loss, [x, *states, *layer.trainable_weights])

    return call


def draw(layer, steps, dtype="float64"):
    rng = np.random.default_rng(steps)
    x = tf.constant(rng.normal(size=(BATCH, steps, FEATURES)), dtype)
    mask = tf.constant(rng.random((BATCH, steps)) < 0.7)
    states = [tf.constant(rng.normal(size=(BATCH, UNITS)), dtype) for _ in layer.cell.states]
    return x, mask, *states


def operations(graph):
    """The types of its operations, with those of a function as often as it is called."""
    definition = graph.as_graph_def()
    functions = {function.signature.name: function for function in definition.library.function}

    def types(nodes):
        for node in nodes:
            if "PartitionedCall" in node.op:
                yield from types(functions[node.attr["f"].func.name].node_def)
            else:
                yield node.op

    return list(types(definition.node))


def any_batch_and_length(layer, dtype="float64"):
    return [
        tf.TensorSpec((None, None, FEATURES), dtype),
        tf.TensorSpec((None, None), "bool"),
        *[tf.TensorSpec((None, UNITS), dtype) for _ in layer.cell.states],
    ]


def assert_close(ours, expected, tolerance):
    for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


class Case(NamedTuple):
    """A layer, and functions for batches of any size and length, both without dropout.

    Attributes:
        ours: of the layer.
        expected: of `keras.layers.RNN` over its cell, step by step.
    """

    layer: Any
    ours: Any
    expected: Any


@pytest.fixture(scope="module")
def case():
    """Each case is made and traced once; tests only call it."""

    @functools.cache
    def make(unit, sequences=True):
        keras.utils.set_random_seed(1)
        options = {"return_sequences": sequences, "return_state": True, "dtype": "float64"}
        layer = UNITS_OF_ALL_KINDS[unit](**options)
        layer.build((None, None, FEATURES))
        of_any_size = any_batch_and_length(layer)
        reference = keras.layers.RNN(layer.cell, **options)
        ours, expected = (
            function_and_gradients(each, of_any_size, sequences) for each in (layer, reference)
        )
        return Case(layer, ours, expected)

    return make


@pytest.mark.parametrize("unit", UNITS_OF_ALL_KINDS)
def test_one_trace_is_exact_at_every_length(unit, case):
    layer, ours, expected = case(unit)
    for steps in LENGTHS.values():
        arguments = draw(layer, steps)
        assert_close(ours(*arguments), expected(*arguments), 1e-10)
    assert ours.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("length", LENGTHS)
def test_known_lengths_with_and_without_outputs_or_training(length, sequences, training, case):
    layer, _, expected = case("gru", sequences)
    arguments = draw(layer, LENGTHS[length])
    signature = [tf.TensorSpec(part.shape, part.dtype) for part in arguments]
    ours = function_and_gradients(layer, signature, sequences, training)
    assert_close(ours(*arguments), expected(*arguments), 1e-10)


@pytest.mark.parametrize("steps", [*LENGTHS.values(), None])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_known_of_the_shape_stays_known(steps, training):
    layer = layers.SimpleRNN(UNITS, return_sequences=True)

    @tf.function(input_signature=[tf.TensorSpec((BATCH, steps, FEATURES))])
    def call(x):
        return layer(x, training=training)

    assert call.get_concrete_function().output_shapes == (BATCH, steps, UNITS)


def test_gradient_of_a_function_traced_without_one(case):
    layer, _, expected = case("lstm")
    x, mask, *states = draw(layer, LENGTHS["several"])

    @tf.function(input_signature=any_batch_and_length(layer))
    def call(x, mask, *states):
        return layer(x, mask=mask, initial_state=list(states))

    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        loss = loss_of(call(x, mask, *states))
    gradients = tape.gradient(loss, [x, *states, *layer.trainable_weights])
    assert_close(gradients, expected(x, mask, *states)[1], 1e-10)


def test_dropout_draws_the_same_masks_for_all_chunks():
    layer = layers.LSTM(UNITS, dropout=0.5, recurrent_dropout=0.5, return_sequences=True)
    one = tf.random.stateless_normal((BATCH, 1, FEATURES), (1, 2))
    x = tf.tile(one, (1, LENGTHS["several"], 1))
    layer.build(x.shape)
    # Without a memory, every step of a constant input gives one and the same candidate.
    layer.cell.recurrent_kernel.assign(tf.zeros_like(layer.cell.recurrent_kernel))
    layer.cell.bias.assign([100.0] * UNITS + [-100.0] * UNITS + [0.0] * UNITS + [100.0] * UNITS)
    outputs = tf.function(layer)(x, training=True)
    np.testing.assert_allclose(outputs, tf.tile(outputs[:, :1], (1, x.shape[1], 1)), atol=1e-6)
    assert np.ptp(outputs[:, 0]) > 0.1


def test_half_precision_sums_over_chunks_in_float32():
    steps = 40 * chunks.STEPS_PER_CHUNK
    # At 8192 the next number of bfloat16 is 64 away: what a chunk adds to it would be lost.
    x = tf.concat([tf.ones((1, steps - 1, 1)), tf.fill((1, 1, 1), 8192.0)], axis=1)
    layer = layers.SimpleRNN(
        1, activation=None, return_sequences=True, dtype=keras.DTypePolicy("mixed_bfloat16")
    )
    layer.build(x.shape)
    layer.cell.recurrent_kernel.assign([[0.0]])

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(x, training=True), "float32"))
        return tape.gradient(loss, layer.cell.kernel)

    assert float(gradient()[0, 0]) == pytest.approx(8192 + steps - 1, rel=0.01)


def test_a_persistent_tape_gives_the_same_gradients(case):
    layer, ours, _ = case("lstm")
    arguments = draw(layer, LENGTHS["several"])
    persistent = function_and_gradients(layer, any_batch_and_length(layer), persistent=True)
    assert_close(persistent(*arguments), ours(*arguments), 1e-12)


@pytest.mark.parametrize("known", [[1], [2], [BATCH], []], ids=str)
@pytest.mark.parametrize(("unit", "sequences"), [("peephole", True), ("simple", False)])
def test_halves_of_a_batch_give_what_the_whole_gives(known, unit, sequences, case, monkeypatch):
    monkeypatch.setattr(chunk_loops, "LEAST_STATE_TO_HALVE", UNITS)
    layer, _, expected = case(unit, sequences)
    drawn = draw(layer, LENGTHS["several"])
    signature = [tf.TensorSpec((*known, *part.shape[1:]), part.dtype) for part in drawn]
    ours = function_and_gradients(
        layer, signature if known else any_batch_and_length(layer), sequences, training=False
    )
    for batch in known or [1, 2, BATCH]:
        arguments = [part[:batch] for part in drawn]
        assert_close(ours(*arguments), expected(*arguments), 1e-10)


def test_only_inference_on_a_large_batch_runs_in_halves():
    layer = layers.GRU(UNITS)
    layer.build((None, None, FEATURES))
    large = -(-chunk_loops.LEAST_STATE_TO_HALVE // UNITS)

    def loops(batch, training):
        call = tf.function(lambda x: layer(x, training=training), autograph=False)
        graph = call.get_concrete_function(tf.TensorSpec((batch, 50, FEATURES))).graph
        return sum(operation in {"While", "StatelessWhile"} for operation in operations(graph))

    assert loops(large, training=False) == 2
    assert loops(large - 1, training=False) == loops(large, training=True) == 1


def test_inference_stores_the_outputs_alone():
    layer = layers.LSTM(UNITS, return_sequences=True)
    layer.build((None, None, FEATURES))

    def arrays(training):
        call = tf.function(lambda x: layer(x, training=training), autograph=False)
        graph = call.get_concrete_function(tf.TensorSpec((2, 50, FEATURES))).graph
        return operations(graph).count("TensorListReserve")

    assert arrays(training=False) == 1
    assert arrays(training=True) == 1 + len(["z", "a", "c"])


def test_keras_does_not_compile_the_whole_step_by_itself():
    assert not layers.GRU(UNITS).supports_jit


@pytest.mark.parametrize("kind", ["lstm", "simple"])
def test_the_backward_pass_may_be_traced_after_an_eager_forward_pass(kind):
    layer = UNITS_OF_ALL_KINDS[kind](return_sequences=True, dtype="float64")
    steps = chunks.STEPS_PER_CHUNK + 1  # Two chunks in the traced backward pass, eagerly one.
    x = tf.constant(np.random.default_rng(1).normal(size=(2, steps, FEATURES)))
    layer.build(x.shape)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        late = tf.reduce_sum(outputs[:, -1] ** 2, axis=0)
    sources = [x, *layer.trainable_weights]
    eager = tape.gradient(late, sources)
    traced = tf.function(lambda: tape.gradient(late, sources))()
    rows = tape.jacobian(late, sources)  # It is traced as well.
    assert_close(traced, eager, 1e-12)
    assert_close([tf.reduce_sum(row, axis=0) for row in rows], eager, 1e-12)


@pytest.mark.parametrize("wrap", [lambda layer: layer, keras.layers.Bidirectional])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_jit_compile_false_compiles_nothing(wrap, jit_compile, tmp_path):
    path = tmp_path / "model.keras"
    shape = (None, LENGTHS["one chunk"], FEATURES)
    layer = wrap(layers.SimpleRNN(UNITS, jit_compile=jit_compile))
    keras.Sequential([keras.Input(shape[1:]), layer]).save(path)
    (again,) = keras.saving.load_model(path).layers
    for each in (layer, again):
        call = tf.function(lambda x, each=each: each(x, training=True))
        graph = call.get_concrete_function(tf.TensorSpec(shape)).graph
        functions = graph.as_graph_def().library.function
        assert any(f.attr["_XlaMustCompile"].b for f in functions) == jit_compile


def test_jit_compile_must_be_true_or_false():
    with pytest.raises(ValueError, match="`jit_compile`: expected True or False, got 'auto'"):
        layers.GRU(UNITS, jit_compile="auto")
