"""What makes probabilities of words out of the last layer's output."""

from itertools import pairwise

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("unrolled")
class AdaptiveSoftmax(keras.layers.Layer):
    """Probabilities of a large vocabulary, cheap for frequent words, exact for all.

    Words are numbered by falling frequency. The head scores the frequent ones, and each of the
    clusters that hold the others; within a cluster its words are scored from a smaller vector:

        P(w | a) = P_head(w | a)                            for a frequent word
        P(w | a) = P_head(k | a) P_k(w | P_k a)             for a word of cluster k

    Both are softmax, so all probabilities sum to 1. A loss needs the scores of a cluster only where
    the word that came is in it.

    Source: Grave, Joulin, Cissé, Grangier & Jégou 2017, "Efficient softmax approximation for
    GPUs", ICML. As there, cluster k = 1, 2, ... has vectors of the size of a over 4^k.

    Input: `(..., units)`. Output: log P of every word, `(..., vocabulary_size)`.

    Args:
        vocabulary_size: number of words.
        cutoffs: numbers at which a cluster begins, rising, each above 0 and below
            `vocabulary_size`.

    Raises:
        ValueError: for other cutoffs.
    """

    REDUCTION = 4

    def __init__(self, vocabulary_size, cutoffs, **options):
        super().__init__(**options)
        cutoffs = list(cutoffs)
        bounds = [0, *cutoffs, vocabulary_size]
        if not cutoffs or any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(
                f"`cutoffs`: expected numbers that rise from above 0 to below the vocabulary's "
                f"size, {vocabulary_size}; got {cutoffs}."
            )
        self.vocabulary_size = vocabulary_size
        self.cutoffs = cutoffs
        self.clusters = list(pairwise(bounds[1:]))

    def build(self, shape):
        units, frequent = shape[-1], self.cutoffs[0]
        self.head = self.add_weight((units, frequent + len(self.clusters)), name="head")
        self.bias = self.add_weight(
            (frequent + len(self.clusters),), initializer="zeros", name="bias"
        )
        self.reductions, self.tails = [], []
        for k, (low, high) in enumerate(self.clusters, 1):
            size = max(1, units // self.REDUCTION**k)
            self.reductions.append(self.add_weight((units, size), name=f"reduction_{k}"))
            self.tails.append(self.add_weight((size, high - low), name=f"tail_{k}"))

    def call(self, inputs):
        head = tf.nn.log_softmax(ops.matmul(inputs, self.head) + self.bias)
        frequent = self.cutoffs[0]
        parts = [head[..., :frequent]]
        for k, scores in enumerate(map(self._tail, self.reductions, self.tails)):
            parts.append(head[..., frequent + k, None] + tf.nn.log_softmax(scores(inputs)))
        return ops.concatenate(parts, axis=-1)

    def negative_log_likelihood(self, inputs, words):
        """-log P of one word for each vector, in nats.

        Args:
            inputs: `(rows, units)`.
            words: their numbers, `(rows,)`.

        Returns:
            `(rows,)`.
        """
        words, frequent = tf.cast(words, tf.int32), self.cutoffs[0]
        in_head = tf.where(words < frequent, words, 0)
        for k, (low, high) in enumerate(self.clusters):
            in_head = tf.where((words >= low) & (words < high), frequent + k, in_head)
        scores = ops.matmul(inputs, self.head) + self.bias
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(in_head, scores)
        for k, (low, high) in enumerate(self.clusters):
            rows = tf.where((words >= low) & (words < high))
            there = tf.gather_nd(inputs, rows)
            inside = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather_nd(words, rows) - low,
                self._tail(self.reductions[k], self.tails[k])(there),
            )
            loss = tf.tensor_scatter_nd_add(loss, rows, inside)
        return loss

    def _tail(self, reduction, tail):
        return lambda inputs: ops.matmul(ops.matmul(inputs, reduction), tail)

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.vocabulary_size)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "cutoffs": self.cutoffs,
        }
