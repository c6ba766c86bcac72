"""A training step and an inference of one unit and of its peer, on batches of one shape."""

from dataclasses import asdict, dataclass
from functools import cache, partial

import keras
import tensorflow as tf

from benchmarks.peers import (
    Shape,
    inference,
    is_generic,
    make_pair,
    name_of_peer,
    require_same_function,
    training_step,
)
from benchmarks.timing import Timing, Two, first_calls, in_turn

MASKS = {False: "no mask", True: "masks"}


@dataclass(frozen=True)
class Steps:
    """The times of a unit and of its peer on one shape.

    Attributes:
        unit: its name in conf/cell.
        shape: of the batch.
        masked: whether examples differ in length.
        peer: the name of the layer that it was compared with.
        generic: whether that is `keras.layers.RNN` of our cell.
        products: floating-point operations of the matrix products of a training step.
        training, inference: the times.
    """

    unit: str
    shape: Shape
    masked: bool
    peer: str
    generic: bool
    products: int
    training: Timing
    inference: Timing

    def fractions(self, rate: float) -> Two:
        """Of the limit: the time of the products at this rate, divided by that of a training step.

        Args:
            rate: operations per second of one large product.
        """
        return Two(*(self.products / rate / seconds for seconds in self.training.seconds))

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged to MLflow."""
        found = {}
        for what, timing in (("training", self.training), ("inference", self.inference)):
            named = {"ratio": timing.ratio}
            for who in Two._fields:
                named[f"{who} ms"] = getattr(timing.milliseconds, who)
                named[f"{who} first call s"] = getattr(timing.first, who)
            found |= {self.key(what, name): value for name, value in named.items()}
        return found

    def key(self, what: str, name: str) -> str:
        """The name of a metric of this unit on this shape."""
        return f"{what}/{self.unit}/{self.shape}/{MASKS[self.masked]}/{name}"

    def line(self) -> str:
        """One line for the terminal."""
        parts = [
            f"{what} {timing.milliseconds.ours:.1f} ms, peer {timing.milliseconds.peer:.1f}, "
            f"ratio {timing.ratio:.2f}"
            for what, timing in (("training", self.training), ("inference", self.inference))
        ]
        return "; ".join(parts)

    def report(self) -> dict:
        """All fields as plain values."""
        plain = {**asdict(self), "shape": str(self.shape)}
        for what in ("training", "inference"):
            timing = getattr(self, what)
            plain[what] = {"first": timing.first._asdict(), "steady": timing.steady._asdict()}
        return plain


def measure_steps(
    unit: str, shape: Shape, masked: bool, *, repeats: int, tolerance: float, seed: int
) -> Steps:
    """Check that the unit and its peer are the same function, then time both in turn.

    Raises:
        DifferentFunctionsError: if they are not.
    """
    warm_up()
    pair = make_pair(unit, shape, masked, seed)
    both = Two(pair.ours, pair.peer)
    train = Two(*(partial(training_step(layer), pair.x, pair.mask) for layer in both))
    infer = Two(*(partial(inference(layer), pair.x, pair.mask) for layer in both))
    first_training, gradients = first_calls(train)
    first_inference, outputs = first_calls(infer)
    require_same_function(outputs, gradients, tolerance, pair.peer)
    del gradients, outputs
    return Steps(
        unit,
        shape,
        masked,
        name_of_peer(pair.peer),
        is_generic(pair.peer),
        products_of_training(pair.ours, shape),
        Timing(first_training, in_turn(train, repeats)),
        Timing(first_inference, in_turn(infer, repeats)),
    )


@cache
def warm_up() -> None:
    """Pay the one-time costs of a process: starting threads, and the first trace of a function."""
    layer = keras.layers.SimpleRNN(2, return_sequences=True)
    x = tf.zeros((1, 2, 2))
    layer(x)
    training_step(layer)(x, None)


def products_of_training(layer: keras.layers.Layer, shape: Shape) -> int:
    """Floating-point operations of the matrix products of a training step.

    In the forward pass, each element of a weight takes part in one multiplication and one addition
    at each step of each example. In the backward pass, the gradients with respect to weights and to
    inputs take as many each.
    """
    forward = sum(
        2 * shape.batch * shape.steps * weight.shape[0] * weight.shape[1]
        for weight in layer.trainable_weights
        if weight.name in ("kernel", "recurrent_kernel")  # A peephole multiplies by elements.
    )
    return 3 * forward
