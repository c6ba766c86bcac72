"""All private API of Keras and TensorFlow that this package uses.

Each entry says what it is for, and what to do if a new release lacks the private name. Written for
Keras 3.15 and TensorFlow 2.21.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

# The loop over time of `keras.layers.RNN`, with its masking. Without it: write the loop by hand.
from keras.src.backend import rnn

# `keras.layers.RNN` resets the dropout masks between batches only for cells of this class. Without
# it: draw the masks in `Cell`, and reset them in a `call` of `Recurrent`.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.framework.ops import gradient_registry
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

__all__ = [
    "CheckpointNames",
    "DropoutRNNCell",
    "custom_gradient_names",
    "forget_custom_gradient",
    "in_float64",
    "inside_vectorized_map",
    "inside_xla",
    "is_watched_in_forward_mode",
    "loss_weights_of",
    "output_shape_of",
    "random_states_of",
    "rnn",
    "stateful_batch_size",
    "variables_of",
]


def is_watched_in_forward_mode(tensors: Sequence[tf.Tensor]) -> bool:
    """Whether a `tf.autodiff.ForwardAccumulator` watches any of the tensors.

    Without `pack_tangents`: always False. A forward-mode derivative of a scan then fails with a
    message of TensorFlow's.
    """
    return bool(pack_tangents([tf.convert_to_tensor(tensor) for tensor in tensors]).tangents)


def inside_xla() -> bool:
    """Whether the function that is being traced is compiled by XLA as a whole.

    Without `GraphOrParentsInXlaContext`: always False. A scan then asks XLA to compile a function
    within a compiled function, which works and costs a second trace.
    """
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def inside_vectorized_map() -> bool:
    """Whether the function of a `tf.vectorized_map` is being traced, judged by its name scopes.

    Without the scope `loop_body`: always True. A layer then compiles its loops for any number of
    batch sizes that are unknown while tracing.
    """
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        if "/loop_body" in f"/{graph.get_name_scope()}":
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def stateful_batch_size(layer: Any) -> int:
    """The batch size of a built `keras.layers.RNN` with `stateful=True`.

    Without `_expected_batch_size`: the first size of `layer.states[0].shape`.
    """
    return layer._expected_batch_size


def variables_of(layer: Any) -> list:
    """The variables of a Keras layer alone, without sublayers, in the order in which Keras saves
    them.

    Without these lists: the trainable, then the other `weights` that no sublayer has.
    """
    return layer._trainable_variables + layer._non_trainable_variables


def loss_weights_of(model: keras.Model) -> Any:
    """The `loss_weights` with which a model was compiled.

    Without `_compile_loss`: take them from `model.get_compile_config()`.
    """
    return model._compile_loss._user_loss_weights


def random_states_of(model: keras.Model) -> list:
    """The states of the random generators of a model, such as those of dropout, found by Keras's
    name for them.

    Without that name: collect the `seed_generator` of each layer.
    """
    return [each for each in model.variables if each.path.endswith("seed_generator_state")]


def output_shape_of(layer: keras.layers.Lambda) -> Any:
    """The argument `output_shape` of a Lambda layer.

    Without `_output_shape`: None. Keras then infers the shape from a call of the function.
    """
    return layer._output_shape


def in_float64(loss: keras.losses.Loss) -> keras.losses.Loss:
    """A copy of a loss that computes in float64; a loss casts to its own dtype.

    Without these attributes: create the loss again from its `get_config`, with the new dtype.
    """
    loss = copy.copy(loss)
    loss._dtype_policy = keras.DTypePolicy("float64")
    loss._dtype = "float64"
    return loss


_CUSTOM_GRADIENT = "CustomGradient-"


def custom_gradient_names() -> set[str]:
    """The names under which traced functions with `tf.custom_gradient` are registered.

    Without `gradient_registry`: an empty set, so that nothing is removed from it.
    """
    return {name for name in gradient_registry.list() if name.startswith(_CUSTOM_GRADIENT)}


def forget_custom_gradient(name: str) -> None:
    """Remove a function from the registry, which has no public way to do so.

    Without it: the memory of each run of a sweep is held until the process ends.
    """
    gradient_registry._registry.pop(name, None)


class CheckpointNames:
    """Mixin: a layer whose attributes have other names in a `tf.train.Checkpoint`.

    Without these methods of `tf.Module`: drop the class. A checkpoint then stores the weights of a
    marked unit under the names that Keras's layers use, see `unrolled.layers.mark`.
    """

    @property
    def checkpoint_names(self) -> Mapping[str, str]:
        """The name in checkpoints, by attribute; only attributes whose names differ."""
        return {}

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict:
        children = super()._trackable_children(save_type, **kwargs)  # type: ignore[misc]
        if save_type != "checkpoint":
            return children
        names = self.checkpoint_names
        return {names.get(name, name): child for name, child in children.items()}

    def _lookup_dependency(self, name: str, cached_dependencies: Any = None) -> Any:
        names = self.checkpoint_names
        if name in names:
            return None
        for own, saved in names.items():
            if name == saved:
                return getattr(self, own)
        return super()._lookup_dependency(name, cached_dependencies)  # type: ignore[misc]

    def _handle_deferred_dependencies(self, name: str, trackable: Any) -> None:
        """Restore a variable that is created after its checkpoint was read."""
        name = self.checkpoint_names.get(name, name)
        super()._handle_deferred_dependencies(name, trackable)  # type: ignore[misc]
