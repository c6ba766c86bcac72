"""A tag for every word: vectors of words, of their capitals and of their characters, both ways."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from unrolled.layers import Embedding, Recurrent
from unrolled.models.stack import Unit, check_direction, recurrent
from unrolled.models.tag_heads import CRF, TagSoftmax

TAG_HEADS = ("softmax", "crf")
_PADDING, _UNKNOWN = 0, 1  # Word numbers, as in `unrolled.tasks.data.vocabulary`.


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
    direction: str = "bidirectional",
    merge: str = "concat",
    embedding: int = 100,
    vectors: tuple[np.ndarray, np.ndarray] | None = None,
    capitals: int | None = 8,
    character_embedding: int = 25,
    character_units: int | None = 25,
    dropout: float = 0.0,
    variational: bool = True,
    word_dropout: float = 0.0,
    head: str = "crf",
    name: str | None = None,
) -> "Tagger":
    """What a word is, from its number, its capitals and its characters, read among the others.

        e<t> = [word, capitals, characters both ways],  a<t> from e<1..T>,  y<t> from a<t>

    Args:
        unit: makes one recurrent layer, for example `layers.LSTM`; for words and characters.
        vocabulary_size: how many numbers of words there are; 0 is padding, 1 every other word.
        characters: how many numbers of characters there are; 0 is padding.
        longest_word: characters that are read of a word.
        shapes: how many kinds of capitals there are; 0 is padding.
        tags: how many there are.
        legal_starts, legal_transitions: as `CRF` takes them; a softmax knows nothing of them.
        units: size of each recurrent layer and direction.
        layers: number of recurrent layers, one upon the other.
        direction: "forward" or "bidirectional", of the layers over the words. Characters are always
            read both ways: a word is there as a whole.
        merge: of both directions, as in `build_model`.
        embedding: size of a word's vector.
        vectors: to begin with: numbers of words, int `(words,)`, and the vectors of these, float
            `(words, embedding)`. Other words, or for None all, begin with random ones.
        capitals: size of the vector of a word's kind of capitals; None for none.
        character_embedding: size of a character's vector.
        character_units: size of each direction of the layer over a word's characters; None for
            none.
        dropout: share dropped in training of e<t>, and of every layer's output.
        variational: whether the same elements are dropped at each step of a sentence (Gal &
            Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural
            Networks"), or others at each. Their dropout on the way through time is
            `recurrent_dropout` of the unit.
        word_dropout: share of the words that training reads as `<UNK>`, so that its vector learns
            what an unknown word may be. Capitals and characters stay.
        head: "softmax", a probability for each step, or "crf", one for all tags of a sentence.
        name: name of the model.

    Raises:
        ValueError: for an unknown head, direction or merge, or vectors of another size.

    Source: Huang, Xu & Yu 2015, "Bidirectional LSTM-CRF Models for Sequence Tagging"; with
    characters Lample et al. 2016, "Neural Architectures for Named Entity Recognition", NAACL.
    """
    check_direction(direction, merge)
    if head not in TAG_HEADS:
        raise ValueError(f"`head`: expected one of {', '.join(TAG_HEADS)}, got {head!r}.")
    if vectors is not None and vectors[1].shape[1] != embedding:
        raise ValueError(
            f"`embedding`: expected {vectors[1].shape[1]}, the size of the vectors to begin with, "
            f"got {embedding}."
        )
    words = keras.Input((None,), dtype="int32", name="words")
    inputs = {
        "words": words,
        "capitals": keras.Input((None,), dtype="int32", name="capitals"),
        "characters": keras.Input((None, longest_word), dtype="int32", name="characters"),
    }
    # Each part has its mask: where one had none, `Concatenate` would mask nothing.
    known = words if not word_dropout else WordDropout(word_dropout, name="word_dropout")(words)
    parts = [Embedding(vocabulary_size, embedding, mask_zero=True, name="embedding")(known)]
    if capitals is not None:
        kinds = Embedding(shapes, capitals, mask_zero=True, name="capitals_embedding")
        parts.append(kinds(inputs["capitals"]))
    if character_units is not None:
        spelling = Spelling(
            Embedding(characters, character_embedding, name="character_embedding"),
            keras.layers.Bidirectional(unit(units=character_units)),
            name="spelling",
        )
        parts.append(spelling(inputs["characters"]))
    x = keras.layers.Concatenate(name="word")(parts) if len(parts) > 1 else parts[0]
    for number in range(1, layers + 1):
        x = _dropped(dropout, variational, f"dropout_{number}")(x)
        each = {"units": units, "return_sequences": True}
        x = recurrent(unit, each, direction, merge, f"recurrent_{number}")(x)
    x = _dropped(dropout, variational, "dropout")(x)
    model = Tagger(
        inputs, _head(head, tags, legal_starts, legal_transitions)(x), name=name or "tagger"
    )
    if vectors is not None:
        table = model.get_layer("embedding").embeddings
        numbers, begun = vectors
        rows = ops.convert_to_numpy(table)
        rows[numbers] = begun
        table.assign(rows)
    return model


def _head(head, tags, legal_starts, legal_transitions):
    if head == "softmax":
        return TagSoftmax(tags, dtype="float32", name="tags")
    return CRF(tags, legal_starts, legal_transitions, dtype="float32", name="tags")


def _dropped(share, variational, name):
    if variational:
        return keras.layers.SpatialDropout1D(share, name=name)
    return keras.layers.Dropout(share, name=name)


@keras.saving.register_keras_serializable("unrolled")
class Tagger(keras.Model):
    """Tags of words; made by `build_tagger`.

    Called with a dict of "words" `(sentences, steps)`, "capitals" `(sentences, steps)` and
    "characters" `(sentences, steps, longest word)`, all numbers with padding 0 on the right, it
    gives the scores of its head, `(sentences, steps, tags)`.

    Its loss is the lecture's L = sum over t of L<t>, the mean over the sentences of a batch, with
    what regularisers of its layers add.
    """

    @property
    def head(self):
        """A `TagSoftmax` or a `CRF`."""
        return self.get_layer("tags")

    @tf.function(reduce_retracing=True)
    def tag(self, inputs):
        """The most probable tags, int32 `(sentences, steps)`; 0 where no word is."""
        return self.head.decode(self(inputs), _asked(inputs))

    @tf.function(reduce_retracing=True)
    def tag_and_judge(self, inputs, tags):
        """`tag`, and the loss L<t> of the right tags at every step, both `(sentences, steps)`."""
        scores, asked = self(inputs), _asked(inputs)
        losses = self.head.losses_by_step(scores, tags, asked)
        return self.head.decode(scores, asked), losses

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # noqa: ARG002
        losses = self.head.losses_by_step(y_pred, y, _asked(x))
        return ops.mean(ops.sum(losses, axis=1)) + sum(self.losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):  # noqa: ARG002
        asked = _asked(x)
        tags = self.head.decode(y_pred, asked)
        return super().compute_metrics(x, y, tags, ops.cast(asked, "float32"))


def _asked(inputs):
    return ops.not_equal(inputs["words"], _PADDING)


@keras.saving.register_keras_serializable("unrolled")
class WordDropout(keras.layers.Layer):
    """In training, reads a share of the words as unknown.

    Input and output: word numbers, int32 `(sentences, steps)`.

    Args:
        rate: the share, from 0 to 1.
    """

    def __init__(self, rate, **options):
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()
        self.supports_masking = True

    def call(self, inputs, training=False):
        if not training:
            return inputs
        drawn = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
        dropped = ops.logical_and(drawn < self.rate, ops.not_equal(inputs, _PADDING))
        return ops.where(dropped, _UNKNOWN, inputs)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("unrolled")
class Spelling(keras.layers.Layer):
    """A vector of each word from its characters.

    Each different word of a batch is read once, however often it stands there.

    Input: character numbers, int32 `(sentences, steps, characters)`, padded with 0 on the right.
    Output: `(sentences, steps, size)`, of the size that `recurrent` gives; a word without any
    character is masked.

    Args:
        embedding: from character numbers to vectors.
        recurrent: a layer that gives one vector for a sequence.
    """

    def __init__(self, embedding, recurrent, **options):
        super().__init__(**options)
        self.embedding = embedding
        self.recurrent = recurrent
        # Almost every batch has another number of different words, and XLA compiles for each.
        for name in ("forward_layer", "backward_layer"):
            layer = getattr(recurrent, name, recurrent)
            if isinstance(layer, Recurrent):
                layer.jit_compile = False

    def build(self, shape):
        self.embedding.build((None, shape[-1]))
        self.recurrent.build((None, shape[-1], self.embedding.output_dim))

    def call(self, inputs, training=False):
        words = tf.reshape(inputs, (-1, inputs.shape[-1]))
        different, where = tf.raw_ops.UniqueV2(x=words, axis=[0])
        different.set_shape((None, inputs.shape[-1]))
        read = self.recurrent(
            self.embedding(different), mask=different != _PADDING, training=training
        )
        shape = tf.concat([tf.shape(inputs)[:2], [read.shape[-1]]], 0)
        return tf.reshape(tf.gather(read, where), shape)

    def compute_mask(self, inputs, mask=None):  # noqa: ARG002
        return ops.any(ops.not_equal(inputs, _PADDING), axis=-1)

    def compute_output_shape(self, shape):
        vectors = (None, shape[-1], self.embedding.output_dim)
        return (*shape[:2], self.recurrent.compute_output_shape(vectors)[-1])

    def get_config(self):
        made = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "embedding": made(self.embedding),
            "recurrent": made(self.recurrent),
        }

    @classmethod
    def from_config(cls, config):
        made = keras.saving.deserialize_keras_object
        parts = {name: made(config.pop(name)) for name in ("embedding", "recurrent")}
        return cls(**parts, **config)
