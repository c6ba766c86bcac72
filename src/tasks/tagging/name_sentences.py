"""Sentences with an ambiguous word that only a later word identifies as a name.

    Ingrid wrote : " Teddy Roosevelt apologised again . "      Teddy is a name
    Ingrid wrote : " Teddy bears broke at once . "             Teddy is no name
    Apple , as everybody near the old mill knows , hired ...   a longer distance
    Apple , as everybody near the old mill knows , ripened ...

Sentences are generated in pairs that are identical up to the deciding word, so a forward model can
only guess at the ambiguous word, and is right half of the time.

Source: the lecture's motivation for bidirectional RNNs: "He said, 'Teddy Roosevelt was a great
President!'" and "He said, 'Teddy bears are on sale!'" (Ng, "Sequence Models", week 1).
"""

import random
from dataclasses import dataclass, field

from unrolled.tasks.base.distance import Distance
from unrolled.tasks.base.generated import COUNTS, draw_distinct, require_memory_for
from unrolled.tasks.base.options import as_dataclass, require_fraction, require_integer
from unrolled.tasks.tagging import name_lexicon as lexicon
from unrolled.tasks.tagging.columns import Sentence
from unrolled.tasks.tagging.conll import Splits
from unrolled.tasks.tagging.entities import OUTSIDE
from unrolled.tasks.tagging.name_lexicon import AMBIGUOUS, Ambiguous

_MAX_HELD_OUT = 0.5


@dataclass(frozen=True)
class NameSentence(Sentence):
    """A sentence with its BIO tags.

    Attributes:
        words, tags: of equal length.
        ambiguous: position of the ambiguous word.
        decider: position of the first word that disambiguates it.
        is_name: whether the ambiguous word is a name.
        type: type of the name, whether or not it is one here.
        held_out: whether training and validation lack the ambiguous word.
    """

    ambiguous: int
    decider: int
    is_name: bool
    type: str
    held_out: bool

    @property
    def distance(self) -> int:
        """The distance from the ambiguous word to the deciding word."""
        return self.decider - self.ambiguous

    def forward_best(self) -> tuple[str, ...]:
        """Returns the best possible tags from left to right: a guess at the ambiguous word.

        Guessing that it is a name gives the better F1.
        """
        guess = f"B-{self.type}"
        return (*self.tags[: self.ambiguous], guess, *self.tags[self.ambiguous + 1 :])


@dataclass(frozen=True)
class Options:
    """The options of the task, validated on creation.

    Attributes:
        distance: a `Distance`, or a mapping of its attributes: the distance from the ambiguous word
            to the deciding word.
        held_out: fraction of the ambiguous words of each type that are absent from training and
            validation. Every second pair of test sentences contains one of them.
        train_examples, validation_examples, test_examples: number of sentences in each split, an
            even number.
        data_seed: determines the data, together with the options above. Increasing the number of
            training sentences appends to them, and does not change validation and test.

    Raises:
        ValueError: for options out of range.
    """

    distance: Distance = field(default_factory=lambda: Distance(max=20))
    held_out: float = 0.2
    train_examples: int = 4_000
    validation_examples: int = 1_000
    test_examples: int = 2_000
    data_seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "distance", as_dataclass("distance", Distance, self.distance))
        require_fraction("held_out", self.held_out, _MAX_HELD_OUT)
        for name in COUNTS:
            require_integer(name, getattr(self, name), 2)
            if getattr(self, name) % 2:
                raise ValueError(
                    f"`{name}`: expected an even number, because sentences are generated in pairs, "
                    f"got {getattr(self, name)}."
                )
            require_memory_for(name, self)
        require_integer("data_seed", self.data_seed, 0)


@dataclass(frozen=True)
class NameSplits(Splits[NameSentence]):
    """The sentences of each split, all distinct."""


