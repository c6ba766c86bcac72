"""Arguments of all programs but the runs of experiments that cannot be, each refused."""

import socket

import pytest

from benchmarks import __main__ as bench
from experiments import compare, resume, sample, score, tag
from tests.bad_inputs import refusals
from unrolled.tracking import ui

empty_store, refused_by = refusals.empty_store, refusals.refused_by

NO_RUN = "0123456789abcdef0123456789abcdef"
SHAPE = "{batch: 2,steps: 3,inputs: 4,units: 5}"

ASKING = [
    (score, [], 'text: expected text="a sentence"', "got neither"),
    (score, ["text=a", "file=b"], "got both text and file"),
    (score, ["file=/nowhere"], "file: ", "/nowhere"),
    (score, ["txt=a"], "no option 'txt'. Did you mean text?"),
    (score, ["--text=a"], "no option '--text'. Did you mean text?"),
    (score, ["-h"], "no option '-h'. There are: run, text, file."),
    (score, ["te\x1b[31mxt=a"], r"no option 'te\x1b[31mxt'"),
    (score, ["text=a", "run=latest"], "run=latest: expected a language model, but none"),
    (score, ["text=a", f"run={NO_RUN}"], f"run={NO_RUN}: There is no run"),
    (score, ["text=a", "run=../../etc"], "run=../../etc: There is no run"),
    (score, ["text=a", "run="], "run=: There is no run ''"),
    (score, ["text=a", "run=\x1b[2J"], r"run=\x1b[2J: There is no run"),
    (score, ["text=a", "run=a\x00b"], r"run=a\x00b: There is no run"),
    (tag, [], 'text: expected text="a sentence"'),
    (tag, ["text=a", "file=b"], "got both text and file"),
    (tag, ["file="], "file: expected "),
    (tag, ["words=a"], "no option 'words'"),
    (tag, ["text=a"], "run=latest: expected a tagger, but none"),
    (tag, ["text=a", f"run={NO_RUN}"], "There is no run"),
    (sample, ["temperature=-1"], "temperature: expected a number of at least 0, got '-1'"),
    (sample, ["temperature=nan"], "got 'nan'"),
    (sample, ["temperature=inf"], "got 'inf'"),
    (sample, ["temperature=1e400"], "got '1e400'"),
    (sample, ["temperature=warm"], "got 'warm'"),
    (sample, ["temperature="], "temperature: expected a number of at least 0, got ''"),
    (sample, ["temperature=\x1b[31m1"], r"got '\x1b[31m1'"),
    (sample, ["prompt"], "prompt: expected prompt=<value>, got no value"),
    (sample, ["top_k=0"], "top_k: expected an integer of at least 1, got '0'"),
    (sample, ["top_p=0"], "top_p: expected more than 0 and at most 1"),
    (sample, ["top_p=nan"], "top_p: expected more than 0 and at most 1"),
    (sample, ["length=0"], "length: expected an integer of at least 1, got '0'"),
    (sample, ["length=-1"], "length: expected an integer of at least 1, got '-1'"),
    (sample, ["length=1e9"], "length: expected an integer of at least 1, got '1e9'"),
    (sample, ["n=1.5"], "n: expected an integer of at least 1"),
    (sample, ["n=1_0"], "n: expected an integer of at least 1, got '1_0'"),
    (sample, ["seed=-1"], "seed: expected an integer of at least 0"),
    (sample, ["seed=" + 5000 * "9"], "seed: expected an integer of at least 0"),
    (sample, ["seed=1", "seed=2"], "seed: expected once"),
    (sample, ["leng=5"], "no option 'leng'. Did you mean length?"),
]

SWEEPS = [
    (compare, [NO_RUN], f"There is no run '{NO_RUN}'", "expected the id of a sweep's parent run"),
    (compare, ["latst"], "There is no run 'latst'"),
    (compare, ["\x1b[2J"], r"There is no run '\x1b[2J'"),
    (compare, [], "There is no sweep yet; make one"),
    (compare, [NO_RUN, NO_RUN], "run: expected the id of one sweep"),
    (compare, ["baseline="], "baseline: expected "),
    (compare, ["baseline=null"], "baseline: expected a name, or a list"),
    (compare, ["baseline=lstm,gru"], "baseline: expected one variant", "or a list"),
    (compare, ["baseline=[lstm"], "is no override"),
    (compare, ["baseline=5"], "baseline: expected the name of a variant"),
    (compare, ["baseline=lstm", "seed=1"], "seed: a comparison takes run=... and baseline=..."),
]

