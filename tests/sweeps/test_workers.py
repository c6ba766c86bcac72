"""How many runs of a sweep train at once, and where."""

import os

import joblib
import pytest

from unrolled.console.refusals import RefusedError
from unrolled.sweeps import workers
from unrolled.sweeps.plan import make_plan
from unrolled.sweeps.provenance import identity_of
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.workers import Workers

GIB = 2**30
TWELVE = ["cell=simple_rnn,gru_simplified,gru,lstm", "seed=1,2,3"]


@pytest.fixture
def machine(monkeypatch):
    """A function that gives the machine so many cores and GiB of memory."""

    def having(cores, memory=64):
        monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
        monkeypatch.setattr(workers, "available_memory", lambda: memory * GIB)

    return having


@pytest.mark.parametrize(
    ("arguments", "cores", "memory", "expected"),
    [
        (TWELVE, 2, 64, Workers(jobs=2, threads=2)),
        (TWELVE, 64, 64, Workers(jobs=12, threads=2)),
        (TWELVE, 8, 5, Workers(jobs=3, threads=2)),
        (TWELVE, 8, 0, Workers(jobs=1, threads=2)),
        (["seed=1"], 8, 64, Workers(jobs=1, threads=2)),
        ([*TWELVE, "threads=null"], 64, 64, Workers(jobs=12, threads=5)),
        (["seed=1,2", "threads=null"], 8, 64, Workers(jobs=2, threads=4)),
        ([*TWELVE, "threads=null"], 2, 64, Workers(jobs=2, threads=1)),
        ([*TWELVE, "jobs=5"], 2, 1, Workers(jobs=5, threads=2)),
        (["seed=1,2", "jobs=5"], 2, 64, Workers(jobs=2, threads=2)),
        ([*TWELVE, "threads=1"], 2, 64, Workers(jobs=2, threads=1)),
        (
            ["seed=1", "search={key: training.learning_rate,values: [1e-3,1e-2],seeds: [7,8]}"],
            4,
            64,
            Workers(jobs=4, threads=2),
        ),
    ],
    ids=str,
)
def test_a_sweep_uses_the_cores_and_the_memory_that_there_are(
    machine, arguments, cores, memory, expected
):
    machine(cores, memory)
    assert Workers.of(make_plan(arguments)) == expected


@pytest.mark.parametrize("jobs", ["1", "2", "null"])
def test_the_threads_of_a_run_do_not_depend_on_the_number_of_jobs(machine, jobs):
    machine(8)
    assert Workers.of(make_plan(["seed=1,2,3", f"jobs={jobs}"])).threads == 2
    assert Workers.of(make_plan(["seed=1,2", f"jobs={jobs}", "threads=null"])).threads == 4


def test_threads_are_limited_in_this_process_and_in_workers(monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "7")
    Workers(jobs=2, threads=3).limit_threads()
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["TF_NUM_INTEROP_THREADS"] == "3"
    assert workers.threads_of_this_process() == "3"


def test_a_run_is_identified_by_its_threads_and_not_by_the_jobs_beside_it(monkeypatch):
    identities = []
    for threads, jobs in (("2", 1), ("2", 5), ("3", 1)):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
        (config,) = make_plan([f"jobs={jobs}"]).configurations
        identities.append(identity_of(config, Sweep()))
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["jobs=1"], ["hydra/launcher=basic"]),
        (
            ["jobs=2"],
            ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.batch_size=1"],
        ),
        (
            ["jobs=2", "hydra/launcher=joblib"],
            ["hydra.launcher.n_jobs=2", "hydra.launcher.batch_size=1"],
        ),
        (["hydra/launcher=basic"], []),
    ],
    ids=str,
)
def test_the_launcher_fits_the_jobs(arguments, overrides):
    plan = make_plan(["seed=1,2", *arguments])
    assert Workers.of(plan).overrides(plan.launcher) == overrides


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/launcher=basic", "jobs=2"], "hydra/launcher=basic runs one after the other"),
        (["jobs=0"], "jobs: expected an integer of at least 1, or null, got 0"),
        (["jobs=1,2"], "jobs: expected one value, as it holds for the whole sweep"),
        (["threads=1,2"], "threads: expected one value"),
        (["stop_at_first_failure=maybe"], "stop_at_first_failure: expected true or false"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], "expected jobs=<runs that train at"),
    ],
    ids=str,
)
def test_contradictions_are_refused(arguments, message):
    with pytest.raises(RefusedError, match=message):
        make_plan(["seed=1,2", *arguments])
