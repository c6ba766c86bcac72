"""Every sweep has a folder of its own, and Hydra takes the keys of choices that are swept."""

import contextlib
import itertools
from datetime import datetime
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION
from unrolled.sweeps import launch
from unrolled.sweeps.claim import InUseError
from unrolled.sweeps.hydra_arguments import forced
from unrolled.sweeps.launch import Folder, in_project
from unrolled.sweeps.plan import Plan, make_plan


@pytest.fixture
def claims():
    with contextlib.ExitStack() as stack:
        yield stack


def plan(directory=None):
    return Plan("name", {"seed": ["1", "2"]}, [], directory)


def test_two_sweeps_of_one_second_have_two_folders(tmp_path, monkeypatch, claims):
    class Clock(datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(launch, "datetime", Clock)
    monkeypatch.setattr(launch, "OUTPUTS", tmp_path)
    made = []
    for run_id in ("aa", "bb"):
        folder = Folder(plan(), None)
        folder.claim(claims)
        made.append(folder.made_for(run_id, claims))
    assert [each.relative_to(tmp_path) for each in made] == [
        Path("name/2026-01-02_03-04-05_aa"),
        Path("name/2026-01-02_03-04-05_bb"),
    ]
    with pytest.raises(FileExistsError):
        Folder(plan(), None).made_for("aa", claims)


def test_a_folder_that_two_command_lines_name_goes_to_one_of_them(tmp_path, claims):
    Folder(plan(tmp_path / "mine"), None).claim(claims)
    with pytest.raises(InUseError, match=r"mine: is in use by process"):
        Folder(plan(tmp_path / "mine"), None).claim(claims)


def test_a_folder_that_was_filled_meanwhile_is_refused(tmp_path, claims):
    (tmp_path / "run.json").touch()
    with pytest.raises(RefusedError, match="expected a new or an empty folder"):
        Folder(plan(tmp_path), None).claim(claims)


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_made(
    tmp_path, monkeypatch, claims
):
    monkeypatch.setattr(launch, "OUTPUTS", tmp_path / "file" / "outputs")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"{tmp_path}/file"):
        Folder(plan(), None).claim(claims)


def test_what_an_earlier_version_began_is_not_continued(tmp_path, claims):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "run_id").write_text("abc")
    with pytest.raises(RefusedError, match=r"1: an earlier version .* cannot continue it"):
        Folder(plan(), tmp_path).claim(claims)


SWEPT = [
    ["cell=gru,min_gru", "cell.update_bias=-1"],
    ["cell=gru,min_gru", "+cell.gates=x"],
    ["experiment=gru_vs_lstm", "cell=gru,min_gru", "cell.update_bias=-1"],
    ["task=adding,temporal_order", "task.T=20", "model.units=4"],
    ["task=shakespeare_char,pydoc_char", "model.head=softmax", "budget=quick"],
    ["task=shakespeare_char,pydoc_char", "task.path='a, b={c} \\'d\\''", "model.layers=2"],
    ["diagnostics=gradients", "seed=1,2", "diagnostics.losses=[own,late]", "baseline=null"],
]
"""Also keys that only the swept choices have: Hydra begins with the default choices."""


@pytest.mark.parametrize("arguments", SWEPT, ids=" ".join)
def test_hydra_takes_what_the_plan_accepts(arguments):
    if "path" not in str(arguments):
        make_plan(arguments)
    launched = forced(arguments)
    parser = OverridesParser.create()
    parsed = [parser.parse_override(argument) for argument in launched]
    fixed = [each.input_line for each in parsed if not each.is_sweep_override()]
    keys = [each.get_key_element().lstrip("+") for each in parsed]
    typed = [parser.parse_override(each).get_key_element().lstrip("+") for each in arguments]
    assert keys == typed
    swept = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        for each in parsed
        if each.is_sweep_override()
    ]
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        compose("config", fixed)  # As Hydra does first.
        for combination in itertools.product(*swept):
            config = compose("config", [*combination, *fixed])
            for argument in arguments:
                override = parser.parse_override(argument)
                key = override.get_key_element().lstrip("+")
                if not override.is_sweep_override() and not (CONFIGURATION / key).is_dir():
                    assert OmegaConf.select(config, key) == override.value()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cell=gru,lstm", "cell.update_bias=-1"], r"With cell=lstm: .*cell.update_bias"),
        (["cell=lstm,gru", "cell.update_bias=-1"], r"With cell=lstm: .*cell.update_bias"),
        (["task=adding,agreement", "task.T=20"], r"With task=agreement: .*'task.T'"),
        (["task=pydoc_char,adding", "model.head=softmax"], r"With task=adding: .*'model.head'"),
        (["training=sgd,adam", "training.nothing=1"], r"With training=sgd: .*'training.nothing'"),
        (
            ["cell=gru,min_gru", "~cell.update_bias"],
            r"~cell.update_bias: .* default choice",
        ),
        (
            ["cell=gru,lstm", "search={key: cell.update_bias, values: [0, -1], seeds: [9]}"],
            r"search.key: .*cell.update_bias",
        ),
    ],
    ids=str,
)
def test_a_key_that_one_of_the_choices_lacks_is_refused_naming_it(arguments, message):
    with pytest.raises(RefusedError, match=message):
        make_plan(arguments)


def test_the_folder_of_a_sweep_is_recorded_relative_to_the_project():
    inside = CONFIGURATION.parent / "outputs" / "name" / "now"
    assert in_project(inside) == Path("outputs/name/now")
    assert in_project(Path("/elsewhere/now")) == Path("/elsewhere/now")
