"""Vectors of words, and the products that a recurrent layer makes of them, by look-up."""

from typing import NamedTuple

import keras
import tensorflow as tf
from keras import ops

WORDS_A_ROW = 4
"""From so many words in a batch for each in the vocabulary on, a table is made; at 2 it costs about
as much as it saves."""

LARGEST_TABLE = 4000
"""Words in the largest vocabulary for which a table is made. In a larger one few batches would gain
by it, and all would lose the sparse gradient of the embeddings."""


@keras.saving.register_keras_serializable("unrolled")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding`, whose vectors are known as words to the layers here.

        e<t> = E[x<t>]
        W e<t> + b = (E W + b)[x<t>]

    The input's part of a recurrent unit is the same wherever a word occurs. So a layer of `layers`
    straight after this one, `Bidirectional` around it or not, makes it once for each word of a
    small vocabulary and looks it up, where a batch has words enough for that to pay (`WORDS_A_ROW`,
    `LARGEST_TABLE`). It is the same function, with the same gradients by all weights. Whatever
    changes the vectors on their way, such as dropout in training, leaves the layer to compute as
    ever; so does dropout of the layer's own input.

    Weights, options and their defaults are those of `keras.layers.Embedding`. The course's one-hot
    vectors are `Embedding(size, size, embeddings_initializer="identity", trainable=False)`.

    Two things differ from Keras's. The gradient of a small vocabulary's embeddings is one tensor,
    with a word's occurrences summed. Keras's lists them one by one, and its Adam squares each for
    itself, which makes larger steps than Adam's the more often a word occurs. And as softmax does
    in Keras for its cross-entropy, a look-up goes round the vectors: a derivative by them,
    dL/de<t>, is to be asked of a model with `keras.layers.Embedding`.

    Input: whole numbers `(batch, steps)`.
    Output: `(batch, steps, output_dim)`.

    >>> keras.Sequential([Embedding(20, 4), keras.layers.Dense(3)])(ops.ones((2, 5))).shape
    TensorShape([2, 5, 3])
    """

    @property
    def is_one_hot(self) -> bool:
        """Whether the vectors are the course's, with one element for each word, and stay so."""
        return not self.trainable and isinstance(
            self.embeddings_initializer, keras.initializers.Identity
        )

    def call(self, inputs):
        if self.input_dim > LARGEST_TABLE or not isinstance(inputs, tf.Tensor):
            return super().call(inputs)
        if inputs.dtype not in (tf.int32, tf.int64):
            inputs = ops.cast(inputs, "int32")
        # Of a reshape the gradient is one tensor, by whichever way it came.
        embeddings = ops.reshape(self.embeddings, (self.input_dim, self.output_dim))
        vectors = ops.cast(ops.take(embeddings, inputs, axis=0), self.compute_dtype)
        _remember(vectors, _Words(embeddings, inputs))
        return vectors


def moved(vectors, move):
    """`move(vectors)`, which reorders leading axes; what is remembered moves along."""
    result, words = move(vectors), words_of(vectors)
    if words is not None:
        _remember(result, words._replace(numbers=move(words.numbers)))
    return result


def zero_where_masked(vectors, mask):
    """`vectors`, with zeros at masked steps, whatever is there.

    A masked step has gradients of exactly zero. But 0 times NaN or infinity is NaN, and the
    gradient of a weight sums over all steps.

    Args:
        vectors: `(batch, steps, features)`; if an `Embedding` made them, the words that occur at
            masked steps alone have vectors of zeros in what is remembered.
        mask: bool `(batch, steps, 1)`.
    """
    result, words = _rows_where(mask, vectors), words_of(vectors)
    if words is not None:
        embeddings, numbers = words
        occurs = tf.math.unsorted_segment_max(
            tf.cast(mask[..., 0], tf.int32), numbers, embeddings.shape[0]
        )
        occurs = occurs[:, None] > 0  # The least integer for a word that is not in the batch.
        embeddings = _rows_where(occurs, embeddings)
        _remember(result, words._replace(embeddings=embeddings))
    return result


def _rows_where(condition, vectors):
    """`vectors` where the condition, `(..., 1)`, holds, and zeros elsewhere."""

    @tf.custom_gradient
    def select(rows):
        # In TensorFlow's older form, which takes whole rows: `tf.where` broadcasts, at thrice the
        # time. Its gradient would select once more, and what comes back at these rows is zero.
        zeros = tf.zeros_like(rows)
        return tf.compat.v1.where(tf.reshape(condition, (-1,)), rows, zeros), lambda d: d

    rows = select(tf.reshape(vectors, (-1, vectors.shape[-1])))
    return tf.reshape(rows, ops.shape(vectors))


def by_word(function, vectors):
    """`function(vectors)`, for a function of each vector by itself, by the shorter way.

    Args:
        function: from `(..., output_dim)` to `(..., width)`.
        vectors: `(..., output_dim)`; if they come from an `Embedding`, a table may serve.
    """
    words = words_of(vectors)
    if words is None:
        return function(vectors)
    embeddings, numbers = words
    enough = WORDS_A_ROW * embeddings.shape[0]

    def looked_up():
        table = function(ops.cast(embeddings, vectors.dtype))
        # In half precision, the gradient's sums over a word's occurrences would lose digits.
        rows = ops.take(ops.cast(table, embeddings.dtype), numbers, axis=0)
        return ops.cast(rows, table.dtype)

    def computed():  # Not of `vectors`, which would have to be there for either branch.
        return function(ops.cast(ops.take(embeddings, numbers, axis=0), vectors.dtype))

    known = numbers.shape.num_elements()
    if known is not None:
        return looked_up() if known >= enough else function(vectors)
    return tf.cond(tf.size(numbers) >= enough, looked_up, computed)


class _Words(NamedTuple):
    """Of what vectors are made: `embeddings[numbers]`."""

    embeddings: tf.Tensor
    numbers: tf.Tensor


def _remember(vectors, words):
    # On the tensor, as Keras does with masks: any operation makes another, which has no such note.
    vectors._unrolled_words = words


def words_of(vectors):
    """Of what vectors are made, if an `Embedding` made them; else None."""
    return getattr(vectors, "_unrolled_words", None)
