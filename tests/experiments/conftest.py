"""What tests of whole runs share."""

import logging
import signal
import sys

import pytest
from hydra import compose, initialize_config_dir

import tracking
from experiments import __main__ as program
from experiments import interruption
from experiments.catalogue import CONFIGURATION


@pytest.fixture
def store(new_store, tmp_path, monkeypatch):
    """A store of runs in the test's own folder, and this to work in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.chdir(tmp_path)
    tracking.connect()


@pytest.fixture
def watched(monkeypatch):
    """Leaves signals as they were, whatever watches for them in the test."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(interruption, "_stopped", False)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def main(watched, monkeypatch):  # noqa: ARG001
    """`python -m experiments` in this process: called with its arguments, gives its exit code."""
    log = logging.getLogger()
    handlers, level = log.handlers[:], log.level
    # Hydra's log would close those there are, and absl's takes pytest's stderr with it.
    monkeypatch.setattr(logging, "shutdown", lambda *_: None)
    monkeypatch.setattr(sys, "argv", sys.argv)
    yield lambda *arguments: program.main(list(arguments))
    for added in set(log.handlers) - set(handlers):
        added.close()
    log.handlers[:] = handlers
    log.setLevel(level)


def composed(*overrides):
    """The configuration that a command line makes."""
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("config", list(overrides))
