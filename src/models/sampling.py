"""New text from a language model, one token after the other."""

from collections.abc import Iterator, Sequence

import numpy as np

from unrolled.models.language import LanguageModel

_WINDOW = 256  # Steps of a prompt read in one go.


class Sampler:
    """Draws what a language model says next, its states kept from token to token.

        y<t> ~ P(y | y<1>, ..., y<t-1>)^(1 / temperature)

    Args:
        model: the language model.
        start: the number that stands before a text.
        excluded: numbers that are never drawn, such as padding's.
        temperature: below 1 the probable becomes more probable; at 0 the most probable is taken.
        top_k: draw from the most probable so many; None for all.
        top_p: draw from the fewest most probable that together have at least this probability
            (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration"); 1 for all.

    Raises:
        ValueError: for a temperature below 0, a top_k below 1, a top_p not above 0 or above 1, or
            if nothing is left to draw.
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
    ):
        for name, value, fits, expected in (
            ("temperature", temperature, temperature >= 0, "at least 0"),
            ("top_k", top_k, top_k is None or top_k >= 1, "at least 1, or None"),
            ("top_p", top_p, 0 < top_p <= 1, "more than 0 and at most 1"),
        ):
            if not fits:
                raise ValueError(f"`{name}`: expected {expected}, got {value!r}.")
        self.model = model
        self.start = start
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.excluded = sorted(set(excluded))
        if len(self.excluded) >= model.vocabulary_size:
            raise ValueError("`excluded`: expected to leave something to draw, got all numbers.")

    def sample(self, prompt: np.ndarray, *seed: int) -> Iterator[int]:
        """Token after token of a text that goes on from a prompt, without end.

        Args:
            prompt: int32 `(tokens,)`; may be empty.
            *seed: numbers that make the random ones: the same for the same text.

        Yields:
            The next token.
        """
        rng = np.random.default_rng(seed)
        log_p, states = self._read(prompt)
        while True:
            drawn = self._draw(log_p[0], rng)
            yield drawn
            log_p, states = self.model.what_comes_next(np.array([[drawn]], np.int32), states)
            log_p = log_p.numpy()

    def probabilities(self, log_p: np.ndarray) -> np.ndarray:
        """What is drawn from, of log P of every token: float64 `(vocabulary,)`, which sums to 1."""
        log_p = np.array(log_p, np.float64)
        log_p[self.excluded] = -np.inf
        if self.temperature == 0:
            return np.eye(len(log_p))[np.argmax(log_p)]
        with np.errstate(over="ignore"):  # Next to 0 degrees all but the most probable are at 0.
            p = np.exp((log_p - log_p.max()) / self.temperature)
        p /= p.sum()
        order = np.argsort(-p, kind="stable")
        kept = len(p) if self.top_k is None else self.top_k
        if self.top_p < 1:
            kept = min(kept, 1 + int(np.searchsorted(np.cumsum(p[order]), self.top_p)))
        p[order[kept:]] = 0
        return p / p.sum()

    def _draw(self, log_p, rng):
        p = self.probabilities(log_p)
        place = np.searchsorted(np.cumsum(p), rng.random(), side="right")
        return int(min(place, p.nonzero()[0][-1]))  # A sum may end a little below 1.

    def _read(self, prompt):
        """log P of what comes after a prompt, `(1, vocabulary)`, and the states there."""
        tokens = np.concatenate([[self.start], prompt]).astype(np.int32)[None]
        states = self.model.initial_states(1)
        whole = tokens.shape[1] // _WINDOW * _WINDOW
        for begin in range(0, whole, _WINDOW):
            log_p, states = self.model.what_comes_next(tokens[:, begin : begin + _WINDOW], states)
        for number in range(whole, tokens.shape[1]):  # Other lengths would each be traced anew.
            log_p, states = self.model.what_comes_next(tokens[:, number : number + 1], states)
        return log_p.numpy(), states
