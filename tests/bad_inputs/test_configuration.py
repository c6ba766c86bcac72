"""Configurations that cannot be run: what a command line says of them, and that nothing is made.

A row is a command line, and words of the paragraph with which it is refused.
"""

import pytest

from tests.bad_inputs import refusals
from unrolled.sweeps import composition

empty_store, refused_by = refusals.empty_store, refusals.refused_by

TINY = ["task=adding", "task.T=6", "model.units=4"]
TINY += ["budget.train_examples=40", "budget.evaluation_examples=40"]
TOKENS = ["budget.train_examples=2000", "budget.evaluation_examples=1000"]
HUGE = "1" + 30 * "0"

KEYS_AND_CHOICES = [
    (["experiment=gru_vs_lstn"], "no experiment 'gru_vs_lstn'. Did you mean gru_vs_lstm?"),
    (["experiment=../experiment/gru_vs_lstm"], "no experiment '../experiment/gru_vs_lstm'. Did"),
    (["experiment=a/b"], "no experiment 'a/b'. There are: char_lm, "),
    (["experiment="], "no experiment ''. There are: "),
    (["experiment=gru_vs_lstm,names"], "experiment: expected one name"),
    (["experiment=gru_vs_lstm,gru_vs_lstm"], "experiment: expected one name"),
    (["model.unit=5"], "no value 'model.unit'. Did you mean model.units? There are: model.name"),
    (["+model.unit=5"], "no value 'model.unit'. Did you mean model.units?"),
    (["++training.rate=1"], "no value 'training.rate'. Did you mean training.name?"),
    (["+experiment=gru_vs_lstm"], "+experiment: expected experiment=<name of a file>, without +"),
    (["name=x"], "no value 'name'. Did you mean task.name?"),
    (["task=adding", "task.t=9"], "no value 'task.t'. Did you mean task.T?"),
    (["tracking.urii=x"], "no value 'tracking.urii'. Did you mean tracking.uri?"),
    (["cell=gru", "cell.forget_bias=1"], "no value 'cell.forget_bias'."),
    (["cell=gruu"], "no cell 'gruu'. Did you mean gru? There are: "),
    (["cell=[gru,lstm]"], "no cell '[gru,lstm]'. Did you mean lstm?"),
    (["task=imbd"], "no task 'imbd'. Did you mean imdb?"),
    (["budget=huge"], "no budget 'huge'. There are: default, full, quick."),
    (["hydra/launcher=joblb"], "no hydra/launcher 'joblb'. Did you mean joblib?"),
    (["hydra/sweeper=optuna"], "hydra/sweeper: expected one of the keys of Hydra"),
    (["++hydra.sweep.subdir=x"], "++hydra.sweep.subdir: stays the number of the run"),
    (["++hydra.mode=RUN"], "++hydra.mode: stays MULTIRUN"),
    (["++hydra.sweep.dir=/x"], "++hydra.sweep.dir: expected one of", "hydra.sweep.dir=<a new fold"),
    (
        ["++hydra.launcher.n_jobs=0"],
        "++hydra.launcher.n_jobs: is the option jobs here; expected jo",
    ),
    (["+hydra.callbacks.x._target_=os.abort"], "+hydra.callbacks.x._target_: expected one of"),
    (["hydra.launcher._target_=os.abort"], "hydra.launcher._target_: expected one of the keys"),
    (["hydra.output_subdir=null"], "hydra.output_subdir: expected one of the keys of Hydra"),
    (["+hydra/launcher=joblib"], "+hydra/launcher: expected one of the keys of Hydra"),
    (["hydra/launcher=joblib,basic"], "hydra/launcher: expected one value, as it holds for the"),
    (["hydra.sweep.dir='x_${now:%Y}'"], "expected a folder without ${...} and without control"),
    (["hydra.sweep.dir='a\nb'"], "without control characters", r"got 'a\nb'"),
    (["hydra.sweep.dir=true"], "hydra.sweep.dir: expected the path of a folder, got true; a fold"),
    (["hydra.sweep.dirr=x"], "hydra.sweep.dirr: expected one of the keys of Hydra"),
    (["hydra.mode=RUN"], "hydra.mode: stays MULTIRUN"),
    (["hydra.run.dir=x"], "hydra.run.dir: is not used", "expected hydra.sweep.dir=<folder>"),
    (["hydra.sweep.subdir=x"], "hydra.sweep.subdir: stays the number of the run"),
    (["hydra.sweep.dir=/dev/null/x"], "expected a folder that can be made, got '/dev/null/x'"),
    (["hydra.sweep.dir="], "hydra.sweep.dir: expected a folder that can be made, got ''"),
    (["hydra.sweep.dir=/proc"], "hydra.sweep.dir: expected a new or an empty folder, got /proc"),
    (["hydra.sweeper.params.cell=gru"], "expected the sweep in key=value,value"),
    (["hydra=5"], "hydra: expected a key below it"),
    (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "n_jobs: is the option jobs here; expe"),
    (
        ["hydra/launcher=joblib", "hydra.launcher.verbose=abc"],
        "Value 'abc' of type 'str' could not be converted to Integer",
    ),
    (["~cell"], "~cell: expected cell=<value>, as it cannot be removed"),
    (["~model.units"], "~model.units: expected model.units=<value>"),
    (["cell.name=gru"], "cell.name: says which file of conf/cell was chosen", "cell=<name"),
    (["budget.name=mine"], "expected budget=<name of a file>"),
]

