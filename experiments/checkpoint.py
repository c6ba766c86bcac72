"""Where a training has got to, on disk after every epoch, so that it can go on from there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from experiments.sweep import write_at_once

_STATE = "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """The last epoch that a run has finished, in the run's own folder.

    Weights and the optimiser's state are in one file, all else in another, which names the first:
    whoever is killed while he writes leaves the epoch before.

    Attributes:
        directory: the run's folder.
        configuration: of the run; what another one left behind is no beginning for it.
    """

    directory: Path
    configuration: dict[str, Any]

    def save(self, model: keras.Model, epoch: int, states: list[dict]) -> None:
        """Keep the model after `epoch` epochs, and the states, plain values, of what follows it."""
        weights = self.directory / f"epoch_{epoch}.weights.h5"
        model.save_weights(weights)
        write_at_once(
            self.directory / _STATE,
            json.dumps(
                {
                    "epoch": epoch,
                    "weights": weights.name,
                    "states": states,
                    "random": [state.numpy().tolist() for state in _random_states(model)],
                    "configuration": self.configuration,
                }
            ),
        )
        for other in self.directory.glob("epoch_*.weights.h5"):
            if other != weights:
                other.unlink(missing_ok=True)

    def restore(self, model: keras.Model) -> tuple[int, list[dict]]:
        """Give a compiled model what was kept.

        Returns:
            The number of epochs done, and the states; 0 and none where nothing was kept.

        Raises:
            ValueError: if it was kept by a run of another configuration.
        """
        path = self.directory / _STATE
        if not path.exists():
            return 0, []
        kept = json.loads(path.read_text())
        self._check(kept["configuration"])
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.directory / kept["weights"])
        for state, value in zip(_random_states(model), kept["random"], strict=True):
            state.assign(value)
        return kept["epoch"], kept["states"]

    def _check(self, kept):
        ours = json.loads(json.dumps(self.configuration))
        changed = [key for key in {**kept, **ours} if kept.get(key) != ours.get(key)]
        if changed:
            said = "; ".join(f"{k} was {kept.get(k)!r}, is {ours.get(k)!r}" for k in changed)
            raise ValueError(
                f"The run in {self.directory} cannot go on from its last epoch, as its "
                f"configuration has changed since: {said}. Put that back, or start anew."
            )

    def remove(self) -> None:
        """Once the run has ended well nothing is left to go on with."""
        (self.directory / _STATE).unlink(missing_ok=True)
        for weights in self.directory.glob("epoch_*.weights.h5"):
            weights.unlink(missing_ok=True)


def _random_states(model: keras.Model) -> list:
    """Where dropout is in its random numbers, which Keras does not save with the weights."""
    return [each for each in model.variables if each.path.endswith("seed_generator_state")]
