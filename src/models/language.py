"""The lecture's language model: predicts each token from all previous tokens."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from unrolled.layers import Embedding
from unrolled.models.heads import AdaptiveSoftmax
from unrolled.models.stack import Unit, word_vectors
from unrolled.settings.wiring import (
    CAUSAL_DIRECTIONS,
    LANGUAGE_HEADS,
    LanguageHead,
    check_stack,
    check_tied,
)

States = list[list[tf.Tensor]]
"""The states of each recurrent layer, each `(batch, units)`."""

_EXACT_STEPS = 512  # Window length in `negative_log_likelihoods`.
_ROWS = 250  # Batch size in `next_negative_log_likelihoods`.
_CAUSAL = (
    "A language model predicts each token from the previous tokens. A layer that reads the "
    "sequence backwards has already seen that token, so its prediction would be meaningless."
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
    head: LanguageHead = "softmax",
    cutoffs: list[int] | None = None,
    name: str | None = None,
) -> "LanguageModel":
    """Builds a language model: embedding, stack of recurrent layers, softmax over the vocabulary.

    Args:
        unit: creates one recurrent layer, for example `layers.GRU` or `keras.layers.GRU`.
        vocabulary_size: number of token ids, including padding (0).
        units: size of each recurrent layer.
        layers: number of stacked recurrent layers.
        direction: must be "forward": a language model is causal.
        embedding: size of the embedding vectors; None for the lecture's one-hot vectors.
        dropout: fraction of the elements of every e<t>, of the input of every further layer and of
            the input of the head that is dropped in training (Zaremba et al. 2014). One-hot vectors
            are exempt, because dropout would erase whole tokens.
        tied: whether the output weights are the transposed embeddings (Press & Wolf 2017, "Using
            the Output Embedding to Improve Language Models"; Inan et al. 2017).
        head: "softmax", or "adaptive" for `AdaptiveSoftmax`.
        cutoffs: cutoffs of the adaptive softmax.
        name: name of the model.

    Returns:
        An uncompiled `LanguageModel`.

    Raises:
        ValueError: if `direction` is not "forward" or the unit reads backwards; for an unknown
            head; for tied weights with an adaptive softmax, or with an embedding whose size differs
            from `units`.
    """
    check_stack(layers, dropout)
    if direction not in CAUSAL_DIRECTIONS:
        raise ValueError(
            f"`direction`: expected 'forward', got {direction!r}. {_CAUSAL} Set `direction` to "
            "'forward'."
        )
    if head not in LANGUAGE_HEADS:
        raise ValueError(f"`head`: expected one of {', '.join(LANGUAGE_HEADS)}, got {head!r}.")
    if tied:
        check_tied(units, embedding, head)
        embedding_layer = keras.layers.ReversibleEmbedding(
            vocabulary_size, embedding, name="embedding"
        )
        head_layer = None
    else:
        embedding_layer = word_vectors(vocabulary_size, embedding)
        head_layer = (
            keras.layers.Dense(vocabulary_size, dtype="float32", name="scores")
            if head == "softmax"
            else AdaptiveSoftmax(vocabulary_size, cutoffs or [], dtype="float32", name="scores")
        )
    recurrent = [
        unit(units=units, return_sequences=True, return_state=True, name=f"recurrent_{index}")
        for index in range(1, layers + 1)
    ]
    return LanguageModel(embedding_layer, recurrent, head_layer, dropout, name=name)


def _check_causal(layer: keras.layers.Layer) -> None:
    if isinstance(layer, keras.layers.Bidirectional) or getattr(layer, "go_backwards", False):
        raise ValueError(
            f"`recurrent`: expected layers that read the sequence forward, got {layer.name}, a "
            f"{type(layer).__name__} that reads it backwards. {_CAUSAL}"
        )


@keras.saving.register_keras_serializable("unrolled")
class LanguageModel(keras.Model):
    """P(y<t> | y<1>, ..., y<t-1>), with x<t> = y<t-1>.

    Called with token ids `(batch, steps)`, the model returns logits `(batch, steps, vocabulary)` of
    the token that follows each step. The initial states are zeros.

    `fit` and `evaluate` carry the states from batch to batch and stop the gradients at the start of
    a batch: truncated backpropagation through time. They expect the batches of
    `unrolled.tasks.language.bptt_batches`: token ids with a flag per row that resets its states,
    targets, and weights; all batches of a dataset have the same, static size.

    The training loss is the mean cross-entropy per token plus the regularization losses of the
    layers. The reported `loss`, `cross_entropy` and `perplexity` are without regularization. A loss
    or metrics passed to `compile` are ignored.

    Args:
        embedding: layer from token ids to vectors.
        recurrent: recurrent layers that return sequences and states.
        head: layer from the output of the last recurrent layer to logits; None to use the
            transposed embeddings.
        dropout: see `build_language_model`.

    Raises:
        ValueError: if a recurrent layer reads backwards.

    Attributes:
        network: the same function as a functional model that shares the weights.
    """

    def __init__(
        self,
        embedding: keras.layers.Layer,
        recurrent: Sequence[keras.layers.Layer],
        head: keras.layers.Layer | None,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
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
        self._carried: dict[tuple[int, bool], list[list[tf.Variable]]] = {}
        tokens = keras.Input((None,), dtype="int32", name="words")
        self.network = keras.Model(tokens, self.scores(self.read(tokens)[0]), name=self.name)
        # For gradient diagnostics, which process each window on its own.
        self.network.compile(
            optimizer=None,
            loss=keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction="mean_with_sample_weight"
            ),
        )
        self.built = True

    def call(self, tokens: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.scores(self.read(tokens, training=training)[0])

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, including padding."""
        return self.embedding.input_dim

    def initial_states(self, batch: int) -> States:
        """Returns the zero states of every layer before the first token, each `(batch, units)`."""
        return [list(layer.get_initial_state(batch_size=batch)) for layer in self.recurrent]

    def negative_log_likelihoods(self, tokens: np.ndarray, start: int) -> np.ndarray:
        """Computes -log P of every token given all previous tokens, in nats.

        Args:
            tokens: integer token ids, `(tokens,)`.
            start: token id that precedes the first one.

        Returns:
            Float64 `(tokens,)`.

        Raises:
            ValueError: if a token id is out of range.
        """
        tokens = self._checked(tokens)
        previous = np.concatenate([self._checked([start]), tokens[:-1]])
        states, parts = self.initial_states(1), []
        for begin in range(0, len(tokens), _EXACT_STEPS):
            window = slice(begin, begin + _EXACT_STEPS)
            padding = (0, _EXACT_STEPS - len(tokens[window]))  # One shape, one trace.
            if len(tokens) < _EXACT_STEPS:
                padding = (0, 0)
            losses, states = self._window_losses(
                np.pad(previous[window], padding)[None],
                np.pad(tokens[window], padding)[None],
                states,
            )
            parts.append(losses.numpy()[0, : len(tokens[window])])
        return np.concatenate(parts).astype("float64") if parts else np.zeros(0)

    @tf.function(reduce_retracing=True)
    def next_log_probabilities(
        self, tokens: tf.Tensor | np.ndarray, states: States
    ) -> tuple[tf.Tensor, States]:
        """Computes the log probabilities of the token that follows the given ones.

        Args:
            tokens: int32 `(batch, steps)`.
            states: from `initial_states` or from the previous call.

        Returns:
            Float32 `(batch, vocabulary)`, and the new states.
        """
        top, states = self.read(tokens, states)
        return tf.nn.log_softmax(self.scores(top[:, -1])), states

    def next_negative_log_likelihoods(self, tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Computes -log P of the token that follows each row, in nats; the rows are independent.

        Args:
            tokens: integer token ids, `(rows, steps)`.
            targets: integer token ids, `(rows,)`.

        Returns:
            Float64 `(rows,)`.

        Raises:
            ValueError: if a token id is out of range.
        """
        tokens, targets, parts = self._checked(tokens), self._checked(targets), []
        for begin in range(0, len(tokens), _ROWS):
            rows = slice(begin, begin + _ROWS)
            parts.append(self._next(tokens[rows], targets[rows]).numpy())
        return np.concatenate([np.zeros(0), *parts])  # Float64, also without rows.

    def _checked(self, tokens: Any) -> np.ndarray:
        """Returns token ids as int32; raises ValueError if one is out of range."""
        tokens = np.asarray(tokens)
        size = self.vocabulary_size
        if tokens.size and not (
            0 <= tokens.min() <= tokens.max() < size and (tokens == tokens.astype("int32")).all()
        ):
            raise ValueError(
                f"Expected integer token ids of a vocabulary of {size}, 0 to {size - 1}; got "
                f"{tokens.min()} to {tokens.max()}, of type {tokens.dtype}."
            )
        return tokens.astype("int32")

    @tf.function
    def _next(self, tokens: tf.Tensor | np.ndarray, targets: tf.Tensor | np.ndarray) -> tf.Tensor:
        top, _ = self.read(tokens)
        return self.negative_log_likelihood(top[:, -1:], targets[:, None])[:, 0]

    @tf.function(reduce_retracing=True)
    def _window_losses(
        self, tokens: tf.Tensor | np.ndarray, targets: tf.Tensor | np.ndarray, states: States
    ) -> tuple[tf.Tensor, States]:
        top, states = self.read(tokens, states)
        return self.negative_log_likelihood(top, targets), states

    def read(
        self, tokens: tf.Tensor, states: States | None = None, training: bool = False
    ) -> tuple[tf.Tensor, States]:
        """Runs the embedding and the recurrent layers.

        Args:
            tokens: int32 token ids, `(batch, steps)`.
            states: from `initial_states` or from the previous call; None for the initial states.
            training: whether to apply dropout.

        Returns:
            The output of the last layer, `(batch, steps, units)`, and the new states.
        """
        x, new_states = self.embedding(tokens), []
        for index, (layer, drop) in enumerate(zip(self.recurrent, self.drop, strict=False)):
            x = drop(x, training=training)
            initial = {} if states is None else {"initial_state": states[index]}
            x, *state = layer(x, training=training, **initial)
            new_states.append(state)
        return self.drop[-1](x, training=training), new_states

    def scores(self, top: tf.Tensor) -> tf.Tensor:
        """Returns the logits of the next token, `(..., vocabulary)`, given the last output."""
        if self.head is not None:
            return self.head(top)
        return ops.cast(self.embedding(top, reverse=True), "float32")

    def negative_log_likelihood(self, top: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Computes -log P of the target tokens, in nats.

        Args:
            top: the last layer's output, `(batch, steps, units)`.
            targets: int32 target token ids, `(batch, steps)`.

        Returns:
            Floats, `(batch, steps)`.
        """
        rows, labels = tf.reshape(top, (-1, top.shape[-1])), tf.reshape(targets, (-1,))
        if isinstance(self.head, AdaptiveSoftmax):
            losses = self.head.negative_log_likelihood(rows, labels)
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self.scores(rows))
        return tf.reshape(losses, tf.shape(targets))

    def fit(self, x: Any = None, *in_order: Any, **options: Any) -> keras.callbacks.History:
        self._create_state_variables(x, training=True)
        return super().fit(x, *in_order, **options)

    def evaluate(self, x: Any = None, *in_order: Any, **options: Any) -> Any:
        self._create_state_variables(x, training=False)
        return super().evaluate(x, *in_order, **options)

    def _create_state_variables(self, data: Any, training: bool) -> None:
        """Creates the state variables of a dataset; otherwise the first step is traced twice."""
        if isinstance(data, tf.data.Dataset):
            (tokens, _), *_ = data.element_spec
            self._state_variables(tokens.shape[0], training)

    def train_step(self, data: tuple) -> dict[str, tf.Tensor]:
        (tokens, begins), targets, weights = data
        with tf.GradientTape() as tape:
            loss, total = self._stateful_loss(tokens, begins, targets, weights, training=True)
            scaled = self.optimizer.scale_loss(sum(self.losses, start=loss))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(
            zip(tape.gradient(scaled, variables), variables, strict=True)
        )
        return self._update_metrics(loss, total)

    def test_step(self, data: tuple) -> dict[str, tf.Tensor]:
        (tokens, begins), targets, weights = data
        return self._update_metrics(
            *self._stateful_loss(tokens, begins, targets, weights, training=False)
        )

    def _stateful_loss(
        self,
        tokens: tf.Tensor,
        begins: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns a window's mean loss and number of tokens, and stores the final states."""
        variables = self._state_variables(tokens.shape[0], training)
        states = tree.map_structure(
            lambda state: tf.where(begins[:, None], tf.zeros_like(state), state), variables
        )
        top, final = self.read(tokens, states, training)
        tree.map_structure(lambda variable, state: variable.assign(state), variables, final)
        total = tf.reduce_sum(weights)
        return tf.reduce_sum(self.negative_log_likelihood(top, targets) * weights) / total, total

    def _state_variables(self, batch: int | None, training: bool) -> list[list[tf.Variable]]:
        """Returns the state variables for a batch size, separate for training and evaluation.

        Raises:
            ValueError: if the batch size is None.
        """
        if batch is None:
            raise ValueError(
                "Expected batches of a static size, because their states are carried over; got an "
                "unknown size. Use tf.data.Dataset.batch(..., drop_remainder=True)."
            )
        if (batch, training) not in self._carried:
            with tf.init_scope():
                zeros = self.initial_states(batch)
                self._carried[batch, training] = tree.map_structure(
                    lambda state: tf.Variable(state, trainable=False), zeros
                )
        return self._carried[batch, training]

    def _update_metrics(self, loss: tf.Tensor, total: tf.Tensor) -> dict[str, tf.Tensor]:
        self._mean_loss.update_state(loss, total)
        mean = self._mean_loss.result()
        return {"loss": mean, "cross_entropy": mean, "perplexity": tf.exp(mean)}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self._mean_loss]

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "embedding": serialize(self.embedding),
            "recurrent": [serialize(layer) for layer in self.recurrent],
            "head": None if self.head is None else serialize(self.head),
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LanguageModel":
        config = dict(config)  # The caller's own stays complete.
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("embedding", "recurrent", "head")
        }
        return cls(**parts, **config)
