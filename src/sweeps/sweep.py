"""What the runs of one sweep share, passed to them through a file."""

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.comparison.variants import Variant, label
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
        chosen: the values that the search has found, each with the settings of its variant.
        resumed: whether an earlier command has started it.
        process: the process id of the sweep; workers end when it ends.
        host: the machine of that process.
        until: the epoch after which this round of the search ends; None if runs are trained to the
            end of their budget.
    """

    experiment: str = SINGLE
    parent_run_id: str | None = None
    axes: list[str] = field(default_factory=list)
    searched: str | None = None
    stage: str | None = None
    chosen: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    resumed: bool = False
    process: int | None = None
    host: str | None = None
    until: int | None = None

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
        if self.searched is None:
            return config
        variant = self.variant(config)
        for settings, value in self.chosen:
            if Variant(settings) == variant:
                config = copy.deepcopy(config)
                OmegaConf.update(config, self.searched, value)
        return config

    def run_name(self, config: DictConfig) -> str:
        """The name of the run in MLflow, unique within the sweep."""
        words = [self.variant(config).name]
        if self.stage is not None:
            assert self.searched is not None
            words.append(label(self.searched, str(OmegaConf.select(config, self.searched))))
        return " ".join([*words, f"seed={config.seed}"])

    def variant(self, config: DictConfig) -> Variant:
        """What sets a run apart from those of the sweep that differ by more than their seed."""
        settings = {"cell": config.cell.name}
        for key in self.axes:
            if key in ("cell", "seed"):
                continue
            value = OmegaConf.select(config, key)
            if isinstance(value, DictConfig) and "name" in value:  # A choice of a group.
                value = value.name
            settings[key] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
        return Variant(settings)
