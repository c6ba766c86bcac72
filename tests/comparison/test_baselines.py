"""Which variant is compared with which."""

import doctest

import pytest

from tests.comparison.made_up import by_variant, variant
from unrolled.comparison import baselines
from unrolled.comparison.baselines import check, read, read_all
from unrolled.comparison.variants import Variant
from unrolled.console.refusals import RefusedError


def compared_with(names, units):
    """What each variant is compared with, by the names that tests call them by."""
    units = by_variant(units)
    found = baselines.compared_with(read_all(names, units), units)
    return {each.name: other.name for each, other in found.items()}


UNITS = {
    "lstm": "unrolled.layers.LSTM",
    "lstm_coupled": "unrolled.layers.LSTM",
    "lstm_peephole_gers": "unrolled.layers.PeepholeLSTM",
    "gru": "unrolled.layers.GRU",
    "gru_simplified": "unrolled.layers.SimplifiedGRU",
    "like_a_gru_by_name_alone": "unrolled.layers.LSTM",
    "min_gru": "unrolled.layers.MinGRU",
    "simple_rnn": "unrolled.layers.SimpleRNN",
}


def test_one_baseline_is_that_of_all_that_are_like_it_in_all_else():
    names = {f"{cell} T={T}": cell for cell in ("lstm", "gru") for T in (50, 100)}
    assert compared_with(["lstm"], names) == {"gru T=50": "lstm T=50", "gru T=100": "lstm T=100"}
    assert compared_with(["T=50"], names)["gru T=100"] == "gru T=50"
    assert compared_with(["lstm T=50"], names)["gru T=100"] == "lstm T=50"
    assert compared_with(["simple_rnn"], names) == {}
    assert compared_with([], names) == {}


def test_of_several_it_is_that_of_the_same_family_of_cells():
    assert compared_with(["lstm", "gru"], UNITS) == {
        "lstm_coupled": "lstm",
        "lstm_peephole_gers": "lstm",
        "like_a_gru_by_name_alone": "lstm",
        "gru_simplified": "gru",
        **dict.fromkeys(["gru", "min_gru", "simple_rnn"], "lstm"),  # the first
    }
    assert compared_with(["gru", "lstm"], UNITS)["simple_rnn"] == "gru"
    assert compared_with(["gru", "lstm"], UNITS)["lstm"] == "gru"


def test_the_nearest_of_a_family_wins_in_either_direction():
    several = ["gru", "lstm_peephole_gers", "lstm"]
    found = compared_with(several, UNITS | {"lstm_peephole": "unrolled.layers.PeepholeLSTM"})
    assert found["lstm_peephole"] == "lstm_peephole_gers"
    assert found["lstm_coupled"] == "lstm"
    assert compared_with(["gru", "lstm_peephole_gers"], UNITS)["lstm"] == "lstm_peephole_gers"


def test_variants_of_one_unit_are_a_family_though_neither_inherits_from_the_other():
    units = {
        "lstm": "unrolled.layers.LSTM",
        "lstm_coupled": "unrolled.layers.variants.LSTM",
        "lstm_peephole": "unrolled.layers.PeepholeLSTM",
        "lstm_peephole_gers": "unrolled.layers.variants.PeepholeLSTM",
        "gru": "unrolled.layers.GRU",
        "gru_simplified": "unrolled.layers.SimplifiedGRU",
        "gru_minimal": "unrolled.layers.variants.GRU",
        "min_gru": "unrolled.layers.MinGRU",
        "min_lstm": "unrolled.layers.MinLSTM",
    }
    found = compared_with(["gru", "lstm_peephole"], units)
    assert found["lstm_coupled"] == found["lstm_peephole_gers"] == "lstm_peephole"
    assert found["gru_minimal"] == found["min_gru"] == found["min_lstm"] == "gru"
    assert compared_with(["lstm_peephole", "lstm"], units)["lstm_coupled"] == "lstm"
    assert compared_with(["lstm", "lstm_peephole"], units)["lstm_peephole_gers"] == "lstm_peephole"
    assert compared_with(["lstm", "gru_simplified"], units)["gru_minimal"] == "gru_simplified"
    assert compared_with(["gru", "min_gru"], units)["min_lstm"] == "gru"


def test_keras_s_own_layers_are_of_the_family_of_ours():
    keras_s = {"keras_lstm": "keras.layers.LSTM", "keras_gru": "keras.layers.GRU"}
    found = compared_with(["lstm", "gru"], UNITS | keras_s)
    assert (found["keras_lstm"], found["keras_gru"]) == ("lstm", "gru")


def test_each_length_keeps_its_own_baselines():
    units = {f"{name} T={T}": unit for name, unit in UNITS.items() for T in (5, 9)}
    found = compared_with(["lstm", "gru"], units)
    assert found["gru_simplified T=9"] == "gru T=9"
    assert found["gru T=9"] == "lstm T=9"


def test_without_its_family_s_baseline_a_variant_is_not_compared_with_another_s():
    there = {name: unit for name, unit in UNITS.items() if name != "lstm"}
    assert compared_with(["lstm", "gru"], there) == {"gru_simplified": "gru"}


def test_a_unit_that_is_no_longer_there_is_like_itself():
    units = {
        "lstm": "unrolled.layers.LSTM",
        "old": "unrolled.layers.Old",
        "old_1": "unrolled.layers.Old",
        "x": "no.such",
    }
    found = compared_with(["lstm", "old"], units)
    assert found == {"old": "lstm", "old_1": "old", "x": "lstm"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lstm", "gruu"], "no variant 'gruu'. Did you mean gru"),
        (["lstm", "gru", "lstm"], "lstm is there twice"),
        (["lstm", "lstm_coupled"], "lstm and lstm_coupled are both unrolled.layers.LSTM"),
        (["T=5", "T=9"], "expected one setting, such as T=5, or a list of units"),
    ],
)
def test_what_cannot_be_a_baseline_is_refused(names, message):
    units = {f"{name} T={T}": unit for name, unit in UNITS.items() for T in (5, 9)}
    with pytest.raises(RefusedError, match=message):
        check(names, by_variant(units))


TWO_OF_A_NAME = ["cell", "distance.max", "nesting.max"]


@pytest.mark.parametrize(
    ("typed", "settings"),
    [
        ("lstm", {"cell": "lstm"}),
        ("cell=lstm", {"cell": "lstm"}),
        ("max=60", {"distance.max": "60"}),
        ("nesting.max=4", {"nesting.max": "4"}),
        ("gru max=60 max=4", {"cell": "gru", "distance.max": "60", "nesting.max": "4"}),
        ("of its own kind", {"cell": "of its own kind"}),
        ("layers=1", {"cell": "layers=1"}),
    ],
)
def test_a_baseline_is_read_by_the_keys_that_the_sweep_varies(typed, settings):
    assert read(typed, TWO_OF_A_NAME).settings == settings


def test_a_name_that_a_table_shows_is_read_as_the_settings_behind_it():
    shown = Variant({"cell": "lstm", "losses": ["late", "own"], "task.T": 50})
    found = read(shown.name, list(shown.settings))
    assert found.includes(shown)
    assert not found.includes(Variant({**shown.settings, "task.T": 5}))


def test_variants_are_told_apart_by_their_settings_and_not_by_their_names():
    typed = (
        Variant({"cell": "lstm", "distance.max": 4}),
        Variant({"cell": "lstm", "nesting.max": 4}),
    )
    assert typed[0].name == typed[1].name
    assert len({*typed, variant("lstm"), variant("lstm")}) == 3


def test_docstrings():
    assert doctest.testmod(baselines).failed == 0
