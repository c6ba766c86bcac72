"""Runs as tasks of a Ray cluster, whose nodes share no folder with the machine of the sweep.

Ray copies the code to its nodes. Everything else goes through the tracking store: see
`sweeps.shared`.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hydra
from omegaconf import OmegaConf

from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION, PACKAGE, PROJECT
from unrolled.sweeps.cluster import JobError
from unrolled.sweeps.composition import composed
from unrolled.sweeps.overrides import parse_overrides
from unrolled.sweeps.shared import FOLDER

_NOT_SHIPPED = shutil.ignore_patterns(
    ".*", "__pycache__", "outputs", "mlruns", "mlflow.db*", "build", "docs", "tests", "*.egg-info"
)
_PASSED = ("MLFLOW_TRACKING_URI", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Environment variables of the sweep that its runs have, too. None of them may be a password."""


@contextlib.contextmanager
def connected(arguments: list[str]) -> Iterator[list[str]]:
    """A context in which the process is connected to the cluster; gives the names of its machines.

    Tasks that are left at its end are stopped.

    Args:
        arguments: the command line of the sweep.

    Raises:
        RefusedError: if there is no such cluster.
    """
    import ray

    from unrolled.sweeps.provenance import COMMIT, git_commit

    options = _options(arguments)
    with tempfile.TemporaryDirectory() as folder:
        _copy_code(Path(folder))
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        # Sweeps of the same code share a copy of it, which is where paths begin.
        environment = {**passed, FOLDER: f"runs/{uuid.uuid4().hex}", COMMIT: git_commit()}
        runtime = {"working_dir": folder, "env_vars": environment}
        try:
            ray.init(**options, runtime_env=runtime, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
            raise RefusedError(
                f"hydra/launcher=ray: expected a Ray cluster at {options['address']!r}, got "
                f"{type(error).__name__}: {_in_one_line(error)}. Start its head node (ray start "
                "--head), and name it by hydra.launcher.ray.init.address; without an address, Ray "
                "is started on this machine."
            ) from error
    try:
        yield [node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """A context in which the tasks of a sweep run.

    Raises:
        JobError: if a node failed more often than `hydra.launcher.ray.remote.max_retries`, or the
            cluster has ended.
    """
    import ray

    try:
        yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise JobError(f"{type(error).__name__}: {_in_one_line(error)}") from error


def _in_one_line(error: Exception) -> str:
    """What an error says; of a traceback from another process, its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    is_traceback = any("Traceback (most recent call last)" in line for line in lines)
    return (lines[-1] if is_traceback else " ".join(lines))[:300]


def _options(arguments: list[str]) -> dict:
    of_hydra = {
        key: values[0]
        for key, values in parse_overrides(arguments).items()
        if key.startswith(("hydra/launcher", "hydra.launcher", "threads"))
    }
    with hydra.initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = composed(of_hydra, with_hydra=True)
    options = OmegaConf.to_container(config.hydra.launcher.ray.init, resolve=True)
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items()}


def _copy_code(folder: Path) -> None:
    """Copy the project, with the package under the name by which it is imported."""
    shutil.copytree(PROJECT, folder, ignore=_NOT_SHIPPED, dirs_exist_ok=True)
    shutil.copytree(PACKAGE, folder / "unrolled", ignore=_NOT_SHIPPED, dirs_exist_ok=True)
