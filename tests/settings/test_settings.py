"""The limits that are declared for conf/, and how they are described."""

import doctest
import subprocess
import sys
import typing

import pytest
from omegaconf import OmegaConf

from benchmarks import settings as benchmark
from unrolled.project import CONFIGURATION
from unrolled.settings import problems
from unrolled.settings.configuration import SECTIONS, Run
from unrolled.settings.models import Language, Model, Stack, Tagger, settings_of
from unrolled.settings.problems import expected, first_problem
from unrolled.settings.search import Search
from unrolled.settings.section import keys

MODELS = {"stack": Stack, "tagger": Tagger, "language": Language}
DECLARED = [Run, Search, *SECTIONS.values(), *MODELS.values()]
STACK = {
    "name": "stack",
    "_target_": "unrolled.models.build_model",
    "units": 8,
    "layers": 1,
    "embedding": None,
    "dropout": 0,
    "direction": "forward",
    "merge": "concat",
    "match": "units",
    "match_unit": "unrolled.layers.LSTM",
}


def options_of(group, name):
    """The options of a file of conf/ and of those that it is based on."""
    options = OmegaConf.load(CONFIGURATION / group / f"{name}.yaml")
    for based_on in options.pop("defaults", []):
        options = OmegaConf.merge(options_of(group, based_on), options)
    return options


@pytest.mark.parametrize("group", ["training", "budget", "diagnostics", "tracking"])
def test_every_option_of_a_section_is_declared(group):
    for path in (CONFIGURATION / group).glob("*.yaml"):
        assert set(options_of(group, path.stem)) == keys(SECTIONS[group])


@pytest.mark.parametrize("name", MODELS)
def test_every_option_of_a_model_is_declared_with_its_builder(name):
    options = options_of("model", name)
    assert set(options) == keys(MODELS[name])
    assert settings_of(options["_target_"]) is MODELS[name]


def test_a_builder_has_the_same_options_by_each_of_its_names():
    assert settings_of("unrolled.models.stack.build_model") is Stack
    assert settings_of("mine.build_model") is Model


def test_a_builder_outside_the_package_has_the_options_of_every_model():
    assert settings_of("my_models.build") is Model
    assert first_problem(Model, {**STACK, "layers": "many"}) is None
    assert first_problem(Model, {**STACK, "units": 0}).key == "units"


@pytest.mark.parametrize("declared", DECLARED, ids=lambda each: each.__name__)
def test_what_is_allowed_can_be_said_of_every_option(declared):
    hints = typing.get_type_hints(declared, include_extras=True)
    for name in declared.model_fields:
        assert expected(hints[name])


@pytest.mark.parametrize("value", [True, "8", 8.0, None, 0, [8], {"a": 8}])
def test_an_integer_is_taken_as_it_is(value):
    problem = first_problem(Stack, {**STACK, "units": value})
    assert (problem.key, problem.expected) == ("units", "an integer of at least 1")


def test_an_integer_is_a_number():
    assert first_problem(Stack, STACK) is None


def test_a_contradiction_names_the_option_and_says_why():
    problem = first_problem(Stack, {**STACK, "merge": "sum"})
    assert (problem.key, problem.expected) == ("merge", None)
    assert "needs two directions" in problem.reason


@pytest.mark.parametrize("cutoffs", [[9, 4], [4, 4], [4, 20], []])
def test_cutoffs_of_a_benchmark_increase_below_the_vocabulary_size(cutoffs):
    language = OmegaConf.to_container(OmegaConf.load(CONFIGURATION / "benchmark.yaml").language)
    assert first_problem(benchmark.Language, language) is None
    problem = first_problem(
        benchmark.Language, {**language, "vocabulary_size": 20, "cutoffs": cutoffs}
    )
    assert problem.key == "cutoffs"
    assert "expected strictly increasing integers of at least 1" in problem.reason


def test_docstrings():
    assert doctest.testmod(problems).failed == 0


def test_nothing_slow_is_imported():
    program = (
        "import sys\n"
        "import unrolled.settings.configuration, unrolled.settings.search\n"
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
