"""Our layers where Keras's are used: models, wrappers, saving, bad input."""

import types

import keras
import numpy as np
import pytest

from tests.layers.variants import VARIANTS, make
from unrolled import layers
from unrolled.layers.gated import GatedCell


def words(seed=0):
    """Token ids of sentences of several lengths, padded with 0."""
    numbers = np.random.default_rng(seed).integers(1, 20, size=(4, 9))
    return np.where(np.arange(9) < np.array([[9], [4], [1], [6]]), numbers, 0)


def sequential(unit):
    return keras.Sequential(
        [
            keras.layers.Embedding(20, 6, mask_zero=True),
            keras.layers.Bidirectional(unit(5, return_sequences=True)),
            unit(4),
            keras.layers.Dense(1),
        ]
    )


def functional(unit):
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 6, mask_zero=True)(inputs)
    sequences, *states = unit(5, return_sequences=True, return_state=True)(x)
    x = unit(5)(sequences, initial_state=states)
    return keras.Model(inputs, keras.layers.Dense(1)(x))


@pytest.mark.parametrize(
    ("build", "unit"),
    [
        (sequential, layers.SimpleRNN),
        (functional, layers.GRU),
        (sequential, layers.PeepholeLSTM),
        (functional, layers.MinLSTM),
    ],
)
def test_a_model_learns_and_is_the_same_after_saving_and_loading(build, unit, tmp_path):
    keras.utils.set_random_seed(0)
    model = build(unit)
    model.compile("adam", "mse")
    model(words())
    model.optimizer.build(model.trainable_variables)  # Else the step is traced twice.
    target = np.arange(4.0)[:, None]
    losses = model.fit(words(), target, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(words(), verbose=0), model.predict(words(), verbose=0)
    )


def test_xla_compiles_the_training_step():
    variants = ["lstm_chrono", "gru_mut1", "min_gru"]
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(20, 5, mask_zero=True)(inputs)
        read = [keras.layers.Dense(1)(make(variant, 5)(x)) for variant in variants]
        model = keras.Model(inputs, keras.layers.Concatenate()(read))
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=jit_compile)
        model.optimizer.build(model.trainable_variables)  # Else the step is traced twice.
        losses = model.fit(words(), np.ones((4, 3)), epochs=3, verbose=0).history["loss"]
        results.append([losses, *np.transpose(model(words()))])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_configuration_is_complete(variant):
    layer = make(variant, 3, return_sequences=True, kernel_initializer="he_normal", name="mine")
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.return_sequences
    assert again.name == "mine"
    assert again.units == 3
    assert isinstance(again.kernel_initializer, keras.initializers.HeNormal)
    for option, value in VARIANTS[variant][1].items():
        found = getattr(again, option)
        if not isinstance(found, keras.initializers.Initializer | types.FunctionType):
            assert found == value


def test_there_is_a_file_for_every_choice_of_every_gate():
    cells = [make(variant, 3).cell for variant in VARIANTS]
    units = [*vars(layers).values(), *vars(layers.variants).values()]
    without = {layers.variants.SimplifiedGRUCell}  # It has no options of its own.
    assert {type(c) for c in cells} == {u for u in units if is_a_cell(u)} - without
    for cell in cells:
        for option, values in cell.choices.items() if isinstance(cell, GatedCell) else ():
            if option not in ("implementation", "unit_forget_bias"):  # Keras's, and no gate.
                there = {value_of(option, c) for c in cells} - {None}
                assert there == set(values), option


def value_of(option, cell):
    """A plain unit has the value of its variant's option that makes it plain."""
    return getattr(cell, option) if hasattr(cell, option) else cell.variant_options().get(option)


def is_a_cell(kind):
    return isinstance(kind, type) and issubclass(kind, layers.Cell) and kind is not layers.Cell


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing_in_both_directions(variant):
    layer = keras.layers.Bidirectional(make(variant, 3))
    x = np.random.default_rng(1).normal(size=(1, 8, 3)).astype("float32")
    padded = np.pad(x, [(0, 0), (0, 5), (0, 0)], constant_values=9)
    np.testing.assert_allclose(layer(padded, mask=np.arange(13)[None] < 8), layer(x), atol=1e-6)


@pytest.mark.parametrize("units", [0, -3, 2.5, "many", True, None])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match=r"`units`: expected a positive integer, got"):
        layers.LSTM(units)


def test_an_unknown_option_is_rejected_with_the_known_ones():
    with pytest.raises(TypeError, match=r"GRU has no option 'forget_bias'.*update_bias"):
        layers.GRU(3, forget_bias=1.0)


def test_stateful_carries_the_state_from_batch_to_batch():
    x = np.random.default_rng(2).normal(size=(2, 10, 3)).astype("float32")
    layer = layers.GRU(4, stateful=True)
    inputs = keras.Input(batch_shape=(2, None, 3))
    model = keras.Model(inputs, layer(inputs))
    model.predict_on_batch(x[:, :6])
    in_two = model.predict_on_batch(x[:, 6:])
    layer.reset_state()
    np.testing.assert_allclose(model.predict_on_batch(x), in_two, atol=1e-6)


@pytest.mark.parametrize("kind", ["int64", "float32"])
def test_masks_of_numbers_and_with_a_last_axis_are_taken(kind):
    x = np.random.default_rng(3).normal(size=(2, 6, 3)).astype("float32")
    mask = np.arange(6) < np.array([[6], [2]])
    layer = layers.LSTM(4)
    expected = layer(x, mask=mask)
    np.testing.assert_allclose(layer(x, mask=mask.astype(kind)), expected)
    np.testing.assert_allclose(layer(x, mask=mask[..., None]), expected)


def test_too_few_initial_states_are_rejected():
    with pytest.raises(ValueError, match=r"`initial_state`: expected 2 \(a, c\), got 1"):
        layers.LSTM(4)(np.zeros((2, 3, 5)), initial_state=np.zeros((2, 4)))


def test_random_biases_differ_from_site_to_site():
    layer = layers.GRU(4, bias_initializer="random_normal")
    layer.build((None, None, 3))
    one, other, another = np.split(layer.cell.bias.numpy(), 3)
    assert not np.allclose(one, other)
    assert not np.allclose(other, another)
    assert layers.GRU(np.int64(4)).get_config()["units"] == 4