NOT_AS_TYPED = [
    (["seed"], "'seed' is no override; expected key=value"),
    (["=5"], "'=5' is no override; expected key=value, got no key"),
    (["model..units=5"], "'model..units=5' is no override"),
    (["model.units=[1,2"], "'model.units=[1,2' is no override"),
    (["baseline=head=crf"], """must pass the quotes on: 'baseline="head=crf"'"""),
    (["--multirun", "seed=1,2"], "no option '--multirun'.", "There are: --help"),
    (["--model.units=5"], "no option '--model.units'", "without dashes: model.units=32"),
    (["model.units=\x1b[31m5"], r"'model.units=\x1b[31m5' is no override"),
    (["cell=\x1b[2J"], r"'cell=\x1b[2J' is no override"),
    (["model.unit\x00s=5"], r"'model.unit\x00s=5' is no override"),
    (["cell='\x1b]0;gru\x07'"], r"\x1b]0;gru\x07"),
    (["seed=1,2", "seed=3"], "seed: given twice; list all values in one argument"),
]

SWEEPS = [
    (["seed=1,2,1"], "seed: 1, 2, 1 make runs of the same name"),
    (["cell=gru,gru"], "cell: gru, gru make runs of the same name, 'gru seed=1'"),
    (["seed="], "seed: expected an integer of at least 0, got ''"),
    (["seed=1,"], "'seed=1,' is no override"),
    (["seed=range(1,1)"], "'seed=range(1,1)': expected 1 to 1000 values, got none"),
    (["seed=range(1,1000000000)"], "expected 1 to 1000 values, got more"),
    (["seed=interval(0,1)"], "names no values", "seed=range(1,4)"),
    (["seed=glob(*)"], "names no values"),
    (["seed=range(1,2,0)"], "'seed=range(1,2,0)' names no values"),
    (["model.units=range(1,nan)"], "'model.units=range(1,nan)' names no values"),
    (["seed=shuffle(1,2,3)"], "got shuffle. Write seed=1,2,3 or seed=range(1,4)."),
    (["seed=sort(shuffle(range(1,4)))"], "expected values in an order that stays the same"),
    (["baseline=shuffle([gru,lstm])"], "expected values in an order that stays the same"),
    (["tracking.uri=a.db,b.db"], "tracking.uri: expected one value, as a sweep and all its runs"),
    (["search={key: cell._target_,values: [a,b],seeds: [7]}"], "search.key: expected a value with"),
    (["search={key: task.name,values: [a,b],seeds: [7]}"], "search.key: expected a value with"),
    (["seed=[1,2]"], "got [1, 2]. Several values to sweep stand without brackets: seed=1,2."),
    (["seed=1,01"], "seed: expected an integer of at least 0, got '01'"),
    (["model.units=64,0"], "model.units: expected an integer of at least 1, got 0"),
    (["search=yes_please"], "search: expected key, values and seeds, or null; got 'yes_please'"),
    (
        ["search={key: training.learning_rate,values: [nan,0.1],seeds: [7]}"],
        "search.values: expected a finite number",
    ),
]

