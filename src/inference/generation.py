"""Text generation with trained language models."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from unrolled.inference.loading import Kind, check_sizes, load_trained


@dataclass(frozen=True)
class LoadedLanguageModel:
    """A trained language model and its tokenizer.

    Attributes:
        name: name of the run, and its task.
        model: a `models.LanguageModel`.
        tokenizer: a `unrolled.tasks.language.tokenizers.Tokenizer`.
    """

    name: str
    model: Any
    tokenizer: Any


def _load_tokenizer(config: dict, model: Any) -> Any:
    """Creates the tokenizer that a model was trained with.

    Raises:
        ValueError: if they do not match, or the model is not a language model.
    """
    from unrolled.models import LanguageModel
    from unrolled.tasks.language.tokenizers import tokenizer_from_json

    if not isinstance(model, LanguageModel):
        raise ValueError(f"expected a LanguageModel, got a {type(model).__name__}")
    tokenizer = tokenizer_from_json(config)
    check_sizes({"tokens": (model.embedding.input_dim, len(tokenizer.vocabulary))})
    return tokenizer


KIND = Kind(
    "language",
    "a language model",
    "make experiment name=char_lm",
    file="tokenizer.json",
    load=_load_tokenizer,
)


def load_language_model(run_id: str) -> LoadedLanguageModel:
    """Loads the language model of a run; see `load_trained`."""
    trained = load_trained(run_id, KIND)
    return LoadedLanguageModel(trained.name, trained.model, trained.preprocessing)


def generate_text(
    model: Any,
    tokenizer: Any,
    prompt: np.ndarray,
    *,
    length: int,
    seed: int = 0,
    number: int = 0,
    **settings: Any,
) -> Iterator[str]:
    """Yields the continuation of a prompt, token by token, as text.

    It ends after `length` tokens, or at the end of a sentence if the tokenizer marks sentences.
    Padding and `<UNK>` are never sampled.

    Args:
        model: a `models.LanguageModel`.
        tokenizer: the `unrolled.tasks.language.tokenizers.Tokenizer` that it was trained with.
        prompt: token ids of the prompt, int32 `(tokens,)`.
        length: maximum number of tokens.
        seed: determines the text.
        number: index of the text, if several are sampled with one seed.
        **settings: `temperature`, `top_k` and `top_p` of a `Sampler`.

    Yields:
        The text that each token adds.
    """
    from unrolled.models.sampling import Sampler
    from unrolled.tasks.base.examples import PADDING
    from unrolled.tasks.data.vocabulary import UNKNOWN

    sampler = Sampler(model, tokenizer.start, [PADDING, UNKNOWN], **settings)
    # The space between two words depends on both, so decode each token with its predecessor.
    context = list(prompt)[-1:]
    for token in islice(sampler.sample(prompt, seed, number), length):
        if token == tokenizer.end:
            return
        previous_text = tokenizer.decode(context)
        context = [*context, token]
        yield tokenizer.decode(context)[len(previous_text) :]
        context = context[-1:]
