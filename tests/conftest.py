"""What all tests share. Slow imports are in the fixtures: tests of a unit do not need them."""

import gc
import logging
import shutil
import signal
import sys
from contextlib import contextmanager

import keras
import pytest


def pytest_collection_finish():
    """Keeps what the imports have made out of every later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _graphs_of_a_module_are_collected():
    """Otherwise a process grows to gigabytes, and every garbage collection takes seconds."""
    from unrolled.sweeps.memory import graphs_released

    with graphs_released():
        yield


@pytest.fixture(autouse=True)
def _same_numbers_every_time(monkeypatch):
    """Initial weights are drawn; a bound that some of them miss shall be missed every time.

    Not `tf.random.set_seed`, which throws all of TensorFlow's kernels away: a tenth of a second for
    every test. So tests draw from NumPy, Keras or `tf.random.stateless_normal`.
    """
    with monkeypatch.context() as patch:
        patch.setattr("tensorflow.random.set_seed", lambda _: None)
        keras.utils.set_random_seed(1)


@pytest.fixture(scope="session")
def new_store(tmp_path_factory):
    """A function that puts a store without runs into a folder and gives its URI.

    MLflow takes seconds to make one, through all the versions of its tables; so it makes one, and
    the others are copies. Tests of `tracking` have MLflow make theirs.
    """
    from unrolled import tracking

    first = tmp_path_factory.mktemp("store") / "runs.db"
    tracking.connect(f"sqlite:///{first}")

    def put(folder):
        shutil.copyfile(first, folder / "runs.db")
        return f"sqlite:///{folder}/runs.db"

    return put


@pytest.fixture
def store(new_store, tmp_path, monkeypatch):
    """A store of runs in the test's own folder, and this to work in."""
    from tests.whole_runs import connect

    connect(new_store(tmp_path), monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def shared_store(new_store, tmp_path_factory):
    """Makes a context in which runs go to a store that several tests read: its folder and URI."""

    from tests.whole_runs import connect

    @contextmanager
    def shared():
        folder = tmp_path_factory.mktemp("shared")
        uri = new_store(folder)
        with pytest.MonkeyPatch.context() as patch:
            connect(uri, patch)
            yield folder, uri

    return shared


@pytest.fixture
def untraced():
    """See `tests.whole_runs.untraced`."""
    from tests import whole_runs

    with whole_runs.untraced():
        yield


@pytest.fixture
def watched(monkeypatch):
    """Leaves signals as they were, whatever watches for them in the test."""
    from unrolled.sweeps import interruption

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(interruption, "_stopped", False)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def main(watched, monkeypatch):  # noqa: ARG001
    """A program, `experiments` or another, in this process: from arguments to its exit code."""
    from experiments import __main__ as experiments

    log = logging.getLogger()
    handlers, level = log.handlers[:], log.level
    # Hydra's log would close those there are, and absl's takes pytest's stderr with it.
    monkeypatch.setattr(logging, "shutdown", lambda *_: None)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(sys, "argv", sys.argv)
    yield lambda *arguments, of=experiments: of.main(list(arguments))
    for added in set(log.handlers) - set(handlers):
        added.close()
    log.handlers[:] = handlers
    log.setLevel(level)
