"""A failed run has the kind of its failure as data, whatever its message says."""

import socket

import pytest

from unrolled import tracking
from unrolled.diagnostics import DivergedError
from unrolled.tracking import FAILURE, Failure, failure_of, read_run


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (DivergedError(7, "kernel", 1e9, 1e3), Failure.DIVERGED),
        (FloatingPointError("loss is nan"), Failure.DIVERGED),
        (KeyboardInterrupt(), Failure.INTERRUPTED),
        (RuntimeError("DivergedError: it says"), Failure.ERROR),
    ],
)
def test_an_exception_stands_for_a_kind_of_failure(error, failure):
    assert failure_of(error) is failure


@pytest.mark.usefixtures("store")
def test_a_run_that_fails_and_goes_on_has_the_kind_of_its_last_failure():
    with pytest.raises(FloatingPointError), tracking.TrackedRun("e", "r") as run:
        raise FloatingPointError("no number")
    assert read_run(run.run_id).tags[FAILURE] == Failure.DIVERGED
    with tracking.TrackedRun("e", "r", run_id=run.run_id):
        pass
    assert FAILURE not in read_run(run.run_id).tags


@pytest.mark.usefixtures("store")
def test_a_run_whose_process_was_killed_was_interrupted():
    run = tracking.TrackedRun("e", "r")
    run.set_tags({"process": f"{socket.gethostname()}:{2**22 + 1}"})  # Linux has no such process.
    assert tracking.fail_abandoned_runs() == 1
    assert read_run(run.run_id).tags[FAILURE] == Failure.INTERRUPTED
