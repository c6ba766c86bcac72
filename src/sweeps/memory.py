"""Releasing the memory of a run, which TensorFlow would hold until the process ends."""

import contextlib
import functools
import gc
from collections.abc import Iterator

from unrolled._compat import custom_gradient_names, forget_custom_gradient


@functools.cache
def exclude_imports() -> None:
    """Exclude what exists now, at the first call, from garbage collection.

    The imports of TensorFlow, Keras and MLflow leave a million objects, which stay. Going through
    them takes most of the time of a collection.
    """
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def graphs_released() -> Iterator[None]:
    """Release the graphs that are traced inside this context.

    Every traced `tf.custom_gradient` registers its gradient function in a global table. The
    function refers to its graph, and the graph to the model and the optimizer, so none of them
    would be garbage-collected. TensorFlow and Keras use custom gradients themselves: with any
    optimizer, the graph of the training step would stay.

    A function that was traced inside, by any thread, must not be differentiated afterwards. So a
    process can have only one run at a time.
    """
    before = custom_gradient_names()
    try:
        yield
    finally:
        for name in custom_gradient_names() - before:
            forget_custom_gradient(name)
        gc.collect()  # Graphs and their operations refer to each other.
