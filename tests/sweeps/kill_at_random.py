"""Kills sweeps at random moments, resumes them, and holds the result against an undisturbed sweep.

    .venv/bin/python -m tests.sweeps.kill_at_random [--kills 20] [--seed 1] [--target sweep]

`--target` says what is killed: `sweep`, the process of a sweep whose runs are all in it; `parent`,
that of a sweep whose runs are in two workers; or `worker`, one of these. Some
sweeps are killed again while they are resumed.

It prints where each kill hit, and ends with an error if a run stays RUNNING after the next command,
a finished run is run again, or a number differs from that of the undisturbed sweep.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mlflow

from unrolled import tracking
from unrolled.project import CONFIGURATION

SWEEP = [
    "task=adding",
    "task.T=6",
    "cell=gru,lstm",
    "seed=1,2,3",
    "model.units=4",
    "model.dropout=0.2",
    "diagnostics=gradients",
    "diagnostics.examples=4",
    "budget.epochs=4",
    "budget.train_examples=320",
    "budget.evaluation_examples=64",
]
TARGETS = ("sweep", "parent", "worker")
_OF_TIME = ("seconds", "fraction_of_time")
_LONGEST = 300  # seconds that a command may take


class LostError(AssertionError):
    """Something was lost, or came out otherwise."""


@dataclass
class Trial:
    """One sweep, in a store of its own, that is killed and resumed until it has ended.

    Args:
        folder: for the store and the files of the runs.
        arguments: of the command line.
        target: what is killed, see the module.
    """

    folder: Path
    arguments: list[str]
    target: str = "sweep"
    finished: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self):
        self.folder.mkdir(parents=True)
        self.uri = f"sqlite:///{self.folder}/mlflow.db"
        tracking.connect(self.uri)

    def undisturbed(self) -> float:
        """Run the sweep to its end; returns the seconds that took."""
        start = time.monotonic()
        self.run(*self.whole())
        self._look()
        return time.monotonic() - start

    def disturbed(self, moments: list[float]) -> int:
        """Kill the sweep so many seconds after its start, and what resumes it likewise.

        Returns:
            How many kills hit it, before it had ended.
        """
        command, kills = self.whole(), 0
        for moment in moments:
            kills += self._killed(self._start(*command), moment)
            command = self.next_command()
            if command is None:
                break
        if command is not None:
            code = self.run(*command)
            self._look()
            if code != 0 or self._parent().info.status != "FINISHED":
                raise LostError(f"the sweep ended with exit code {code}: {self._parent().info}")
        return kills

    def run(self, *command) -> int:
        """Run a program, `python -m` with these words, to its end; returns the exit code."""
        return self._wait(self._start(*command))

    def may_be_killed(self) -> bool:
        """Whether moments are counted from now on; here, from the start."""
        return True

    def results(self) -> dict[str, dict]:
        """All that each run found, but for what depends on the time, by the run's name."""
        sweep = tracking.read_sweep(tracking.latest_sweep())
        runs = [run for run in sweep.runs if run.status == "FINISHED"]
        if len({run.name for run in runs}) < len(runs):
            raise LostError(f"a run was finished twice: {sorted(run.name for run in runs)}")
        return {run.name: _without_times(run) for run in runs}

    def whole(self) -> list[str]:
        """The command that runs the sweep."""
        jobs = f"jobs={1 if self.target == 'sweep' else 2}"
        return ["experiments", *self.arguments, f"hydra.sweep.dir={self.folder}/runs", jobs]

    def _start(self, *command):
        log = open(self.folder / "terminal.txt", "a")  # noqa: SIM115  (the process has it)
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=CONFIGURATION.parent,
            env={**os.environ, "MLFLOW_TRACKING_URI": self.uri},
            stdout=log,
            stderr=log,
        )

    def _wait(self, process):
        code = process.wait(_LONGEST)
        if "Traceback" in (self.folder / "terminal.txt").read_text():
            raise LostError(f"a traceback: see {self.folder}/terminal.txt")
        return code

    def _killed(self, process, moment):
        """Whether the process, or a worker of it, was still there to be killed at the moment."""
        while not self.may_be_killed() and process.poll() is None:
            time.sleep(0.01)
        end = time.monotonic() + moment
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:
            self._wait(process)
            print(f"  {moment:6.1f} s  it had ended", flush=True)
            return False
        where = self._where()
        if self.target != "worker":
            process.kill()
        elif workers := _workers(process.pid):
            os.kill(random.choice(workers), signal.SIGKILL)
            where += ", of a worker"
        else:
            process.kill()
            where += ", before there were workers"
        self._wait(process)
        print(f"  {moment:6.1f} s  {where}", flush=True)
        return True

    def _where(self):
        """In which part of its work a sweep is, as far as its files tell."""
        runs = self.folder / "runs"
        parent = self._parent()
        if parent is None or not runs.exists():
            return "start-up"
        begun, ended = (len(list(runs.glob(f"*/{name}.json"))) for name in ("run", "outcome"))
        if list(runs.glob("*/*.draft")):
            doing = "saving"
        elif list(runs.glob("*/checkpoint.json")):
            doing = "training"
        else:
            doing = "comparison" if ended == 6 else "between runs, data, or first epoch"
        return f"{doing}; {begun} runs had begun, {ended} had ended"

    def next_command(self) -> list[str] | None:
        """Check what the kill has left; returns the command that goes on, None if all is done."""
        if self._parent() is None:
            return self.whole()
        # Any command tidies up; this one reads alone.
        self.run("experiments.resume", "0" * 32)
        self._look()
        if self._parent().info.status == "FINISHED":
            return None
        return ["experiments.resume", self._parent().info.run_id]

    def _look(self):
        """No run may be RUNNING; a run that was finished must be as it was."""
        tracking.connect(self.uri)
        client = mlflow.MlflowClient()
        everything = client.search_runs(
            [each.experiment_id for each in client.search_experiments()]
        )
        running = [run.info.run_name for run in everything if run.info.status == "RUNNING"]
        if running:
            raise LostError(f"still RUNNING after the next command: {running}")
        found = {
            run.info.run_id: (run.info.end_time, dict(run.data.metrics))
            for run in everything
            if run.info.status == "FINISHED"
            and run.data.tags.get("role") != "sweep"
            and tracking.STOPPED_AFTER not in run.data.tags  # It may go on.
        }
        for run_id, before in self.finished.items():
            if found.get(run_id) != before:
                raise LostError(
                    f"the finished run {run_id} has changed: {before} {found.get(run_id)}"
                )
        self.finished = found

    def _parent(self):
        tracking.connect(self.uri)
        run_id = tracking.latest_sweep()
        return run_id and mlflow.MlflowClient().get_run(run_id)


