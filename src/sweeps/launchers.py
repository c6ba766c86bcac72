"""The launchers of Hydra that a command line can name, and what those of submitit need."""

import shutil

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from unrolled.console.refusals import RefusedError, unknown

_GROUP = "hydra/launcher"
SLURM = "slurm"  # conf/hydra/launcher/slurm.yaml
_OF_PLUGIN = {SLURM: "submitit_slurm", "submitit_local": "submitit_local"}
"""The launchers that make each run a job of submitit: their names, and those in Hydra's plugin."""


def is_of_submitit(launcher: str | None) -> bool:
    """Whether a launcher makes each run a job of submitit."""
    return launcher in _OF_PLUGIN


def check_launcher(name: str) -> None:
    """Check that a launcher can be used on this machine.

    Raises:
        RefusedError: if there is no such launcher, or what it needs is not installed.
    """
    known = GlobalHydra.instance().config_loader().get_group_options(_GROUP)
    if name == _OF_PLUGIN[SLURM]:
        raise RefusedError(
            f"{_GROUP}={name}: expected {_GROUP}={SLURM}, which is the same launcher with the "
            f"settings of conf/{_GROUP}/{SLURM}.yaml."
        )
    if is_of_submitit(name):
        _check_installed(name)
    if name not in known:
        raise RefusedError(unknown(_GROUP, name, known))


def _check_installed(name: str) -> None:
    if f"{_OF_PLUGIN[name]}.yaml" not in ConfigStore.instance().list(_GROUP):
        raise RefusedError(
            f"{_GROUP}={name}: needs the package hydra-submitit-launcher, which is not installed. "
            "Install it with `make setup`, or without make: pip install '.[experiments,slurm]'"
        )
    if name == SLURM and shutil.which("sbatch") is None:
        raise RefusedError(
            f"{_GROUP}={name}: expected the commands of SLURM, and found no sbatch on PATH. Run "
            "this on a login node of the cluster."
        )
