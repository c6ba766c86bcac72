"""What the runs of one sweep share."""

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.sweeps.state_files import read_state, write_state

SINGLE = "single_runs"  # The experiment of runs that belong to none.
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
        process: the id of the sweep's own process, on whose end its workers end too.
        host: the machine on which that is.
    """

    experiment: str = SINGLE
    parent_run_id: str | None = None
    axes: list[str] = field(default_factory=list)
    searched: str | None = None
    stage: str | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    process: int | None = None
    host: str | None = None

    def hand_over(self, directory: Path) -> None:
        """Leave it to the processes of the runs that keep their files in folders in `directory`.

        Not in the environment: a launcher's processes may be older than this stage of the sweep.
        """
        write_state(directory / _FILE, asdict(self))

    @classmethod
    def handed_over(cls, directory: Path) -> "Sweep":
        """The sweep that was left there; else that of a single run.

        Raises:
            StateError: if the file cannot be read, or another version of the project wrote it.
        """
        left = read_state(directory / _FILE, set(asdict(cls())))
        return cls() if left is None else cls(**left)

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
