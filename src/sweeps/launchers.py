"""The launchers of Hydra that a command line can name, and what they need."""

import shutil
import warnings
from importlib.util import find_spec

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from unrolled.console.refusals import RefusedError, unknown

# The plugin has a launcher of the same name, and Hydra compares the types of our settings with its
# own. It warns that it will not do so forever; nothing depends on that.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/ray' is validated against", UserWarning)

_GROUP = "hydra/launcher"
RAY = "ray"  # conf/hydra/launcher/ray.yaml
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
    if name == RAY and find_spec("hydra_plugins.hydra_ray_launcher") is None:
        raise RefusedError(
            f"{_GROUP}={name}: needs the package hydra-ray-launcher, which is not installed. "
            "Install it with .venv/bin/pip install '.[ray]'"
        )
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
