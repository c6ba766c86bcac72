"""What a sweep and its runs tell each other: through a folder, or through the tracking store."""

import json
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from unrolled.comparison.variants import STAGE
from unrolled.sweeps.overrides import quoted
from unrolled.sweeps.progress import Outcome, Progress
from unrolled.sweeps.sweep import Sweep

DIRECTORY = "hydra.sweep.dir="
FOLDER = "UNROLLED_RUNS"
"""The environment variable of a node that shares no folder with the sweep: where its runs go."""
PARENT = "UNROLLED_PARENT_RUN"
"""The environment variable of a run on such a node: the sweep's parent run."""
_RUNS, _SEARCH = "runs", "search_runs"  # The folders of the parent run's artifacts.
_SECONDS_BETWEEN_LOOKS = 3.0


class Shared(Protocol):
    """What the runs of one stage of a sweep share with it."""

    def begin(self, sweep: Sweep) -> None:
        """Tell the runs what they share, before they start."""

    def overrides(self) -> list[str]:
        """What Hydra has to be told, so that the runs find it."""

    def sweep(self) -> Sweep:
        """What `begin` has told."""

    def stop(self) -> None:
        """Let no more runs start."""

    def is_stopped(self) -> bool:
        """Whether no more runs shall start."""

    def finish(self, name: str, outcome: Outcome, log: Path) -> None:
        """Tell how a run ended.

        Args:
            name: of its folder.
            outcome: how it ended.
            log: of what its libraries wrote.
        """


class SharedFolder:
    """Files in the folder of the sweep, which its runs see.

    Args:
        directory: the folder of the stage, with the folders of its runs in it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stopped = directory / "stopped"

    def begin(self, sweep: Sweep) -> None:
        sweep.save(self._directory)
        self._stopped.unlink(missing_ok=True)

    def overrides(self) -> list[str]:
        return [f"{DIRECTORY}{quoted(str(self._directory))}"]

    def sweep(self) -> Sweep:
        return Sweep.load(self._directory)

    def stop(self) -> None:
        self._stopped.touch()

    def is_stopped(self) -> bool:
        return self._stopped.exists()

    def finish(self, name: str, outcome: Outcome, log: Path) -> None:  # noqa: ARG002
        Progress(self._directory / name).finish(outcome)


class SharedStore:
    """Artifacts of the sweep's parent run.

    Args:
        parent_run_id: MLflow's id of that run.
        directory: the folder of the stage; each machine has its own.
    """

    _SWEEP, _STOPPED, _OUTCOME = "sweep.json", "stopped", ".outcome.json"

    def __init__(self, parent_run_id: str, directory: Path) -> None:
        from unrolled.tracking import Files

        self._parent_run_id, self._directory = parent_run_id, directory
        self._files = Files(parent_run_id, _SEARCH if directory.name == STAGE else _RUNS)

    def begin(self, sweep: Sweep) -> None:
        self._files.delete(self._files.names())
        self._files.write(self._SWEEP, json.dumps(asdict(sweep)))

    def overrides(self) -> list[str]:
        base, stage = self._directory, ""
        if base.name == STAGE:
            base, stage = base.parent, f"/{STAGE}"
        # A node resolves this to its own folder. In double quotes OmegaConf knows every character.
        folder = f"${{oc.env:{FOLDER},{json.dumps(str(base), ensure_ascii=False)}}}{stage}"
        return [
            f"{DIRECTORY}{quoted(folder)}",
            f"+hydra.job.env_set.{PARENT}={self._parent_run_id}",
        ]

    def sweep(self) -> Sweep:
        return Sweep(**json.loads(self._files.read(self._SWEEP)))

    def stop(self) -> None:
        self._files.write(self._STOPPED, "")

    def is_stopped(self) -> bool:
        return self._STOPPED in self._files.names()

    def finish(self, name: str, outcome: Outcome, log: Path) -> None:
        if log.exists():
            self._files.write(f"{name}.log", log.read_text(encoding="utf-8", errors="replace"))
        self._files.write(f"{name}{self._OUTCOME}", json.dumps(asdict(outcome)))

    def outcomes(self, known: Collection[str]) -> Mapping[str, Outcome]:
        """How runs ended, by the names of their folders, without those that are known."""
        ends = (name for name in self._files.names() if name.endswith(self._OUTCOME))
        names = (name.removesuffix(self._OUTCOME) for name in ends)
        return {
            name: Outcome(**json.loads(self._files.read(f"{name}{self._OUTCOME}")))
            for name in names
            if name not in known
        }


def shared_with(directory: Path) -> Shared:
    """What a run shares with its sweep.

    Args:
        directory: the folder of its stage.
    """
    parent = os.environ.get(PARENT)
    return SharedFolder(directory) if parent is None else SharedStore(parent, directory)


class RunInStore:
    """One run of a sweep, as the tracking store shows it; it takes the place of a `Progress`.

    Args:
        stage: what its stage has told.
        name: of its folder.
    """

    def __init__(self, stage: "_Stage", name: str) -> None:
        self._stage, self._name = stage, name

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it is running."""
        self._stage.look()
        return self._stage.outcomes.get(self._name)

    @property
    def fraction(self) -> float:
        """The fraction of the run that is done, from 0 to 1."""
        return self._stage.fractions.get(self._name, 0.0)

    def expire(self) -> None:
        """Let the next look at the run ask the store."""
        self._stage.expire()


class _Stage:
    """The runs of one stage. It asks the store every few seconds for all of them at once."""

    def __init__(self, shared: SharedStore, parent_run_id: str, is_search: bool) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.fractions: dict[str, float] = {}
        self._shared, self._parent_run_id, self._is_search = shared, parent_run_id, is_search
        self._next = 0.0

    def expire(self) -> None:
        """Let the next `look` ask the store."""
        self._next = 0.0

    def look(self) -> None:
        """Ask the store, if it was asked more than some seconds ago."""
        from unrolled.tracking import fractions_of_runs

        if time.monotonic() < self._next:
            return
        self.outcomes |= self._shared.outcomes(self.outcomes)
        stage = STAGE if self._is_search else None
        self.fractions = fractions_of_runs(self._parent_run_id, stage)
        self._next = time.monotonic() + _SECONDS_BETWEEN_LOOKS


def runs_in_store(parent_run_id: str, folders: Iterable[Path]) -> Sequence[RunInStore]:
    """The runs of a sweep, by the folders that they would have on this machine."""
    stages: dict[Path, _Stage] = {}
    runs = []
    for folder in folders:
        above = folder.parent
        if above not in stages:
            shared = SharedStore(parent_run_id, above)
            stages[above] = _Stage(shared, parent_run_id, above.name == STAGE)
        runs.append(RunInStore(stages[above], folder.name))
    return runs
