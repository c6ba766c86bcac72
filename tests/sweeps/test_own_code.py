"""A task, a model and a unit outside the package: whole sweeps, and what is refused of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.sweeps.own_code.own_task import FirstToken
from unrolled import tracking
from unrolled.project import PROJECT
from unrolled.sweeps.building import load_task
from unrolled.sweeps.task_contract import check_task

OWN_CODE = Path(__file__).parent / "own_code"
SWEEP = [
    "task=first_token",
    "cell=leaky,lstm",
    "baseline=lstm",
    "diagnostics=gradients",
    "diagnostics.measurements=2",
    "diagnostics.examples=4",
    "budget=quick",
    "budget.epochs=1",
    "budget.train_examples=64",
    "budget.evaluation_examples=32",
]


@pytest.fixture
def project(tmp_path):
    """A project with a user's files in conf/ and in the working directory."""
    for folder in ("conf", "experiments", "src"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    shutil.copytree(OWN_CODE / "conf", tmp_path / "conf", dirs_exist_ok=True)
    for module in OWN_CODE.glob("*.py"):
        shutil.copy(module, tmp_path)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "unrolled").symlink_to(tmp_path / "src")
    return tmp_path


def test_a_sweep_over_own_code_ends_in_a_comparison(project, new_store, monkeypatch):
    uri = new_store(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *SWEEP],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "path")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "leaky" in done.stdout
    assert "Differences from the baseline" in done.stdout
    tracking.connect(uri)
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert {run.status for run in sweep.runs} == {"FINISHED"}
    assert {run.tags["cell"] for run in sweep.runs} == {"leaky", "lstm"}
    for run in sweep.runs:
        assert run.tags["task"] == "first_token"
        assert 0 <= run.metrics["test/accuracy"] <= 1
        assert run.report["diagnosis"]["measured"]


class WithoutFingerprint(FirstToken):
    def load(self):
        super().load()
        del self.fingerprint


class WithUnfollowedMetric(FirstToken):
    def keras_metrics(self):
        followed = super().keras_metrics()
        followed[0].name = "acc"
        return followed


def loaded(kind):
    task = kind(steps=3, train_examples=4, evaluation_examples=4)
    task.load()
    return task


def test_a_complete_task_is_accepted():
    check_task(loaded(FirstToken))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WithoutFingerprint, r"'fingerprint' after `load`, got .*WithoutFingerprint without it"),
        (WithUnfollowedMetric, r"with the name 'accuracy', .* got acc\."),
    ],
)
def test_an_incomplete_task_is_refused(kind, message):
    with pytest.raises(ValueError, match=message):
        check_task(loaded(kind))


class WithMissingColumn(FirstToken):
    def load(self):
        {"text": 1}["label"]


def test_a_missing_key_of_a_task_is_refused_with_its_place():
    config = {"task": {"name": "mine", "_target_": f"{__name__}.WithMissingColumn", "steps": 3}}
    config["task"] |= {"train_examples": 4, "evaluation_examples": 4}
    with pytest.raises(ValueError, match=r"KeyError: 'label' in .*test_own_code.py, line \d+"):
        load_task(OmegaConf.create(config))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Mine(:\n", r"cannot be imported \(SyntaxError: .*mine.py, line 1"),
        ("raise KeyError('a')\n", r"cannot be imported \(KeyError: 'a'\)"),
        ("class Mine: pass\n", "which is no class of Task"),
        ("class Mein: pass\n", r"has no 'Mine'\. Did you mean mine\.Mein\?"),
    ],
)
def test_a_broken_module_is_refused(source, message, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    config = OmegaConf.create({"task": {"name": "mine", "_target_": "mine.Mine"}})
    with pytest.raises(ValueError, match=message):
        load_task(config)
