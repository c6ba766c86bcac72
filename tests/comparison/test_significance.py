"""Tests of differences, against their textbook formulas and a published example."""

import doctest
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.comparison.made_up import ACCURACY, MSE, against, by_variant, group, variant
from unrolled.comparison import significance, variants
from unrolled.comparison.forest import forest
from unrolled.comparison.runs import results
from unrolled.comparison.sections import columns_of
from unrolled.comparison.significance import Finding, differences, holm, ratio, table, welch

# Example 1 of Wikipedia's "Welch's t-test": t = -2.46, 25.0 degrees of freedom, P = 0.021.
A1 = [27.5, 21, 19, 23.6, 17, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19, 21.7, 21.4]
A2 = [27.1, 22, 20.8, 23.4, 23.4, 23.5, 25.8, 22, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]


def by_hand(these, those):
    """Difference, half its interval and p, with Student's density integrated numerically."""
    a, b = np.var(these, ddof=1) / len(these), np.var(those, ddof=1) / len(those)
    error = math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (len(these) - 1) + b**2 / (len(those) - 1))
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)
    t = np.linspace(0, 400, 4_000_001)
    density = scale * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    within = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * (t[1] - t[0]))])
    difference = np.mean(these) - np.mean(those)
    p = 1 - 2 * np.interp(abs(difference) / error, t, within)
    return difference, error * np.interp(0.475, within, t), p


@pytest.mark.parametrize(
    ("these", "those"), [(A1, A2), ([1.0, 2.0, 4.0], [5.0, 5.5, 9.0, 7.0]), ([1, 1, 1], [2, 3, 4])]
)
def test_welch_is_the_formula_of_the_textbook(these, those):
    difference, half, p = by_hand(these, those)
    found = welch(these, those)
    assert found.value == pytest.approx(difference)
    assert (found.low, found.high) == pytest.approx((difference - half, difference + half), 1e-4)
    assert found.p == pytest.approx(p, abs=1e-5)
    if np.ptp(these):
        assert found.p == pytest.approx(stats.ttest_ind(these, those, equal_var=False).pvalue)


def test_the_published_example_comes_out():
    assert welch(A1, A2).p == pytest.approx(0.021, abs=5e-4)


def test_without_two_values_each_or_any_spread_there_is_no_test():
    for these, those in (([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0])):
        found = welch(these, those)
        assert found.value == np.mean(these) - np.mean(those)
        assert np.isnan([found.low, found.high, found.p]).all()


def test_holm_multiplies_the_least_by_all_and_the_next_by_one_fewer():
    nan = math.nan
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, nan, 0.01, 0.5]) == pytest.approx([1.0, nan, 0.03, 1.0], nan_ok=True)
    assert holm([]) == []


def test_a_ratio_is_that_of_geometric_means():
    these, those = [40.0, 50.0, 36.0], [10.0, 9.0, 14.0, 12.0]
    found = ratio(these, those)
    difference, half, p = by_hand(np.log(these), np.log(those))
    assert found.value == pytest.approx(np.prod(these) ** (1 / 3) / np.prod(those) ** (1 / 4))
    wanted = np.exp([difference - half, difference + half])
    assert (found.low, found.high) == pytest.approx(tuple(wanted), 1e-3)
    assert found.p == pytest.approx(p, abs=1e-5)
    for wrong in ([], [1.0, 0.0], [1.0, math.inf], [1.0, math.nan]):
        with pytest.raises(ValueError, match="expected finite values above 0"):
            ratio(wrong, those)


RUNS = by_variant(
    {
        "lstm": group("lstm", [0.01, 0.012, 0.009, 0.011]),
        "gru": group("gru", [0.001, 0.0012, 0.0009, 0.0011]),
        "simple_rnn": group("simple_rnn", [0.1, 0.12, 0.15, 0.11]),
        "like": group("like", [0.009, 0.013, 0.0105, 0.0111]),
        "steady": group("steady", [0.011, 0.011]),
        "once": group("once", [0.02]),
        "perfect": group("perfect", [0.0, 0.001]),
    }
)
AGAINST = against(RUNS, "lstm")


def test_errors_are_compared_by_their_logarithms_and_corrected_together():
    found = {each.variant.name: each for each in differences(RUNS, AGAINST, {})}
    assert list(found) == [each.name for each in RUNS if each.name != "lstm"]
    raw = {
        name: by_hand(*(np.log10(results(RUNS[variant(each)])) for each in (name, "lstm")))
        for name in ("gru", "simple_rnn", "like", "steady")
    }
    for name, (difference, _, p) in raw.items():
        assert found[name].interval.value == pytest.approx(difference)
        assert found[name].interval.p == pytest.approx(p, abs=1e-5)
    assert found["gru"].interval.value == pytest.approx(-1)
    assert found["gru"].p == pytest.approx(4 * found["gru"].interval.p)
    assert [found[name].outcome for name in ("gru", "simple_rnn", "like", "once", "perfect")] == [
        *("better", "worse", "not significant"),
        *("fewer than 2 runs", "an error of 0 has no logarithm"),
    ]
    assert found["like"].finding is Finding.NOT_SIGNIFICANT
    assert {found[name].finding for name in ("once", "perfect")} == {Finding.OPEN}