def _without_times(run) -> dict:
    def timeless(values):
        if not isinstance(values, Mapping):
            return values
        kept = {k: v for k, v in values.items() if not any(word in k for word in _OF_TIME)}
        return {key: timeless(value) for key, value in kept.items()}

    return {
        "params": run.params,
        "metrics": timeless(run.metrics),
        "series": timeless(run.series),
        "report": timeless(run.report),
    }


def _workers(parent: int) -> list[int]:
    """The processes that run jobs for a sweep; another child of it keeps count of semaphores."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout
    rows = [line.split(maxsplit=1) for line in listed.splitlines()]
    return [int(pid) for pid, command in rows if "popen_loky" in command]


def hold_against(expected: dict, found: dict) -> int:
    """Compare the results of two sweeps to the digit; returns how many numbers there were."""
    if expected.keys() != found.keys():
        raise LostError(f"expected the runs {sorted(expected)}, got {sorted(found)}")
    count = 0
    for name, parts in expected.items():
        for part, values in parts.items():
            for key in values.keys() | found[name][part].keys():
                count += 1
                one, other = values.get(key), found[name][part].get(key)
                if one != other and str(one) != str(other):  # NaN is not itself.
                    raise LostError(f"{name}: {part} {key}: expected {one}, got {other}")
    return count


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--target", choices=TARGETS, default="sweep")
    asked = parser.parse_args(arguments)
    random.seed(asked.seed)
    with tempfile.TemporaryDirectory(prefix="kills_") as folder:
        whole = Trial(Path(folder) / "undisturbed", SWEEP, asked.target)
        seconds = whole.undisturbed()
        expected = whole.results()
        print(f"Undisturbed: {len(expected)} runs in {seconds:.0f} s", flush=True)
        left, number = asked.kills, 0
        while left:
            number += 1
            moments = [random.uniform(0, seconds) for _ in range(min(left, random.randint(1, 4)))]
            print(f"Sweep {number}", flush=True)
            trial = Trial(Path(folder) / str(number), SWEEP, asked.target)
            left -= trial.disturbed(moments)
            numbers = hold_against(expected, trial.results())
            print(f"  ended; {numbers} results equal those of the undisturbed sweep", flush=True)
    print(f"{asked.kills} kills: nothing lost, nothing run twice, every number the same.")


if __name__ == "__main__":
    main(sys.argv[1:])
