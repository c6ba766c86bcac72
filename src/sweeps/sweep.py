"""What the runs of one sweep share."""

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.comparison.variants import Variant, label
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
        chosen: for the runs after them, the settings of each variant and its value.
        process: the id of the sweep's own process, on whose end its workers end too.
        host: the machine on which that is.
    """

    experiment: str = SINGLE
    parent_run_id: str | None = None
    axes: list[str] = field(default_factory=list)
    searched: str | None = None
    stage: str | None = None
    chosen: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
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
        for settings, value in self.chosen:
            if Variant(settings) == variant:
                config = copy.deepcopy(config)
                OmegaConf.update(config, self.searched, value)
        return config

    def run_name(self, config: DictConfig) -> str:
        """The run's name in the UI, which no other run of the sweep has."""
        words = [self.variant(config).name]
        if self.stage is not None:
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
