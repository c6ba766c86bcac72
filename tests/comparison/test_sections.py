"""Sections are shown in parts that are there, on the terminal and as Markdown."""

import json

import mlflow
import pytest
from matplotlib.figure import Figure

from tests.comparison.made_up import record, tags
from unrolled import tracking
from unrolled.comparison.runs import identity_of, variant_of
from unrolled.comparison.sections import (
    Heading,
    Section,
    as_markdown,
    columns_of,
    data_of,
    log,
    show,
    table_of,
)
from unrolled.comparison.variants import STAGE

NAME, ERROR = Heading("name", "unit"), Heading("test", "test\nMSE", "mse")
FULL = Section(
    heading="All of it",
    table=table_of([{NAME: "gru", ERROR: "0.1"}, {NAME: "lstm"}]),
    caption="MSE: an error.",
    sentences=["gru is best.", "lstm failed."],
    data={"numbers.json": {"unit": ["gru"], "mse": [0.1]}},
    pictures=lambda: {"picture.png": Figure()},
)


def test_headings_are_those_of_their_keys_and_not_of_their_texts():
    assert Heading("test", "anything", "mse") == ERROR
    assert Heading("test", "test\nMSE", "accuracy") != ERROR


def test_a_row_may_leave_columns_empty():
    assert FULL.table == {NAME: ["gru", "lstm"], ERROR: ["0.1", ""]}


def test_columns_whose_headings_read_the_same_are_told_apart():
    table = {Heading("solve", "to 0.9", "accuracy"): ["1"], Heading("solve", "to 0.9", "f1"): ["2"]}
    assert columns_of(table) == {"to 0.9 (solve/accuracy)": ["1"], "to 0.9 (solve/f1)": ["2"]}
    assert data_of(table) == {"solve/accuracy": ["1"], "solve/f1": ["2"]}


def test_a_page_has_all_parts_that_are_there():
    assert as_markdown(FULL) == (
        "All of it\n\n"
        "| unit | test MSE |\n|---|---|\n| gru | 0.1 |\n| lstm |  |\n\n"
        "MSE: an error. Pictures: under Artifacts.\n\n"
        "- gru is best.\n- lstm failed."
    )
    assert as_markdown(Section(sentences=["only this."])) == "- only this."
    assert as_markdown(Section()) == ""


def test_a_terminal_shows_table_caption_and_sentences(capsys):
    show(FULL)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "All of it"
    assert lines[-3:] == ["MSE: an error.", "gru is best.", "lstm failed."]


@pytest.mark.usefixtures("store")
def test_data_and_pictures_become_artifacts():
    with tracking.start_sweep("e", "made up") as parent:
        log(FULL, parent)
    names = {each.path for each in mlflow.MlflowClient().list_artifacts(parent.run_id)}
    assert names >= {"numbers.json", "picture.png"}
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{parent.run_id}/numbers.json"))
    assert table == {"columns": ["unit", "mse"], "data": [["gru", 0.1]]}


def test_runs_repeat_one_another_if_variant_seed_and_tried_value_are_the_same():
    def run(name="gru T=5", seed=1, stage=None, value=0.1):
        found = record(name, 0.5)
        found.tags.update(seed=str(seed), **({} if stage is None else {"stage": stage}))
        found.params["rate"] = str(value)
        return identity_of(found, "rate")

    assert run() == run(value=0.2)
    assert (
        len({run(), run("gru T=6"), run(seed=2), run(stage=STAGE), run(stage=STAGE, value=2)}) == 5
    )


@pytest.mark.parametrize("settings", [None, '{"cell": "gr'])
def test_a_run_without_readable_settings_is_named(settings):
    run = record("gru", 0.5)
    run.tags.clear()
    run.tags.update({} if settings is None else {tracking.SETTINGS: settings})
    with pytest.raises(tracking.UnreadableRecordError, match="gru: expected the settings"):
        variant_of(run)


def test_settings_are_read_as_the_values_that_they_are():
    run = record("gru", 0.5)
    settings = {"cell": "gru", "task.T": 50, "losses": ["late", "own"], "clip": None}
    run.tags.update(tags("gru") | {tracking.SETTINGS: json.dumps(settings)})
    assert variant_of(run).settings == settings
    assert variant_of(run).name == "gru T=50 losses=['late', 'own'] clip=None"
