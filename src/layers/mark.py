"""A marker for weights that Keras's layers must not load as their own, and vice versa.

Keras checks the weights that it loads by their number and shapes. The weights of
`keras.layers.GRU(reset_after=False)` have the shapes of those of `layers.GRU`, and an update gate
of opposite sign: each layer would load the weights of the other and compute something else.
Therefore a unit whose weights mean something else to Keras has one more variable, `unlike_keras`,
without elements. Then the numbers of variables differ, in files and in lists. `tf.train.Checkpoint`
finds variables by the names of attributes; in checkpoints, those of a marked unit have other names,
such as `unlike_keras_kernel`.

A marker cannot prevent assignments by hand: `zip(ours.trainable_variables,
theirs.trainable_variables)` pairs all variables. `layers.from_keras` converts the weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from unrolled._compat import CheckpointNames, variables_of
from unrolled.layers.variant_options import VariantOptions

NAME = "unlike_keras"
_NAMES_IN_CHECKPOINTS = {name: f"{NAME}_{name}" for name in ("kernel", "recurrent_kernel", "bias")}


class MarkedWeights(CheckpointNames, VariantOptions):
    """Mixin of cells, and of layers over them: rejects weights that lack the marker.

    Attributes:
        unlike_keras: the marker of a built cell, `(0,)`, not trainable. None for a unit whose
            weights mean the same in Keras, or whose shapes no layer of Keras has.
    """

    name: str
    weights: list
    unlike_keras: Any = None
    _saved_unmarked = False
    _configured_here = False

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of a configuration, as `get_config` returns it.

        A configuration of an earlier version, or of a layer of Keras, may hold options that only
        the variant has. Then the result is an instance of the variant.
        """
        layer = cls.of_options(config)
        cell = _cell_of(layer)
        # The configuration of a layer of Keras lacks some options. That of a layer of this project
        # saved before there was a marker has all these; exclude here any option added later.
        cell._configured_here = type(cell).options().keys() <= config.keys()
        return layer

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights from a list of arrays, in the order of `get_weights`.

        `set_weights` of a model, and a file of `.h5`, count the arrays themselves. They reject
        weights without the marker with a message of Keras that has the two numbers alone.

        Raises:
            ValueError: for a wrong number of arrays, or a wrong shape. `layers.from_keras` converts
                a layer of Keras together with its weights.
        """
        self._check_marker(len(weights), len(self.weights))
        super().set_weights(weights)  # type: ignore[misc]

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Load the variables of this layer, without sublayers, from an open file of Keras's.

        Raises:
            ValueError: for a wrong number of variables, or a wrong shape.
        """
        variables = variables_of(self)
        if not self._saved_unmarked:
            self._check_marker(len(store.keys()), len(variables))
        elif len(store.keys()) == len(variables) - 1:
            store = {**store, str(len(store.keys())): self.unlike_keras.numpy()}
        super().load_own_variables(store)  # type: ignore[misc]
        self._saved_unmarked = False

    def get_build_config(self) -> dict[str, Any] | None:
        """What `build_from_config` builds the layer from, and whether its weights are marked."""
        config, cell = super().get_build_config(), _cell_of(self)  # type: ignore[misc]
        if config and cell.unlike_keras is not None and not cell._saved_unmarked:
            config[NAME] = True
        return config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer as it was when its model was saved as a `.keras` file.

        A layer saved before there was a marker loads without it, once. It is recognized by its
        configuration, because a layer of Keras saved under the same name has no marker either.
        """
        super().build_from_config(config)  # type: ignore[misc]
        cell = _cell_of(self)
        unmarked = cell.unlike_keras is not None and NAME not in config
        cell._saved_unmarked = unmarked and cell._configured_here

    @property
    def checkpoint_names(self) -> Mapping[str, str]:
        """The names of a marked unit's weights in a `tf.train.Checkpoint`, by attribute."""
        return {} if self.unlike_keras is None else _NAMES_IN_CHECKPOINTS

    def _check_marker(self, given, expected):
        # Keras calls a layer that failed a second time, with nothing to load, and shows the last
        # message.
        missing = given < expected and given in (0, expected - 1)
        if _cell_of(self).unlike_keras is not None and missing:
            raise ValueError(
                f"Layer {self.name!r} ({type(self).__name__}): expected {expected} weights, the "
                f"last of them {NAME!r}, which has no elements, got {given}. If they are from a "
                "layer of Keras, they mean something else here even where the shapes agree; the "
                "update gate of Keras's GRU has the opposite sign. Convert the layer with "
                "layers.from_keras, and use its weights. If an earlier version of this project "
                "saved them, load them with that version and save the whole model as .keras, which "
                "loads here unless its class builds its layers itself."
            )


def _cell_of(layer):
    """The cell, which owns the variables. Not an attribute: Keras saves what it finds in those."""
    return getattr(layer, "cell", layer)
