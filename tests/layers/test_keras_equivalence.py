"""Our units against Keras's built-in ones: same weights and options, same outputs."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers

UNITS, SHAPE = 5, (3, 8, 4)
PAIRS = [
    (layers.SimpleRNN, keras.layers.SimpleRNN, {}),
    (layers.GRU, keras.layers.GRU, {"reset_after": False}),
    (layers.variants.GRU, keras.layers.GRU, {"reset_after": True}),
    (layers.LSTM, keras.layers.LSTM, {}),
]
KINDS = pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)


def trained(theirs, **options):
    """A layer of Keras with weights as after training: none of them as it started."""
    layer = theirs(UNITS, **options)
    layer.build(SHAPE)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def inputs(seed=2):
    return np.random.default_rng(seed).normal(size=SHAPE).astype("float32")


def assert_same_results(one, other, atol=1e-5):
    results = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    for a, b in results:
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [*PAIRS[1:], (layers.PeepholeLSTM, keras.layers.LSTM, {})],
)
def test_the_same_seed_starts_from_the_same_weights(ours, theirs, options):
    started = []
    for kind in (ours, theirs):
        keras.utils.set_random_seed(3)
        layer = kind(UNITS, **options)
        layer.build(SHAPE)
        started.append(layer.get_weights())
    for one, other in zip(
        started[0][:2], started[1], strict=False
    ):  # Biases may be laid out apart.
        np.testing.assert_array_equal(one[:, : other.shape[1]], other)


@pytest.mark.parametrize(
    "unit", [layers.SimpleRNN, layers.SimplifiedGRU, layers.GRU, layers.LSTM, layers.PeepholeLSTM]
)
def test_only_the_weights_are_drawn(unit):
    """Else the second layer of a model would start elsewhere than it did when figures were made."""
    keras.utils.set_random_seed(3)
    first, second = unit(UNITS), unit(UNITS)
    second.build(SHAPE)
    width = second.cell.kernel.shape[1]
    keras.utils.set_random_seed(3)
    for _ in (first, second):
        kernel, recurrent_kernel = (
            keras.initializers.GlorotUniform(),
            keras.initializers.Orthogonal(),
        )
    np.testing.assert_array_equal(second.cell.kernel, kernel((SHAPE[-1], width)))
    np.testing.assert_array_equal(second.cell.recurrent_kernel, recurrent_kernel((UNITS, width)))


@KINDS
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_conversion_from_keras_and_back(ours, theirs, options, masked, backwards):
    shared = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    reference = trained(theirs, **options, **shared)
    x = inputs()
    mask = np.random.default_rng(3).random(SHAPE[:2]) < 0.7 if masked else None
    layer = layers.from_keras(reference)
    again = layers.to_keras(layer)
    assert type(layer) is ours
    assert again.get_config() == reference.get_config()
    assert_same_results(layer(x, mask=mask), reference(x, mask=mask))
    assert_same_results(again(x, mask=mask), reference(x, mask=mask))


@KINDS
@pytest.mark.parametrize(
    "more",
    [
        {"use_bias": False},
        {"activation": "softsign"},
        {"activation": None, "zero_output_for_mask": True, "return_sequences": True},
        {"stateful": True},
        {"unroll": True, "return_sequences": True},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_options_mean_the_same(ours, theirs, options, more):  # noqa: ARG001
    reference = trained(theirs, **options, **more)
    x, mask = inputs(), np.random.default_rng(3).random(SHAPE[:2]) < 0.7
    if more.get("stateful"):
        reference(x)
    layer = layers.from_keras(reference)
    assert_same_results(layer(x, mask=mask), reference(x, mask=mask))
    assert_same_results(layer(x), reference(x))


@KINDS
@pytest.mark.parametrize("drop", [{"dropout": 0.4}, {"recurrent_dropout": 0.4}], ids=str)
@pytest.mark.parametrize("implementation", [1, 2])
def test_dropout_drops_the_same_elements(ours, theirs, options, drop, implementation):  # noqa: ARG001
    shared = {"seed": 7, "return_sequences": True, **drop}
    if theirs is not keras.layers.SimpleRNN:
        # Without a GPU Keras's own layer fails on `implementation=1` unless cuDNN is off.
        shared.update(implementation=implementation, use_cudnn=False)
    reference = trained(theirs, **options, **shared)
    layer = layers.from_keras(reference)
    x = inputs()
    plain = reference(x, training=False)
    assert_same_results(layer(x, training=False), plain)
    for _ in range(2):  # New elements in every batch.
        expected = reference(x, training=True)
        assert np.abs(expected - plain).max() > 0.1
        assert_same_results(layer(x, training=True), expected)


@KINDS
@pytest.mark.parametrize("more", [{}, {"unroll": True}, {"dtype": "mixed_bfloat16"}], ids=str)
def test_integer_inputs_are_accepted(ours, theirs, options, more):  # noqa: ARG001
    reference = trained(theirs, **options, **more)
    numbers = np.random.default_rng(4).integers(-2, 3, size=SHAPE)
    for kind in ("int32", "int64", "uint8", "bool"):
        expected = reference(numbers.astype(kind))
        found = layers.from_keras(reference)(numbers.astype(kind))
        assert found.dtype == expected.dtype
        assert_same_results([tf.cast(found, "float32")], [tf.cast(expected, "float32")], atol=0.02)


@KINDS
def test_a_mask_of_one_row_applies_to_all_and_other_shapes_are_rejected(ours, theirs, options):  # noqa: ARG001
    reference = trained(theirs, **options)
    layer = layers.from_keras(reference)
    row = np.array([[1, 0, 1, 1, 0, 1, 1, 0]], bool)
    assert_same_results(layer(inputs(), mask=row), reference(inputs(), mask=row))
    assert_same_results(layer(inputs(), mask=row), layer(inputs(), mask=np.repeat(row, 3, axis=0)))
    for mistaken in (row[:, :5], np.repeat(row, 2, axis=0)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            layer(inputs(), mask=mistaken)


@KINDS
def test_penalties_and_constraints(ours, theirs, options):
    shared = {
        "kernel_regularizer": "l2",
        "recurrent_regularizer": keras.regularizers.L1(0.1),
        "bias_regularizer": "l1",
        "activity_regularizer": "l2",
        "kernel_constraint": keras.constraints.MaxNorm(0.5),
        "recurrent_constraint": "unit_norm",
        "bias_constraint": keras.constraints.MaxNorm(0.1),
    }
    reference = trained(theirs, **{**shared, **options})
    layer = layers.from_keras(reference)
    x = inputs()
    layer(x), reference(x)
    if not options.get("reset_after"):  # There one bias of ours is two of Keras's.
        np.testing.assert_allclose(sorted(layer.losses), sorted(reference.losses), rtol=1e-5)
    layer = ours(UNITS, **shared, **options)
    model = keras.Sequential([layer])
    model.compile("adam", "mse")
    model.fit(x, np.ones((SHAPE[0], UNITS)), epochs=1, verbose=0)
    norms = [np.linalg.norm(w, axis=0) for w in layer.get_weights()]
    assert norms[0].max() < 0.5 + 1e-3
    np.testing.assert_allclose(norms[1], 1, atol=1e-3)
    assert norms[2].max() < 0.1 + 1e-3


@KINDS
def test_every_argument_is_known_and_an_attribute(ours, theirs, options):
    parameters = dict(inspect.signature(theirs.__init__).parameters)
    for name in ("self", "kwargs"):
        parameters.pop(name)
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    layer, reference = ours(3, **{**defaults, **options}), theirs(3, **{**defaults, **options})
    further = {"reset_after"} if ours is layers.GRU else set()  # Accepted, and no attribute.
    for name in parameters.keys() - {"seed"} - further:
        one, other = getattr(layer, name), getattr(reference, name)
        assert type(one) is type(other), name
        if not name.endswith("initializer"):
            assert one == other, name


def as_in_keras(layer, reference):
    """What a configuration of ours says of all that Keras's says something of, and Keras's."""
    expected = reference.get_config()
    config = {"reset_after": False, **layer.get_config()}
    return {**expected, **{name: config.get(name) for name in expected.keys() - {"name"}}}, expected


@KINDS
def test_defaults_are_the_same(ours, theirs, options):
    config, expected = as_in_keras(ours(3, **options), theirs(3, **options))
    assert config == expected


@KINDS
def test_arguments_are_taken_in_the_same_order(ours, theirs, options):
    names = list(inspect.signature(theirs.__init__).parameters)[2:-1]
    values = {
        **theirs(3, **options).get_config(),
        "activation": "relu",
        "recurrent_activation": "tanh",
    }
    values.update(dropout=0.1, recurrent_dropout=0.2, seed=7, unroll=True, use_cudnn=False)
    in_order = [values.get(name) for name in names]
    config, expected = as_in_keras(ours(3, *in_order), theirs(3, *in_order))
    assert config == expected
    with pytest.raises(TypeError, match="too many positional arguments"):
        ours(3, *in_order, "one more")
    with pytest.raises(TypeError, match="multiple values for argument 'activation'"):
        ours(3, "relu", activation="tanh")


@KINDS
def test_arguments_of_every_layer_are_taken(ours, theirs, options):
    for kind in (ours, theirs):
        with pytest.warns(UserWarning, match="Do not pass an `input_shape`"):
            layer = kind(3, input_shape=(None, 4), autocast=False, **options)
        assert not layer.autocast
        assert keras.Sequential([layer]).output_shape == (None, 3)
        with pytest.warns(UserWarning, match="Do not pass an `input_shape`"):
            kind(3, input_dim=4, **options)


def test_use_cudnn_true_is_rejected():
    with pytest.raises(ValueError, match="`use_cudnn=True`: LSTM has no cuDNN implementation"):
        layers.LSTM(3, use_cudnn=True)(inputs())


@pytest.mark.parametrize("rate", [-0.1, 1.0, 3])
def test_dropout_is_a_rate(rate):
    with pytest.raises(ValueError, match=r"`recurrent_dropout`: expected a rate of .*, got"):
        layers.LSTM(3, recurrent_dropout=rate)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (keras.layers.Dense(3), TypeError, r"expected one of keras\.LSTM, .*, got Dense"),
        (keras.layers.LSTM(3), ValueError, "is not built"),
        (
            trained(keras.layers.GRU, recurrent_activation="tanh"),
            ValueError,
            r"needs a function with f\(-x\) = 1 - f\(x\), such as sigmoid; got tanh",
        ),
        (
            trained(keras.layers.GRU, recurrent_activation=keras.layers.ELU()),
            ValueError,
            "such as sigmoid; got ELU",
        ),
        (trained(keras.layers.GRU, bias_constraint="non_neg"), ValueError, "NonNeg cannot hold"),
    ],
)
def test_what_cannot_be_converted_is_rejected(layer, error, message):
    with pytest.raises(error, match=message):
        layers.from_keras(layer)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            layers.variants.GRU(3, unweighted_input="relevance"),
            "no GRU with unweighted_input='relevance'",
        ),
        (layers.variants.GRU(3, relevance_gate=False), "no GRU with relevance_gate=False"),
    ],
)
def test_a_variant_that_keras_does_not_have_is_rejected(layer, message):
    layer.build((None, None, 3))
    with pytest.raises(ValueError, match=message):
        layers.to_keras(layer)


def test_to_keras_ignores_the_initial_bias_of_a_gate():
    layer = layers.GRU(UNITS, update_bias=-3.0)
    x = inputs()
    expected = layer(x)
    assert_same_results(layers.to_keras(layer)(x), expected)
