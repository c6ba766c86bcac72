"""A sweep's verdict, sentence by sentence, from numbers made up."""

import pytest

from tests.comparison.made_up import ACCURACY, against, by_variant, group
from unrolled.comparison.baselines import names_of, read_all
from unrolled.comparison.significance import differences
from unrolled.comparison.verdict import verdict

UNITS = {
    "lstm": "unrolled.layers.LSTM",
    "gru": "unrolled.layers.GRU",
    "lstm_peephole": "unrolled.layers.PeepholeLSTM",
}
UNITS |= {f"{cell}_{k}": UNITS[cell] for cell in ("lstm", "gru") for k in range(9)}


def said(runs, baseline="lstm", diverged=None, quick=False):
    runs, diverged = (by_variant(each or {}) for each in (runs, diverged))
    names = names_of(baseline)
    found = differences(runs, against(runs, *names, **UNITS), diverged)
    asked = read_all(names, runs)
    return verdict(runs, found, diverged, baselines=asked, quick=quick)


GRU = group("gru", [0.001, 0.0012, 0.0011], memories=(60, 66, 63))
LSTM = group("lstm", [0.009, 0.011, 0.02], memories=(40, 50, 45))
BASIC = group("simple_rnn", [0.15, 0.16, 0.17], memories=(9, 10, 11))


def test_the_best_is_named_with_what_chance_leaves_of_it():
    best, against_lstm, solved, memory = said({"lstm": LSTM, "gru": GRU, "simple_rnn": BASIC})
    assert best == (
        "gru is best (geometric mean of the test MSE 0.00110); it is significantly better than "
        "the next, lstm (p = 0.015)."
    )
    assert against_lstm == (
        "against the baseline lstm, significantly worse: simple_rnn (p = 0.015); significantly "
        "better: gru (p = 0.015)."
    )
    assert solved == (
        "solved (test MSE 0.01 or less) in all seeds by gru; in some by lstm (1 of 3); in none by "
        "simple_rnn."
    )
    assert memory == (
        "the gradient of gru reaches back 6.3 times as many steps as that of simple_rnn (63 and "
        "10, 95% interval 5.1 to 7.8; p < 0.001 as the extremes of 3)."
    )


def test_the_baseline_is_spoken_of_where_it_is_not_the_next():
    near = group("near", [0.0011, 0.0009, 0.0013])
    best, against_lstm, *_ = said({"lstm": LSTM, "gru": GRU, "near": near})
    assert "it does not differ significantly from the next, gru (p = 0.95)" in best
    assert "significantly better: gru, near (largest p < 0.01)" in against_lstm
    best = said({"lstm": LSTM, "simple_rnn": BASIC})[0]
    assert best.startswith("lstm is best")
    assert best.endswith("; it is the baseline.")


def test_each_length_has_its_own_verdict():
    runs = {}
    for T, offset in ((50, 0), (100, 0.3)):
        runs[f"gru T={T}"] = group(f"gru T={T}", [0.001 + offset, 0.002 + offset, 0.003 + offset])
        runs[f"lstm T={T}"] = group(f"lstm T={T}", [0.2 + offset, 0.3 + offset, 0.1 + offset])
    sentences = said(runs)
    assert [s.split(":")[0] for s in sentences] == ["T=50", "T=50", "T=100", "T=100"]
    assert "in all seeds by gru T=50; in none by lstm T=50" in sentences[1]
    assert "in none by gru T=100, lstm T=100" in sentences[3]


@pytest.mark.parametrize(("seeds", "quick"), [(2, False), (1, False), (3, True)])
def test_from_few_seeds_or_a_quick_budget_nothing_is_concluded(seeds, quick):
    runs = {"lstm": LSTM[:seeds], "gru": GRU[:seeds]}
    (only,) = said(runs, quick=quick)
    assert only.startswith("No conclusion can be drawn from")
    assert ("budget=quick" if quick else f"{seeds} seed") in only


def test_runs_that_diverged_are_counted_and_leave_open_what_they_might_have_shown():
    runs = {"lstm": LSTM, "gru": GRU[:2]}
    best, solved, memory, diverged = said(runs, diverged={"gru": 1, "x": 3})
    assert "whether it differs from the next, lstm, is inconclusive (fewer than 3 runs" in best
    assert "in some by gru (2 of 3)" in solved.replace("lstm (1 of 3), ", "")
    assert "is inconclusive" in memory
    assert diverged == "4 of 9 runs diverged: gru (1 of 3), x (3 of 3)."


def test_a_memory_longer_than_measured_is_at_least_so_long():
    runs = {
        "gru": group("gru", [0.1, 0.11, 0.12], memories=(98, 99, 99), longer=True),
        "simple_rnn": BASIC,
    }
    memory = said(runs, baseline=None)[2]
    assert memory.startswith("the gradient of gru reaches back at least 9.9 times as many steps")
    assert "(at least 99 and 10; p < 0.001)" in memory
    runs["simple_rnn"] = group("simple_rnn", [0.1, 0.2, 0.3], memories=(90, 99, 99), longer=True)
    assert "further back than was measured" in said(runs, baseline=None)[2]


