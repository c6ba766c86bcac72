"""What the tables of bad inputs hold a refusal to."""

import sqlite3
from contextlib import closing

import mlflow
import pytest

from unrolled import tracking
from unrolled.console.program import REFUSED
from unrolled.console.refusals import RefusedError, print_refusal
from unrolled.project import CONFIGURATION


@pytest.fixture(scope="module")
def empty_store(new_store, tmp_path_factory):
    """A store that stays empty, as no row of the tables gets as far as to a run; its URI."""
    with pytest.MonkeyPatch.context() as patch:
        uri = new_store(tmp_path_factory.mktemp("empty"))
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        tracking.connect()
        yield uri


@pytest.fixture
def refused_by(empty_store, capsys):
    """Asserts that a program refuses its arguments in one paragraph that has these words."""

    def check(program, arguments, words):
        made = outputs()
        try:
            code = program(*arguments)
        except RefusedError as refused:  # As `entry.run` has it, which needs streams of a process.
            print_refusal(refused)
            code = REFUSED
        told = capsys.readouterr()
        assert code == 2, told
        check_paragraph(told.out + told.err, words)
        assert outputs() == made
        assert runs_in(empty_store) == 0
        if mlflow.get_tracking_uri() != empty_store:  # A row may have named another.
            tracking.connect(empty_store)

    return check


def check_paragraph(told, words):
    """One paragraph, of characters that a terminal only shows."""
    paragraph = told.strip("\n")
    assert "Traceback" not in paragraph
    assert "\n\n" not in paragraph, told
    assert paragraph.replace("\n", "").isprintable()
    for each in words:
        assert each in paragraph, told


def runs_in(uri):
    """How many runs a store in SQLite has; MLflow would take longer to say it than a row takes."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as store:
        return store.execute("SELECT COUNT(*) FROM runs").fetchone()[0]


def outputs():
    """The folders of sweeps."""
    return sorted((CONFIGURATION.parent / "outputs").glob("*/*"))