def draw_splits(options: Options) -> NameSplits:
    """Generates all sentences for the options, deterministically.

    Raises:
        ValueError: if there are too few distinct sentences for the options.
    """
    known, held_out = _hold_out(options)
    seen: set[tuple[str, ...]] = set()

    def split(name: str, count: int, *parts: list[Ambiguous]) -> list[NameSentence]:
        rng = random.Random(f"{options.data_seed} {name}")
        sentences = []
        for pair in range(count // 2):
            words = parts[pair % len(parts)]
            sentences += _new_pair(words, words is held_out, options, rng, seen)
        return sentences

    # Training comes last, so that its size does not affect the other splits.
    test = split("test", options.test_examples, known, *([held_out] if held_out else []))
    validation = split("validation", options.validation_examples, known)
    return NameSplits(split("training", options.train_examples, known), validation, test)


def _hold_out(options: Options) -> tuple[list[Ambiguous], list[Ambiguous]]:
    """Returns the ambiguous words of all splits, and those of the test split only."""
    rng, known, held_out = random.Random(f"{options.data_seed} held out"), [], []
    for entity in lexicon.SURNAMES:
        words = [each for each in AMBIGUOUS if each.type == entity]
        rng.shuffle(words)
        count = round(options.held_out * len(words))
        held_out += words[:count]
        known += words[count:]
    return known, held_out


def _new_pair(
    words: list[Ambiguous],
    held_out: bool,
    options: Options,
    rng: random.Random,
    seen: set[tuple[str, ...]],
) -> list[NameSentence]:
    distance = options.distance.draw(rng)
    return draw_distinct(
        lambda: _pair(rng.choice(words), distance, held_out, rng), seen, options, distance
    )


class _Text:
    """A sentence under construction."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.tags: list[str] = []

    def add(self, words: str, entity: str | None = None) -> "_Text":
        """Appends the words of one entity, or words outside entities."""
        for index, word in enumerate(words.split()):
            self.words.append(word)
            self.tags.append(f"{'I' if index else 'B'}-{entity}" if entity else OUTSIDE)
        return self

    def copy(self) -> "_Text":
        """Returns an independent copy."""
        text = _Text()
        text.words, text.tags = [*self.words], [*self.tags]
        return text


def _pair(
    ambiguous: Ambiguous, distance: int, held_out: bool, rng: random.Random
) -> list[NameSentence]:
    """Returns two sentences that are equal up to the deciding word: a name and a thing."""
    start = _Text()
    is_quoted = rng.random() < 0.5
    if is_quoted:
        _report(start, rng)
    position = len(start.words)
    start.add(ambiguous.word).add(_in_between(distance - 1, rng))
    is_joined = distance == 1 and rng.random() < 0.5
    sentences = []
    for is_name in (True, False):
        text = start.copy()
        if is_name:
            text.tags[position] = f"B-{ambiguous.type}"
            if is_joined:
                text.add(rng.choice(lexicon.SURNAMES[ambiguous.type]))
                text.tags[-1] = f"I-{ambiguous.type}"
            text.add(rng.choice(lexicon.AFTER_NAMES[ambiguous.type]))
        else:
            if is_joined:
                text.add(rng.choice(lexicon.COMPOUNDS[ambiguous.thing]))
            text.add(rng.choice(lexicon.AFTER_THINGS[ambiguous.thing]))
        _end(text, rng)
        text.add('. "' if is_quoted else ".")
        sentences.append(
            NameSentence(
                tuple(text.words),
                tuple(text.tags),
                position,
                position + distance,
                is_name,
                ambiguous.type,
                held_out,
            )
        )
    return sentences


def _report(text: _Text, rng: random.Random) -> None:
    """Appends the speaker, up to the opening quotation mark."""
    entity, words = rng.choice(
        [("PER", lexicon.FIRST_NAMES), ("ORG", lexicon.COMPANIES), (None, ("They", "We", "You"))]
    )
    name = rng.choice(words)
    if entity == "PER" and rng.random() < 0.5:
        name = f"{name} {rng.choice(lexicon.SURNAMES[entity])}"
    text.add(name, entity).add(f'{rng.choice(lexicon.REPORTS)} : "')


def _end(text: _Text, rng: random.Random) -> None:
    """Appends the end of a sentence, sometimes with another name."""
    kind = rng.randrange(4)
    if kind == 0:
        text.add("in").add(rng.choice(lexicon.PLACES), "LOC")
    elif kind == 1:
        text.add("with").add(rng.choice(lexicon.FIRST_NAMES), "PER")
    elif kind == 2:
        text.add("near").add(rng.choice(lexicon.COMPANIES), "ORG")
    text.add(rng.choice(lexicon.ENDS))


def _in_between(count: int, rng: random.Random) -> str:
    """Returns `count` words that may follow both a name and a thing."""
    if count < 3:
        return " ".join(rng.sample(lexicon.ADVERBS, count))
    if count == 3:
        return f", {rng.choice(['too', 'however', 'again'])} ,"
    if count == 4:
        return f", {rng.choice(['of course', 'in fact', 'at last', 'so far'])} ,"
    places: list[str] = []
    while (left := count - 5 - sum(len(place.split()) for place in places)) >= 3:
        place = f"{rng.choice(lexicon.PREPOSITIONS)} the"
        # Adverbs can fill at most two words.
        if left >= 4 and rng.random() < 0.5:
            place += f" {rng.choice(lexicon.ADJECTIVES)}"
        places.append(f"{place} {rng.choice(lexicon.PLACES_TO_STAND)}")
    adverbs = rng.sample(lexicon.ADVERBS, left)
    known = ["as", rng.choice(lexicon.EVERYBODY), *places, "knows"]
    return " ".join([*adverbs, ",", *known, ","])
