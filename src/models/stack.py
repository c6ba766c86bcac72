"""The lecture's deep and bidirectional models: embedding, recurrent layers and an output layer."""

import math
from collections.abc import Callable
from typing import Any

import keras

from unrolled.layers import Embedding
from unrolled.settings.wiring import Direction, Merge, check_direction, check_stack

Unit = Callable[..., keras.layers.Layer]
"""Creates a recurrent layer of one kind; called with `units` and `return_sequences`."""


def build_model(
    unit: Unit,
    *,
    vocabulary_size: int | None = None,
    features: int | None = None,
    classes: int | None,
    per_step: bool,
    units: int,
    layers: int = 1,
    direction: Direction = "forward",
    merge: Merge = "concat",
    embedding: int | None = 64,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Builds a model: embedding, stack of recurrent layers, dense output layer.

        x<t> -> e<t> -> a[1]<t> -> ... -> a[layers]<t> -> y<t>     per step (many-to-many)
        x<1..T> -> ... -> a[layers]<T> -> y                        at the end (many-to-one)

    A bidirectional layer reads the whole sequence once in each direction, with separate weights,

        a→<t> from a→<t-1> and e<t>,    a←<t> from a←<t+1> and e<t>,    a<t> = [a→<t>, a←<t>]

    and at the end (many-to-one) a is [a→<T>, a←<1>]: the last state of each direction.

    Inputs that are real-valued vectors go directly into the first layer: e<t> is x<t>, and nothing
    is masked.

    Args:
        unit: creates one recurrent layer, for example `layers.GRU` or `keras.layers.GRU`.
        vocabulary_size: number of token ids, including padding (0); None for vectors.
        features: size of the vectors x<t>; None for token ids.
        classes: number of classes; None for regression of a single number.
        per_step: whether to predict at every step, or once per sequence.
        units: size of each recurrent layer and direction.
        layers: number of stacked recurrent layers.
        direction: "forward" or "bidirectional".
        merge: how the two directions are combined: "concat" (size 2 units), or element-wise "sum",
            "mul" or "ave" (size units).
        embedding: size of e<t> for token ids; None for the lecture's one-hot vectors, which have
            the size of the vocabulary and no trainable weights. Ignored for vectors.
        dropout: fraction of the elements of every e<t>, of the input of every further layer and of
            the input of the output layer that is dropped in training. The mask differs from step to
            step, and the remaining elements are scaled by 1 / (1 - dropout). The recurrent
            connections are exempt (Zaremba et al. 2014, "Recurrent Neural Network Regularization");
            the unit's `recurrent_dropout` is for these. One-hot vectors are exempt too, because
            dropout would erase whole tokens.
        name: name of the model.

    Returns:
        A model from token ids `(batch, steps)` or vectors `(batch, steps, features)` to logits
        `(batch, steps, classes)` or `(batch, classes)`. For regression, the last axis has size 1.
        The number of steps may vary; token id 0 is masked.

    Raises:
        ValueError: for `layers` or `dropout` out of range; for an unknown direction or merge mode;
            for a merge mode without a second direction; unless exactly one of `vocabulary_size` and
            `features` is given.
    """
    check_stack(layers, dropout)
    check_direction(direction, merge)
    inputs, x = _inputs(vocabulary_size, features, embedding)
    one_hot = features is None and embedding is None
    for index in range(1, layers + 1):
        if dropout and not (one_hot and index == 1):
            x = keras.layers.Dropout(dropout, name=f"dropout_{index}")(x)
        layer_options = {"units": units, "return_sequences": per_step or index < layers}
        x = recurrent(unit, layer_options, direction, merge, f"recurrent_{index}")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    outputs = keras.layers.Dense(
        classes or 1, dtype="float32", name="scores" if classes else "number"
    )(x)
    return keras.Model(inputs, outputs, name=name)


def _inputs(
    vocabulary_size: int | None, features: int | None, embedding: int | None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the model's input and the input of the first recurrent layer."""
    if (vocabulary_size is None) == (features is None):
        raise ValueError(
            "`vocabulary_size`, `features`: expected one of them, for token ids or for vectors, "
            f"got {vocabulary_size} and {features}."
        )
    if vocabulary_size is not None:
        words = keras.Input((None,), dtype="int32", name="words")
        return words, word_vectors(vocabulary_size, embedding, mask_zero=True)(words)
    vectors = keras.Input((None, features), name="vectors")
    return vectors, vectors


def word_vectors(vocabulary_size: int, size: int | None, **options: Any) -> Embedding:
    """Creates an embedding of the given size; None gives the lecture's one-hot vectors."""
    if size is None:
        options |= {"embeddings_initializer": "identity", "trainable": False}
    return Embedding(vocabulary_size, size or vocabulary_size, name="embedding", **options)


def recurrent(
    unit: Unit, options: dict[str, Any], direction: str, merge: str, name: str
) -> keras.layers.Layer:
    """Creates a recurrent layer, wrapped in `Bidirectional` if `direction` says so."""
    if direction == "forward":
        return unit(**options, name=name)
    return keras.layers.Bidirectional(unit(**options), merge_mode=merge, name=name)


def trainable_parameters(model: keras.Model) -> int:
    """Returns the number of trainable parameters; one-hot embeddings have none."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def units_for_parameters(build: Callable[[int], keras.Model], parameters: int) -> int:
    """Finds the number of units whose model is closest in size to a number of parameters.

    Args:
        build: builds the model for a number of units.
        parameters: target number of trainable parameters.

    Returns:
        The number of units, at least 1.
    """

    def count(units: int) -> int:
        return trainable_parameters(build(units))

    high = 1
    while count(high) < parameters:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min((size for size in (low, high) if size), key=lambda n: abs(count(n) - parameters))
