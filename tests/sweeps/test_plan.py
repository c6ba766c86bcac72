"""What a command line may ask for, and what it is told where it may not."""

import os
import subprocess
from dataclasses import replace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from tests.whole_runs import refused_without_slow_imports
from unrolled.console.make_arguments import overrides_of_make
from unrolled.console.refusals import RefusedError
from unrolled.models import DIRECTIONS, MERGES
from unrolled.project import CONFIGURATION
from unrolled.sweeps.catalogue import experiments
from unrolled.sweeps.overrides import quoted
from unrolled.sweeps.plan import baselines_of, make_plan
from unrolled.sweeps.sweep import Sweep


def test_every_experiment_is_a_plan_in_every_budget():
    assert experiments()
    for entry in experiments():
        for budget in ("quick", "default", "full"):
            typed = [f"experiment={entry.name}", f"budget={budget}"]
            needed = ["task.path=there"] if entry.name == "word_lm" else []
            plan = make_plan(typed + needed)
            assert plan.runs > 1
            assert plan.name == entry.name


def test_every_experiment_says_its_question_its_command_and_its_minutes():
    for entry in experiments():
        assert entry.question.endswith("?")
        needed = {"word_lm": " task.path=<folder of ptb.*.txt>"}.get(entry.name, "")
        assert entry.command == f"make experiment name={entry.name}{needed}"
        assert float(entry.minutes) > 0


def test_an_experiment_brings_its_axes_and_the_command_line_replaces_them():
    plan = make_plan(["experiment=gru_vs_lstm"])
    assert plan.axes == {
        "cell": ["simple_rnn", "gru_simplified", "gru", "lstm"],
        "seed": ["1", "2", "3"],
    }
    plan = make_plan(["experiment=gru_vs_lstm", "seed=7", "model.units=8,16,32", "task=imdb"])
    assert plan.axes == {
        "cell": ["simple_rnn", "gru_simplified", "gru", "lstm"],
        "model.units": ["8", "16", "32"],
    }
    assert plan.runs == 12
    assert {c.seed for c in plan.configurations} == {7}
    assert {c.model.units for c in plan.configurations} == {8, 16, 32}
    assert {c.cell.name for c in plan.configurations} == set(plan.axes["cell"])
    assert {c.task.name for c in plan.configurations} == {"imdb"}


def test_other_axes_may_leave_the_baseline_of_an_experiment_out():
    plan = make_plan(["experiment=gru_vs_lstm", "cell=gru,simple_rnn"])
    assert plan.configurations[0].baseline == "lstm"
    typed = ["task=adding", "cell=gru,lstm", "task.T=5,6", "baseline='lstm T=6'"]
    assert make_plan(typed).configurations[0].baseline == "lstm T=6"


def test_a_baseline_may_be_a_list_of_units():
    typed = ["experiment=gru_vs_lstm", "cell=lstm,gru", "seed=1", "baseline=[lstm,gru]"]
    assert list(make_plan(typed).configurations[0].baseline) == ["lstm", "gru"]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ([], None),
        (["baseline=lstm"], ["lstm"]),
        (["baseline=[lstm,gru]"], ["lstm", "gru"]),
        (["baseline='lstm T=5'"], ["lstm T=5"]),
    ],
)
def test_a_comparison_takes_other_baselines(typed, names):
    assert baselines_of(typed) == names


def test_the_words_for_a_model_are_those_that_models_take():
    for key, known in (("direction", DIRECTIONS), ("merge", MERGES)):
        typed = {"direction": "bidirectional", key: ",".join(known)}
        plan = make_plan([f"model.{name}={values}" for name, values in typed.items()])
        assert {config.model[key] for config in plan.configurations} == set(known)
        with pytest.raises(RefusedError, match=f"expected one of {', '.join(known)}[, ]"):
            make_plan([f"model.{key}=none_of_them"])


def test_a_range_and_an_added_value_are_taken():
    plan = make_plan(["seed=range(1,4)", "+cell.use_bias=false"])
    assert plan.axes == {"seed": ["1", "2", "3"]}
    assert plan.configurations[0].cell.use_bias is False


def test_an_added_value_names_its_runs_by_its_values():
    plan = make_plan(["+cell.use_bias=true,false"])
    sweep = Sweep("e", None, list(plan.axes))
    variants = [sweep.variant(each) for each in plan.configurations]
    assert [each.name for each in variants] == ["lstm use_bias=True", "lstm use_bias=False"]
    assert [each.settings["cell.use_bias"] for each in variants] == [True, False]


def test_every_file_of_a_group_has_its_own_name():
    for group in ("cell", "model", "training", "task", "budget", "tracking"):
        for path in (CONFIGURATION / group).glob("*.yaml"):
            content = OmegaConf.load(path)
            assert (content.get("name") or content.task.name) == path.stem


@pytest.fixture
def experiment_file():
    path = CONFIGURATION / "experiment" / "of_a_test.yaml"
    yield path
    path.unlink(missing_ok=True)


