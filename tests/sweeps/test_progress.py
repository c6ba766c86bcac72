"""What a run leaves in its folder is taken up by that run, and by no other."""

import subprocess
import sys
import time

import keras
import pytest

from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.claim import InUseError, claimed
from unrolled.sweeps.progress import Begun, Identity, Outcome, Progress
from unrolled.sweeps.state_files import StateError
from unrolled.sweeps.sweep import Sweep
from unrolled.system.processes import is_running

OURS = Identity("parent", {"seed": 1, "cell.name": "gru"})
ENDED = Outcome("gru seed=1", 2.0, "test accuracy 1.0")


def test_a_run_finds_what_it_has_left(tmp_path):
    progress = Progress(tmp_path)
    assert progress.begun(OURS) is None
    progress.begin(OURS, "run")
    assert progress.begun(OURS) == Begun("run", None)
    progress.ended_well(OURS, "run", ENDED)
    assert progress.begun(OURS) == Begun("run", ENDED)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Identity("another", OURS.configuration), r"another sweep .*parent; this one is another"),
        (Identity("parent", {"seed": 2, "cell.name": "gru"}), r"seed was 1, is 2\."),
        (Identity("parent", {"seed": 1}), r"cell.name was 'gru', is None"),
    ],
)
def test_what_another_has_left_is_refused_and_stays(tmp_path, other, message):
    progress = Progress(tmp_path)
    progress.ended_well(OURS, "run", ENDED)
    with pytest.raises(StateError, match=message + r".* Nothing of it was used"):
        progress.begun(other)
    assert progress.begun(OURS) == Begun("run", ENDED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"format": 3, "run_id', "is not JSON"),
        (b"\xff\xfe{\x00", "is not JSON"),
        (b"[1]", "its format is not supported"),
        (b'{"run_id": "run"}', "its format is not supported"),
        (b'{"format": 1, "run_id": "run"}', "its format is not supported"),
        (b'{"format": 3, "run_id": "run"}', r"its keys are \['run_id'\], expected \["),
    ],
)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("run.json", lambda folder: Progress(folder).begun(OURS)),
        ("sweep.json", Sweep.load),
        ("checkpoint.json", lambda folder: Checkpoint(folder, "run").restore(None)),
    ],
)
def test_a_garbled_file_is_named(tmp_path, name, read, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StateError, match=rf"{name} cannot be read back: .*{message}.* Delete"):
        read(tmp_path)


def test_an_outcome_that_is_garbled_is_a_failure(tmp_path):
    (tmp_path / "outcome.json").write_text("{")
    assert "outcome.json cannot be read back" in Progress(tmp_path).outcome.error


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def test_a_checkpoint_of_another_run_is_refused(tmp_path, model):
    Checkpoint(tmp_path, "one").save(model, 3, [])
    assert Checkpoint(tmp_path, "one").restore(model) == (3, [])
    with pytest.raises(StateError, match=r"expected the checkpoint of .* other, got that of one"):
        Checkpoint(tmp_path, "other").restore(model)


def test_a_checkpoint_of_other_data_is_refused(tmp_path, model):
    Checkpoint(tmp_path, "one", "abc").save(model, 3, [])
    assert Checkpoint(tmp_path, "one", "abc").restore(model) == (3, [])
    with pytest.raises(StateError, match=r"data changed after .* was abc, is def"):
        Checkpoint(tmp_path, "one", "def").restore(model)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
            "changed since it was saved",
        ),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_weights_that_are_not_those_saved_are_refused(tmp_path, model, harm, message):
    Checkpoint(tmp_path, "one").save(model, 3, [])
    harm(tmp_path / "epoch_3.weights.h5")
    with pytest.raises(StateError, match=rf"{message}.*\. Delete .*checkpoint.json"):
        Checkpoint(tmp_path, "one").restore(model)


def test_a_folder_is_one_process_s_until_that_ends(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from unrolled.sweeps.claim import claimed\n"
        "with claimed(Path(sys.argv[1])):\n"
        "    print('has it', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    other.stdout.readline()
    with (
        pytest.raises(InUseError, match=f"is in use by process {other.pid}"),
        claimed(tmp_path),
    ):
        pass
    other.kill()
    with claimed(tmp_path, patience=20):
        pass


WORKER = (
    "import os, socket, sys, time; from unrolled.sweeps import interruption\n"
    "print(os.getpid(), flush=True); time.sleep(float(sys.argv[2]))\n"
    "interruption.end_with(int(sys.argv[1]), socket.gethostname()); time.sleep(60)"
)


@pytest.mark.parametrize("seconds", [0, 1], ids=["while it works", "while it starts"])
def test_a_worker_ends_with_its_sweep(seconds):
    sweep = (
        "import os, subprocess, sys\n"
        f"worker = [sys.executable, '-c', {WORKER!r}, str(os.getpid()), '{seconds}']\n"
        "subprocess.run(worker)"
    )
    process = subprocess.Popen([sys.executable, "-c", sweep], stdout=subprocess.PIPE)
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    end = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < end, "the worker went on"
        time.sleep(0.1)
