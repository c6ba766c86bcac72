"""Trained language models, asked on a command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from unrolled.inference.loading import Kind, load_trained, require_same


@dataclass(frozen=True)
class Speaker:
    """A trained language model and its tokenizer.

    Attributes:
        name: what the run is called, and in which task.
        model: a `models.LanguageModel`.
        tokenizer: a `unrolled.tasks.language.tokenizers.Tokenizer`.
    """

    name: str
    model: Any
    tokenizer: Any


def _tokenizer_of(kept: dict, model):
    """The tokenizer that a model was trained with.

    Raises:
        ValueError: if they do not fit, or the model is of another kind.
    """
    from unrolled.models import LanguageModel
    from unrolled.tasks.language.tokenizers import tokenizer_from_json

    if not isinstance(model, LanguageModel):
        raise ValueError(f"expected a LanguageModel, got a {type(model).__name__}")
    tokenizer = tokenizer_from_json(kept)
    require_same({"tokens": (model.embedding.input_dim, len(tokenizer.vocabulary))})
    return tokenizer


KIND = Kind(
    "language",
    "a language model",
    "make experiment name=char_lm",
    kept="tokenizer.json",
    read=_tokenizer_of,
)


def load_speaker(run_id: str) -> Speaker:
    """The language model of a run; see `load_trained`."""
    trained = load_trained(run_id, KIND)
    return Speaker(trained.name, trained.model, trained.reads)


def text_pieces(
    model,
    tokenizer,
    prompt: np.ndarray,
    *,
    length: int,
    seed: int = 0,
    number: int = 0,
    **settings,
) -> Iterator[str]:
    """What goes on from a prompt, piece by piece as it is drawn.

    It ends after `length` tokens, or where a sentence does, for a tokenizer that knows sentences.
    Neither padding nor `<UNK>` is drawn.

    Args:
        model: a `models.LanguageModel`.
        tokenizer: the `unrolled.tasks.language.tokenizers.Tokenizer` that it was trained with.
        prompt: its tokens, int32 `(tokens,)`.
        length: tokens at most.
        seed: the same makes the same text.
        number: of the text, where several are drawn with one seed.
        **settings: `temperature`, `top_k` and `top_p` of a `Sampler`.

    Yields:
        Of each token what it adds to the text.
    """
    from unrolled.models.sampling import Sampler
    from unrolled.tasks.base.examples import PADDING
    from unrolled.tasks.data.vocabulary import UNKNOWN

    sampler = Sampler(model, tokenizer.start, [PADDING, UNKNOWN], **settings)
    # Words are set apart by what stands around them: each piece is what the text has grown by.
    kept = list(prompt)[-1:]
    for drawn in islice(sampler.sample(prompt, seed, number), length):
        if drawn == tokenizer.end:
            return
        before = tokenizer.decode(kept)
        kept = [*kept, drawn]
        yield tokenizer.decode(kept)[len(before) :]
        kept = kept[-1:]