def test_what_an_experiment_file_sets_is_set(experiment_file):
    experiment_file.write_text(
        "# @package _global_\nseed: 7\nmodel: {units: 99}\ntraining: {learning_rate: 0.5}\n"
        "budgets: {default: {epochs: 3}}\nhydra: {sweeper: {params: {cell: 'gru,lstm'}}}\n"
    )
    config = make_plan(["experiment=of_a_test"]).configurations[0]
    assert (config.seed, config.model.units, config.training.learning_rate) == (7, 99, 0.5)
    assert config.budget.epochs == 3
    assert make_plan(["experiment=of_a_test", "budget=quick"]).configurations[0].budget.epochs == 2


def test_a_list_of_baselines_in_an_experiment_file_gives_way_to_one_name(experiment_file):
    experiment_file.write_text(
        "# @package _global_\nbaseline: [lstm, gru]\n"
        "hydra: {sweeper: {params: {cell: 'gru,lstm'}}}\n"
    )
    assert list(make_plan(["experiment=of_a_test"]).configurations[0].baseline) == ["lstm", "gru"]
    one = make_plan(["experiment=of_a_test", "baseline=gru"])
    assert one.configurations[0].baseline == "gru"


@pytest.mark.parametrize(
    ("typed", "passed_on"),
    [
        ([], []),
        (["seed=range(1,4)", "a=b c", "d=x$y"], ["seed=range(1,4)", "a=b c", "d=x$y"]),
        (["name=gru_vs_lstm", "e=it's", "task=imdb"], ["e=it's", "task=imdb"]),
    ],
)
def test_make_hands_overrides_over_as_they_were_typed(typed, passed_on, tmp_path):
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\n[ "$1" = -m ] && printf %s "$MAKE_OVERRIDES"; exit 0\n')
    fake.chmod(0o755)
    command = ["make", "experiment", "name=gru_vs_lstm", *typed]
    # These tests run below `make test`, of which this make must know nothing.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command += [f"RUN={fake}", f"READY={fake}"]
    done = subprocess.run(
        command, cwd=CONFIGURATION.parent, capture_output=True, text=True, env=environment
    )
    ours = [a for a in overrides_of_make(done.stdout) if not a.startswith(("RUN=", "READY="))]
    assert sorted(ours) == sorted(passed_on)


@pytest.mark.parametrize(
    "folder", ["/a (old) b, v=2/it's/${x}\\", "/back\\slash", "/back\\\\two", "/\\'quote", '/"#1"']
)
def test_quotes_keep_any_folder_whole(folder):
    override = OverridesParser.create().parse_override(f"hydra.sweep.dir={quoted(folder)}")
    assert override.value() == folder


def test_a_folder_in_quotes_is_the_folder_without_them(tmp_path):
    planned = make_plan(["seed=1,2", f"hydra.sweep.dir={quoted(str(tmp_path / 'a b'))}"])
    assert planned.directory == tmp_path / "a b"


def test_refusing_imports_nothing_slow():
    said = refused_without_slow_imports("experiments", ["experiment=gru_vs_lstm", "model.unit=5"])
    assert "Did you mean model.units?" in said


def test_a_quick_budget_is_made_of_whole_batches_of_one_size():
    """Every other size is compiled as well, which takes longer than what it computes."""
    (config,) = make_plan(["budget=quick", "task=adding"]).configurations
    assert config.budget.train_examples % config.training.batch_size == 0
    assert config.budget.evaluation_examples % config.training.batch_size == 0


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("cell=lstm cell.forget_bias=1.0,3.0 +cell.longest_lag=null,100", "longest_lag"),
        ("task=agreement task.distance.min=13,30 task.distance.max=40,20", "distance.max"),
    ],
)
def test_a_combination_that_a_constructor_rejects_is_found_before_any_run(typed, message):
    from unrolled.sweeps.execution import _check_by_building

    plan = make_plan(typed.split())
    section = "cell" if "cell." in typed else "task"
    *fine, wrong = plan.combinations[section]
    assert len(fine) == 3
    # Without configurations, whose data would be loaded.
    _check_by_building(replace(plan, configurations=[], combinations={section: fine}))
    with pytest.raises(ValueError, match=message):
        _check_by_building(replace(plan, configurations=[], combinations={section: [wrong]}))


def test_a_combination_that_a_section_rejects_is_refused():
    typed = ["task=pydoc_char", "model.tied=false,true", "model.head=softmax,adaptive"]
    with pytest.raises(RefusedError, match=r"^model\.tied: expected head 'softmax'"):
        make_plan([*typed, "model.cutoffs=[9]", "model.units=32", "model.embedding=32"])


def test_a_combination_with_a_searched_value_is_refused():
    search = "search={key: model.units, values: [256, 7], seeds: [101]}"
    typed = ["task=pydoc_char", "cell=gru,lstm", "model.tied=false,true", search]
    with pytest.raises(RefusedError, match="got embedding 256 and units 7"):
        make_plan([*typed, "model.embedding=256"])


def test_a_reference_to_a_swept_option_follows_it():
    typed = ["task=pydoc_char", "model.tied=false,true", "model.units=32,64"]
    found = make_plan([*typed, "model.embedding=${model.units}"]).combinations["model"]
    assert [each["embedding"] for each in found] == [each["units"] for each in found]
