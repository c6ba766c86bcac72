"""Our layers in all the ways TensorFlow runs them: eagerly, in functions, compiled, in threads."""

from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers

INPUTS = 3
LONG = 45
"""Steps for a scan in several chunks."""


def sequences(batch, steps, seed=0):
    """Inputs, and a mask that is not only padding."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, steps, INPUTS)).astype("float32")
    return tf.constant(x), tf.constant(rng.random((batch, steps)) < 0.7)


def trained(unit, **options):
    """A layer with weights as after training: none of them as it started."""
    layer = unit(4, return_sequences=True, **options)
    layer.build((None, None, INPUTS))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) / 2 for w in layer.get_weights()])
    return layer


def outputs_and_gradients(layer, x, mask, **call):
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, mask=mask, **call)
        loss = tf.reduce_sum(tf.sin(tf.cast(outputs, "float32")))
    return [outputs, *tape.gradient(loss, [x, *layer.trainable_weights])]


def assert_close(found, expected, rtol=1e-5, atol=1e-5):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def test_one_function_serves_all_batch_sizes_and_lengths(largest_unit, in_keras):
    """Whether XLA compiles chunks of it, or all of it for each shape."""
    layer = trained(largest_unit)
    reference = in_keras(layer)
    traces = []
    open_shapes = [tf.TensorSpec((None, None, INPUTS)), tf.TensorSpec((None, None), tf.bool)]

    def function(training, compiled):
        @tf.function(input_signature=open_shapes, jit_compile=compiled)
        def run(x, mask):
            traces.append(x)
            return outputs_and_gradients(layer, x, mask, training=training)

        return run

    in_chunks = function(training=False, compiled=False)
    whole = function(training=True, compiled=True)
    for shape, functions in (
        ((1, 1), (in_chunks, whole)),
        ((3, 5), (in_chunks,)),
        ((2, LONG), (in_chunks, whole)),
        ((2, 20), (in_chunks,)),
    ):
        x, mask = sequences(*shape)
        eagerly = outputs_and_gradients(layer, x, mask)
        assert_close(eagerly[:2], outputs_and_gradients(reference, x, mask)[:2])
        for run in functions:
            assert_close(run(x, mask), eagerly)
    assert len(traces) == 2


def test_an_empty_batch_has_empty_outputs_and_no_gradient(unit):
    layer = trained(unit)
    for run, steps in ((outputs_and_gradients, 4), (tf.function(outputs_and_gradients), LONG)):
        for mask in (None, tf.zeros((0, steps), tf.bool)):
            x, training = tf.zeros((0, steps, INPUTS)), mask is None
            outputs, d_x, *d_weights = run(layer, x, mask, training=training)
            assert outputs.shape == (0, steps, 4)
            assert d_x.shape == (0, steps, INPUTS)
            assert not any(np.any(d) for d in d_weights)


def test_an_empty_sequence_is_rejected_as_by_keras(unit, in_keras):
    layer = trained(unit)
    for refusing in (layer, in_keras(layer)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="out of bounds"):
            refusing(tf.zeros((2, 0, INPUTS)))


@pytest.mark.parametrize(
    ("policy", "spacing", "training"),
    [("mixed_bfloat16", 2**-7, True), ("mixed_float16", 2**-10, False)],
)
def test_mixed_precision_is_as_precise_as_its_dtype(
    largest_unit, in_keras, policy, spacing, training
):
    layer, exact = trained(largest_unit, dtype=policy), trained(largest_unit)
    x, mask = sequences(5, LONG)
    outputs, *gradients = tf.function(outputs_and_gradients)(layer, x, mask, training=training)
    assert outputs.dtype == layer.compute_dtype == policy.removeprefix("mixed_")
    assert {v.dtype for v in layer.weights} == {g.dtype.name for g in gradients} == {"float32"}
    expected, *expected_gradients = outputs_and_gradients(exact, x, mask)
    for close in (expected, in_keras(layer)(x, mask=mask)):
        assert_close([tf.cast(outputs, "float32")], [tf.cast(close, "float32")], atol=3 * spacing)
    for found, close in zip(gradients, expected_gradients, strict=True):
        assert_close([found], [close], atol=8 * spacing * np.abs(close).max())


@pytest.mark.parametrize("name", ["PeepholeLSTM", "GRU", "MinGRU"])
def test_sums_over_many_steps_lose_no_digits_in_half_precision(name):
    """Whether XLA compiles chunks of the function, or all of it."""
    layer, exact = (
        getattr(layers, name)(16, return_sequences=True, dtype=dtype)
        for dtype in ("mixed_bfloat16", "float64")
    )
    x = tf.constant(np.random.default_rng(0).normal(size=(32, 200, 8)), tf.float32)
    for each in (layer, exact):
        each.build(x.shape)
    exact.set_weights(layer.get_weights())

    def gradients(layer, x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.cast(layer(x, training=True), tf.float64)))
        return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    expected = tf.function(gradients)(exact, tf.cast(x, tf.float64))
    for jit_compile in (False, True):
        found = tf.function(gradients, jit_compile=jit_compile)(layer, x)
        for ours, close in zip(found, expected, strict=True):
            error = tf.norm(tf.cast(ours, tf.float64) - close) / tf.norm(close)
            assert error < 0.015


def test_the_batch_size_may_be_known_from_the_states_alone():
    units = [layers.LSTM, layers.GRU, layers.SimpleRNN, layers.MinGRU]
    stateful = [unit(4, stateful=True) for unit in units]
    inputs = keras.Input(batch_shape=(2, None, 3))
    outputs = [keras.layers.Dense(1)(layer(inputs)) for layer in stateful]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)  # Else the step is traced twice.
    x = np.random.default_rng(0).normal(size=(4, LONG, 3)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x[:, 0, :1])).batch(2)  # Of unknown batch size.
    model.fit(data, verbose=0)
    for layer in stateful:
        layer.reset_state()
    states = [[tf.ones((2, 4))] * len(layer.cell.states) for layer in stateful]

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def opened(x):
        return [layer(x, initial_state=s) for layer, s in zip(stateful, states, strict=True)]

    for layer, s, found in zip(stateful, states, opened(x[:2]), strict=True):
        np.testing.assert_allclose(found, layer(x[:2], initial_state=s), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "steps", "known", "options"),
    [
        ("GRU", 4, True, {}),
        ("GRU", LONG, False, {}),
        ("PeepholeLSTM", 4, False, {}),
        ("MinGRU", 4, False, {}),
        ("LSTM", 4, False, {"unroll": True}),
    ],
)
def test_an_initial_state_of_one_row_applies_to_every_example(name, steps, known, options):
    layer = getattr(layers, name)(4, return_sequences=True, **options)
    x, mask = sequences(3, steps)
    rows = [tf.random.stateless_normal((1, 4), (n, 0)) for n in range(len(layer.cell.states))]
    layer.build(x.shape)

    def run(x, mask, *states):
        with tf.GradientTape() as tape:
            tape.watch([x, *states])
            outputs = layer(x, mask=mask, initial_state=list(states))
        return [outputs, *tape.gradient(outputs, [x, *states, *layer.trainable_weights])]

    expected = run(x, mask, *[tf.repeat(row, 3, axis=0) for row in rows])
    expected[2 : 2 + len(rows)] = [tf.reduce_sum(d, 0)[None] for d in expected[2 : 2 + len(rows)]]
    shape = (None, steps, INPUTS), (None, steps), *[(None, 4) for _ in rows]
    kinds = tf.float32, tf.bool, *[tf.float32 for _ in rows]
    opened = None if known else [tf.TensorSpec(*spec) for spec in zip(shape, kinds, strict=True)]
    found = tf.function(run, input_signature=opened)(x, mask, *rows)
    assert_close(found, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 4), (3, 5), (1, 5), (4,)])
def test_an_initial_state_of_another_shape_is_rejected(shape):
    message = r"`initial_state`: expected 3 rows, or one row.*of 4 elements, got the shape \("
    with pytest.raises(ValueError, match=message):
        layers.GRU(4)(np.zeros((3, 5, INPUTS)), initial_state=np.zeros(shape))


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("LSTM", {}, LONG),
        ("PeepholeLSTM", {}, 4),
        ("GRU", {"go_backwards": True}, 4),
        ("GRU", {"unroll": True}, 4),
        ("variants.GRU", {"reset_after": True, "dropout": 0.3, "recurrent_dropout": 0.3}, 4),
        ("MinLSTM", {}, 4),
        ("MinGRU", {"dropout": 0.3}, 4),
    ],
)
def test_values_at_masked_steps_affect_neither_outputs_nor_gradients(name, options, steps):
    if "dropout" in options:
        options = {**options, "seed": 1}
    run = tf.function(outputs_and_gradients) if steps == LONG else outputs_and_gradients
    found = _by_what_is_masked(lambda: trained(attrgetter(name)(layers), **options), steps, run)
    for zeros, bad in zip(*found, strict=True):
        np.testing.assert_array_equal(bad, zeros)


@pytest.mark.parametrize("name", ["GRU", "MinGRU"])
def test_values_at_masked_steps_affect_no_other_layer(name):
    """Every layer of a stack has the mask, those of both directions too."""

    def stack():
        lower = keras.layers.Bidirectional(getattr(layers, name)(4, return_sequences=True))
        model = keras.Sequential([keras.Input((4, INPUTS)), lower, getattr(layers, name)(4)])
        model.supports_masking = True
        return model

    def run(model, x, mask, training):
        keras.src.backend.set_keras_mask(x, mask)
        return outputs_and_gradients(model, x, None, training=training)

    for zeros, bad in zip(*_by_what_is_masked(stack, 4, run), strict=True):
        np.testing.assert_array_equal(bad, zeros)


def _by_what_is_masked(make, steps, run):
    """Outputs and gradients with zeros at masked steps, and with NaN and infinities there."""
    x, mask = sequences(3, steps)
    bad = tf.constant([[[np.nan]], [[np.inf]], [[-np.inf]]])
    values = [tf.where(mask[..., None], x, value) for value in (0.0, bad)]
    found = []
    for value in values:
        keras.utils.set_random_seed(1)
        found.append(run(make(), value, mask, training=True))
    return found


@pytest.mark.parametrize("name", ["SimpleRNN", "PeepholeLSTM", "MinGRU"])
def test_a_masked_step_may_have_an_infinite_derivative(name):
    """At 0, to which every sum comes there, that of the root is infinite."""

    def root(z):
        return tf.pow(tf.abs(z), 0.5)  # Of tf.sqrt, TensorFlow multiplies no zero with infinity.

    options = {"kernel_initializer": "ones", "use_bias": False}
    if name != "MinGRU":
        options["recurrent_initializer"] = "zeros"
    if name == "PeepholeLSTM":
        options["recurrent_activation"] = root
    layer = getattr(layers, name)(2, activation=root, **options)
    layer.build((1, 2, 1))
    if layer.cell.peephole is not None:
        layer.cell.peephole.assign(tf.zeros_like(layer.cell.peephole))
    x, mask = tf.constant([[[4.0], [0.0]]]), tf.constant([[True, False]])
    found = outputs_and_gradients(layer, x, mask)
    expected = outputs_and_gradients(layer, x[:, :1], None)
    assert_close(found[:1] + found[2:], expected[:1] + expected[2:])
    assert_close([found[1]], [tf.concat([expected[1], [[[0.0]]]], 1)])


def test_a_model_learns_under_the_policy_mixed_bfloat16(units):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keras.utils.set_random_seed(0)
        words = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(20, 6, mask_zero=True)(words)
        read = [unit(4) for unit in units.values()]
        read.append(keras.layers.Bidirectional(units["PeepholeLSTM"](4)))
        read = [keras.layers.Dense(1, dtype="float32")(layer(x)) for layer in read]
    finally:
        keras.config.set_dtype_policy(before)
    # One output, with a column for each layer: for several the step is traced twice.
    model = keras.Model(words, keras.layers.Concatenate(dtype="float32")(read))
    model.compile(keras.optimizers.Adam(0.03), "mse")
    model.optimizer.build(model.trainable_variables)  # Else it is traced twice as well.
    numbers = np.random.default_rng(0).integers(0, 20, size=(16, 12))
    target = numbers[:, :1] / 20
    before = np.mean((model(numbers) - target) ** 2, axis=0)
    model.fit(numbers, np.repeat(target, len(read), axis=1), epochs=14, verbose=0)
    after = np.mean((model(numbers) - target) ** 2, axis=0)
    assert after.shape == (len(read),)
    assert (after < 0.7 * before).all()


def test_two_threads_predict_with_one_model(units):
    x = keras.Input((None, INPUTS))
    model = keras.Model(x, [unit(4)(x) for unit in units.values()])
    batches = [sequences(2, (3, 20, LONG)[i % 3], seed=i)[0] for i in range(8)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda batch: model.predict(batch, verbose=0), batches))
    for batch, outputs in zip(batches, found, strict=True):
        assert_close(outputs, model(batch))


def test_a_layer_called_twice_learns_from_both_calls(unit):
    layer, one, other = (trained(unit) for _ in range(3))
    (x, mask), (y, _) = sequences(2, 6), sequences(3, 4, seed=1)
    with tf.GradientTape() as tape:
        called_twice = tf.reduce_sum(layer(x, mask=mask)) + tf.reduce_sum(layer(y))
    with tf.GradientTape() as apart:
        called_apart = tf.reduce_sum(one(x, mask=mask)) + tf.reduce_sum(other(y))
    gradients = apart.gradient(called_apart, [one.trainable_weights, other.trainable_weights])
    shared = tape.gradient(called_twice, layer.trainable_weights)
    assert_close(shared, [a + b for a, b in zip(*gradients, strict=True)])


@pytest.mark.parametrize("known", [True, False])
def test_time_distributed_runs_sequence_by_sequence(unit, known):
    layer = trained(unit)
    reader = keras.layers.TimeDistributed(layer)
    x, mask = sequences(4, 20)
    text, masks = tf.reshape(x, (2, 2, 20, INPUTS)), tf.reshape(mask, (2, 2, 20))
    if known:
        outputs, d_text, *d_weights = outputs_and_gradients(reader, text, masks)
        expected = outputs_and_gradients(layer, x, mask)
        found = [tf.reshape(outputs, (4, 20, 4)), tf.reshape(d_text, x.shape), *d_weights]
        assert_close(found, expected)
    else:  # How many sentences: Keras then runs them side by side in one vectorized call.
        open_shape = tf.TensorSpec((None, None, 20, INPUTS))
        outputs = tf.function(reader, input_signature=[open_shape])(text)
        assert_close([tf.reshape(outputs, (4, 20, 4))], [layer(x)])


def test_stateful_works_in_a_function(unit, in_keras):
    layer = unit(4, stateful=True, return_sequences=True)
    layer.build((2, None, INPUTS))
    reference = in_keras(layer)
    run = tf.function(layer, reduce_retracing=True)
    # After the first call the function is traced once more, for sequences of any length.
    for steps in (4, 20, 1, LONG):
        x, mask = sequences(2, steps, seed=steps)
        assert_close([run(x, mask=mask)], [reference(x, mask=mask)])
    assert_close(layer.states, reference.states)
    layer.reset_state()
    assert not any(np.any(state) for state in layer.states)
    reference.reset_state()
    assert_close([run(x[:, :4])], [reference(x[:, :4])])
