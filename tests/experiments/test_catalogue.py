"""The listing of experiments, which runs before anything is installed."""

import subprocess
import sys

from unrolled.project import CONFIGURATION


def catalogue(*arguments):
    """The catalogue as make calls it, with nothing but the standard library."""
    command = [sys.executable, "-S", "-E", "-m", "experiments.catalogue", *arguments]
    return subprocess.run(command, cwd=CONFIGURATION.parent, capture_output=True, text=True)


def test_the_list_names_question_command_and_minutes():
    done = catalogue("list")
    assert done.returncode == 0
    assert "gru_vs_lstm  (" in done.stdout
    assert "make experiment name=gru_vs_lstm" in done.stdout
    assert done.stdout.count("minutes on two cores") == len(
        list((CONFIGURATION / "experiment").glob("*.yaml"))
    )


def test_a_known_name_passes():
    assert catalogue("check", "gru_vs_lstm").returncode == 0


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    done = catalogue("check", "gru_vs_ltsm")
    assert done.returncode == 2
    assert "Did you mean gru_vs_lstm?" in done.stderr
    assert "make experiment name=gru_vs_lstm" in done.stderr


def test_no_name_is_told_apart_from_a_wrong_one():
    done = catalogue("check", "")
    assert done.returncode == 2
    assert "name=... is missing" in done.stderr
