"""The state of training, saved after every epoch, from which training can be resumed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras

from unrolled._compat import random_states_of
from unrolled.sweeps.state_files import StateError, read_state, write_state

_STATE = "checkpoint.json"
_KEYS = {"run_id", "data", "epoch", "weights", "sha256", "states", "random"}


@dataclass(frozen=True)
class Checkpoint:
    """The last epoch that a run has finished, saved in the folder of the run.

    One file holds the weights and the state of the optimizer. A second file holds everything else,
    with the name and the digest of the first: if the process is killed mid-write, the previous
    epoch survives.

    Attributes:
        directory: the folder of the run.
        run_id: of the MLflow run; a checkpoint of another run is not restored.
        data: the fingerprint of the training data; a checkpoint of other data is not restored.
    """

    directory: Path
    run_id: str
    data: str | None = None

    def save(self, model: keras.Model, epoch: int, states: list[dict]) -> None:
        """Save the model after `epoch` epochs, with the states of callbacks as JSON values."""
        weights = self.directory / f"epoch_{epoch}.weights.h5"
        model.save_weights(weights)
        state = {  # With the random states, which Keras does not save with the weights.
            "run_id": self.run_id,
            "data": self.data,
            "epoch": epoch,
            "weights": weights.name,
            "sha256": _digest(weights),
            "states": states,
            "random": [state.numpy().tolist() for state in random_states_of(model)],
        }
        write_state(self.directory / _STATE, state)
        for other in self.directory.glob("epoch_*.weights.h5"):
            if other != weights:
                other.unlink(missing_ok=True)

    def restore(self, model: keras.Model) -> tuple[int, list[dict]]:
        """Restore a compiled model.

        Returns:
            The number of epochs done, and the states; 0 and no states without a checkpoint.

        Raises:
            StateError: if the checkpoint is of another run or of other data, or a file of it is
                missing or damaged.
        """
        path = self.directory / _STATE
        saved = read_state(path, _KEYS)
        if saved is None:
            return 0, []
        if saved["run_id"] != self.run_id:
            raise StateError(
                f"{path}: expected the checkpoint of the MLflow run {self.run_id}, got that of "
                f"{saved['run_id']}. Delete {path}, so that the run starts from its first epoch."
            )
        if saved["data"] != self.data:
            raise StateError(
                f"{path}: the task's data changed after this checkpoint was saved (their "
                f"fingerprint was {saved['data']}, is {self.data}). Restore them, or start a new "
                "sweep: make experiment name=..."
            )
        weights = self.directory / saved["weights"]
        if not weights.exists() or _digest(weights) != saved["sha256"]:
            state = "has changed since it was saved" if weights.exists() else "is missing"
            raise StateError(
                f"{path} refers to {weights.name}, which {state}. Delete {path}, so that the run "
                "starts from its first epoch."
            )
        model.optimizer.build(model.trainable_variables)
        model.load_weights(weights)
        for state, value in zip(random_states_of(model), saved["random"], strict=True):
            state.assign(value)
        return saved["epoch"], saved["states"]

    def files(self) -> list[Path]:
        """The files of the last epoch that was saved."""
        path = self.directory / _STATE
        saved = read_state(path, _KEYS)
        return [] if saved is None else [path, self.directory / saved["weights"]]

    def remove(self) -> None:
        """Delete the files, once the run is complete."""
        (self.directory / _STATE).unlink(missing_ok=True)
        for weights in self.directory.glob("epoch_*.weights.h5"):
            weights.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