def test_memories_that_chance_explains_are_not_compared():
    runs = {"lstm": LSTM, "gru": group("gru", [0.1, 0.1, 0.2], memories=(30, 60, 70))}
    memory = said(runs)[2]
    assert memory.startswith("effective memories range from 45 steps (lstm) to 50 (gru); whether")
    assert "is inconclusive (p = 0." in memory


def test_a_perfect_score_everywhere_is_no_difference():
    runs = {name: group(name, [1.0, 1.0, 1.0], ACCURACY) for name in ("lstm", "gru")}
    best, solved = said(runs)
    assert "is inconclusive (no spread)" in best
    assert solved == "solved (test accuracy 90% or more) in all seeds by lstm, gru."


def test_equal_memories_are_nobodys_victory():
    runs = {
        name: group(name, [0.1, 0.2, 0.3], memories=(20, 20, 20)) for name in ("lstm", "gru", "x")
    }
    assert not any("memor" in sentence for sentence in said(runs))
    runs["x"] = group("x", [0.1, 0.2, 0.3], memories=(25, 20, 16))
    assert "is inconclusive" in said(runs)[-1]


def test_runs_without_a_memory_are_counted_where_their_variant_is_left_out():
    none = group("x", [0.1, 0.2, 0.3], memories=(0, float("nan"), 9))
    *_, memory, left_out = said({"gru": GRU, "simple_rnn": BASIC, "x": none}, baseline=None)
    assert memory.startswith("the gradient of gru reaches back 6.3 times as many steps as that of")
    assert left_out == "effective memories leave out x (2 of 3 runs have none)."
    assert said({"gru": GRU, "x": none}, baseline=None)[-1] == left_out


VALUES = {  # Of the MSE, each five times with the same spread in powers of ten.
    **{"lstm": 1e-3, "lstm_1": 1.1e-3, "lstm_2": 0.5, "lstm_3": 0.1, "lstm_4": 0.9e-3},
    **{"gru": 1e-5, "gru_1": 1.1e-5, "gru_2": 1e-7},
}
SPREAD = (0.8, 0.9, 1, 1.1, 1.2)


def test_several_baselines_have_a_sentence_each_that_holds_for_all_it_names():
    runs = {name: group(name, [mean * s for s in SPREAD]) for name, mean in VALUES.items()}
    best, lstm, gru, solved = said(runs, baseline=["lstm", "gru"])
    assert best.startswith("gru_2 is best")
    assert "it is" not in best.partition("; it is significantly better than the next, gru (")[2]
    assert lstm == (
        "against the baseline lstm, significantly worse: lstm_2, lstm_3 (largest p < 0.001); "
        "significantly better: gru (p < 0.001); no difference was shown for 2 more: lstm_1, lstm_4 "
        "(widest 95% interval ±0.1 in log10 MSE)."
    )
    assert gru == (
        "against the baseline gru, significantly better: gru_2 (p < 0.001); no difference was "
        "shown for 1 more: gru_1 (95% interval ±0.1 in log10 MSE)."
    )
    assert solved.endswith("in none by lstm_2, lstm_3; in all seeds by the other 6.")
    del runs["gru_2"]
    assert said(runs, baseline=["lstm", "gru"])[0].endswith("; it is a baseline.")


def test_nothing_is_said_of_a_variant_whose_runs_diverged_or_are_too_few():
    runs = {"lstm": LSTM, "gru": GRU, "gru_1": GRU, "gru_2": GRU[:2]}
    against_lstm = said(runs, diverged={"gru_1": 1})[1]
    assert against_lstm == (
        "against the baseline lstm, significantly better: gru (p = 0.015); inconclusive: "
        "gru_1 (1 diverged), gru_2 (fewer than 3 runs succeeded)."
    )


def test_the_best_is_not_surer_of_the_next_than_the_table_is():
    values = [0.1, 0.12, 0.15]
    two = {"lstm": group("lstm", values), "gru": group("gru", [0.06, 0.07, 0.08])}
    best = said(two)[0]
    assert "significantly better than the next, lstm" in best
    many = two | {f"simple_{k}": group(f"simple_{k}", [9, 1, 9]) for k in range(6)}
    others = {f"{name} T=9": group(f"{name} T=9", [9, 1, 9]) for name in many}
    best = said({f"{name} T=5": runs for name, runs in many.items()} | others)[0]
    assert "does not differ significantly from the next, lstm T=5" in best


def test_where_every_run_diverged_that_is_all_there_is_to_say():
    assert said({}, diverged={"x": 3}) == ["3 of 3 runs diverged: x (3 of 3)."]
