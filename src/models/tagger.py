"""A model that tags every word, from word, capitalization and character features."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from unrolled.layers import Embedding, Recurrent
from unrolled.models.stack import Unit, recurrent
from unrolled.models.tag_heads import CRF, TagSoftmax
from unrolled.settings.wiring import (
    TAG_HEADS,
    Direction,
    Merge,
    TagHead,
    check_direction,
    check_stack,
)

_PADDING, _UNKNOWN = 0, 1  # Token ids, as in `unrolled.tasks.data.vocabulary`.

Inputs = dict[str, Any]
"""The arrays or tensors "words", "capitals" and "characters"; see `Tagger`."""


def build_tagger(
    unit: Unit,
    *,
    vocabulary_size: int,
    characters: int,
    longest_word: int,
    shapes: int,
    tags: int,
    legal_starts: list[bool] | None = None,
    legal_transitions: list[list[bool]] | None = None,
    units: int,
    layers: int = 1,
    direction: Direction = "bidirectional",
    merge: Merge = "concat",
    embedding: int = 100,
    vectors: tuple[np.ndarray, np.ndarray] | None = None,
    capitals: int | None = 8,
    character_embedding: int = 25,
    character_units: int | None = 25,
    dropout: float = 0.0,
    variational: bool = True,
    word_dropout: float = 0.0,
    head: TagHead = "crf",
    name: str | None = None,
) -> "Tagger":
    """Builds a tagger from word embeddings, capitalization features and character-level vectors.

        e<t> = [word, capitalization, characters],  a<t> from e<1..T>,  y<t> from a<t>

    Args:
        unit: creates one recurrent layer, for example `layers.LSTM`; used for words and characters.
        vocabulary_size: number of word ids; 0 is padding, 1 is the unknown word.
        characters: number of character ids; 0 is padding.
        longest_word: maximum number of characters read per word.
        shapes: number of capitalization classes; 0 is padding.
        tags: number of tags.
        legal_starts, legal_transitions: passed to `CRF`; a softmax ignores them.
        units: size of each recurrent layer and direction.
        layers: number of stacked recurrent layers.
        direction: "forward" or "bidirectional", for the layers over words. The layer over
            characters is always bidirectional, because the whole word is available.
        merge: how the two directions are combined, as in `build_model`.
        embedding: size of the word embeddings.
        vectors: pretrained embeddings: word ids, int `(words,)`, and their vectors, float `(words,
            embedding)`. All other words are initialized at random, and all words if None.
        capitals: size of the embedding of the capitalization class; None to omit this feature.
        character_embedding: size of the character embeddings.
        character_units: size of each direction of the layer over characters; None to omit this
            feature.
        dropout: fraction of e<t>, and of every layer's output, that is dropped in training.
        variational: whether the dropout mask is the same at every step of a sentence (Gal &
            Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural
            Networks"), or differs from step to step. Their dropout of the recurrent connections is
            the unit's `recurrent_dropout`.
        word_dropout: fraction of the words that are replaced by `<UNK>` in training, so that the
            embedding of the unknown word is trained. The other features are unchanged.
        head: "softmax" for a distribution per step, or "crf" for a distribution over tag sequences.
        name: name of the model.

    Returns:
        An uncompiled `Tagger`.

    Raises:
        ValueError: for an unknown head, direction or merge mode, for `layers` or `dropout` out of
            range, or if the size of `vectors` is not `embedding`.

    Source: Huang, Xu & Yu 2015, "Bidirectional LSTM-CRF Models for Sequence Tagging"; characters:
    Lample et al. 2016, "Neural Architectures for Named Entity Recognition", NAACL.
    """
    check_stack(layers, dropout)
    _check(direction, merge, head, vectors, embedding)
    inputs = _inputs(longest_word)
    # Every feature needs a mask: `Concatenate` drops the mask if one is missing.
    features = [_word_feature(inputs["words"], vocabulary_size, embedding, word_dropout)]
    if capitals is not None:
        shape_embedding = Embedding(shapes, capitals, mask_zero=True, name="capitals_embedding")
        features.append(shape_embedding(inputs["capitals"]))
    if character_units is not None:
        spelling = _spelling(unit, characters, character_embedding, character_units)
        features.append(spelling(inputs["characters"]))
    x = keras.layers.Concatenate(name="word")(features) if len(features) > 1 else features[0]
    for index in range(1, layers + 1):
        x = _dropout(dropout, variational, f"dropout_{index}")(x)
        layer_options = {"units": units, "return_sequences": True}
        x = recurrent(unit, layer_options, direction, merge, f"recurrent_{index}")(x)
    x = _dropout(dropout, variational, "dropout")(x)
    outputs = _head(head, tags, legal_starts, legal_transitions)(x)
    model = Tagger(inputs, outputs, name=name or "tagger")
    if vectors is not None:
        _assign_rows(model.get_layer("embedding").embeddings, *vectors)
    return model


def _check(
    direction: str,
    merge: str,
    head: str,
    vectors: tuple[np.ndarray, np.ndarray] | None,
    embedding: int,
) -> None:
    check_direction(direction, merge)
    if head not in TAG_HEADS:
        raise ValueError(f"`head`: expected one of {', '.join(TAG_HEADS)}, got {head!r}.")
    if vectors is not None and vectors[1].shape[1] != embedding:
        raise ValueError(
            f"`embedding`: expected {vectors[1].shape[1]}, the size of the pretrained vectors, "
            f"got {embedding}."
        )


def _inputs(longest_word: int) -> dict[str, keras.KerasTensor]:
    shapes = {"words": (None,), "capitals": (None,), "characters": (None, longest_word)}
    return {name: keras.Input(shape, dtype="int32", name=name) for name, shape in shapes.items()}


def _word_feature(
    words: keras.KerasTensor, vocabulary_size: int, embedding: int, word_dropout: float
) -> keras.KerasTensor:
    if word_dropout:
        words = WordDropout(word_dropout, name="word_dropout")(words)
    return Embedding(vocabulary_size, embedding, mask_zero=True, name="embedding")(words)


def _spelling(unit: Unit, characters: int, embedding: int, units: int) -> "Spelling":
    return Spelling(
        Embedding(characters, embedding, name="character_embedding"),
        keras.layers.Bidirectional(unit(units=units)),
        name="spelling",
    )


def _head(
    head: str,
    tags: int,
    legal_starts: list[bool] | None,
    legal_transitions: list[list[bool]] | None,
) -> keras.layers.Layer:
    if head == "softmax":
        return TagSoftmax(tags, dtype="float32", name="tags")
    return CRF(tags, legal_starts, legal_transitions, dtype="float32", name="tags")


def _dropout(rate: float, variational: bool, name: str) -> keras.layers.Layer:
    if variational:
        return keras.layers.SpatialDropout1D(rate, name=name)
    return keras.layers.Dropout(rate, name=name)


def _assign_rows(table: keras.Variable, ids: np.ndarray, vectors: np.ndarray) -> None:
    rows = ops.convert_to_numpy(table)
    rows[ids] = vectors
    table.assign(rows)


@keras.saving.register_keras_serializable("unrolled")
class Tagger(keras.Model):
    """A tagging model, created by `build_tagger`.

    Called with a dict of "words" `(sentences, steps)`, "capitals" `(sentences, steps)` and
    "characters" `(sentences, steps, longest word)`, integer ids padded with 0 on the right, the
    model returns the scores of its head, `(sentences, steps, tags)`.

    The loss is the lecture's L = sum over t of L<t>, averaged over the sentences of a batch, plus
    the regularization losses of the layers. A loss passed to `compile` is ignored. Sample weights
    and class weights raise ValueError: padding is masked already.
    """

    @property
    def head(self) -> TagSoftmax | CRF:
        """The output head."""
        return self.get_layer("tags")

    @tf.function(reduce_retracing=True)
    def tag(self, inputs: Inputs) -> tf.Tensor:
        """Returns the most probable tags, int32 `(sentences, steps)`; 0 at padding."""
        return self.head.decode(self(inputs), _word_mask(inputs))

    @tf.function(reduce_retracing=True)
    def tag_with_losses(self, inputs: Inputs, tags: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `tag` and the loss of the true tags per step, both `(sentences, steps)`."""
        scores, mask = self(inputs), _word_mask(inputs)
        losses = self.head.losses_by_step(scores, tags, mask)
        return self.head.decode(scores, mask), losses

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,  # noqa: ARG002
    ) -> tf.Tensor:
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight`: expected None, because the loss of a tagger has no weights; got "
                "weights. Leave out `sample_weight` and `class_weight`."
            )
        losses = self.head.losses_by_step(y_pred, y, _word_mask(x))
        return ops.mean(ops.sum(losses, axis=1)) + sum(self.losses)

    def compute_metrics(
        self,
        x: Inputs,
        y: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        mask = _word_mask(x)
        tags = self.head.decode(y_pred, mask)
        return super().compute_metrics(x, y, tags, ops.cast(mask, "float32"))


def _word_mask(inputs: Inputs) -> tf.Tensor:
    return ops.not_equal(inputs["words"], _PADDING)


@keras.saving.register_keras_serializable("unrolled")
class WordDropout(keras.layers.Layer):
    """Replaces a fraction of the words by the unknown word in training.

    Input and output: word ids, int32 `(sentences, steps)`.

    Args:
        rate: fraction of the words that are replaced, at least 0 and below 1.
        seed: seed of the random words.

    Raises:
        ValueError: if `rate` is out of range.
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate`: expected a rate of at least 0 and below 1, got {rate!r}.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        random = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
        dropped = ops.logical_and(random < self.rate, ops.not_equal(inputs, _PADDING))
        return ops.where(dropped, _UNKNOWN, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("unrolled")
class Spelling(keras.layers.Layer):
    """Computes a vector for each word from its characters.

    Every distinct word of a batch is processed only once.

    Input: character ids, int32 `(sentences, steps, characters)`, padded with 0 on the right.
    Output: `(sentences, steps, size)`, where `size` is the output size of `recurrent`. Words
    without characters are masked.

    Args:
        embedding: layer from character ids to vectors.
        recurrent: layer from a sequence to one vector. `jit_compile` is set to False in a layer of
            this package, or in both layers of a `Bidirectional`.
    """

    def __init__(
        self, embedding: keras.layers.Layer, recurrent: keras.layers.Layer, **options: Any
    ) -> None:
        super().__init__(**options)
        self.embedding = embedding
        self.recurrent = recurrent
        # XLA would compile the layer again for almost every batch, because the number of distinct
        # words varies.
        for name in ("forward_layer", "backward_layer"):
            layer = getattr(recurrent, name, recurrent)
            if isinstance(layer, Recurrent):
                layer.jit_compile = False

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.embedding.build((None, shape[-1]))
        self.recurrent.build((None, shape[-1], self.embedding.output_dim))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        words = tf.reshape(inputs, (-1, inputs.shape[-1]))
        distinct, index = tf.raw_ops.UniqueV2(x=words, axis=[0])
        distinct.set_shape((None, inputs.shape[-1]))
        vectors = self.recurrent(
            self.embedding(distinct), mask=distinct != _PADDING, training=training
        )
        shape = tf.concat([tf.shape(inputs)[:2], [vectors.shape[-1]]], 0)
        return tf.reshape(tf.gather(vectors, index), shape)

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:  # noqa: ARG002
        return ops.any(ops.not_equal(inputs, _PADDING), axis=-1)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        vectors = (None, shape[-1], self.embedding.output_dim)
        return (*shape[:2], self.recurrent.compute_output_shape(vectors)[-1])

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "embedding": serialize(self.embedding),
            "recurrent": serialize(self.recurrent),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Spelling":
        deserialize = keras.saving.deserialize_keras_object
        config = dict(config)  # The caller's own stays complete.
        parts = {name: deserialize(config.pop(name)) for name in ("embedding", "recurrent")}
        return cls(**parts, **config)