TYPES = [
    (["model.units=many"], "model.units: expected an integer of at least 1, got 'many'"),
    (["model.units='32'"], "model.units: expected an integer of at least 1, got '32'"),
    (["model.units=32.0"], "model.units: expected an integer of at least 1, got 32.0"),
    (["model.units=true"], "model.units: expected an integer of at least 1, got true"),
    (["model.units=null"], "model.units: expected an integer of at least 1, got null"),
    (["model.units="], "model.units: expected an integer of at least 1, got ''"),
    (["model.units={a: 1}"], "model.units: expected an integer of at least 1, got {'a': 1}"),
    (["model.units=${nothing}"], "model.units: expected a value, got a reference that cannot"),
    (["model.units=${model.units}"], "model.units: expected a value", "Recursive"),
    (["model.units=${oc.env:NO_SUCH_VARIABLE}"], "'NO_SUCH_VARIABLE' not found"),
    (
        ["model.dropout='0.1'"],
        "model.dropout: expected a number of at least 0 and",
        "got '0.1'",
    ),
    (
        ["training.learning_rate=null"],
        "training.learning_rate: expected a number greater",
        "got null",
    ),
    (
        ["training=sgd_unclipped", "training.clip_norm=true"],
        "greater than 0, or null, got true",
    ),
    (["training.jit_compile=1"], "training.jit_compile: expected true or false, got 1"),
    (["training.schedule=[]"], "training.schedule: expected one of constant, cosine, got []"),
    (["task=imdb", "budget.train_examples=abc"], "expected an integer of at least 1, or null"),
    (["task.distance=5"], "task.distance: got 5, but it has values below it; set one of"),
    (
        ["diagnostics.losses=late"],
        "expected [late], [own] or [late,own], got 'late'",
    ),
    (["tracking.uri=5"], "tracking.uri: expected a text that is not empty, or null, got 5"),
    (["baseline=true"], "baseline: expected the name of a variant", "got true"),
]

RANGES = [
    (["model.units=-1"], "model.units: expected an integer of at least 1, got -1"),
    (["model.units=1e400"], "model.units: expected a finite number, of at most 3.4e+38, got inf"),
    ([f"model.units={HUGE}"], "model.units: expected an integer of at most 4294967295"),
    (["model.layers=0"], "model.layers: expected an integer from 1 to 100, got 0"),
    (["model.dropout=1"], "model.dropout: expected a number of at least 0 and less than 1, got 1"),
    (["model.dropout=nan"], "model.dropout: expected a finite number", "got nan"),
    (["model.match=size"], "model.match: expected one of units, parameters, got 'size'"),
    (["model.direction=up"], "model.direction: expected one of forward, bidirectional, got 'up'"),
    (
        ["training.learning_rate=-1"],
        "training.learning_rate: expected a number greater than 0",
    ),
    (["training.learning_rate=nan"], "training.learning_rate: expected a finite number", "nan"),
    (["training.learning_rate=1e400"], "expected a finite number, of at most 3.4e+38, got inf"),
    (["training.explosion=0.0"], "training.explosion: expected a number greater than 0"),
    (["training.schedule=linear"], "training.schedule: expected one of constant, cosine"),
    (["budget.epochs=0"], "budget.epochs: expected an integer of at least 1, got 0"),
    (["seed=-1"], "seed: expected an integer of at least 0, got -1"),
    (["seed=4294967296"], "seed: expected an integer of at most 4294967295, got 4294967296"),
    (["diagnostics.measurements=1"], "expected 0, or an integer from 2 to 10000"),
    (["diagnostics.measurements=1000000"], "from 2 to 10000, got 1000000"),
    (["diagnostics.losses=[first]"], "diagnostics.losses: expected [late], [own] or"),
    (["cell.forget_bias=nan"], "cell.forget_bias: expected a finite number"),
    (["+cell.update_bias=inf"], "cell.update_bias: expected a finite number"),
    (
        ["cell=simple_rnn_scaled", "cell.recurrent_initializer.config.gain=nan"],
        "cell.recurrent_initializer.config.gain: expected a finite number",
    ),
    (
        ["task=pydoc_char", "training.decay=1.5"],
        "training.decay: expected a number greater than 0 and less than 1, or null",
    ),
    (["task=pydoc_word", "model.cutoffs=abc"], "model.cutoffs: expected a list of increasing"),
]

