"""What a command line may ask for, and what it is told where it may not."""

import subprocess
import sys

import pytest

from experiments.catalogue import experiments
from experiments.plan import RefusedError, make_plan

REFUSED = [
    (["experiment=gru_vs_lstn"], r"no experiment 'gru_vs_lstn'. Did you mean gru_vs_lstm\?"),
    (
        ["model.unit=5"],
        r"no value 'model.unit'. Did you mean model.units\? There are: .*model.layers",
    ),
    (["cell=gruu"], r"no cell 'gruu'. Did you mean gru\? There are: .*simple_rnn"),
    (["task=imbd"], r"no task 'imbd'. Did you mean imdb\?"),
    (["cell=gru", "cell.forget_bias=1"], "no value 'cell.forget_bias'"),
    (["model.units=many"], "model.units: expected a whole number, such as 32; got 'many'"),
    (["model.units=64,0"], "model.units: expected at least 1, got 0"),
    (["model.units=2.5"], "model.units: expected a whole number"),
    (["model.dropout=1"], "model.dropout: expected at least 0 and less than 1, got 1"),
    (["model.match=size"], "model.match: expected one of units, parameters, got 'size'"),
    (["training.learning_rate=-1"], "training.learning_rate: expected more than 0"),
    (["training.jit_compile=1"], "training.jit_compile: expected true or false"),
    (["budget.epochs=0"], "budget.epochs: expected at least 1"),
    (["seed=1,two"], "seed: expected a whole number, such as 1; got 'two'"),
    (["seed"], "'seed' is no override; expected key=value"),
    (["experiment=gru_vs_lstm,gru_vs_lstm"], "experiment: expected one name"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=str)
def test_what_cannot_be_run_is_refused(arguments, message):
    with pytest.raises(RefusedError, match=message):
        make_plan(arguments)


def test_every_experiment_is_a_plan_in_every_budget():
    assert experiments()
    for entry in experiments():
        for budget in ("quick", "default", "full"):
            plan = make_plan([f"experiment={entry.name}", f"budget={budget}"])
            assert plan.runs > 1
            assert plan.name == entry.name


def test_every_experiment_says_its_question_its_command_and_its_minutes():
    for entry in experiments():
        assert entry.question.endswith("?")
        assert entry.command == f"make experiment name={entry.name}"
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


def test_a_range_and_an_added_value_are_taken():
    plan = make_plan(["seed=range(1,4)", "+cell.use_bias=false"])
    assert plan.axes == {"seed": ["1", "2", "3"]}
    assert plan.configurations[0].cell.use_bias is False


def test_refusing_imports_nothing_slow():
    program = (
        "import sys\n"
        "from experiments.__main__ import main\n"
        "code = main(['experiment=gru_vs_lstm', 'model.unit=5'])\n"
        "slow = {'tensorflow', 'keras', 'mlflow', 'tensorflow_datasets', 'matplotlib'}\n"
        "print(code, sorted(slow & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "2 []\n"
    assert "Did you mean model.units?" in done.stderr
