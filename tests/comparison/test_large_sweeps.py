"""Of a large sweep the terminal and the pictures show a part, and the artifacts keep all of it."""

import doctest
import json

import mlflow
import pytest

from tests.comparison.made_up import ACCURACY, MSE, by_variant, group, tags, variant
from unrolled import tracking
from unrolled.comparison import extremes as of_extremes
from unrolled.comparison import pictures
from unrolled.comparison.comparison import compare
from unrolled.comparison.extremes import NAMES, ROWS, extremes
from unrolled.comparison.report_sections import (
    comparison_sections,
    left_out_section,
    search_section,
)
from unrolled.comparison.runs import VariantRuns, baseline_tags
from unrolled.comparison.sections import excerpt_of
from unrolled.comparison.variants import STAGE
from unrolled.tasks.base.task import Report
from unrolled.tracking import SweepRecord

BASELINE = "lstm k=0"
PAIR = "lstm"


def results(count, seeds=3):
    """Accuracies of a baseline in the middle of so many other variants, from the worst up."""
    spread = (0.0, 0.004, -0.003)[:seeds]
    values = {f"gru k={k}": 0.5 + 0.004 * k for k in range(1, count + 1)}
    values[BASELINE] = 0.5 + 0.004 * (count // 2) + 0.001
    return {name: [value + each for each in spread] for name, value in values.items()}


def ended(name, values, metric=ACCURACY):
    """Runs that have all that tables and pictures show of them."""
    runs = group(name, values, metric)
    for seed, (run, value) in enumerate(zip(runs, values, strict=True)):
        run.metrics["parameters"] = 1234
        run.tags["seed"] = str(seed)
        run.report["breakdowns"] = []
        curve = {f"validation/{metric.key}": [0.5, value], "validation/loss": [1.0, 0.5]}
        curve |= {"examples_seen": [1000, 2000], "seconds": [2, 4], "seconds_per_epoch": [2, 2]}
        run.series.update({key: list(enumerate(each, 1)) for key, each in curve.items()})
    return runs


def reported(named, baseline=BASELINE):
    """The sections on a sweep with these results."""
    runs = {name: ended(name, values) for name, values in named.items()}
    everything = [run for group in runs.values() for run in group]
    asked = baseline_tags([baseline]) if baseline else {}
    sweep = SweepRecord("id", "made up", "e", "1", "FINISHED", asked, {}, everything)
    return comparison_sections(sweep, [VariantRuns(variant(name), runs[name]) for name in runs])


def cells(section, key):
    """The cells of a column."""
    [found] = [cells for heading, cells in section.table.items() if heading.key == key]
    return list(found)


def test_the_table_shows_the_best_and_the_worst_and_always_the_baseline():
    table = reported(results(40))[0]
    shown = excerpt_of(table)
    best = [f"gru k={k}" for k in range(40, 30, -1)]
    worst = [f"gru k={k}" for k in range(10, 0, -1)]
    assert cells(shown, "variant") == [*best, BASELINE, *worst]
    assert cells(shown, "rank") == [str(k) for k in (*range(1, 11), 21, *range(32, 42))]
    assert "Shown are the best, the worst and the baseline." in shown.caption
    assert "The other 20 of 41 variants are in the artifact comparison.json." in shown.caption
    assert len(cells(table, "variant")) == len(table.data["comparison.json"]["variant"]) == 41


def test_differences_are_corrected_for_all_and_not_for_those_shown():
    differences = reported(results(40))[2]
    shown = excerpt_of(differences)
    assert "The other 20 of 40 differences are in the artifact differences.json." in shown.caption
    p_of = dict(zip(cells(differences, "variant"), cells(differences, "p"), strict=True))
    names = cells(shown, "variant")
    assert len(names) == 20
    assert (names[0], names[-1]) == ("gru k=40", "gru k=1")
    assert cells(shown, "p") == [p_of[name] for name in names]
    kept = differences.data["differences.json"]
    assert min(kept["p_holm"]) == pytest.approx(40 * min(kept["p_uncorrected"]))


def test_a_sweep_that_fits_is_shown_as_it_is():
    sections = reported(results(ROWS - 1))
    assert all(section.excerpt is None for section in sections)
    assert cells(sections[0], "variant") == list(results(ROWS - 1))
    assert not [heading for heading in sections[0].table if heading.key == "rank"]
    assert all(f"gru k={k}" in " ".join(sections[1].sentences) for k in range(1, ROWS))
    assert len(sections[2].pictures()["forest.png"].axes[0].get_yticks()) == ROWS - 1


def test_a_verdict_lists_few_names_on_the_terminal_and_all_in_the_artifact():
    verdict = reported(results(60))[1]
    shown = " ".join(excerpt_of(verdict).sentences)
    assert "gru k=60 is best" in shown
    assert "worse: gru k=1, gru k=2, gru k=3, gru k=4 and " in shown
    assert all(f"gru k={k}" in " ".join(verdict.sentences) for k in range(1, 61))


def test_a_verdict_on_many_groups_counts_their_differences():
    named = {
        f"{cell} k={k}": [0.5 + k / 100 + above + each for each in (0.0, 0.001, -0.002)]
        for k in range(1, 21)
        for cell, above in (("lstm", 0.0), ("gru", 0.3 if k == 1 else 0.0))
    }
    verdict = reported(named, PAIR)[1]
    first, second, *others = excerpt_of(verdict).sentences
    assert first == (
        "20 differences from a baseline: 1 significantly better, 0 significantly worse, 19 not "
        "significant, 0 inconclusive."
    )
    assert second.startswith(f"Of 20 groups of variants, the {NAMES} with the best variants follow")
    groups = dict.fromkeys(said.partition(":")[0] for said in others)
    assert list(groups) == ["k=1", "k=20", "k=19", "k=18"]
    assert len({said.partition(":")[0] for said in verdict.sentences}) == 20


def test_baselines_that_would_take_most_of_the_room_are_not_added():
    runs = by_variant({name: group(name, values) for name, values in results(40).items()})
    few, many = list(runs)[18:20], list(runs)[10:30]
    with_few = extremes(runs, few, ROWS)
    assert with_few.words == "the best, the worst and the baselines"
    assert set(few) <= set(with_few.ranks)
    without = extremes(runs, many, ROWS)
    assert (without.words, len(without.ranks)) == ("the best and the worst", 20)
    assert not set(without.ranks) & set(many[1:-1])


def test_each_metric_has_its_best_and_its_worst():
    named = {f"gru k={k}": group(f"gru k={k}", [k / 100], ACCURACY) for k in range(1, 20)}
    named |= {f"lstm k={k}": group(f"lstm k={k}", [k / 100], MSE) for k in range(1, 20)}
    ranks = extremes(by_variant(named), (), 4).ranks
    assert {str(each): rank for each, rank in ranks.items()} == {
        **{"gru k=19": 1, "gru k=1": 19},
        **{"lstm k=1": 1, "lstm k=19": 19},
    }


def compared(named):
    """Variants as pictures get them."""
    return [VariantRuns(variant(name), ended(name, values)) for name, values in named.items()]


def test_pictures_show_as_many_variants_as_there_are_colors_and_say_so():
    drawn = pictures.of_sweep(compared(results(40)), "made up", {variant(BASELINE)})
    axes = drawn["learning_by_seconds.png"].axes[0]
    assert axes.get_legend_handles_labels()[1] == [
        *("gru k=40", "gru k=39", "gru k=38"),
        BASELINE,
        *("gru k=3", "gru k=2", "gru k=1"),
    ]
    assert "the best, the worst and the baseline, 7 of 41 variants\nmade up" in axes.get_title()
    forest = reported(results(40))[2].pictures()["forest.png"]
    assert len(forest.axes[0].get_yticks()) == 20
    assert "the best and the worst, 20 of 40 differences" in forest.get_suptitle()


def test_a_large_sweep_that_fits_into_a_few_pictures_has_them():
    named = {
        f"{cell} T={T}": [0.9] for cell in ("gru", "lstm", "min_gru", "min_lstm") for T in range(7)
    }
    assert set(pictures.of_sweep(compared(named), "made up", ())) == {
        f"learning_by_{cost}_{cell}.png"
        for cost in ("examples_seen", "seconds")
        for cell in ("gru", "lstm", "min_gru", "min_lstm")
    }


def test_a_legend_of_long_labels_leaves_the_curves_alone():
    short, long = (
        pictures.of_sweep(compared({f"gru k={k}{end}": [0.9] for k in (1, 2)}), "made up", ())
        for end in ("", "0" * 40)
    )
    assert short["learning_by_seconds.png"].axes[0].get_legend() is not None
    assert long["learning_by_seconds.png"].axes[0].get_legend() is None
    assert len(long["learning_by_seconds.png"].legends) == 1


def test_a_search_for_many_variants_is_shown_in_part():
    runs = [
        run
        for name, values in results(40, seeds=1).items()
        for rate in (0.1, 0.2)
        for run in ended(name, [values[0] + rate / 100])
    ]
    for number, run in enumerate(runs):
        run.tags["stage"] = STAGE
        run.params["rate"] = ("0.1", "0.2")[number % 2]
    asked = {"search": {"key": "rate", "values": [0.1, 0.2], "seeds": [1]}}
    sweep = SweepRecord("id", "made up", "e", "1", "FINISHED", {}, asked, runs)
    [section] = search_section(sweep)
    shown = excerpt_of(section)
    names = cells(shown, "variant")
    assert (len(names), names[0], names[-1]) == (20, "gru k=40", "gru k=1")
    assert "The other 21 of 41 variants are in the artifact search.json." in shown.caption
    assert f"and {41 - NAMES} more: a better one may lie beyond it." in shown.sentences[0]
    assert set(section.data["search.json"]["variant"]) == set(results(40))
    assert len(cells(section, "variant")) == 41


def test_many_runs_that_are_left_out_are_counted_on_the_terminal():
    runs = group("gru", [0.1] * (ROWS + 5))
    [section] = left_out_section([(run, "FAILED.") for run in runs])
    assert len(section.sentences) == ROWS + 5
    *named, last = excerpt_of(section).sentences
    assert len(named) == ROWS
    assert last == "5 more runs are left out; the page of the sweep names all."
    assert excerpt_of(section).is_warning


@pytest.fixture
def large(store):  # noqa: ARG001
    """The id of a sweep that is too large for a terminal."""
    parent = tracking.start_sweep("e", "large", baseline_tags([BASELINE]))
    for name, (value,) in results(24, seeds=1).items():
        with tracking.TrackedRun("e", name, tags(name, seed=1), {}, parent.run_id) as run:
            epochs = {"validation/accuracy": [0.5, value], "examples_seen": [1000, 2000]}
            epochs |= {"seconds": [2, 4], "seconds_per_epoch": [2, 2], "train/loss": [1, 0.5]}
            run.log_series({key: list(enumerate(each, 1)) for key, each in epochs.items()})
            run.log_metrics({"test/accuracy": value, "parameters": 1234})
            run.log_report(Report({"accuracy": value}).as_data(ACCURACY))
    parent.finish()
    return parent.run_id


def test_the_artifacts_keep_every_variant(large, capsys):
    compare(large)
    shown = " ".join(capsys.readouterr().out.split())
    tables = {"comparison": ("variants", 25), "differences": ("differences", 24)}
    for artifact, (what, count) in tables.items():
        table = json.loads(mlflow.artifacts.load_text(f"runs:/{large}/{artifact}.json"))
        assert len(table["data"]) == count
        assert f"of {count} {what} are in the artifact {artifact}.json." in shown
    assert "gru k=24 1 1,234" in shown
    assert "gru k=13 " not in shown
    page = mlflow.MlflowClient().get_run(large).data.tags["mlflow.note.content"]
    assert all(f"| gru k={k} | 1,234 |" in page for k in range(1, 25))


def test_the_top_of_a_long_page_has_what_the_terminal_shows(large):
    writer = tracking.RunWriter(large)
    writer.describe("all\n" * 5000, "the best")
    client = mlflow.MlflowClient()
    page = client.get_run(large).data.tags["mlflow.note.content"]
    assert page == "the best\n\nTruncated; the complete text is the artifact description.md."
    assert mlflow.artifacts.load_text(f"runs:/{large}/description.md") == "all\n" * 5000
    writer.describe("all", "the best")
    assert client.get_run(large).data.tags["mlflow.note.content"] == "all"


def test_values_read_for_all_runs_are_those_of_each_run(large, monkeypatch):
    monkeypatch.setattr("unrolled.tracking.reading._RUNS_PER_QUERY", 7)
    runs = tracking.read_sweep(large).runs
    assert len(runs) == 25
    for run in runs[::6]:
        assert run.series == tracking.read_run(run.run_id).series
        assert run.series["validation/accuracy"][-1] == (2, run.metrics["test/accuracy"])


def test_a_comparison_reads_only_the_metrics_that_it_shows(large, monkeypatch):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    read, original = [], SqlAlchemyStore.get_metric_history_bulk

    def recorded(self, run_ids, metric_key, max_results):
        read.append(metric_key)
        return original(self, run_ids, metric_key, max_results)

    monkeypatch.setattr(SqlAlchemyStore, "get_metric_history_bulk", recorded)
    compare(large)
    shown = ["examples_seen", "seconds", "seconds_per_epoch", "validation/accuracy"]
    assert sorted(read) == shown


def test_the_examples_of_the_docstrings_are_true():
    assert doctest.testmod(of_extremes).failed == 0