CONTRADICTIONS = [
    (
        ["model.direction=bidirectional", "model.merge=add"],
        "model.merge: expected one of concat, sum, mul, ave ",
    ),
    (
        ["model.direction=bidirectional", "model.merge=null"],
        "(null, as in Keras, returns two outputs, but the next layer takes one input), got null",
    ),
    (["model.merge=sum"], "model.merge: 'sum' needs two directions, and `direction` is 'forward'"),
    (
        ["model.direction=bidirectional,forward", "model.merge=concat,sum"],
        "model.merge: 'sum' needs two directions",
    ),
    (
        ["training.clip_value=null,1.0", "training.clip_norm=null,1.0"],
        "training.clip_value: got 1.0, with clip_norm=1.0",
    ),
    (
        ["training=adam,sgd_unclipped", "training.clip_value=null,1.0"],
        "training.clip_value: got 1.0, with clip_norm=1.0",
    ),
    (["training.clip_value=1.0"], "training.clip_value: got 1.0, with clip_norm=1.0"),
    (["task=pydoc_char", "training.decay=0.5"], "training.decay: got 0.5, with schedule=cosine"),
    (["task=pydoc_char", "model.direction=bidirectional"], "has already seen the next word"),
    (["model=tagger"], "model.character_units: the task agreement recommends no value"),
    (["model=language"], "not learned by model=language"),
    (["experiment=context_use", "model.head=sampled"], "one of softmax, adaptive"),
    (["experiment=word_lm"], "task.path: ", "task.path=<folder with ptb.train.txt"),
    (["task=pydoc_char,text_char"], "task.path: the task text_char has no default"),
    (["task=text_word"], "task.path: the task text_word has no ", "task.path=<file or folder>"),
    (
        ["experiment=gru_vs_lstm", "baseline=gruu"],
        "baseline: There is no variant 'gruu'. Did you m",
    ),
    (["cell=gru,lstm", "baseline=gru,lstm"], "baseline: expected one variant"),
    (["cell=gru,lstm", "baseline=3"], "baseline: expected the name of a variant"),
    (["cell=gru,lstm", "baseline=[gru,3]"], "baseline: expected the name of a variant"),
    (["cell=gru,gru_chrono", "baseline=[gru,gru_chrono]"], "are both unrolled.layers.GRU"),
    (
        ["task=adding", "cell=gru,lstm", "task.T=5,6", "baseline='lstm T=7'"],
        "no variant 'lstm T=7'",
    ),
]

