"""Files of conf/ that are not what they should be, each refused in one paragraph."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.bad_inputs import refusals
from unrolled import project as project_files
from unrolled.project import CONFIGURATION, PROJECT
from unrolled.sweeps import (
    catalogue,
    composition,
    conf_errors,
    experiment_file,
    hydra_arguments,
    plan,
)

empty_store, refused_by = refusals.empty_store, refusals.refused_by

HEAD = "# @package _global_\n"
SWEEP = "hydra: {sweeper: {params: {cell: 'gru,lstm'}}}\n"
AS_MINE = "conf/experiment/mine.yaml: "
USERS_OF_CONF = (
    catalogue,
    composition,
    conf_errors,
    experiment_file,
    hydra_arguments,
    plan,
    project_files,
)

EXPERIMENTS = {
    "an open bracket": (HEAD + "model: {units: 3\n", "mine.yaml, line 3, column 1: expected YAML"),
    "a tab": (HEAD + "model:\n\tunits: 3\n", "line 3, column 1", "Indent with spaces, not tabs"),
    "a key twice": (HEAD + "seed: 1\nseed: 2\n", "line 3, column 1", "duplicate key seed"),
    "a python object": (HEAD + "seed: !!python/object/apply:os.system [id]\n", "line 2, column 7"),
    "empty": ("", AS_MINE, "expected keys and values", "got none"),
    "a list": (HEAD + "- a\n- b\n", AS_MINE, "expected keys and values", "got a list"),
    "a word": (HEAD + "hello\n", AS_MINE, "expected keys and values", "only the text 'hello'"),
    "latin1": ((HEAD + "# café\n" + SWEEP).encode("latin1"), "a text file in UTF-8", "0xe9"),
    "a byte order mark": ("\ufeff" + HEAD + SWEEP, AS_MINE, "without a byte order mark, got one"),
    "NUL": (HEAD + SWEEP + "\x00", "mine.yaml: expected a text file in UTF-8", "#x0000"),
    "a raw escape": (HEAD + "se\x1b[31med: 1\n" + SWEEP, "mine.yaml: expected a text file"),
    "an escape": (HEAD + '"se\\e[31med": 1\n' + SWEEP, AS_MINE, r"no value 'se\x1b[31med'"),
    "no package": (SWEEP, AS_MINE, "expected the line `# @package _global_`"),
    "no sweep": (HEAD + "model: {units: 3}\n", AS_MINE, "expected a sweep", "cell=gru,lstm"),
    "a number for a key": (HEAD + "1: 2\n" + SWEEP, AS_MINE, "expected keys that are words, got 1"),
    "itself": (HEAD + "seed: &a [*a]\n" + SWEEP, "a value that contains itself"),
    "an unknown word": (HEAD + "model: {unit: 3}\n" + SWEEP, AS_MINE, "Did you mean model.units?"),
    "a number for a section": (HEAD + "task: {depth: 5}\n" + SWEEP, AS_MINE, "values below it"),
    "nan": (HEAD + "training: {learning_rate: .nan}\n" + SWEEP, "expected a finite number"),
    "a section of null": (HEAD + "model: null\n" + SWEEP, "model: expected a section with name"),
    "a choice as a value": (HEAD + "cell: gru\n" + SWEEP, "cell: expected a section with name"),
    "an unknown group": (HEAD + "defaults: [override /tsk: adding]\n" + SWEEP, "Could not", "tsk"),
    "an unknown choice": (HEAD + "defaults: [override /task: addin]\n" + SWEEP, "'task/addin'"),
    "sweepr": (HEAD + "hydra: {sweepr: {}}\n", "experiment/mine", "Key 'sweepr' not in"),
    "a list to sweep": (
        HEAD + "hydra: {sweeper: {params: {cell: [gru, lstm]}}}\n",
        AS_MINE,
        "without brackets, such as `cell: gru,lstm`",
    ),
    "nothing to sweep": (HEAD + "hydra: {sweeper: {params: {cell: null}}}\n", AS_MINE, "got null"),
    "a sweep in a word": (HEAD + "hydra: {sweeper: {params: cell}}\n", AS_MINE, "got 'cell'"),
    "an unknown choice to sweep": (
        HEAD + "hydra: {sweeper: {params: {cell: 'gru,lstn'}}}\n",
        "no cell 'lstn'. Did you mean lstm?",
    ),
    "an unknown key to sweep": (
        HEAD + "hydra: {sweeper: {params: {model.unit: '1,2'}}}\n",
        "Did you mean model.units?",
    ),
    "a reference to nothing": (
        HEAD + "hydra: {sweeper: {params: {cell: '${by_budget.x}'}}}\n",
        "'by_budget.x' not found",
    ),
    "a baseline that is not run": (
        HEAD + "baseline: lstm\nhydra: {sweeper: {params: {cell: 'gru,min_gru'}}}\n",
        "no variant 'lstm'. ",
        "There are: gru, min_gru",
    ),
}

CELLS = {
    "a tab": ("name: mine\n\t_target_: layers.GRU\n", "conf/cell/mine.yaml, line 2, column 1"),
    "latin1": ("# café\nname: mine\n".encode("latin1"), "conf/cell/mine.yaml: expected a text"),
    "empty": ("", "cell: expected a section with name and _target_"),
    "no target": ("name: mine\n", "cell: expected a section with name and _target_"),
    "a number for a key": (
        "name: mine\n_target_: unrolled.layers.GRU\n1: 2\n",
        "cell: expected keys that are words, got 1",
    ),
    "a list": ("- name\n", "cell: expected a section with name and _target_", "['name']"),
}


@pytest.mark.parametrize("case", EXPERIMENTS)
def test_a_bad_experiment_file_is_refused(case, project, main, refused_by):
    content, *words = EXPERIMENTS[case]
    write(project / "experiment" / "mine.yaml", content)
    refused_by(main, ["experiment=mine"], words)


@pytest.mark.parametrize("case", CELLS)
def test_a_bad_file_of_a_cell_is_refused(case, project, main, refused_by):
    content, *words = CELLS[case]
    write(project / "cell" / "mine.yaml", content)
    refused_by(main, ["cell=mine"], words)


def test_an_experiment_without_a_sweep_takes_one_from_the_command_line(project):
    write(project / "experiment" / "mine.yaml", HEAD + "model: {units: 3}\n")
    assert plan.make_plan(["experiment=mine", "cell=gru,lstm"]).runs == 2


def test_the_list_names_all_experiments_though_one_is_unreadable(project):
    write(project / "experiment" / "mine.yaml", b"# question: caf\xe9?\n")
    for folder in ("experiments", "src"):
        shutil.copytree(PROJECT / folder, project.parent / folder)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "experiments.catalogue", "list"],
        cwd=project.parent,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "make experiment name=mine" in done.stdout
    assert "make experiment name=gru_vs_lstm" in done.stdout


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The folder conf/ of a project of the test's own."""
    conf = tmp_path / "conf"
    shutil.copytree(CONFIGURATION, conf)
    for module in USERS_OF_CONF:
        monkeypatch.setattr(module, "CONFIGURATION", conf)
    return conf


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
