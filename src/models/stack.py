"""Deep and bidirectional models as the lecture draws them: inputs, units, answers."""

import math
from collections.abc import Callable

import keras

from unrolled.layers import Embedding

DIRECTIONS = ("forward", "bidirectional")
MERGES = ("concat", "sum", "mul", "ave")

Unit = Callable[..., keras.layers.Layer]
"""Makes a recurrent layer of one kind: called with `units` and `return_sequences`."""


def build_model(
    unit: Unit,
    *,
    vocabulary_size: int | None = None,
    features: int | None = None,
    classes: int | None,
    per_step: bool,
    units: int,
    layers: int = 1,
    direction: str = "forward",
    merge: str = "concat",
    embedding: int | None = 64,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Embedding, a stack of recurrent layers, and a score for every class, or one number.

        x<t> -> e<t> -> a[1]<t> -> ... -> a[layers]<t> -> y<t>     per step (many-to-many)
        x<1..T> -> ... -> a[layers]<T> -> y                        at the end (many-to-one)

    In both directions a layer reads the whole sequence twice, at the same time, with weights of its
    own each way: from the first word on and from the last one back,

        a→<t> from a→<t-1> and e<t>,    a←<t> from a←<t+1> and e<t>,    a<t> = [a→<t>, a←<t>]

    and at the end (many-to-one) a is [a→<T>, a←<1>]: each way after its last word.

    Inputs that are vectors of real numbers go into the first layer as they are: e<t> is x<t>, and
    nothing is masked.

    Args:
        unit: makes one recurrent layer, for example `layers.GRU` or `keras.layers.GRU`.
        vocabulary_size: number of word numbers, padding (0) included; None for vectors.
        features: size of the vectors x<t>; None for word numbers.
        classes: number of scores in an answer; None for an answer that is one number.
        per_step: whether every step is answered, or the whole sequence once.
        units: size of each recurrent layer and direction.
        layers: number of recurrent layers, one upon the other.
        direction: "forward" or "bidirectional".
        merge: what both directions together are: "concat", one stacked on the other as above, of
            size 2 units; or of size units, element by element, their "sum", their product ("mul")
            or their mean ("ave").
        embedding: size of e<t>, for word numbers; None for the lecture's one-hot vectors, of the
            size of the vocabulary, without weights. Vectors have none.
        dropout: share of the elements dropped in training of every e<t>, of every layer's output
            on its way up, both directions together, and of what the scores are made of; others at
            each step, and those kept grow by 1 / (1 - dropout). Nothing is dropped on the way
            through time (Zaremba et al. 2014, "Recurrent Neural Network Regularization"); that is
            `recurrent_dropout` of the unit, with the same elements at every step. Nothing is
            dropped of one-hot vectors either, of which it would take whole words.
        name: name of the model.

    Returns:
        A model from word numbers `(batch, steps)` or vectors `(batch, steps, features)` to scores
        (logits), `(batch, steps, classes)` or `(batch, classes)`, or to numbers, where 1 stands for
        `classes`. Its inputs may have any number of steps; word number 0 is masked.

    Raises:
        ValueError: for an unknown direction or merge, or a merge with nothing to merge; for inputs
            that are neither words nor vectors, or both.
    """
    check_direction(direction, merge)
    inputs, x = _inputs(vocabulary_size, features, embedding)
    one_hot = features is None and embedding is None
    for number in range(1, layers + 1):
        if dropout and not (one_hot and number == 1):
            x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
        each = {"units": units, "return_sequences": per_step or number < layers}
        x = recurrent(unit, each, direction, merge, f"recurrent_{number}")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    answers = keras.layers.Dense(
        classes or 1, dtype="float32", name="scores" if classes else "number"
    )(x)
    return keras.Model(inputs, answers, name=name)


def _inputs(vocabulary_size, features, embedding):
    """What goes into the model, and what of it goes into the first recurrent layer."""
    if (vocabulary_size is None) == (features is None):
        raise ValueError(
            "`vocabulary_size`, `features`: expected one of them, for words or for vectors, got "
            f"{vocabulary_size} and {features}."
        )
    if features is not None:
        vectors = keras.Input((None, features), name="vectors")
        return vectors, vectors
    words = keras.Input((None,), dtype="int32", name="words")
    return words, word_vectors(vocabulary_size, embedding, mask_zero=True)(words)


def word_vectors(vocabulary_size: int, size: int | None, **options) -> Embedding:
    """The vectors of words, of this size; for None the lecture's one-hot vectors."""
    if size is None:
        options |= {"embeddings_initializer": "identity", "trainable": False}
    return Embedding(vocabulary_size, size or vocabulary_size, name="embedding", **options)


def check_direction(direction, merge):
    """Raise ValueError for an unknown direction or merge, or a merge with nothing to merge."""
    if direction not in DIRECTIONS:
        raise ValueError(
            f"`direction`: expected one of {', '.join(DIRECTIONS)}, got {direction!r}."
        )
    if merge not in MERGES:
        raise ValueError(
            f"`merge`: expected one of {', '.join(MERGES)}, got {merge!r}. Keras's None keeps the "
            "directions apart, as two outputs, and what follows takes one."
        )
    if direction == "forward" and merge != "concat":
        raise ValueError(
            f"`merge`: {merge!r} needs two directions, and `direction` is 'forward'. "
            "Leave `merge`, or set `direction` to 'bidirectional'."
        )


def recurrent(unit, options, direction, merge, name):
    if direction == "forward":
        return unit(**options, name=name)
    return keras.layers.Bidirectional(unit(**options), merge_mode=merge, name=name)


def trainable_parameters(model: keras.Model) -> int:
    """How many numbers training can change; one-hot vectors are none of them."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def units_for_parameters(build: Callable[[int], keras.Model], parameters: int) -> int:
    """The size at which a model comes nearest to a number of parameters.

    Args:
        build: makes the model of a size.
        parameters: number of trainable parameters to come near to.

    Returns:
        A size of at least 1.
    """

    def count(units):
        return trainable_parameters(build(units))

    high = 1
    while count(high) < parameters:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min((size for size in (low, high) if size), key=lambda n: abs(count(n) - parameters))
