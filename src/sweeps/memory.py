"""Giving back what a run has taken, which TensorFlow would keep to the end of the process."""

import contextlib
import gc
from collections.abc import Iterator

from tensorflow.python.framework.ops import gradient_registry

_REGISTERED_BY_CUSTOM_GRADIENT = "CustomGradient-"


@contextlib.contextmanager
def graphs_released() -> Iterator[None]:
    """Let the graphs that are traced within be collected once nothing else refers to them.

    Every `tf.custom_gradient` that is traced registers its gradient function in a table of the
    process. The function refers to the graph, and the graph to the model and its optimiser, so none
    of them would ever be collected. TensorFlow and Keras do the same: with any optimiser, the graph
    of the training step would stay. There is no public way to remove an entry.

    No function that was traced within, by any thread, may be differentiated afterwards. So there
    may be one run at a time in a process.
    """
    before = set(gradient_registry.list())
    try:
        yield
    finally:
        for name in set(gradient_registry.list()) - before:
            if name.startswith(_REGISTERED_BY_CUSTOM_GRADIENT):
                gradient_registry._registry.pop(name, None)
        gc.collect()  # Graphs and their operations refer to each other.