def test_nothing_is_concluded_from_what_is_left_of_runs_that_diverged():
    by_name = {
        each.variant.name: each for each in differences(RUNS, AGAINST, by_variant({"gru": 2}))
    }
    assert by_name["gru"].outcome == "2 diverged"
    assert by_name["gru"].finding is Finding.OPEN
    assert by_name["simple_rnn"].finding is Finding.WORSE
    found = differences(RUNS, AGAINST, by_variant({"lstm": 1}))
    assert {each.finding for each in found} == {Finding.OPEN}
    assert "1 of the baseline diverged" in {each.outcome for each in found}


def test_without_spread_nothing_is_concluded():
    runs = by_variant({name: group(name, [1.0, 1.0, 1.0], ACCURACY) for name in ("lstm", "gru")})
    (found,) = differences(runs, against(runs, "lstm"), {})
    assert (found.outcome, found.interval.value) == ("no spread", 0)


def test_variants_of_other_metrics_are_not_compared():
    runs = {"lstm": group("lstm", [0.1, 0.2]), "gru": group("gru", [0.9, 0.8], ACCURACY)}
    runs = by_variant(runs)
    assert differences(runs, against(runs, "lstm"), {}) == []


def test_the_table_is_sorted_from_the_best():
    columns = columns_of(table(differences(RUNS, AGAINST, {})))
    assert columns["variant"][0] == "gru"
    assert columns["variant"][-2:] == ["simple_rnn", "perfect"]
    assert columns["difference in\nlog10 MSE"][0] == "-1.000"


def test_comparisons_are_corrected_for_those_of_the_same_metric():
    by_metric = {
        f"{name} task=a": group(f"{name} task=a", [v + k / 100 for k in range(3)], ACCURACY)
        for name, v in (("lstm", 0.5), ("gru", 0.55))
    }
    units = {"lstm": "unrolled.layers.LSTM", "gru": "unrolled.layers.GRU"}
    more = by_metric | {"gru_1": group("gru_1", [0.002, 0.003, 0.002])}
    runs = RUNS | by_variant(more)
    compared = against(runs, "lstm", "gru", **units, gru_1="unrolled.layers.GRU")
    found = {each.variant.name: each for each in differences(runs, compared, {})}
    assert found["gru task=a"].p == pytest.approx(found["gru task=a"].interval.p)
    assert found["gru_1"].baseline == variant("gru")
    of_errors = [each for each in found.values() if each.metric.key == "mse"]
    tested = [each for each in of_errors if not math.isnan(each.p)]
    assert {each.baseline.name for each in tested} == {"lstm", "gru"}
    least = min(tested, key=lambda each: each.interval.p)
    assert least.p == pytest.approx(len(tested) * least.interval.p)


def test_a_table_and_a_forest_go_baseline_by_baseline():
    names = ("lstm", "lstm_1", "gru", "gru_1", "gru_2")
    runs = {n: group(n, [0.1 * k, 0.11 * k, 0.12 * k]) for k, n in enumerate(names, 1)}
    runs = by_variant(runs)
    units = {name: f"unrolled.layers.{name[:4].rstrip('_').upper()}" for name in names}
    found = differences(runs, against(runs, "lstm", "gru", **units), {})
    columns = columns_of(table(found))
    assert list(zip(columns["baseline"], columns["variant"], strict=True)) == [
        *(("lstm", "lstm_1"), ("lstm", "gru")),
        *(("gru", "gru_1"), ("gru", "gru_2")),
    ]
    upper, lower = forest(found, "made up").axes
    for axes, baseline, rows in ((upper, "lstm", ["lstm_1", "gru"]), (lower, "gru", names[3:])):
        assert axes.get_title(loc="left") == f"against {baseline}"
        assert [label.get_text() for label in axes.get_yticklabels()] == list(rows)
        assert {"better", "worse"} <= set(words(axes))


def words(axes):
    return {text.get_text().strip(" ←→"): text for text in axes.texts}


def test_nats_a_character_are_compared_as_they_are():
    nats = replace(MSE, name="cross-entropy", logarithmic=True)
    runs = {
        "lstm": group("lstm", [1.5, 1.52, 1.48], nats),
        "gru": group("gru", [1.4, 1.41, 1.39], nats),
    }
    runs = by_variant(runs)
    (found,) = differences(runs, against(runs, "lstm"), {})
    assert found.interval.value == pytest.approx(-0.1)
    assert found.finding is Finding.BETTER
    assert "difference in\ncross-entropy" in columns_of(table([found]))
    assert nats.text(1.6182) == "1.618"


@pytest.mark.parametrize("metric", [MSE, ACCURACY])
def test_a_forest_says_on_which_side_better_is_and_has_the_best_on_top(metric):
    runs = {
        name: group(name, values, metric)
        for name, values in {
            "lstm": [0.5, 0.52, 0.48],
            "low": [0.1, 0.11, 0.12],
            "high": [0.9, 0.91, 0.88],
        }.items()
    }
    runs = by_variant(runs)
    figure = forest(differences(runs, against(runs, "lstm"), {}), "made up")
    (axes,) = figure.axes
    best = "high" if metric.higher_is_better else "low"
    assert axes.get_yticklabels()[0].get_text() == best
    assert axes.yaxis_inverted()
    side = words(axes)["better"].get_horizontalalignment()
    assert side == ("left" if metric.higher_is_better else "right")
    assert words(axes)["worse"].get_horizontalalignment() != side
    low, high = axes.get_xlim()
    assert low == pytest.approx(-high)
    (mark,) = [line for line in axes.lines if len(line.get_xdata()) == 1][:1]
    assert mark.get_marker() == "o"
    assert (mark.get_xdata()[0] > 0) == metric.higher_is_better


def test_docstrings():
    for module in (significance, variants):
        assert doctest.testmod(module).failed == 0
