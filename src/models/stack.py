"""Deep and bidirectional models as the lecture draws them: words, units, answers."""

from collections.abc import Callable

import keras

DIRECTIONS = ("forward", "bidirectional")

Unit = Callable[..., keras.layers.Layer]
"""Makes a recurrent layer of one kind: called with `units` and `return_sequences`."""


def build_model(
    unit: Unit,
    *,
    vocabulary_size: int,
    classes: int,
    per_step: bool,
    units: int,
    layers: int = 1,
    direction: str = "forward",
    embedding: int = 64,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Embedding, a stack of recurrent layers, and a score for every class.

        x<t> -> e<t> -> a[1]<t> -> ... -> a[layers]<t> -> y<t>     per step (many-to-many)
        x<1..T> -> ... -> a[layers]<T> -> y                        at the end (many-to-one)

    Args:
        unit: makes one recurrent layer, for example `layers.GRU` or `keras.layers.GRU`.
        vocabulary_size: number of word numbers, padding (0) included.
        classes: number of scores in an answer.
        per_step: whether every step is answered, or the whole sequence once.
        units: size of each recurrent layer and direction.
        layers: number of recurrent layers, one upon the other.
        direction: "forward" or "bidirectional".
        embedding: size of e<t>.
        dropout: share of e<t> and of each layer's output dropped in training.
        name: name of the model.

    Returns:
        A model from word numbers `(batch, steps)` to scores (logits), `(batch, steps, classes)` or
        `(batch, classes)`. Its inputs may have any number of steps; word number 0 is masked.

    Raises:
        ValueError: for an unknown direction.
    """
    if direction not in DIRECTIONS:
        raise ValueError(
            f"`direction`: expected one of {', '.join(DIRECTIONS)}, got {direction!r}."
        )
    words = keras.Input((None,), dtype="int32", name="words")
    x = keras.layers.Embedding(vocabulary_size, embedding, mask_zero=True, name="embedding")(words)
    for number in range(1, layers + 1):
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
        return_sequences = per_step or number < layers
        x = _in_direction(unit, direction, units, return_sequences, f"recurrent_{number}")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    scores = keras.layers.Dense(classes, dtype="float32", name="scores")(x)
    return keras.Model(words, scores, name=name)


def _in_direction(unit, direction, units, return_sequences, name):
    if direction == "forward":
        return unit(units=units, return_sequences=return_sequences, name=name)
    both = unit(units=units, return_sequences=return_sequences)
    return keras.layers.Bidirectional(both, name=name)


def units_for_parameters(unit: Unit, parameters: int, **model) -> int:
    """The size at which a model of `unit` comes nearest to a number of parameters.

    Args:
        unit: as in `build_model`.
        parameters: number of trainable parameters to come near to.
        **model: all other arguments of `build_model`, without `units`.

    Returns:
        A size of at least 1.
    """

    def count(units):
        return build_model(unit, units=units, **model).count_params()

    high = 1
    while count(high) < parameters:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min((size for size in (low, high) if size), key=lambda n: abs(count(n) - parameters))
