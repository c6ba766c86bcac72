"""Whole benchmarks of tiny batches, from the command line to what MLflow holds."""

import json
import os
import signal
import subprocess
import sys

import matplotlib.image
import mlflow
import numpy as np
import pytest

from benchmarks import imdb, run, steps
from benchmarks.__main__ import main
from benchmarks.imdb import OneBucket
from benchmarks.peers import DifferentFunctionsError
from unrolled import tracking
from unrolled.project import CONFIGURATION
from unrolled.tasks.base.examples import training_batches
from unrolled.tasks.sentiment.imdb import Imdb, PreparedReviews, Reviews

SMALL = [
    "shapes=[{batch: 3,steps: 6,inputs: 4,units: 5},{batch: 2,steps: 3,inputs: 5,units: 4}]",
    "repeats=3",
    "limit.size=64",
]
FIRST, SECOND = "B3 T6 D4 H5", "B2 T3 D5 H4"
SILENCE = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


@pytest.fixture(scope="module", autouse=True)
def _store(tmp_path_factory):
    """One for all tests here: a new one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/runs.db")
        patch.setenv("TFDS_DATA_DIR", str(folder / "nothing"))
        tracking.connect()
        yield


def latest():
    """The newest benchmark."""
    runs = mlflow.search_runs(
        experiment_names=[run.EXPERIMENT],
        filter_string="tags.role = 'benchmark'",
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )
    return runs[0] if runs else None


def artifact(name):
    return mlflow.artifacts.load_text(f"runs:/{latest().info.run_id}/{name}")


def test_a_language_model_is_timed_with_its_softmax(capsys):
    small = ["vocabulary_size=50", "units=4", "batch=2", "window=5", "windows=2", "repeats=1"]
    small += ["cutoffs=[10,20]", "cells=[simple_rnn,gru_simplified]"]
    assert main(["parts=[language]", *(f"language.{each}" for each in small)]) == 0
    shown = capsys.readouterr().out
    assert "adaptive : softmax" in shown
    found = latest().data.metrics
    for unit in ("simple_rnn", "gru_simplified"):
        for heads in ("softmax : softmax", "adaptive : adaptive", "adaptive : softmax"):
            key = f"language/{unit}/{heads}"
            ratio = found[f"{key}/peer ms"] / found[f"{key}/ours ms"]
            assert found[f"{key}/ratio"] == pytest.approx(ratio)
            assert found[f"{key}/ours softmax fraction"] > 0


def test_steps_and_limit_end_in_tables_a_picture_and_mlflow(capsys, tmp_path):
    assert main(["parts=[limit,steps]", "units=[simple_rnn,gru_simplified]", *SMALL]) == 0
    shown = capsys.readouterr()
    held = latest()
    assert held.info.status == "FINISHED"
    assert held.info.run_name.startswith("bench ")
    assert held.data.params["repeats"] == "3"
    assert held.data.tags["cores"] == held.data.params["machine/cores"]
    assert {"machine/processor", "machine/tensorflow", "machine/keras"} <= set(held.data.params)

    found = held.data.metrics
    for unit in ("simple_rnn", "gru_simplified"):
        for shape in (FIRST, SECOND):
            assert f"{unit} {shape} masks" in shown.out
            for mask in ("no mask", "masks"):
                for what in ("training", "inference"):
                    key = f"{what}/{unit}/{shape}/{mask}"
                    ratio = found[f"{key}/peer ms"] / found[f"{key}/ours ms"]
                    assert found[f"{key}/ratio"] == pytest.approx(ratio)
                    assert found[f"{key}/ours first call s"] > found[f"{key}/ours ms"] / 1000
    products = 2 * 3 * 6 * 5 * (4 + 5) * 3
    seconds = found[f"training/simple_rnn/{FIRST}/no mask/ours ms"] / 1000
    share = products / seconds / (found["limit/gflops"] * 1e9)
    assert found[f"training/simple_rnn/{FIRST}/no mask/ours of the limit"] == pytest.approx(share)

    ratios = [found[f"inference/simple_rnn/{shape}/masks/ratio"] for shape in (FIRST, SECOND)]
    summary = "summary/inference/masks/built-in"
    assert found[f"{summary}/least"] == min(ratios)
    assert found[f"{summary}/geometric mean"] == pytest.approx(np.sqrt(np.prod(ratios)))
    assert "summary/training/no mask/RNN:cell:/geometric mean" in found

    for title in (
        "Training step, time of the peer / ours (with masks)",
        "Fraction of the arithmetic",
    ):
        assert title in " ".join(shown.out.split())
    assert held.data.tags["mlflow.note.content"] == artifact("speed.md")
    assert "| simple_rnn | " in artifact("speed.md")
    (first, *_) = json.loads(artifact("report.json"))["steps"]
    assert (first["unit"], first["shape"], first["peer"]) == (
        "simple_rnn",
        FIRST,
        "keras.layers.SimpleRNN",
    )
    assert len(first["training"]["steady"]["ours"]) == 3
    picture = mlflow.artifacts.download_artifacts(
        run_id=held.info.run_id, artifact_path="speed.png", dst_path=str(tmp_path)
    )
    assert matplotlib.image.imread(picture)[..., :3].std() > 0.05  # not a blank page


def test_memory_is_measured_in_processes_of_their_own():
    shape = "shapes=[{batch: 64,steps: 100,inputs: 64,units: 64}]"
    assert main(["parts=[memory]", "units=[simple_rnn]", "memory.repeats=2", shape]) == 0
    found = latest().data.metrics
    key = "memory/simple_rnn/B64 T100 D64 H64/no mask"
    outputs = 64 * 100 * 64 * 4 / 2**20
    for who in ("ours", "peer"):
        assert outputs < found[f"{key}/{who} MiB"] < 20 * outputs
    assert found[f"{key}/ratio"] == pytest.approx(
        found[f"{key}/peer MiB"] / found[f"{key}/ours MiB"]
    )


def made_up(count, prefix):
    words = ["is bad", "was good and long and slow"]
    texts = [f"{prefix}{n} the film {words[n % 2]}" for n in range(count)]
    return Reviews(texts, np.arange(count) % 2)


@pytest.fixture
def reviews(monkeypatch, tmp_path):
    """Reviews that are as if they had been downloaded; favorable ones are the longer ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(PreparedReviews, "prepare", lambda _: None)
    monkeypatch.setattr(PreparedReviews, "fingerprint", lambda _: "made up")
    splits = made_up(5_100, "train"), made_up(60, "test")
    monkeypatch.setattr(PreparedReviews, "read", lambda _: splits)


