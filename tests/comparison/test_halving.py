"""Successive halving: its rounds, which values go on, and the budget that a search used."""

import doctest

import pytest

from tests.comparison.made_up import ACCURACY
from tests.comparison.test_search import KEY, searched, tried
from unrolled import tracking
from unrolled.comparison import halving, search
from unrolled.comparison.halving import Asked, Halving
from unrolled.comparison.report_sections import search_section
from unrolled.comparison.sections import columns_of
from unrolled.tracking import SweepRecord

TWO_ROUNDS = Halving(2, [2, 4])


def test_docstrings():
    assert doctest.testmod(halving).failed == 0


@pytest.mark.parametrize(
    ("factor", "epochs", "values", "rungs", "trained"),
    [
        (3, 27, 27, [1, 3, 9, 27], 27 + 9 * 2 + 3 * 6 + 18),
        (3, 27, 9, [3, 9, 27], 9 * 3 + 3 * 6 + 18),
        (3, 20, 5, [3, 7, 20], 5 * 3 + 2 * 4 + 13),
        (2, 20, 5, [3, 5, 10, 20], 5 * 3 + 3 * 2 + 2 * 5 + 10),
        (2, 10, 2, [5, 10], 2 * 5 + 5),
        (3, 2, 3, [2], 3 * 2),  # Too few epochs for an earlier round.
        (3, 3, 27, [1, 3], 27 + 9 * 2),  # An earlier round would have no epoch.
    ],
)
def test_rounds_end_after_growing_parts_of_the_budget(factor, epochs, values, rungs, trained):
    rounds = Halving.of(factor, epochs, values)
    assert rounds.rungs == rungs
    assert rounds.epochs(values) == trained
    assert all(rung >= epochs / factor**k for k, rung in enumerate(reversed(rungs)))


def test_every_early_round_leaves_at_least_one_value():
    assert [Halving(3, [1]).left(values) for values in (1, 2, 3, 4, 9, 10)] == [1, 1, 1, 2, 3, 4]


def paused(variant, value, curve, **more):
    """A run that a round has stopped."""
    run = tried(variant, value, curve, **more)
    run.tags[tracking.STOPPED_AFTER] = str(len(curve))
    return run


def diverged(variant, value, curve):
    run = tried(variant, value, curve, status="FAILED")
    run.tags[tracking.FAILURE] = tracking.Failure.DIVERGED
    return run


def test_values_go_on_by_their_best_epochs_up_to_the_end_of_the_round():
    asked = searched(0.001, 0.01, 0.1, seeds=[101], halving=Halving(2, [1, 2, 4]))
    # Of 0.1 the first epoch is the worst, whatever later ones reached.
    first = [tried("gru", 0.001, [0.4]), tried("gru", 0.01, [0.5]), tried("gru", 0.1, [0.6, 0.0])]
    assert [run.params[KEY] for run in search.stopped(first, asked, 0)] == ["0.1"]
    second = [tried("gru", 0.001, [0.4, 0.4, 0.0]), tried("gru", 0.01, [0.5, 0.3]), first[-1]]
    assert [run.params[KEY] for run in search.stopped(second, asked, 1)] == ["0.001", "0.1"]
    last = [*second[:1], tried("gru", 0.01, [0.5, 0.3, 0.2, 0.9]), second[-1]]
    (choice,) = search.choices(last, asked)
    assert (choice.value, choice.is_complete) == (0.01, True)
    assert [(trial.mean, trial.round) for trial in choice.trials] == [(0.4, 1), (0.2, 2), (0.6, 0)]


def test_ties_of_a_round_are_broken_by_the_loss_and_then_by_the_order():
    asked = searched(0.001, 0.01, seeds=[101], halving=TWO_ROUNDS)
    for losses, stopped in (([0.3, 0.1], "0.001"), ([0.1, 0.3], "0.01"), ([0.2, 0.2], "0.01")):
        runs = [
            paused("gru", value, [1.0, 1.0], metric=ACCURACY, losses=[loss, loss])
            for value, loss in zip([0.001, 0.01], losses, strict=True)
        ]
        assert [run.params[KEY] for run in search.stopped(runs, asked, 0)] == [stopped]