BY_TASK_OR_MODEL = [
    (["task.T=1"], "`T`: expected an integer of at least 2, got 1"),
    (
        ["task.T=1000000000"],
        "expected a value that fits into",
        "GiB of memory",
        "with T=1000000000",
    ),
    (["budget.train_examples=4000000000"], "`train_examples`: expected a value that fits into"),
    (["budget.train_examples=null"], "`train_examples`: expected an integer of at least 1"),
    (["task.data_seed=-1"], "`data_seed`: expected an integer of at least 0, got -1"),
    (["model.units=100000"], "`model`: expected a value that fits into", "with model.units=100000"),
    (["model.embedding=32"], "`model.embedding`: expected null, as the inputs of adding are"),
    (["+cell.gate=1"], "has no option 'gate'. It has: "),
    (["cell=lstm_coupled", "cell.forget_gate=maybe"], "`forget_gate`: expected True or False or"),
    (["cell=lstm_chrono", "cell.longest_lag=1"], "`longest_lag`: expected a number of steps"),
    (["cell=simple_rnn", "cell.activation=tanhh"], "activation function identifier: tanhh"),
    (
        ["cell._target_=unrolled.layers.LSTN"],
        "layers has no 'LSTN'. Did you mean unrolled.layers.LSTM?",
    ),
    (
        ["cell._target_=lstm"],
        "cell._target_: expected a module and a name in it, such as unrolled.layers.LSTM",
    ),
    (["training.optimizer=Adam"], "such as keras.optimizers.Adam, got 'Adam'"),
    (["training.optimizer=os.system"], "got 'os.system', which is no class of Optimizer"),
    (
        ["training.optimizer=keras.optimizers.Adam,keras.optimizers.Adm"],
        "Did you mean keras.optimizers.Adam?",
    ),
    (
        ["model.match=parameters", "model.match_unit=unrolled.layers.GRUU"],
        "Did you mean unrolled.layers.GRU?",
    ),
    (["training.window=5"], "training.window: expected null"),
    (
        ["task=pydoc_char", *TOKENS, "training.window=null"],
        "training.window: expected the number of steps of a window",
    ),
    (["task=names", "task.longest_word=1000000000"], "`longest_word`: ", "from 1 to 1000, got"),
    (["task=text_char", *TOKENS, "task.path="], "task.path: ", "a text file, or a folder of"),
    (["task=conll", "task.path="], "task.path: ", "expected a folder with a training", "got ''"),
    (["task=imdb", "task.cache_dir="], "`cache_dir`: expected a folder or None, got ''"),
    (
        ["task=agreement", "model.units=8", "model.embedding=4", "cell=gru,gru_mut1"],
        "`units`",
        "cell=gru_mut1 with model.units=8",
    ),
    (["task=agreement", "task.distance.max=0"], "`distance.max`: expected an integer"),
    (["task._target_=nowhere.Mine"], "task._target_: ", "cannot be imported (ModuleNotFoundError:"),
    (["task._target_=unrolled.layers.LSTM"], "task._target_: ", "which is no class of Task"),
    (["model._target_=nowhere.build"], "model._target_: expected a module and a name in it, such"),
    (
        ["task=agreement", "model=tagger", "model.character_units=2", "model.word_dropout=0.0"],
        "`model`: expected stack, or another model that can learn agreement, got tagger",
    ),
    (
        ["task=names", "diagnostics=gradients"],
        "diagnostics.measurements: expected 0",
        "this one has 3: ",
    ),
    (["tracking.uri=http://127.0.0.1:99999"], "http://127.0.0.1:99999 has no valid server"),
]

MADE_BEFORE = [*KEYS_AND_CHOICES, *NOT_AS_TYPED, *SWEEPS, *TYPES, *RANGES, *CONTRADICTIONS]


@pytest.mark.parametrize("row", MADE_BEFORE, ids=lambda row: " ".join(row[0])[:60])
def test_a_configuration_that_cannot_be_is_refused(row, main, refused_by):
    arguments, *words = row
    refused_by(main, arguments, words)


@pytest.mark.parametrize("row", BY_TASK_OR_MODEL, ids=lambda row: " ".join(row[0])[:60])
def test_what_a_task_or_a_model_refuses_is_told_before_any_run(row, main, refused_by):
    arguments, *words = row
    set_here = {argument.partition("=")[0] for argument in arguments}
    others = [each for each in TINY if each.partition("=")[0] not in set_here]
    if "task" in set_here:
        others.remove("task.T=6")
    refused_by(main, [*others, *arguments], words)


@pytest.fixture(scope="module", autouse=True)
def _compose_once():
    """The files of conf/ are the same for all rows, so Hydra composes them once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "forget_files", lambda: None)
        yield
