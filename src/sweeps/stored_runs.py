"""Runs of a sweep that another machine began, continued from what the tracking store has of them.

The store has the state of a run: its status, and from time to time a checkpoint. So a sweep can be
resumed where the folder of its runs does not exist.
"""

import logging
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
from omegaconf import DictConfig

from unrolled import tracking
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.progress import Identity, Progress
from unrolled.sweeps.provenance import identity_of
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.training import best_model

_FOLDER = "checkpoint"
"""The folder of a run's artifacts with its checkpoints; each is one zip file."""
_SECONDS_PER_MINUTE = 60
_log = logging.getLogger(__name__)


class UploadedCheckpoints(keras.callbacks.Callback):
    """Uploads the checkpoint of an epoch to the tracking store, if the last is some minutes old.

    Add it after the callback that saves the checkpoint.

    Args:
        run_id: MLflow's id of the run.
        checkpoint: of the run.
        minutes: the least time between two uploads, and before the first.
    """

    def __init__(self, run_id: str, checkpoint: Checkpoint, minutes: float) -> None:
        super().__init__()
        self.run_id = run_id
        self._files = tracking.Files(run_id, _FOLDER)
        self._checkpoint = checkpoint
        self._seconds = minutes * _SECONDS_PER_MINUTE
        self._last = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: ARG002
        if time.monotonic() - self._last >= self._seconds:
            self._upload(epoch + 1)
            self._last = time.monotonic()

    def _upload(self, epoch: int) -> None:
        """Store a new file before the earlier ones are deleted, so that there always is one."""
        directory, name = self._checkpoint.directory, f"epoch_{epoch:06d}.zip"
        best = directory.glob(best_model(directory, "*").name)
        earlier = self._files.names()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            with zipfile.ZipFile(path, "w") as archive:  # Not compressed: weights hardly can be.
                for file in [*self._checkpoint.files(), *best]:
                    archive.write(file, file.name)
            self._files.upload(path)
        self._files.delete([each for each in earlier if each != name])


def remove_uploaded(run_id: str) -> None:
    """Delete the checkpoints of a run from the tracking store, once the run is complete."""
    files = tracking.Files(run_id, _FOLDER)
    files.delete(files.names())


def take_over(config: DictConfig, directory: Path, sweep: Sweep) -> None:
    """Put into the folder of a run what the tracking store has of it, if the folder has nothing.

    Args:
        config: of the run.
        directory: the folder of the run.
        sweep: its sweep, which is being resumed.

    Raises:
        StateError: if the run in the store has another configuration.
    """
    progress, identity = Progress(directory), identity_of(config, sweep)
    if sweep.parent_run_id is None or progress.begun(identity) is not None:
        return
    tracking.connect(config.tracking.uri, config.tracking.patience, wait=True)
    run = tracking.run_of_sweep(sweep.experiment, sweep.parent_run_id, sweep.run_name(config))
    if run is None:
        return
    progress.check(identity, _identity_in_store(run, identity))
    if run.status != "FINISHED" or tracking.STOPPED_AFTER in run.tags:
        _download_checkpoint(run.run_id, directory)
    progress.begin(identity, run.run_id)


def _identity_in_store(run: tracking.RunRecord, identity: Identity) -> Mapping:
    """The identity of a run from its parameters, which MLflow stores as texts."""
    stored = {**run.params, "threads": run.tags.get("threads")}
    configuration = {
        # A value is the same if its text is.
        key: value if stored.get(key) == str(value) else stored.get(key)
        for key, value in identity.configuration.items()
    }
    return {"sweep": identity.sweep, "configuration": configuration}


def _download_checkpoint(run_id: str, directory: Path) -> None:
    """Unpack the latest checkpoint that is complete, if there is one."""
    files = tracking.Files(run_id, _FOLDER)
    for name in sorted(files.names(), reverse=True):
        with tempfile.TemporaryDirectory() as folder:
            path = files.download(name, Path(folder))
            if _unpacked(path, directory):
                return
        _log.warning("The checkpoint %s of the run %s is damaged.", name, run_id)
    _log.warning("The tracking store has no checkpoint; the run starts from its first epoch.")


def _unpacked(path: Path, directory: Path) -> bool:
    """Unpack a checkpoint; returns False, and unpacks nothing, if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
            archive.extractall(directory)
    except zipfile.BadZipFile:
        return False
    return True