IMDB = ["parts=[imdb]", "imdb.train_examples=32", "imdb.batch_size=8", "imdb.size=4"]


@pytest.mark.usefixtures("reviews")
def test_an_epoch_of_reviews_is_compared_on_both_kinds_of_batches(capsys):
    options = [
        "imdb.units=[simple_rnn]",
        "imdb.embedding=3",
        "imdb.seeds=[3]",
        "imdb.schedule=cosine",
    ]
    assert main([*IMDB, *options]) == 0
    assert "imdb simple_rnn bucketed seed 3" in capsys.readouterr().out
    found = latest().data.metrics
    for batches in ("padded", "bucketed"):
        key = f"imdb/simple_rnn/{batches}/seed 3"
        ours, peer = (found[f"{key}/{who} accuracy"] for who in ("ours", "peer"))
        assert ours == pytest.approx(peer, abs=0.02)
        assert 0 < found[f"{key}/ours first batch s"] < found[f"{key}/ours s"]
    ratio = (
        found["imdb/simple_rnn/padded/seed 3/peer s"]
        / found["imdb/simple_rnn/bucketed/seed 3/ours s"]
    )
    assert found["summary/imdb/simple_rnn/bucketed/peer on padded"] == pytest.approx(ratio)
    assert "| simple_rnn | bucketed | " in artifact("speed.md")


@pytest.mark.usefixtures("reviews")
def test_in_one_bucket_every_batch_is_as_long_as_the_longest():
    task = Imdb(train_examples=40)
    task.load()
    longest = task.training.inputs.shape[1]
    padded = OneBucket(task.training.inputs, task.training.targets)
    one = list(training_batches(padded, 8, seed=1).as_numpy_iterator())
    other = list(training_batches(task.training, 8, seed=1).as_numpy_iterator())
    assert {inputs.shape for inputs, _ in one} == {(8, longest)}
    assert len({inputs.shape for inputs, _ in other}) > 1
    rows = [
        sorted(tuple(np.trim_zeros(row, "b")) for inputs, _ in batches for row in inputs)
        for batches in (one, other)
    ]
    assert rows[0] == rows[1]


