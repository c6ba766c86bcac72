"""Models and batches that cannot be measured raise an error that says what to do."""

import keras
import numpy as np
import pytest

from unrolled import layers
from unrolled.diagnostics import FlowMeter, GateMeter


def sequential(*units, compiled=True):
    model = keras.Sequential([keras.Input((None, 3)), *units])
    if compiled:
        model.compile(loss="mse")
    return model


class OwnCall(keras.Model):
    def __init__(self):
        super().__init__()
        self.unit = layers.GRU(2)

    def call(self, x):
        return self.unit(x)


class OwnCallOfOutputs(keras.Model):
    def call(self, x, training=None, mask=None):
        return 2 * super().call(x, training, mask)


class OwnLoss(keras.Model):
    def compute_loss(self, *args, **kwargs):
        return 2 * super().compute_loss(*args, **kwargs)


@keras.saving.register_keras_serializable("tests")
class Negated(keras.layers.SimpleRNNCell):
    """A cell whose output is not one of its states."""

    def call(self, x, states, training=False):
        output, states = super().call(x, states, training)
        return -output, states


class WithoutConfig(layers.GRU):
    def get_config(self):
        return {}


def own_call():
    model = OwnCall()
    model(np.ones((1, 2, 3)))
    return model


def own_call_of_outputs():
    plain = sequential(layers.GRU(2))
    return OwnCallOfOutputs(plain.inputs, plain.outputs)


@pytest.mark.parametrize("meter", [FlowMeter, GateMeter])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sequential(keras.layers.Dense(2)), ValueError, "has none. Its layers: Dense"),
        (own_call, TypeError, "OwnCall, which overrides `call`"),
        (own_call_of_outputs, TypeError, "OwnCallOfOutputs, which overrides `call`"),
        (lambda: keras.Sequential([layers.GRU(2)]), ValueError, "not built.*Call it once"),
        (
            lambda: keras.Sequential(
                [
                    keras.Input((None, None, 3)),
                    keras.layers.TimeDistributed(layers.GRU(2)),
                ]
            ),
            ValueError,
            "TimeDistributed.*runs GRU inside",
        ),
        (
            lambda: keras.Sequential([keras.Input((None, 8, 3)), keras.layers.ConvLSTM1D(2, 3)]),
            ValueError,
            "ConvLSTM1D.*states that are not vectors",
        ),
        (
            lambda: sequential(WithoutConfig(2)),
            ValueError,
            r"\(WithoutConfig\) cannot be recreated",
        ),
    ],
)
def test_models_whose_recurrent_layers_cannot_be_measured(meter, make, error, message):
    with pytest.raises(error, match=message):
        meter(make())


def test_models_without_a_known_loss():
    with pytest.raises(ValueError, match=r"has no loss.*Compile it"):
        FlowMeter(sequential(layers.GRU(2), compiled=False))
    plain = sequential(layers.GRU(2))
    own = OwnLoss(plain.inputs, plain.outputs)
    own.compile(loss="mse")
    with pytest.raises(TypeError, match="OwnLoss overrides `compute_loss`"):
        FlowMeter(own)
    assert FlowMeter(own, loss="mse").measure(np.ones((1, 2, 3)), np.ones((1, 2)))


def test_a_cell_whose_output_is_none_of_its_states():
    model = sequential(keras.layers.RNN(Negated(2)))
    with pytest.raises(ValueError, match="Negated returns an output that is none of its states"):
        FlowMeter(model).measure(np.ones((1, 2, 3)), np.ones((1, 2)))


def test_losses_that_do_not_exist():
    model = sequential(layers.GRU(2))
    batch = np.ones((1, 2, 3)), np.ones((1, 2))
    with pytest.raises(ValueError, match="expected one of own, late, got 'last'"):
        FlowMeter(model).measure(*batch, loss="last")
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, [layers.GRU(2)(inputs), layers.GRU(2)(inputs)])
    model.compile(loss="mse")
    meter = FlowMeter(model)
    assert len(meter.measure(batch[0], [batch[1]] * 2)) == 2
    with pytest.raises(ValueError, match="'late' needs a model with one output"):
        meter.measure(batch[0], [batch[1]] * 2, loss="late")


@keras.saving.register_keras_serializable("tests")
class OwnLoop(keras.layers.GRU):
    def call(self, sequences, initial_state=None, mask=None, training=False):  # noqa: ARG002
        return keras.ops.sum(sequences, axis=1)


@pytest.mark.parametrize("meter", [FlowMeter, GateMeter])
def test_a_layer_with_a_loop_of_its_own(meter):
    batch = (np.ones((1, 2, 3)), np.ones((1, 3)))[: 2 if meter is FlowMeter else 1]
    with pytest.raises(ValueError, match=r"\(OwnLoop\) has its own loop over time"):
        meter(sequential(OwnLoop(2))).measure(*batch)


@pytest.mark.parametrize("name", ["inputs", "targets", "sample_weight"])
def test_a_batch_that_is_not_finite(name):
    batch = {"inputs": np.ones((1, 2, 3)), "targets": np.ones((1, 2)), "sample_weight": np.ones(1)}
    batch[name][0] = np.nan
    with pytest.raises(ValueError, match=f"`{name}`: expected finite numbers"):
        FlowMeter(sequential(layers.GRU(2))).measure(**batch)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite(value):
    model = sequential(layers.GRU(2, name="unit"))
    kernel = model.layers[0].cell.recurrent_kernel
    kernel.assign(np.where(np.arange(kernel.shape[1]) == 1, value, kernel.numpy()))
    with pytest.raises(ValueError, match=r"weight '.*unit/.*recurrent_kernel' is not finite"):
        FlowMeter(model).measure(np.ones((1, 2, 3)), np.ones((1, 2)))


def test_the_wrong_batch_size_for_a_stateful_layer():
    model = keras.Sequential([keras.Input(batch_shape=(4, 2, 3)), layers.GRU(2, stateful=True)])
    with pytest.raises(ValueError, match=r"expected 4 examples.*got 3"):
        FlowMeter(model, loss="mse").measure(np.ones((3, 2, 3)), np.ones((3, 2)))
