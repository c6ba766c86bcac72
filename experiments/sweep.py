"""What the runs of one sweep share, and the small files by which they tell how far they are."""

import copy
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

SINGLE = "single_runs"  # The experiment of runs that belong to none.
STAGE = "search"  # The tag `stage` of runs that find a key's values, and the folder they are in.
_FILE = "sweep.json"


@dataclass(frozen=True)
class Sweep:
    """A sweep as its runs know it, also in processes of their own.

    Attributes:
        experiment: its name in MLflow.
        parent_run_id: the MLflow run that holds the comparison; None for a single run.
        axes: the keys that are varied.
        searched: the key of which each variant has a value of its own, if there is one.
        stage: STAGE for the runs that find it.
        chosen: for the runs after them its value by variant.
    """

    experiment: str = SINGLE
    parent_run_id: str | None = None
    axes: list[str] = field(default_factory=list)
    searched: str | None = None
    stage: str | None = None
    chosen: dict[str, Any] = field(default_factory=dict)

    def hand_over(self, directory: Path) -> None:
        """Leave it to the processes of the runs that keep their files in folders in `directory`.

        Not in the environment: a launcher's processes may be older than this stage of the sweep.
        """
        write_at_once(directory / _FILE, json.dumps(asdict(self)))

    @classmethod
    def handed_over(cls, directory: Path) -> "Sweep":
        """The sweep that was left there; else that of a single run."""
        path = directory / _FILE
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def tuned(self, config: DictConfig) -> DictConfig:
        """The configuration with the value that was chosen for its variant, if one was."""
        variant = self.variant(config)
        if variant not in self.chosen:
            return config
        config = copy.deepcopy(config)
        OmegaConf.update(config, self.searched, self.chosen[variant])
        return config

    def run_name(self, config: DictConfig) -> str:
        """The run's name in the UI, which no other run of the sweep has."""
        words = [self.variant(config)]
        if self.stage is not None:
            value = OmegaConf.select(config, self.searched)
            words.append(f"{self.searched.rpartition('.')[2]}={value}")
        return " ".join([*words, f"seed={config.seed}"])

    def variant(self, config: DictConfig) -> str:
        """What sets a run apart from those of the sweep that differ by more than their seed."""
        words = [config.cell.name]
        for key in self.axes:
            if key in ("cell", "seed"):
                continue
            value = OmegaConf.select(config, key)
            if OmegaConf.is_config(value):  # a choice of a configuration group
                value = value.name
            words.append(f"{key.rpartition('.')[2]}={value}")
        return " ".join(words)


def parts(variant: str) -> dict[str, str]:
    """A variant's or a baseline's name by what it sets: "lstm T=50" is {"cell": "lstm", "T": "50"}.

    >>> parts("lstm T=50 match=units")
    {'cell': 'lstm', 'T': '50', 'match': 'units'}
    >>> parts("layers=1")
    {'layers': '1'}
    >>> parts("gru max=60 max=4")
    {'cell': 'gru', 'max': '60', "max'": '4'}
    """
    found = {}
    for word in re.split(r" (?=\w+=)", variant):
        key, value = word.split("=", 1) if "=" in word else ("cell", word)
        while key in found:  # Two keys may end in the same word.
            key += "'"
        found[key] = value
    return found


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `error` is None for one that ended well."""

    name: str
    seconds: float
    summary: str
    error: str | None = None


class Progress:
    """How far one run is, in its own folder, for whoever shows the bar of the whole sweep."""

    _SHARE, _OUTCOME, _RUN_ID = "progress", "outcome.json", "run_id"

    def __init__(self, directory: Path):
        self._directory = directory

    def report(self, share: float) -> None:
        """The share of the run that is done, from 0 to 1."""
        write_at_once(self._directory / self._SHARE, f"{share:.4f}")

    def finish(self, outcome: Outcome) -> None:
        """How the run ended."""
        write_at_once(self._directory / self._OUTCOME, json.dumps(asdict(outcome)))

    @property
    def share(self) -> float:
        """The share last reported, 0 before the first."""
        path = self._directory / self._SHARE
        return float(path.read_text()) if path.exists() else 0.0

    def tracked_as(self, run_id: str) -> None:
        """The id of the run in MLflow."""
        write_at_once(self._directory / self._RUN_ID, run_id)

    @property
    def run_id(self) -> str | None:
        """The id of the run in MLflow, None before it has begun."""
        path = self._directory / self._RUN_ID
        return path.read_text() if path.exists() else None

    @property
    def ended_well(self) -> bool:
        """Whether the run has ended, without an error."""
        outcome = self.outcome
        return outcome is not None and outcome.error is None

    def forget_failure(self) -> None:
        """Make room for another attempt."""
        if not self.ended_well:
            (self._directory / self._OUTCOME).unlink(missing_ok=True)

    def forget(self) -> None:
        """Make room for a run of its own, from the first epoch on, where one has been deleted."""
        for name in (self._OUTCOME, self._RUN_ID, self._SHARE, "checkpoint.json"):
            (self._directory / name).unlink(missing_ok=True)

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended, None before it did."""
        path = self._directory / self._OUTCOME
        return Outcome(**json.loads(path.read_text())) if path.exists() else None


def write_at_once(path: Path, text: str) -> None:
    """Write so that a reader sees the old text or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text)
    draft.replace(path)
