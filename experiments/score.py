"""How probable is this sentence?

python -m experiments.score text="the apple and pair salad|the apple and pear salad" [run=<id>]
"""

import math

from rich.text import Text

from unrolled.console.printable import printable
from unrolled.console.program import run
from unrolled.console.refusals import RefusedError
from unrolled.console.terminal import say, show_table
from unrolled.inference.generation import load_language_model
from unrolled.inference.loading import LATEST
from unrolled.inference.options import any_text, options_of, texts_of

BETWEEN = "|"
"""Separates the texts of one command line."""

_OPTIONS = {"run": any_text(LATEST), "text": any_text(), "file": any_text()}
_MOST_TOKENS_SHOWN = 200
_OF_UNKNOWN = (
    "A word read as <UNK> has the probability of all unknown words together: where training had "
    "many, a text may rank high for having one, and where it had none, <UNK> was never trained."
)


def main(arguments: list[str]) -> int:
    """Say log P and perplexity of each text, and log P of each of its tokens."""
    options = options_of(arguments, _OPTIONS)
    texts = _texts(options)
    loaded = load_language_model(options["run"])
    from unrolled.models.scoring import score

    tokenizer = loaded.tokenizer
    scored, any_unknown = [], False
    for text in texts:
        words = tokenizer.tokens(text)
        if not words:
            raise RefusedError(f"text: expected something to read, got {text!r}.")
        numbers = tokenizer.encode(text)
        known = [tokenizer.vocabulary[number] for number in numbers]
        any_unknown |= words != known
        shown = [_shown(*each) for each in zip(words, known, strict=True)]
        scored.append((text, shown, score(loaded.model, numbers, tokenizer.start)))
    say.print(Text(loaded.name), soft_wrap=True)
    scored.sort(key=lambda each: -each[2].total)
    for text, shown, found in scored:
        _show(text, shown, found)
    if len(scored) > 1:
        _rank(scored, any_unknown)
    return 0


def _texts(options) -> list[str]:
    # Whitespace at either end stays: to a model of characters it is part of the text.
    texts = texts_of(options, f'"a sentence", or several, "one{BETWEEN}another"', BETWEEN)
    if options["text"] is not None:
        return texts
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise RefusedError(f"file: expected a text on each line, and {options['file']} is empty.")
    return texts


def _shown(word: str, known: str) -> str:
    """A token for people; one that the model does not know says as what it was read."""
    plain = repr(word)[1:-1] if len(word) == 1 and not word.isprintable() else word
    return plain if known == word else f"{plain} (as {known})"


def _show(text, shown, found):
    say.print(Text(f"\n{printable(text)}"), style="bold", soft_wrap=True)
    say.print(
        f"log P {found.total:.2f} nats, {len(shown)} tokens, perplexity {found.perplexity:.1f}"
    )
    listed = list(zip(shown, found.log_p, strict=True))
    if len(listed) > _MOST_TOKENS_SHOWN:
        say.print(f"The first {_MOST_TOKENS_SHOWN} of them:")
    listed = listed[:_MOST_TOKENS_SHOWN]
    columns = {
        "token": [word for word, _ in listed],
        "log P": [f"{value:.2f}" for _, value in listed],
        "P": [f"{math.exp(value):.2g}" for _, value in listed],
    }
    show_table(columns, None)


def _rank(scored, any_unknown):
    best = scored[0][2].total
    columns = {
        "text": [text for text, _, _ in scored],
        "log P": [f"{found.total:.2f}" for *_, found in scored],
        "perplexity": [f"{found.perplexity:.1f}" for *_, found in scored],
        "times less probable\nthan the first": [_times(best - found.total) for *_, found in scored],
    }
    show_table(columns, "Most probable first", _OF_UNKNOWN if any_unknown else None)


def _times(difference: float) -> str:
    return f"{math.exp(difference):.3g}" if difference < 700 else f"e^{difference:.0f}"


if __name__ == "__main__":
    run(main)
