"""Embeddings, and the products that a recurrent layer makes of them, by table look-up."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf
from keras import ops

TOKENS_PER_ENTRY = 4
"""A table is made for a batch with at least this many tokens for each entry of the vocabulary; at 2
it costs about as much as it saves."""

LARGEST_TABLE = 4000
"""Entries of the largest vocabulary for which a table is made. With a larger one few batches would
gain, and all would lose the sparse gradient of the embeddings."""


@keras.saving.register_keras_serializable("unrolled")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding`, whose vectors the recurrent layers here know as tokens.

        e<t> = E[x<t>]
        W e<t> + b = (E W + b)[x<t>]

    The input's part of a recurrent unit is the same wherever a token occurs. So a recurrent layer
    of this package straight after this one, with or without `Bidirectional`, computes it once for
    each entry of a small vocabulary and looks it up, if the batch has enough tokens
    (`TOKENS_PER_ENTRY`, `LARGEST_TABLE`). It is the same function, with the same gradients with
    respect to all weights. If anything changes the vectors in between, such as dropout in training,
    or if the recurrent layer has input dropout, the products are computed for every token.

    Weights, options and their defaults are those of `keras.layers.Embedding`. The course's one-hot
    vectors are `Embedding(size, size, embeddings_initializer="identity", trainable=False)`.

    Two things differ from Keras. First, the gradient of a small vocabulary's embeddings is one
    tensor, summed over a token's occurrences. Keras's lists the occurrences one by one, and its
    Adam squares each for itself, which makes larger steps the more often a token occurs. Second, a
    look-up bypasses the vectors: for a derivative with respect to them, dL/de<t>, use
    `keras.layers.Embedding`.

    Input: token ids, integers `(batch, steps)`.
    Output: `(batch, steps, output_dim)`.

    >>> keras.Sequential([Embedding(20, 4), keras.layers.Dense(3)])(ops.ones((2, 5))).shape
    TensorShape([2, 5, 3])
    """

    @property
    def is_one_hot(self) -> bool:
        """Whether the vectors are one-hot, one element for each token, and stay so in training."""
        return not self.trainable and isinstance(
            self.embeddings_initializer, keras.initializers.Identity
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Look up the vectors; see the class for the shapes."""
        if self.input_dim > LARGEST_TABLE or not isinstance(inputs, tf.Tensor):
            return super().call(inputs)
        if inputs.dtype not in (tf.int32, tf.int64):
            inputs = ops.cast(inputs, "int32")
        # The gradient of a reshape is always one tensor.
        embeddings = ops.reshape(self.embeddings, (self.input_dim, self.output_dim))
        vectors = ops.cast(ops.take(embeddings, inputs, axis=0), self.compute_dtype)
        _attach(vectors, _Tokens(embeddings, inputs))
        return vectors


def reorder(vectors: tf.Tensor, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """`function(vectors)`, for a function that reorders leading axes; the tokens are reordered
    too."""
    result, tokens = function(vectors), tokens_of(vectors)
    if tokens is not None:
        _attach(result, tokens._replace(ids=function(tokens.ids)))
    return result


def zero_where_masked(vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Replace vectors at masked steps by zeros, whatever they are.

    A masked step has gradients of exactly zero. But 0 times NaN or infinity is NaN, and the
    gradient of a weight sums over all steps.

    Args:
        vectors: `(batch, steps, features)`. If an `Embedding` made them, tokens that occur at
            masked steps alone have vectors of zeros in its table too.
        mask: bool `(batch, steps, 1)`.

    Returns:
        `(batch, steps, features)`.
    """
    result, tokens = _rows_where(mask, vectors), tokens_of(vectors)
    if tokens is not None:
        embeddings, ids = tokens
        occurs = tf.math.unsorted_segment_max(
            tf.cast(mask[..., 0], tf.int32), ids, embeddings.shape[0]
        )
        occurs = occurs[:, None] > 0  # The least integer for an entry that is not in the batch.
        embeddings = _rows_where(occurs, embeddings)
        _attach(result, tokens._replace(embeddings=embeddings))
    return result


def _rows_where(condition, vectors):
    """`vectors` where the condition, `(..., 1)`, holds, and zeros elsewhere."""

    @tf.custom_gradient
    def select(rows):
        # TensorFlow's older `where` takes whole rows; `tf.where` broadcasts, in three times the
        # time. Its gradient would select once more, and the gradient at these rows is zero.
        zeros = tf.zeros_like(rows)
        return tf.compat.v1.where(tf.reshape(condition, (-1,)), rows, zeros), lambda d: d

    rows = select(tf.reshape(vectors, (-1, vectors.shape[-1])))
    return tf.reshape(rows, ops.shape(vectors))


def apply_to_vectors(function: Callable[[tf.Tensor], tf.Tensor], vectors: tf.Tensor) -> tf.Tensor:
    """`function(vectors)`, by table look-up if that is cheaper.

    Args:
        function: maps each vector by itself, `(..., output_dim)` to `(..., width)`.
        vectors: `(..., output_dim)`. If an `Embedding` made them, a table may serve.

    Returns:
        `(..., width)`.
    """
    tokens = tokens_of(vectors)
    if tokens is None:
        return function(vectors)
    embeddings, ids = tokens
    enough = TOKENS_PER_ENTRY * embeddings.shape[0]

    def looked_up():
        table = function(ops.cast(embeddings, vectors.dtype))
        # In half precision, the gradient's sums over a token's occurrences would lose digits.
        rows = ops.take(ops.cast(table, embeddings.dtype), ids, axis=0)
        return ops.cast(rows, table.dtype)

    def computed():  # Not of `vectors`, which would have to be computed for either branch.
        return function(ops.cast(ops.take(embeddings, ids, axis=0), vectors.dtype))

    known = ids.shape.num_elements()
    if known is not None:
        return looked_up() if known >= enough else function(vectors)
    return tf.cond(tf.size(ids) >= enough, looked_up, computed)


class _Tokens(NamedTuple):
    """What vectors were looked up from: `embeddings[ids]`."""

    embeddings: tf.Tensor
    ids: tf.Tensor


def _attach(vectors, tokens):
    # To the tensor, as Keras does with masks: every operation makes another tensor, without it.
    vectors._unrolled_tokens = tokens


def tokens_of(vectors: tf.Tensor) -> _Tokens | None:
    """The embeddings and token ids of vectors that an `Embedding` made; None for others."""
    return getattr(vectors, "_unrolled_tokens", None)
