"""Which words are names, and of what?

python -m experiments.tag text="Teddy Roosevelt was a great President" [run=<id>]
"""

import numpy as np
from rich.text import Text

from unrolled.console.program import run
from unrolled.console.terminal import say
from unrolled.inference.loading import LATEST, Kind, check_sizes, load_trained
from unrolled.inference.options import any_text, options_of, texts_of

_OPTIONS = {"run": any_text(LATEST), "text": any_text(), "file": any_text()}
_SENTENCES = 64  # Tagged at once.
_COLORS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def _encoder_and_tags(config: dict, model):
    """What makes numbers of the words that a tagger reads, and names of the tags that it gives.

    Raises:
        ValueError: if they do not fit the model, or it is of another kind.
    """
    from unrolled.models import Tagger
    from unrolled.tasks.tagging.entities import Tags
    from unrolled.tasks.tagging.word_features import WordEncoder

    if not isinstance(model, Tagger):
        raise ValueError(f"expected a Tagger, got a {type(model).__name__}")
    encoder, tags = WordEncoder.from_json(config), Tags(config["types"])
    sizes = {
        "words": (model.get_layer("embedding").input_dim, len(encoder.vocabulary)),
        "characters of a word": (model.input["characters"].shape[-1], encoder.longest_word),
        "tags": (model.output_shape[-1], len(tags.names)),
    }
    spelling = [layer for layer in model.layers if layer.name == "spelling"]
    for layer in spelling:
        sizes["characters"] = (layer.embedding.input_dim, encoder.character_count)
    check_sizes(sizes)
    return encoder, tags


KIND = Kind(
    "tagger",
    "a tagger",
    "make experiment name=names",
    file="speller.json",
    load=_encoder_and_tags,
)


def main(arguments: list[str]) -> int:
    """Print each line with its entities: colored on a terminal, in brackets where piped."""
    options = options_of(arguments, _OPTIONS)
    lines = texts_of(options, '"a sentence"')
    trained = load_trained(options["run"], KIND)
    from unrolled.tasks.tagging.word_features import words_of

    encoder, tags = trained.preprocessing
    if say.is_terminal:
        say.print(Text(trained.name), style="dim", soft_wrap=True)
        say.print(_legend(tags.types))
    sentences = [words_of(line) for line in lines]
    for start in range(0, len(sentences), _SENTENCES):
        part = sentences[start : start + _SENTENCES]
        for words, found in zip(part, _tagged(trained.model, encoder, tags, part), strict=True):
            say.print(_shown(words, found, tags.types), soft_wrap=True)
    return 0


def _tagged(model, encoder, tags, sentences) -> list[list]:
    """The entities of each sentence; one without words has none."""
    from unrolled.tasks.tagging.entities import entities
    from unrolled.tasks.tagging.task import encode_sentences

    there = [words for words in sentences if words]
    if not there:
        return [[] for _ in sentences]
    inputs, _ = encode_sentences(there, encoder).batch(np.arange(len(there)))
    answers = iter(model.tag(inputs).numpy())
    return [entities(tags.decode(next(answers)[: len(w)])) if w else [] for w in sentences]


def _shown(words, found, types) -> Text:
    """A line for people: colored on a terminal, with brackets elsewhere."""
    from unrolled.tasks.tagging.task import bracketed

    if not say.is_terminal:
        return Text(bracketed(words, found))
    text, starts = Text(" ".join(words)), np.cumsum([0, *(len(word) + 1 for word in words)])
    for each in found:
        text.stylize(_style(types, each.type), int(starts[each.start]), int(starts[each.stop]) - 1)
    return text


def _legend(types) -> Text:
    return Text("  ").join(Text(each, _style(types, each)) for each in types)


def _style(types, one) -> str:
    return f"bold {_COLORS[types.index(one) % len(_COLORS)]} underline"


if __name__ == "__main__":
    run(main)
