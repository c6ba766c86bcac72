"""What was saved when one class had the options of the plain unit and of its variants still loads.

saved_before.json holds the configurations of that time: for each class the defaults, for each unit
what differs, and the outputs of the unit with the weights and inputs below.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.layers.variants import EVERY
from unrolled import layers

SAVED = json.loads(Path(__file__).with_name("saved_before.json").read_text())
X = np.cos(np.arange(6)).reshape(1, 3, 2).astype("float32")


def saved(name):
    unit = SAVED["units"][name]
    return unit["class"], {**SAVED["configurations"][unit["class"]], **unit["options"]}


def loaded(kind, config):
    """As Keras loads it from a file."""
    return keras.saving.deserialize_keras_object(
        {
            "module": "unrolled.layers",
            "class_name": kind,
            "config": config,
            "registered_name": f"unrolled>{kind}",
            "build_config": {"input_shape": [None, None, 2]},
        }
    )


def set_weights(layer):
    layer.set_weights(
        [
            np.sin(np.arange(weight.size) + number + 1).reshape(weight.shape)
            for number, weight in enumerate(layer.get_weights())
        ]
    )


@pytest.mark.parametrize("name", SAVED["units"])
def test_every_unit_loads_and_computes_the_same(name):
    layer = loaded(*saved(name))
    assert type(layer) is EVERY[name][0]
    # A file has the weights of a layer under the name of its class.
    kind = SAVED["units"][name]["class"]
    assert (type(layer).__name__, type(layer.cell).__name__) == (kind, f"{kind}Cell")
    set_weights(layer)
    np.testing.assert_allclose(np.ravel(layer(X)), SAVED["units"][name]["outputs"], atol=1e-5)
    again = type(layer).from_config(layer.get_config())
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def test_a_cell_loads_as_its_variant_too():
    _, config = saved("lstm_coupled")
    options = layers.variants.LSTMCell.options()
    of_cell = {name: value for name, value in config.items() if name in {"units", *options}}
    cell = loaded("LSTMCell", of_cell)
    assert type(cell) is layers.variants.LSTMCell
    assert cell.forget_gate == "coupled"


class OwnCell(layers.LSTMCell):
    """A user's unit, whose equations no variant has."""


class Own(layers.LSTM):
    cell_class = OwnCell


def test_a_class_derived_from_a_plain_unit_stays_what_it_is():
    _, config = saved("lstm")
    assert type(Own.from_config(config)) is Own
    _, config = saved("lstm_coupled")
    with pytest.raises(TypeError, match="Own has no option 'forget_gate', got 'coupled'"):
        Own.from_config(config)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: layers.LSTM(2, forget_gate="coupled"),
            r"LSTM has no option 'forget_gate', got 'coupled'\. Use unrolled.layers.variants.LSTM,",
        ),
        (
            lambda: layers.GRU(2, reset_after=True),
            r"'reset_after', got True.*layers\.variants\.GRU,",
        ),
        (lambda: layers.SimplifiedGRU(2, relevance_gate=True), r"layers\.variants\.SimplifiedGRU,"),
        (lambda: layers.PeepholeLSTM(2, peepholes="gers"), r"layers\.variants\.PeepholeLSTM,"),
        (lambda: layers.LSTMCell(2, update_gate=0), r"layers\.variants\.LSTMCell,"),
    ],
)
def test_a_plain_unit_names_the_variant_that_has_an_option(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_plain_unit_takes_the_values_that_make_it_plain():
    layers.LSTM(2, forget_gate=True, peepholes=False)
    layers.PeepholeLSTM(2, peepholes="lecture")
    layers.SimplifiedGRU(2, relevance_gate=False)
    layers.GRUCell(2, reset_after=False)


def test_every_option_of_the_variants_was_one_of_the_plain_unit():
    for plain, variant in ((layers.LSTM, layers.variants.LSTM), (layers.GRU, layers.variants.GRU)):
        assert variant.cell_class.options().keys() <= SAVED["configurations"][plain.__name__].keys()
