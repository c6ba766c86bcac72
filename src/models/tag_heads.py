"""Output heads that predict a tag for every word.

Both heads compute a score for every tag at every step, e<t> = W a<t> + b. They differ in the
probability that the scores define. Each head returns the loss of every step; the loss of a sentence
is the lecture's

    L = sum over t of L<t>

In all arrays sentences are padded on the right; `mask` is True at words and False at padding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

_FORBIDDEN = -1e4  # A score whose exponential is 0 in every precision, yet which stays finite.
_START = -1  # The tag before the first word.


@keras.saving.register_keras_serializable("unrolled")
class TagSoftmax(keras.layers.Dense):
    """Predicts every tag independently: P(y<t> | x) = softmax(e<t>).

    Input: `(sentences, steps, units)`. Output: the scores e, `(sentences, steps, tags)`.
    """

    def losses_by_step(self, scores: tf.Tensor, tags: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Computes L<t> = -log P(y<t> | x) in nats, `(sentences, steps)`; 0 at padding.

        Args:
            scores: the output of the layer.
            tags: the true tags, int `(sentences, steps)`.
            mask: bool `(sentences, steps)`.
        """
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(tags, tf.int32), scores)
        return tf.where(mask, losses, tf.zeros_like(losses))

    def decode(self, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the most probable tag at each step, int32 `(sentences, steps)`; 0 at padding."""
        return tf.where(mask, tf.argmax(scores, -1, tf.int32), 0)


@keras.saving.register_keras_serializable("unrolled")
class CRF(keras.layers.Layer):
    """Predicts all tags of a sentence jointly: a linear-chain conditional random field.

        s(y) = b[y<1>] + sum over t of e<t>[y<t>] + sum over t > 1 of A[y<t-1>, y<t>]
        P(y | x) = e^s(y) / Z,     Z = sum over all y' of e^s(y')

    The backward recursion computes, with T the last word,

        beta<T>[i] = 0,     beta<t>[i] = log sum over j of e^(A[i, j] + e<t+1>[j] + beta<t+1>[j])

    so that log Z = log sum over j of e^(b[j] + e<1>[j] + beta<1>[j]). With the maximum instead of
    log-sum-exp, the recursion gives the most probable y (Viterbi). By the chain rule, the loss of a
    sentence splits into a loss per step, L<t> = -log P(y<t> | y<t-1>, x), whose sum is -log P(y |
    x).

    Source: Lafferty, McCallum & Pereira 2001, "Conditional Random Fields", ICML; on a bidirectional
    LSTM: Huang, Xu & Yu 2015, "Bidirectional LSTM-CRF Models for Sequence Tagging".

    Input: `(sentences, steps, units)`. Output: the scores e, `(sentences, steps, tags)`.

    Args:
        tags: number of tags.
        legal_starts: bool `(tags,)`, the tags allowed at the first word; None for all.
        legal_transitions: bool `(tags, tags)`, the allowed transitions [previous, next]; None for
            all. Forbidden tags and transitions have probability 0.

    Raises:
        ValueError: if `legal_starts` or `legal_transitions` has the wrong shape.
    """

    def __init__(
        self,
        tags: int,
        legal_starts: Sequence[bool] | None = None,
        legal_transitions: Sequence[Sequence[bool]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tags = tags
        self.legal_starts = _legal_list("legal_starts", legal_starts, (tags,))
        self.legal_transitions = _legal_list("legal_transitions", legal_transitions, (tags, tags))
        self.supports_masking = True

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight((shape[-1], self.tags), name="kernel")
        self.bias = self.add_weight((self.tags,), initializer="zeros", name="bias")
        self.starts = self.add_weight((self.tags,), initializer="zeros", name="starts")
        self.transitions = self.add_weight(
            (self.tags, self.tags), initializer="zeros", name="transitions"
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return ops.matmul(inputs, self.kernel) + self.bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*shape[:-1], self.tags)

    def losses_by_step(self, scores: tf.Tensor, tags: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Computes L<t> = -log P(y<t> | y<t-1>, x) in nats, `(sentences, steps)`; 0 at padding.

        Args:
            scores: the output of the layer.
            tags: the true tags, int `(sentences, steps)`.
            mask: bool `(sentences, steps)`.
        """
        tags = tf.cast(tags, tf.int32)
        betas = self._backward(scores, mask, tf.reduce_logsumexp)
        normalized = _normalized(betas)
        first = tf.reduce_logsumexp(self._start_scores() + scores[:, 0] + normalized[:, 0], -1)
        log_sums = tf.gather(betas, tags, axis=2, batch_dims=2)
        log_normalizers = tf.concat([first[:, None], log_sums[:, :-1]], 1)
        previous = tf.pad(tags[:, :-1], [(0, 0), (1, 0)], constant_values=_START)
        transitions = tf.gather_nd(self._all_transitions(), tf.stack([previous - _START, tags], -1))
        emissions = tf.gather(scores + normalized, tags, axis=2, batch_dims=2)
        losses = log_normalizers - (transitions + emissions)
        return tf.where(mask, losses, tf.zeros_like(losses))

    def decode(self, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the most probable tag sequence, int32 `(sentences, steps)`; 0 at padding."""
        best = scores + _normalized(self._backward(scores, mask, tf.reduce_max))
        transitions = self._all_transitions()

        def next_tag(previous, best):
            return tf.argmax(tf.gather(transitions, previous - _START) + best, -1, tf.int32)

        start = tf.fill(tf.shape(scores)[:1], _START)
        tags = tf.transpose(tf.scan(next_tag, tf.transpose(best, (1, 0, 2)), start))
        return tf.where(mask, tags, 0)

    def _backward(
        self, scores: tf.Tensor, mask: tf.Tensor, reduce: Callable[..., tf.Tensor]
    ) -> tf.Tensor:
        """Computes beta<t>, `(sentences, steps, tags)`, up to a constant per step.

        Args:
            scores: the output of the layer.
            mask: bool `(sentences, steps)`.
            reduce: `tf.reduce_logsumexp` or `tf.reduce_max`, applied over the next tag.
        """
        transitions = _restrict(tf.convert_to_tensor(self.transitions), self.legal_transitions)

        def previous_beta(beta, step):
            score, is_word = step
            previous = reduce(transitions + (score + _normalized(beta))[:, None, :], -1)
            return tf.where(is_word[:, None], previous, beta)

        # Includes the first step, because tf.scan over an empty sequence fails in a graph.
        last = tf.zeros_like(scores[:, 0])
        elements = (tf.transpose(scores, (1, 0, 2)), tf.transpose(mask))
        betas = tf.scan(previous_beta, elements, last, reverse=True)[1:]
        return tf.transpose(tf.concat([betas, last[None]], 0), (1, 0, 2))

    def _start_scores(self) -> tf.Tensor:
        return _restrict(tf.convert_to_tensor(self.starts), self.legal_starts)

    def _all_transitions(self) -> tf.Tensor:
        """Returns the transition scores, with the start scores as the first row."""
        transitions = _restrict(tf.convert_to_tensor(self.transitions), self.legal_transitions)
        return tf.concat([self._start_scores()[None], transitions], 0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tags": self.tags,
            "legal_starts": self.legal_starts,
            "legal_transitions": self.legal_transitions,
        }


def _legal_list(name: str, legal: Any, shape: tuple[int, ...]) -> list | None:
    if legal is None:
        return None
    legal = np.asarray(legal, bool)
    if legal.shape != shape:
        raise ValueError(f"`{name}`: expected shape {shape}, got {legal.shape}.")
    return legal.tolist()


def _restrict(scores: tf.Tensor, legal: list | None) -> tf.Tensor:
    return scores if legal is None else tf.where(legal, scores, _FORBIDDEN)


def _normalized(betas: tf.Tensor) -> tf.Tensor:
    """Shifts the maximum to 0: sums over a long sentence would lose precision."""
    return betas - tf.reduce_max(betas, -1, keepdims=True)
