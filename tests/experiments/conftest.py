"""What tests of whole runs share."""

import logging
import signal
import sys
from contextlib import contextmanager

import pytest
from hydra import compose, initialize_config_dir

import tracking
from experiments import __main__ as program
from experiments import interruption
from experiments.catalogue import CONFIGURATION


@pytest.fixture
def store(new_store, tmp_path, monkeypatch):
    """A store of runs in the test's own folder, and this to work in."""
    connect(new_store(tmp_path), monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def shared_store(new_store, tmp_path_factory):
    """Makes a context in which runs go to a store that several tests read: its folder and URI."""

    @contextmanager
    def shared():
        folder = tmp_path_factory.mktemp("shared")
        uri = new_store(folder)
        with pytest.MonkeyPatch.context() as patch:
            connect(uri, patch)
            yield folder, uri

    return shared


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
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(sys, "argv", sys.argv)
    yield lambda *arguments: program.main(list(arguments))
    for added in set(log.handlers) - set(handlers):
        added.close()
    log.handlers[:] = handlers
    log.setLevel(level)


def connect(uri, patch):
    """Runs go to this store, until the patch is undone."""
    patch.setenv("MLFLOW_TRACKING_URI", uri)
    tracking.connect()


def composed(*overrides):
    """The configuration that a command line makes."""
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("config", list(overrides))
