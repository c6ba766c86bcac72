"""Sampling text from a language model, token by token."""

from collections.abc import Iterator, Sequence

import numpy as np

from unrolled.models.language import LanguageModel, States
from unrolled.settings.sampling import check_sampling

_WINDOW = 256  # Prompt tokens per call of the model.


class Sampler:
    """Samples tokens from a language model, carrying its states from token to token.

        y<t> ~ P(y | y<1>, ..., y<t-1>)^(1 / temperature)

    Args:
        model: the language model.
        start: token id that precedes a text.
        excluded: token ids that are never sampled, such as padding.
        temperature: values below 1 sharpen the distribution; 0 takes the most probable token.
        top_k: sample only from the `top_k` most probable tokens; None for all tokens.
        top_p: sample only from the smallest set of most probable tokens whose probabilities sum to
            at least `top_p` (nucleus sampling; Holtzman et al. 2020, "The Curious Case of Neural
            Text Degeneration"); 1 for all tokens.

    Raises:
        ValueError: if `temperature` is below 0 or infinite, `top_k` is below 1, `top_p` is not in
            (0, 1], or all tokens are excluded.
    """

    def __init__(
        self,
        model: LanguageModel,
        start: int,
        excluded: Sequence[int] = (),
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
    ) -> None:
        check_sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        self.model = model
        self.start = start
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.excluded = sorted(set(excluded))
        if len(self.excluded) >= model.vocabulary_size:
            raise ValueError(
                "`excluded`: expected at least one token id to remain, got the whole vocabulary."
            )

    def sample(self, prompt: np.ndarray, *seed: int) -> Iterator[int]:
        """Yields an infinite continuation of a prompt, token by token.

        Args:
            prompt: int32 `(tokens,)`; may be empty.
            *seed: integers that seed the random generator. The same seed gives the same text.

        Yields:
            The next token id.
        """
        rng = np.random.default_rng(seed)
        log_p, states = self._read(prompt)
        while True:
            token = self._draw(log_p[0], rng)
            yield token
            log_p, states = self.model.next_log_probabilities(np.array([[token]], np.int32), states)
            log_p = log_p.numpy()

    def probabilities(self, log_p: np.ndarray) -> np.ndarray:
        """Returns the sampling distribution over tokens.

        Args:
            log_p: log probabilities of all tokens, `(vocabulary,)`.

        Returns:
            Float64 `(vocabulary,)`, which sums to 1.
        """
        log_p = np.array(log_p, np.float64)
        log_p[self.excluded] = -np.inf
        if self.temperature == 0:
            return np.eye(len(log_p))[np.argmax(log_p)]
        with np.errstate(over="ignore"):  # Of a temperature near 0.
            p = np.exp((log_p - log_p.max()) / self.temperature)
        p /= p.sum()
        order = np.argsort(-p, kind="stable")
        candidates = len(p) if self.top_k is None else self.top_k
        if self.top_p < 1:
            candidates = min(candidates, 1 + int(np.searchsorted(np.cumsum(p[order]), self.top_p)))
        p[order[candidates:]] = 0
        return p / p.sum()

    def _draw(self, log_p: np.ndarray, rng: np.random.Generator) -> int:
        p = self.probabilities(log_p)
        position = np.searchsorted(np.cumsum(p), rng.random(), side="right")
        return int(min(position, p.nonzero()[0][-1]))  # The cumulative sum may end just below 1.

    def _read(self, prompt: np.ndarray) -> tuple[np.ndarray, States]:
        """Returns the log probabilities after a prompt, `(1, vocabulary)`, and the states there."""
        tokens = np.concatenate([[self.start], prompt]).astype(np.int32)[None]
        states = self.model.initial_states(1)
        whole = tokens.shape[1] // _WINDOW * _WINDOW
        for begin in range(0, whole, _WINDOW):
            log_p, states = self.model.next_log_probabilities(
                tokens[:, begin : begin + _WINDOW], states
            )
        for step in range(whole, tokens.shape[1]):  # Any other length would be traced again.
            log_p, states = self.model.next_log_probabilities(tokens[:, step : step + 1], states)
        return log_p.numpy(), states
