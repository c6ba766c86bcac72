"""What makes a tag for every word out of the last layer's output.

Both heads score every tag at every step, e<t> = W a<t> + b, and differ in what the scores mean.
Each says the loss of every step, and the loss of a sentence is the lecture's

    L = sum over t of L<t>

In all arrays here sentences are padded on the right; `asked` is True at words, False at padding.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

_NEVER = -1e4  # Added to a score: e to it is 0 in every precision, and differences stay finite.
_START = -1  # The tag before the first.


@keras.saving.register_keras_serializable("unrolled")
class TagSoftmax(keras.layers.Dense):
    """Every step by itself: P(y<t> | x) = softmax(e<t>).

    Input: `(sentences, steps, units)`. Output: the scores e, `(sentences, steps, tags)`.
    """

    def losses_by_step(self, scores, tags, asked):
        """L<t> = -log P(y<t> | x) in nats, `(sentences, steps)`; 0 where no word is.

        Args:
            scores: the output.
            tags: the right ones, int `(sentences, steps)`.
            asked: bool `(sentences, steps)`.
        """
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(tags, tf.int32), scores)
        return tf.where(asked, losses, tf.zeros_like(losses))

    def decode(self, scores, asked):
        """The most probable tag of each step, int32 `(sentences, steps)`; 0 where no word is."""
        return tf.where(asked, tf.argmax(scores, -1, tf.int32), 0)


@keras.saving.register_keras_serializable("unrolled")
class CRF(keras.layers.Layer):
    """All tags of a sentence at once: a linear-chain conditional random field.

        s(y) = b[y<1>] + sum over t of e<t>[y<t>] + sum over t > 1 of A[y<t-1>, y<t>]
        P(y | x) = e^s(y) / Z,     Z = sum over all y' of e^s(y')

    What follows a step is summed up in a message back from the end, T the last word:

        beta<T>[i] = 0,     beta<t>[i] = log sum over j of e^(A[i, j] + e<t+1>[j] + beta<t+1>[j])

    so that log Z = log sum over j of e^(b[j] + e<1>[j] + beta<1>[j]). With the maximum in place of
    log-sum-exp the messages lead to the most probable y (Viterbi). The chain rule makes the loss of
    a sentence one of each step, L<t> = -log P(y<t> | y<t-1>, x), whose sum is -log P(y | x).

    Source: Lafferty, McCallum & Pereira 2001, "Conditional Random Fields", ICML; on a bidirectional
    LSTM: Huang, Xu & Yu 2015, "Bidirectional LSTM-CRF Models for Sequence Tagging".

    Input: `(sentences, steps, units)`. Output: the scores e, `(sentences, steps, tags)`.

    Args:
        tags: how many there are.
        legal_starts: bool `(tags,)`, which may come first; None for all.
        legal_transitions: bool `(tags, tags)`, which may follow which, [before, after]; None for
            all. What is not legal has probability 0.

    Raises:
        ValueError: for legal starts or transitions of another shape.
    """

    def __init__(self, tags, legal_starts=None, legal_transitions=None, **options):
        super().__init__(**options)
        self.tags = tags
        self.legal_starts = _legal("legal_starts", legal_starts, (tags,))
        self.legal_transitions = _legal("legal_transitions", legal_transitions, (tags, tags))
        self.supports_masking = True

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], self.tags), name="kernel")
        self.bias = self.add_weight((self.tags,), initializer="zeros", name="bias")
        self.starts = self.add_weight((self.tags,), initializer="zeros", name="starts")
        self.transitions = self.add_weight(
            (self.tags, self.tags), initializer="zeros", name="transitions"
        )

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.bias

    def log_partition(self, scores, asked):
        """log Z of each sentence, `(sentences,)`; 0 for one without words."""
        messages = self._messages(scores, asked, tf.reduce_logsumexp)
        reached = self._starts() + scores[:, 0] + _level(messages[:, 0])
        all_ways = tf.reduce_logsumexp(reached, -1) + tf.reduce_sum(tf.reduce_max(messages, -1), 1)
        return tf.where(asked[:, 0], all_ways, 0.0)

    def losses_by_step(self, scores, tags, asked):
        """L<t> = -log P(y<t> | y<t-1>, x) in nats, `(sentences, steps)`; 0 where no word is.

        Args:
            scores: the output.
            tags: the right ones, int `(sentences, steps)`.
            asked: bool `(sentences, steps)`.
        """
        tags = tf.cast(tags, tf.int32)
        messages = self._messages(scores, asked, tf.reduce_logsumexp)
        level = _level(messages)
        first = tf.reduce_logsumexp(self._starts() + scores[:, 0] + level[:, 0], -1)
        onward = tf.gather(messages, tags, axis=2, batch_dims=2)
        all_ways = tf.concat([first[:, None], onward[:, :-1]], 1)
        before = tf.pad(tags[:, :-1], [(0, 0), (1, 0)], constant_values=_START)
        steps = tf.gather_nd(self._onward(), tf.stack([before - _START, tags], -1))
        reached = tf.gather(scores + level, tags, axis=2, batch_dims=2)
        losses = all_ways - (steps + reached)
        return tf.where(asked, losses, tf.zeros_like(losses))

    def decode(self, scores, asked):
        """The most probable tags of each sentence, int32 `(sentences, steps)`; 0 at padding."""
        best = scores + _level(self._messages(scores, asked, tf.reduce_max))
        onward = self._onward()

        def follow(before, best):
            return tf.argmax(tf.gather(onward, before - _START) + best, -1, tf.int32)

        start = tf.fill(tf.shape(scores)[:1], _START)
        tags = tf.transpose(tf.scan(follow, tf.transpose(best, (1, 0, 2)), start))
        return tf.where(asked, tags, 0)

    def _messages(self, scores, asked, over):
        """beta<t>, `(sentences, steps, tags)`, but for what the maxima of later ones add to it.

        Args:
            scores, asked: as above.
            over: the sum or the maximum over the ways on.
        """
        steps = _with_only(tf.convert_to_tensor(self.transitions), self.legal_transitions)

        def back(message, step):
            score, real = step
            longer = over(steps + (score + _level(message))[:, None, :], -1)
            return tf.where(real[:, None], longer, message)

        # The first step is there for sentences of one word: a scan over nothing fails in a graph.
        last = tf.zeros_like(scores[:, 0])
        steps_back = (tf.transpose(scores, (1, 0, 2)), tf.transpose(asked))
        messages = tf.scan(back, steps_back, last, reverse=True)[1:]
        return tf.transpose(tf.concat([messages, last[None]], 0), (1, 0, 2))

    def _starts(self):
        return _with_only(tf.convert_to_tensor(self.starts), self.legal_starts)

    def _onward(self):
        """The scores of every step on: from the start in the first row, then from each tag."""
        steps = _with_only(tf.convert_to_tensor(self.transitions), self.legal_transitions)
        return tf.concat([self._starts()[None], steps], 0)

    def get_config(self):
        return {
            **super().get_config(),
            "tags": self.tags,
            "legal_starts": self.legal_starts,
            "legal_transitions": self.legal_transitions,
        }


def _legal(name, legal, shape):
    if legal is None:
        return None
    legal = np.asarray(legal, bool)
    if legal.shape != shape:
        raise ValueError(f"`{name}`: expected a shape of {shape}, got {legal.shape}.")
    return legal.tolist()


def _with_only(scores, legal):
    return scores if legal is None else tf.where(legal, scores, _NEVER)


def _level(messages):
    """With a maximum of 0: sums over a long sentence would lose digits."""
    return messages - tf.reduce_max(messages, -1, keepdims=True)
