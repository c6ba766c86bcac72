"""Texts for people decide nothing: reworded, they leave every number and every verdict the same."""

from dataclasses import replace

import pytest

from tests.comparison.made_up import MSE, group, tags, variant
from unrolled.comparison import flow_comparison, main_table, significance, variants
from unrolled.comparison.forest import forest
from unrolled.comparison.report_sections import comparison_sections, search_section
from unrolled.comparison.runs import VariantRuns, baseline_tags, has_diverged
from unrolled.comparison.sections import Heading, as_markdown
from unrolled.comparison.significance import Finding
from unrolled.sweeps.launch import _failed_otherwise
from unrolled.sweeps.progress import Outcome
from unrolled.tasks.base.metric import Metric
from unrolled.tracking import FAILURE, Failure, RunRecord, SweepRecord

RESULTS = {
    "lstm T=50": [0.01, 0.012, 0.009],
    "gru T=50": [0.001, 0.0012, 0.0011],
    "simple_rnn T=50": [0.15, 0.16, 0.17],
    "lstm T=100": [0.02, 0.021, 0.025],
    "gru T=100": [0.0021, 0.0019, 0.003],
}
ERRORS = {Failure.DIVERGED: "DivergedError: step 7", Failure.INTERRUPTED: "KeyboardInterrupt: "}
REWORDED = {Failure.DIVERGED: "it was no good", Failure.INTERRUPTED: "DivergedError: not at all"}


def ended(name, values, metric=MSE):
    """Runs that have all that a table shows of them."""
    series = {f"validation/{metric.key}": [(1, 0.2), (2, 0.005)], "validation/loss": [(1, 0.2)] * 2}
    series |= {"examples_seen": [(1, 1000), (2, 2000)], "seconds_per_epoch": [(1, 2.0)]}
    runs = group(name, values, metric, memories=(60, 66, 63))
    for seed, run in enumerate(runs):
        run.metrics.update({"parameters": 1234, "test/context": 20})
        run.series.update(series)
        run.tags["seed"] = str(seed)
    return runs


def sweep(metric=MSE, errors=ERRORS):
    runs = [run for name, values in RESULTS.items() for run in ended(name, values, metric)]
    for failure, error in errors.items():
        of_run = tags("gru T=100", error=error) | {FAILURE: failure}
        runs.append(RunRecord("id", "gru T=100 seed=9", "FAILED", of_run, {}, {}, {}, None))
    return SweepRecord("id", "made up", "e", "1", "FINISHED", baseline_tags(["lstm"]), {}, runs)


def reported(sweep):
    """The sections of a sweep's report."""
    by_name = {}
    for run in sweep.runs:
        if run.status == "FINISHED":
            by_name.setdefault(run.tags["variant"], []).append(run)
    compared = [VariantRuns(variant(name), runs) for name, runs in by_name.items()]
    return comparison_sections(sweep, compared)


def numbers(sections):
    """All that is no text of the differences."""
    (columns,) = (
        each.data["differences.json"] for each in sections if "differences.json" in each.data
    )
    texts = ("variant", "baseline", "metric", "outcome")
    return {name: values for name, values in columns.items() if name not in texts}


def test_errors_say_nothing_of_how_a_run_failed():
    plain, reworded = sweep(), sweep(errors=REWORDED)
    assert [has_diverged(run) for run in reworded.runs] == [has_diverged(run) for run in plain.runs]
    assert sum(map(has_diverged, plain.runs)) == 1
    assert list(map(as_markdown, reported(reworded))) == list(map(as_markdown, reported(plain)))


def test_errors_say_nothing_of_whether_a_search_can_be_trusted():
    ends = [Outcome("run", 1.0, "", text, failure) for failure, text in REWORDED.items()]
    assert [_failed_otherwise([each]) for each in ends] == [0, 1]
    assert _failed_otherwise([Outcome("run", 1.0, "it failed, it says"), None]) == 1


def test_the_name_of_a_metric_is_for_people():
    renamed = replace(MSE, name="badness by far", solved=MSE.solved)
    plain, reworded = reported(sweep()), reported(sweep(renamed))
    assert numbers(plain) == numbers(reworded)
    assert "badness by far" in as_markdown(reworded[1])
    assert as_markdown(reworded[1]).replace("badness by far", "MSE") == as_markdown(plain[1])


def test_names_of_variants_are_for_people(monkeypatch):
    plain = reported(sweep())
    monkeypatch.setattr(variants, "label", lambda key, text: f"<{text}, if you ask for {key}>")
    reworded = reported(sweep())
    assert "<lstm, if you ask for cell> <50, if you ask for T>" in as_markdown(reworded[1])
    assert numbers(plain) == numbers(reworded)
    assert len(plain[1].sentences) == len(reworded[1].sentences)


def test_words_for_findings_are_for_people(monkeypatch):
    plain = reported(sweep())
    found = dict.fromkeys(Finding, "no comment")
    monkeypatch.setattr(significance, "_WORDS", found)
    reworded = reported(sweep())
    assert as_markdown(reworded[1]) == as_markdown(plain[1])
    assert numbers(plain) == numbers(reworded)
    assert set(reworded[2].data["differences.json"]["outcome"]) == {"no comment", "1 diverged"}


def colors(figure):
    return [line.get_color() for axes in figure.axes for line in axes.lines]


def test_a_forest_is_colored_by_findings_and_not_by_their_words(monkeypatch):
    runs = {variant(name): ended(name, values) for name, values in RESULTS.items()}
    against = {
        variant("gru T=50"): variant("lstm T=50"),
        variant("simple_rnn T=50"): variant("lstm T=50"),
    }
    found = significance.differences(runs, against, {})
    plain = colors(forest(found, ""))
    monkeypatch.setattr(significance, "_WORDS", dict.fromkeys(Finding, "no comment"))
    assert colors(forest(found, "")) == plain
    assert len(set(plain)) == 3


@pytest.mark.parametrize(
    ("module", "name", "explained"),
    [
        (main_table, "_CONTEXT", "the fewest tokens"),
        (flow_comparison, "_MEMORY", "falls below 1% of its peak"),
    ],
)
def test_captions_explain_columns_whatever_their_headings(monkeypatch, module, name, explained):
    reworded = Heading(getattr(module, name).key, "an other heading")
    assert reworded == getattr(module, name)
    monkeypatch.setattr(module, name, reworded)
    (table, *_) = reported(sweep())
    assert "an other heading" in as_markdown(table)
    assert explained in table.caption


def test_the_caption_explains_a_threshold_whatever_its_heading(monkeypatch):
    monkeypatch.setattr(Metric, "solved_text", "(as good as we want it)")
    assert "training examples, in thousands" in reported(sweep())[0].caption


def test_without_a_search_there_is_no_section_of_one():
    assert search_section(sweep()) == []
