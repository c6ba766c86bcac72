"""A mark on weights that Keras's layers must not take for their own, and the other way round.

Keras checks the weights that it loads by their number and shapes. Those of
`keras.layers.GRU(reset_after=False)` have the shapes of those of `layers.GRU`, and an update gate
of opposite sign: each layer would load the other's and compute something else. So a unit whose
weights mean something else to Keras has one variable more, `unlike_keras`, without elements. Then
the numbers of variables differ, in files and in lists. `tf.train.Checkpoint` finds variables by the
names of attributes; there those of a marked unit have other names, such as `unlike_keras_kernel`.

No mark can stop who assigns one variable to another by hand: `zip(ours.trainable_variables,
theirs.trainable_variables)` pairs them all. `layers.from_keras` converts the weights.
"""

NAME = "unlike_keras"
_NAMES_IN_CHECKPOINTS = {name: f"{NAME}_{name}" for name in ("kernel", "recurrent_kernel", "bias")}


class MarkedWeights:
    """What a cell, and a layer over one, do with weights that lack the mark.

    Attributes:
        unlike_keras: the mark of a built cell, `(0,)`, not trainable; None for a unit whose weights
            mean the same in Keras, or whose shapes no layer of Keras has.
    """

    unlike_keras = None
    _saved_unmarked = False
    _configured_here = False

    @classmethod
    def from_config(cls, config):
        """The layer of a configuration, as `get_config` returns it."""
        layer = cls(**config)
        cell = _cell_of(layer)
        # The configuration of a layer of Keras lacks some. That of every layer that was saved
        # without a mark has all these; an option added from now on has to be left out here.
        cell._configured_here = type(cell).options().keys() <= config.keys()
        return layer

    def set_weights(self, weights):
        """Set all weights from a list of arrays, in the order of `get_weights`.

        `set_weights` of a model, and a file of `.h5`, count the arrays themselves. They refuse
        weights without the mark with Keras's message, which has the two numbers alone.

        Raises:
            ValueError: for another number of arrays, or another shape. `layers.from_keras` converts
                a layer of Keras together with its weights.
        """
        self._check_mark(len(weights), len(self.weights))
        super().set_weights(weights)

    def load_own_variables(self, store):
        """Load the variables of this layer alone, of what Keras has read from a file.

        Raises:
            ValueError: for another number of variables, or another shape.
        """
        variables = self._trainable_variables + self._non_trainable_variables
        if not self._saved_unmarked:
            self._check_mark(len(store.keys()), len(variables))
        elif len(store.keys()) == len(variables) - 1:
            store = {**store, str(len(store.keys())): self.unlike_keras.numpy()}
        super().load_own_variables(store)
        self._saved_unmarked = False

    def get_build_config(self):
        """What `build_from_config` builds the layer from, and whether its weights have the mark."""
        config, cell = super().get_build_config(), _cell_of(self)
        if config and cell.unlike_keras is not None and not cell._saved_unmarked:
            config[NAME] = True
        return config

    def build_from_config(self, config):
        """Build the layer as it was when its model was saved as a `.keras` file.

        A layer that was saved before there was a mark loads without it, once. It is known by its
        configuration: that of a layer of Keras, saved under the same name, has no mark either.
        """
        super().build_from_config(config)
        cell = _cell_of(self)
        unmarked = cell.unlike_keras is not None and NAME not in config
        cell._saved_unmarked = unmarked and cell._configured_here

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = super()._trackable_children(save_type, **kwargs)
        if save_type != "checkpoint" or self.unlike_keras is None:
            return children
        return {_NAMES_IN_CHECKPOINTS.get(name, name): child for name, child in children.items()}

    def _lookup_dependency(self, name, cached_dependencies=None):
        if self.unlike_keras is not None:
            if name in _NAMES_IN_CHECKPOINTS:
                return None
            for own, saved in _NAMES_IN_CHECKPOINTS.items():
                if name == saved:
                    return getattr(self, own)
        return super()._lookup_dependency(name, cached_dependencies)

    def _handle_deferred_dependencies(self, name, trackable):
        """Restore a variable that was made after its checkpoint was read."""
        if self.unlike_keras is not None:
            name = _NAMES_IN_CHECKPOINTS.get(name, name)
        super()._handle_deferred_dependencies(name, trackable)

    def _check_mark(self, given, expected):
        # Keras tries a layer that failed once more, with nothing to load, and shows what it said
        # last.
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
    """The cell, which has the variables. Not an attribute: Keras saves what it finds in those."""
    return getattr(layer, "cell", layer)
