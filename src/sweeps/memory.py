"""Releasing the memory of a run, which TensorFlow would hold until the process ends."""

import contextlib
import gc
from collections.abc import Iterator

from unrolled._compat import custom_gradient_names, forget_custom_gradient


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


def freeze_imports() -> None:
    """Exclude all that exists from garbage collection, for a program that has imported everything.

    Training a run, or reading hundreds, collects garbage more than once, and visiting what the
    imports created takes most of that time. Only the first call has an effect: what exists later
    may become garbage.
    """
    if not gc.get_freeze_count():
        gc.freeze()