@pytest.mark.usefixtures("reviews")
def test_both_models_start_from_the_same_weights():
    from benchmarks.plan import make_plan

    config = make_plan(IMDB).imdb
    task = imdb.load_reviews(config)
    for unit in ("lstm", "gru", "lstm_peephole"):
        ours, peer = imdb._models(task, unit, 1, config)
        words = task.test.inputs[:5]
        np.testing.assert_allclose(ours(words), peer(words), atol=1e-6)
        assert not {id(weight) for weight in ours.weights} & {id(weight) for weight in peer.weights}


def test_missing_reviews_are_named_first_and_the_rest_is_measured():
    command = [sys.executable, "-m", "benchmarks", "parts=[steps,imdb]", "units=[simple_rnn]"]
    command += [*SMALL, "masks=[false]", "shapes=[{batch: 2,steps: 3,inputs: 5,units: 4}]"]
    done = subprocess.run(
        command,
        cwd=CONFIGURATION.parent,
        capture_output=True,
        text=True,
        env={**os.environ, **SILENCE},
    )
    assert (done.returncode, done.stderr) == (1, "")
    named, measured = (done.stdout.index(text) for text in ("Left out: imdb", "ratio "))
    assert named < measured
    assert done.stdout.count("set TFDS_DATA_DIR to a folder") == 2  # and again below the tables
    held = latest()
    assert held.info.status == "FAILED"
    assert (held.data.tags["left_out"], held.data.tags["error"]) == ("imdb", "left out: imdb")
    assert f"training/simple_rnn/{SECOND}/no mask/ratio" in held.data.metrics
    assert "Left out: imdb" in artifact("speed.md")


def test_with_nothing_left_to_measure_there_is_no_run(capsys, monkeypatch):
    for name, value in SILENCE.items():
        monkeypatch.setenv(name, value)
    before = latest()
    assert main(["parts=[imdb]"]) == 2
    assert "set TFDS_DATA_DIR to a folder" in capsys.readouterr().err
    after = latest()
    assert (after and after.info.run_id) == (before and before.info.run_id)


def test_what_fails_is_named_and_the_others_go_on(capsys, monkeypatch):
    def different(outputs, *_):
        if outputs[0].shape[0] == 3:
            raise DifferentFunctionsError("The outputs differ.")

    monkeypatch.setattr(steps, "require_same_function", different)
    assert main(["parts=[steps]", "units=[simple_rnn]", "masks=[false]", *SMALL]) == 1
    assert "FAILED  The outputs differ." in capsys.readouterr().out
    held = latest()
    assert held.info.status == "FAILED"
    assert held.data.tags["error"] == "1 of 2 measurements failed"
    assert f"training/simple_rnn/{SECOND}/no mask/ratio" in held.data.metrics
    assert f"training/simple_rnn/{FIRST}/no mask/ratio" not in held.data.metrics
    assert f"simple_rnn {FIRST} no mask" in artifact("failures.txt")
    assert "DifferentFunctionsError" in artifact("speed.md")


def test_interrupted_what_is_done_is_kept(capsys, monkeypatch):
    def interrupted(line):
        return os.kill(os.getpid(), signal.SIGINT) if FIRST in line else None

    monkeypatch.setattr(run, "_say_line", lambda name, *_: interrupted(name))
    # A worker of pytest-xdist ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["parts=[steps]", "units=[simple_rnn]", "masks=[true]", *SMALL]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    held = latest()
    assert held.info.status == "FAILED"
    assert held.data.tags["error"] == "stopped by the user"
    assert f"training/simple_rnn/{FIRST}/masks/ratio" in held.data.metrics
    assert f"training/simple_rnn/{SECOND}/masks/ratio" not in held.data.metrics
    assert "geometric" in capsys.readouterr().out
    assert FIRST in artifact("speed.md")


def test_what_the_task_rejects_is_told_before_anything_is_measured(capsys, monkeypatch):
    monkeypatch.setattr(Imdb, "load", lambda _: (_ for _ in ()).throw(ValueError("too few")))
    before = latest().info.run_id
    assert main(["parts=[steps,imdb]"]) == 2
    assert "imdb: too few" in capsys.readouterr().err
    assert latest().info.run_id == before


def test_a_store_that_does_not_answer_is_told(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main(["parts=[steps]", "tracking.uri=http://127.0.0.1:9"]) == 2
    assert "The MLflow store http://127.0.0.1:9 does not respond" in capsys.readouterr().err
