"""The lecture's language model: what word comes next, given all before it."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from unrolled.layers import Embedding
from unrolled.models.heads import AdaptiveSoftmax
from unrolled.models.stack import Unit, word_vectors

HEADS = ("softmax", "adaptive")
_EXACT_STEPS = 512  # of a window in `negative_log_likelihoods`
_ROWS = 250  # read at once in `next_negative_log_likelihoods`
_CAUSAL = (
    "A language model predicts the next word from those before it; a layer that reads backwards "
    "has seen that word, so its probability would be of nothing unknown."
)


def build_language_model(
    unit: Unit,
    *,
    vocabulary_size: int,
    units: int,
    layers: int = 1,
    direction: str = "forward",
    embedding: int | None = 64,
    dropout: float = 0.0,
    tied: bool = False,
    head: str = "softmax",
    cutoffs: list[int] | None = None,
    name: str | None = None,
) -> "LanguageModel":
    """Embedding, a stack of recurrent layers, and the probability of every word to come next.

    Args:
        unit: makes one recurrent layer, for example `layers.GRU` or `keras.layers.GRU`.
        vocabulary_size: number of words, padding (0) included.
        units: size of each recurrent layer.
        layers: number of recurrent layers, one upon the other.
        direction: "forward"; see below.
        embedding: size of a word's vector; None for the lecture's one-hot vectors.
        dropout: share dropped in training of every e<t>, of every layer's output on its way up and
            of what the scores are made of (Zaremba et al. 2014). Nothing of one-hot vectors, of
            which it would take whole words.
        tied: whether the scores' weights are the embeddings, transposed (Press & Wolf 2017, "Using
            the Output Embedding to Improve Language Models"; Inan et al. 2017).
        head: "softmax", or "adaptive" (`AdaptiveSoftmax`).
        cutoffs: of the adaptive softmax.
        name: name of the model.

    Raises:
        ValueError: for a direction other than forward, or a unit that reads backwards; an unknown
            head; tied weights where the embedding is not of the size of the units, or with an
            adaptive softmax.
    """
    if direction != "forward":
        raise ValueError(
            f"`direction`: expected 'forward', got {direction!r}. {_CAUSAL} Take direction "
            "'forward'."
        )
    if head not in HEADS:
        raise ValueError(f"`head`: expected one of {', '.join(HEADS)}, got {head!r}.")
    if tied:
        _check_tied(units, embedding, head)
        words = keras.layers.ReversibleEmbedding(vocabulary_size, embedding, name="embedding")
        scores = None
    else:
        words = word_vectors(vocabulary_size, embedding)
        scores = (
            keras.layers.Dense(vocabulary_size, dtype="float32", name="scores")
            if head == "softmax"
            else AdaptiveSoftmax(vocabulary_size, cutoffs or [], dtype="float32", name="scores")
        )
    recurrent = [
        unit(units=units, return_sequences=True, return_state=True, name=f"recurrent_{number}")
        for number in range(1, layers + 1)
    ]
    return LanguageModel(words, recurrent, scores, dropout, name=name)


def _check_tied(units, embedding, head):
    if head != "softmax":
        raise ValueError(
            f"`tied`: expected head 'softmax' with tied weights, got {head!r}, whose weights have "
            "other shapes than the embeddings."
        )
    if embedding != units:
        raise ValueError(
            f"`tied`: expected an embedding of the size of the units, as the scores' weights are "
            f"the embeddings; got embedding {embedding} and units {units}."
        )


def _check_causal(layer):
    if isinstance(layer, keras.layers.Bidirectional) or getattr(layer, "go_backwards", False):
        raise ValueError(
            f"`recurrent`: expected layers that read forward, got {layer.name}, a "
            f"{type(layer).__name__} that reads backwards. {_CAUSAL}"
        )


@keras.saving.register_keras_serializable("unrolled")
class LanguageModel(keras.Model):
    """P(y<t> | y<1>, ..., y<t-1>), with x<t> = y<t-1>.

    Called with word numbers `(batch, steps)` it gives scores `(batch, steps, vocabulary)`, of which
    softmax makes the probabilities of the word after each; its states begin at zero.

    In `fit` and `evaluate` states are carried from batch to batch, and gradients end where a batch
    begins: truncated backpropagation through time. These take batches of
    `unrolled.tasks.language.bptt_batches`: words with flags that say which rows
    begin anew, the words that follow, and weights.

    Args:
        embedding: from word numbers to vectors.
        recurrent: layers that return sequences and states.
        head: from the last layer's output to scores; None for the embeddings themselves.
        dropout: see `build_language_model`.

    Raises:
        ValueError: for a recurrent layer that reads backwards.

    Attributes:
        network: the same function as a model made of inputs and outputs, on the same weights.
    """

    def __init__(self, embedding, recurrent, head, dropout=0.0, **options):
        super().__init__(**options)
        for layer in recurrent:
            _check_causal(layer)
        self.embedding = embedding
        self.recurrent = recurrent
        self.head = head
        self.dropout = dropout
        one_hot = isinstance(embedding, Embedding) and embedding.is_one_hot
        rates = [0.0 if one_hot else dropout, *[dropout] * len(recurrent)]
        self.drop = [keras.layers.Dropout(rate) for rate in rates]
        self._mean_loss = keras.metrics.Mean("cross_entropy")
        self._carried = {}
        words = keras.Input((None,), dtype="int32", name="words")
        self.network = keras.Model(words, self.scores(self.read(words)[0]), name=self.name)
        # For whoever measures gradients on it; its batches are windows read each by itself.
        self.network.compile(
            optimizer=None,
            loss=keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction="mean_with_sample_weight"
            ),
        )
        self.built = True

    def call(self, words, training=False):
        return self.scores(self.read(words, training=training)[0])

    @property
    def vocabulary_size(self) -> int:
        """Number of words, padding included."""
        return self.embedding.input_dim

    def initial_states(self, batch: int) -> list:
        """The states of every layer before the first word: zeros, each `(batch, units)`."""
        return [list(layer.get_initial_state(batch_size=batch)) for layer in self.recurrent]

    def negative_log_likelihoods(self, tokens: np.ndarray, start: int) -> np.ndarray:
        """-log P of every token given all before it, in nats, float64 `(tokens,)`.

        Args:
            tokens: whole numbers `(tokens,)`.
            start: the number that stands before the first.

        Raises:
            ValueError: for numbers that are none of the vocabulary's.
        """
        tokens = self._checked(tokens)
        before = np.concatenate([self._checked([start]), tokens[:-1]])
        states, found = self.initial_states(1), []
        for begin in range(0, len(tokens), _EXACT_STEPS):
            part = slice(begin, begin + _EXACT_STEPS)
            missing = (0, _EXACT_STEPS - len(tokens[part]))  # One shape is traced once.
            if len(tokens) < _EXACT_STEPS:
                missing = (0, 0)
            losses, states = self._advance_on(
                np.pad(before[part], missing)[None], np.pad(tokens[part], missing)[None], states
            )
            found.append(losses.numpy()[0, : len(tokens[part])])
        return np.concatenate(found).astype("float64") if found else np.zeros(0)

    @tf.function(reduce_retracing=True)
    def what_comes_next(self, words, states):
        """log P of each word to come after the last of some words, and the states there.

        Args:
            words: int32 `(batch, steps)`.
            states: of `initial_states`, or of the call before.

        Returns:
            float32 `(batch, vocabulary)`, and the states.
        """
        top, states = self.read(words, states)
        return tf.nn.log_softmax(self.scores(top[:, -1])), states

    def next_negative_log_likelihoods(self, words: np.ndarray, following: np.ndarray) -> np.ndarray:
        """-log P of the word after each row of words, of which each begins anew, in nats.

        Args:
            words: whole numbers `(rows, steps)`.
            following: whole numbers `(rows,)`.

        Returns:
            float64 `(rows,)`.

        Raises:
            ValueError: for numbers that are none of the vocabulary's.
        """
        words, following, found = self._checked(words), self._checked(following), []
        for begin in range(0, len(words), _ROWS):
            rows = slice(begin, begin + _ROWS)
            found.append(self._next(words[rows], following[rows]).numpy())
        return np.concatenate(found).astype("float64")

    def _checked(self, numbers) -> np.ndarray:
        numbers = np.asarray(numbers)
        size = self.vocabulary_size
        if numbers.size and not (
            0 <= numbers.min() <= numbers.max() < size
            and (numbers == numbers.astype("int32")).all()
        ):
            raise ValueError(
                f"Expected whole numbers of a vocabulary of {size}, 0 to {size - 1}; got "
                f"{numbers.min()} to {numbers.max()}, of type {numbers.dtype}."
            )
        return numbers.astype("int32")

    @tf.function
    def _next(self, words, following):
        top, _ = self.read(words)
        return self.negative_log_likelihood(top[:, -1:], following[:, None])[:, 0]

    @tf.function(reduce_retracing=True)
    def _advance_on(self, words, following, states):
        top, states = self.read(words, states)
        return self.negative_log_likelihood(top, following), states

    def read(self, words, states=None, training=False):
        """The last layer's output for some words, and the states of all layers after them.

        Args:
            words: int32 `(batch, steps)`.
            states: of `initial_states`, or of the call before; None for the former.
            training: whether to drop what `dropout` says.

        Returns:
            `(batch, steps, units)`, and the states.
        """
        x, after = self.embedding(words), []
        for number, (layer, drop) in enumerate(zip(self.recurrent, self.drop, strict=False)):
            x = drop(x, training=training)
            initial = {} if states is None else {"initial_state": states[number]}
            x, *state = layer(x, training=training, **initial)
            after.append(state)
        return self.drop[-1](x, training=training), after

    def scores(self, top):
        """Scores of every word to come next, `(..., vocabulary)`, of the last layer's output."""
        if self.head is not None:
            return self.head(top)
        return ops.cast(self.embedding(top, reverse=True), "float32")

    def negative_log_likelihood(self, top, following):
        """-log P of the words that follow, in nats.

        Args:
            top: the last layer's output, `(batch, steps, units)`.
            following: int32 `(batch, steps)`.

        Returns:
            `(batch, steps)`.
        """
        rows, words = tf.reshape(top, (-1, top.shape[-1])), tf.reshape(following, (-1,))
        if isinstance(self.head, AdaptiveSoftmax):
            losses = self.head.negative_log_likelihood(rows, words)
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(words, self.scores(rows))
        return tf.reshape(losses, tf.shape(following))

    def train_step(self, data):
        (words, begins), following, weights = data
        with tf.GradientTape() as tape:
            loss, total = self._carry_on(words, begins, following, weights, training=True)
            scaled = self.optimizer.scale_loss(loss)
        weights_ = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights_), weights_, strict=True))
        return self._followed(loss, total)

    def test_step(self, data):
        (words, begins), following, weights = data
        return self._followed(*self._carry_on(words, begins, following, weights, training=False))

    def _carry_on(self, words, begins, following, weights, training):
        """Mean loss of a window, and the number of its tokens; states go on from the last one."""
        carried = self._states_carried(words.shape[0], training)
        states = tree.map_structure(
            lambda state: tf.where(begins[:, None], tf.zeros_like(state), state), carried
        )
        top, after = self.read(words, states, training)
        tree.map_structure(lambda variable, state: variable.assign(state), carried, after)
        total = tf.reduce_sum(weights)
        return tf.reduce_sum(self.negative_log_likelihood(top, following) * weights) / total, total

    def _states_carried(self, batch, training):
        """Variables for the states of a batch's rows, apart for training and evaluation."""
        if (batch, training) not in self._carried:
            with tf.init_scope():
                zeros = self.initial_states(batch)
                self._carried[batch, training] = tree.map_structure(
                    lambda state: tf.Variable(state, trainable=False), zeros
                )
        return self._carried[batch, training]

    def _followed(self, loss, total):
        self._mean_loss.update_state(loss, total)
        mean = self._mean_loss.result()
        return {"loss": mean, "cross_entropy": mean, "perplexity": tf.exp(mean)}

    @property
    def metrics(self):
        return [self._mean_loss]

    def get_config(self):
        made = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "embedding": made(self.embedding),
            "recurrent": [made(layer) for layer in self.recurrent],
            "head": None if self.head is None else made(self.head),
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("embedding", "recurrent", "head")
        }
        return cls(**parts, **config)
