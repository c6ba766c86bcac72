"""What the runs of one sweep share, passed to them through a file."""

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.sweeps.state_files import read_state, write_state

SINGLE = "single_runs"  # The MLflow experiment of runs without an experiment file.
_FILE = "sweep.json"


@dataclass(frozen=True)
class Sweep:
    """A sweep as its runs see it, in this process or in others.

    Attributes:
        experiment: its name in MLflow.
        parent_run_id: the MLflow run that holds the comparison; None for a single run.
        axes: the keys that are varied.
        searched: the key whose value is searched for each variant, if there is one.
        stage: STAGE for the runs of the search.
        chosen: the values that the search has found, by variant.
        process: the process id of the sweep; workers end when it ends.
        host: the machine of that process.
    """

    experiment: str = SINGLE
    parent_run_id: str | None = None
    axes: list[str] = field(default_factory=list)
    searched: str | None = None
    stage: str | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    process: int | None = None
    host: str | None = None

    def save(self, directory: Path) -> None:
        """Write it to the folder that contains the folders of the runs.

        Environment variables would not do: a launcher's workers may be older than this stage.
        """
        write_state(directory / _FILE, asdict(self))

    @classmethod
    def load(cls, directory: Path) -> "Sweep":
        """Read what `save` has written; without a file, the sweep of a single run.

        Raises:
            StateError: if the file cannot be read, or another version of the project wrote it.
        """
        left = read_state(directory / _FILE, set(asdict(cls())))
        return cls() if left is None else cls(**left)

    def tuned(self, config: DictConfig) -> DictConfig:
        """The configuration, with the value that the search has chosen for its variant."""
        variant = self.variant(config)
        if variant not in self.chosen:
            return config
        config = copy.deepcopy(config)
        OmegaConf.update(config, self.searched, self.chosen[variant])
        return config

    def run_name(self, config: DictConfig) -> str:
        """The name of the run in MLflow, unique within the sweep."""
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