def test_a_run_that_diverged_counts_as_worst_in_its_round_and_not_in_earlier_ones():
    asked = searched(0.001, 0.01, seeds=[101], halving=TWO_ROUNDS)
    runs = [paused("gru", 0.001, [0.5, 0.5]), diverged("gru", 0.01, [0.1])]
    assert search.stopped(runs, asked, 0) == runs[1:]
    # It diverged in the last round: what another value reached in an earlier one is better.
    runs = [paused("gru", 0.001, [0.5, 0.5]), diverged("gru", 0.01, [0.1, 0.1, 0.1])]
    assert search.stopped(runs, asked, 0) == runs[:1]
    (choice,) = search.choices(runs, asked)
    assert (choice.value, choice.is_complete) == (0.001, True)
    assert [(trial.runs, trial.failed) for trial in choice.trials] == [(1, 0), (0, 1)]


def test_a_value_without_any_result_never_goes_on():
    asked = searched(0.001, 0.01, 0.1, seeds=[101], halving=TWO_ROUNDS)
    runs = [diverged("gru", value, []) for value in (0.001, 0.01, 0.1)]
    assert search.stopped(runs, asked, 0) == runs
    (choice,) = search.choices(runs, asked)
    assert (choice.value, choice.epochs, choice.is_complete) == (None, 0, True)


def test_a_search_that_was_stopped_in_a_later_round_is_said_to_be_cut():
    asked = searched(0.001, 0.01, seeds=[101], halving=TWO_ROUNDS)
    cut = tried("gru", 0.01, [0.1, 0.1, 0.0], status="FAILED")
    cut.tags[tracking.FAILURE] = tracking.Failure.INTERRUPTED
    (choice,) = search.choices([paused("gru", 0.001, [0.5, 0.5]), cut], asked)
    assert not choice.is_complete
    assert choice.value == 0.01
    assert [trial.mean for trial in choice.trials] == [0.5, 0.1]
    assert "stopped before its end for gru" in search.sentences([choice], KEY)[0]


def sweep_of(runs, **halved):
    asked = {"search": {"key": KEY, "values": [0.001, 0.01], "seeds": [101], **halved}}
    return SweepRecord("id", "made up", "e", "1", "FINISHED", {}, asked, runs)


def halved_runs(variant, last=4):
    return [paused(variant, 0.001, [0.5, 0.5]), tried(variant, 0.01, [0.1] * last)]


def test_the_budget_of_a_search_is_in_its_table_its_data_and_its_caption():
    rounds = {"factor": 2, "rungs": [2, 4]}
    runs = [*halved_runs("gru"), *halved_runs("lstm")]
    [section] = search_section(sweep_of(runs, halving=rounds))
    columns = columns_of(section.table)
    assert columns["learning_rate=0.001"] == ["0.500 (2)", "0.500 (2)"]
    assert columns["learning_rate=0.01"] == ["0.100 (4)", "0.100 (4)"]
    assert columns["trained"] == ["2 runs, 6 epochs", "2 runs, 6 epochs"]
    assert section.data["search.json"]["epochs"] == [2, 4, 2, 4]
    assert section.data["search.json"]["search_epochs"] == [6, 6, 6, 6]
    assert "trained each variant for 6 epochs in all (8 without halving)." in section.caption
    assert "After 2 of 4 epochs the best 1/2 of the values went on" in section.caption
    assert not any("budget" in each for each in section.sentences)


def test_the_budget_of_a_search_without_halving_is_there_as_well():
    """Also of one that an earlier version has recorded, which knew nothing of halving."""
    runs = [tried("gru", 0.001, [0.5, 0.5]), tried("gru", 0.01, [0.1, 0.1])]
    for record_of in ({}, {"halving": None}):
        [section] = search_section(sweep_of(runs, **record_of))
        assert columns_of(section.table)["learning_rate=0.01"] == ["0.100"]
        assert columns_of(section.table)["trained"] == ["2 runs, 4 epochs"]
        assert section.data["search.json"]["epochs"] == [2, 2]
        assert section.caption.endswith("The search trained each variant for 4 epochs in all.")
        assert not any("budget" in each for each in section.sentences)


def test_variants_whose_search_got_another_budget_are_named():
    runs = [
        *(tried("gru", 0.001, [0.5] * 4), tried("gru", 0.01, [0.1] * 4)),
        *(tried("lstm", 0.001, [0.5] * 4), diverged("lstm", 0.01, [0.1])),
    ]
    [section] = search_section(sweep_of(runs))
    assert (
        "The search had a smaller budget for lstm (5 epochs) than for the others (8 epochs), "
        "because runs diverged or were stopped."
    ) in section.sentences
    assert "trained each variant for 5 to 8 epochs in all." in section.caption


def test_a_search_reads_its_own_record():
    rounds = {"factor": 2, "rungs": [2, 4]}
    read = Asked.of({"key": KEY, "values": [1, 2], "seeds": [7], "halving": rounds})
    assert read == Asked(KEY, [1, 2], [7], Halving(2, [2, 4]))
