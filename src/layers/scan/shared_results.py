"""Results of a step that XLA shall compute once.

XLA repeats a result for each of its uses unless one of them needs it in memory: a gate's sigmoid
some four times, half of the time of a step. So a loop carries these results along: as a part of its
state they are needed in memory.
"""

import tensorflow as tf

_COSTLY = {"Erf", "Exp", "Expm1", "Log", "Log1p", "Pow", "Sigmoid", "Softplus", "Tanh"}


class SharedResults:
    """The costly results in the equations of one cell.

    Args:
        state: a state of the step that is traced in the current graph, whose shape the results to
            carry have.
    """

    def __init__(self, state: tf.Tensor) -> None:
        found = _costly_results()
        self._per_step = len(found)
        self._carried = [
            number
            for number, result in enumerate(found)
            if result.dtype == state.dtype and result.shape == state.shape
        ]

    def of_last_step(self) -> list[tf.Tensor]:
        """The results of the step that was traced last in the current graph; none in eager mode."""
        if tf.executing_eagerly():
            return []
        found = _costly_results()
        of_step = found[len(found) - self._per_step :]
        return [of_step[number] for number in self._carried]

    def placeholders(self, state: tf.Tensor) -> list[tf.Tensor]:
        """Initial values for a loop that carries the results."""
        return [] if tf.executing_eagerly() else [tf.zeros_like(state)] * len(self._carried)


def _costly_results():
    operations = tf.compat.v1.get_default_graph().get_operations()
    return [operation.outputs[0] for operation in operations if operation.type in _COSTLY]
