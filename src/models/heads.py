"""Output heads for large vocabularies."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from unrolled.settings.wiring import check_cutoffs


@keras.saving.register_keras_serializable("unrolled")
class AdaptiveSoftmax(keras.layers.Layer):
    """Softmax over a large vocabulary that is cheap for frequent words, and exact for all words.

    Token ids are sorted by decreasing frequency. The head scores the frequent words and one entry
    for each cluster of rarer words. Within a cluster, words are scored from a projection R_k a of
    lower dimension:

        P(w | a) = P_head(w | a)                            for a frequent word
        P(w | a) = P_head(k | a) P_k(w | R_k a)             for a word of cluster k

    Both factors are softmax probabilities, so the probabilities of all words sum to 1. The loss
    computes the scores of a cluster only for targets in that cluster.

    Source: Grave, Joulin, Cissé, Grangier & Jégou 2017, "Efficient softmax approximation for GPUs",
    ICML. As in the paper, cluster k = 1, 2, ... uses vectors of size units / 4^k.

    Input: `(..., units)`. Output: the log probability of every word, `(..., vocabulary_size)`.

    Args:
        vocabulary_size: number of token ids.
        cutoffs: first token id of each cluster, strictly increasing, each greater than 0 and less
            than `vocabulary_size`.

    Raises:
        ValueError: if `cutoffs` is empty, not strictly increasing or out of range.
    """

    REDUCTION = 4

    def __init__(self, vocabulary_size: int, cutoffs: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        cutoffs = list(cutoffs)
        check_cutoffs(cutoffs, vocabulary_size)
        self.vocabulary_size = vocabulary_size
        self.cutoffs = cutoffs
        self.clusters = list(pairwise([*cutoffs, vocabulary_size]))

    def build(self, shape: tuple[int | None, ...]) -> None:
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

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        head = tf.nn.log_softmax(ops.matmul(inputs, self.head) + self.bias)
        frequent = self.cutoffs[0]
        parts = [head[..., :frequent]]
        for k, scores in enumerate(map(self._tail, self.reductions, self.tails)):
            parts.append(head[..., frequent + k, None] + tf.nn.log_softmax(scores(inputs)))
        return ops.concatenate(parts, axis=-1)

    def negative_log_likelihood(self, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Computes -log P of one target for each vector, in nats.

        Args:
            inputs: floats, `(rows, units)`.
            targets: integer token ids, `(rows,)`.

        Returns:
            Floats, `(rows,)`.
        """
        targets, frequent = tf.cast(targets, tf.int32), self.cutoffs[0]
        in_head = tf.where(targets < frequent, targets, 0)
        for k, (low, high) in enumerate(self.clusters):
            in_head = tf.where((targets >= low) & (targets < high), frequent + k, in_head)
        scores = ops.matmul(inputs, self.head) + self.bias
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(in_head, scores)
        for k, (low, high) in enumerate(self.clusters):
            rows = tf.where((targets >= low) & (targets < high))
            members = tf.gather_nd(inputs, rows)
            within_cluster = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather_nd(targets, rows) - low,
                self._tail(self.reductions[k], self.tails[k])(members),
            )
            loss = tf.tensor_scatter_nd_add(loss, rows, within_cluster)
        return loss

    def _tail(self, reduction: tf.Variable, tail: tf.Variable) -> Callable[[tf.Tensor], tf.Tensor]:
        return lambda inputs: ops.matmul(ops.matmul(inputs, reduction), tail)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*shape[:-1], self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "cutoffs": self.cutoffs,
        }