RESUME = [
    ([NO_RUN], f"There is no run '{NO_RUN}'"),
    (["zz"], "There is no run 'zz'"),
    ([NO_RUN, "seed=1"], "run: expected the id of one sweep"),
    ([], "There is no sweep yet; make one"),
]

BENCH = [
    (["repeat=3"], "no value 'repeat'. Did you mean repeats? There are: "),
    (["units=[ltsm]"], "no name in units: 'ltsm'. Did you mean lstm? There are: "),
    (["units=lstm"], "units: expected a list such as [gru], got 'lstm'"),
    (["units=lstm,gru"], "units: expected a list in brackets, units=[lstm,gru]"),
    (["units=[lstm,lstm]"], "units: expected each name once"),
    (["units=[keras_lstm]"], "There is no ", "'keras_lstm'"),
    (["parts=[limit]"], "parts: limit is compared with what steps measures; add steps"),
    (["repeats=0"], "repeats: expected an integer of at least 1, got 0"),
    (["repeats=true"], "repeats: expected an integer of at least 1, got true"),
    (["repeats=99999999999"], "repeats: expected an integer of at most 4294967295"),
    (["repeats=${nothing}"], "repeats: expected a value, got a reference that cannot be resolved"),
    (["tolerance=0"], "tolerance: expected a number greater than 0"),
    (["tolerance=nan"], "tolerance: expected a finite number"),
    (["masks=[1]"], "masks: expected a list of different values of true and false"),
    (["shapes=[{batch: 2,steps: 3,inputs: 4,units: 0}]"], "shapes: expected"),
    ([f"shapes=[{SHAPE},{SHAPE}]"], "shapes: expected a list of different shapes"),
    (["imdb.jit_compile=1"], "imdb.jit_compile: expected true or false"),
    (["hydra.run.dir=x"], "hydra.run.dir: the benchmark is one run"),
    (["units=\x1b[31m"], r"'units=\x1b[31m' is no override"),
]

PORTS = [
    (["abc"], "port: expected an integer from 1 to 65535, such as 5000, got 'abc'"),
    (["0"], "port: expected an integer from 1 to 65535", "got '0'"),
    (["70000"], "port: expected an integer from 1 to 65535", "got '70000'"),
    (["-1"], "got '-1'"),
    (["5000.0"], "got '5000.0'"),
    (["²"], "got '²'"),
    (["5000", "5001"], "got '5000 5001'"),
    ([5000 * "9"], "port: expected an integer from 1 to 65535"),
    (["\x1b[31m5000"], r"got '\x1b[31m5000'"),
]


@pytest.mark.parametrize("row", ASKING, ids=lambda row: f"{row[0].__name__} {row[1]}"[:60])
def test_asking_a_model_for_what_cannot_be_is_refused(row, refused_by):
    program, arguments, *words = row
    refused_by(lambda *typed: program.main(list(typed)), arguments, words)


@pytest.mark.parametrize("row", SWEEPS, ids=lambda row: " ".join(row[1])[:40])
def test_a_comparison_that_cannot_be_made_is_refused(row, refused_by):
    program, arguments, *words = row
    refused_by(lambda *typed: program.main(list(typed)), arguments, words)


@pytest.mark.parametrize("row", RESUME, ids=lambda row: " ".join(row[0])[:40])
def test_a_sweep_that_cannot_be_resumed_is_refused(row, refused_by):
    arguments, *words = row
    refused_by(lambda *typed: resume.main(list(typed)), arguments, words)


@pytest.mark.parametrize("row", BENCH, ids=lambda row: " ".join(row[0])[:40])
def test_what_cannot_be_measured_is_refused(row, refused_by):
    arguments, *words = row
    refused_by(lambda *typed: bench.main(list(typed)), arguments, words)


@pytest.mark.parametrize("row", PORTS, ids=lambda row: " ".join(row[0])[:40])
def test_a_port_that_cannot_be_is_refused(row, refused_by):
    arguments, *words = row
    refused_by(lambda *typed: ui.main(list(typed)), arguments, words)


def test_a_taken_port_is_told_with_the_way_out(refused_by):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = [f"Port {port} of 127.0.0.1 is in use", "make ui port="]
        refused_by(lambda *typed: ui.main(list(typed)), [str(port)], words)
