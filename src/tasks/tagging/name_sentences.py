"""Sentences in which a word is a name or not, and only what comes later tells.

    Ingrid wrote : " Teddy Roosevelt apologised again . "      Teddy is a name
    Ingrid wrote : " Teddy bears broke at once . "             and here is none
    Apple , as everybody near the old mill knows , hired ...   with its verb further ahead
    Apple , as everybody near the old mill knows , ripened ...

Sentences come in pairs that are the same up to the word that decides, so a reader who goes forward
can only guess at the ambiguous word, and is right half of the time.

Source: the lecture's reason for bidirectional RNNs: "He said, 'Teddy Roosevelt was a great
President!'" and "He said, 'Teddy bears are on sale!'" (Ng, "Sequence Models", week 1).
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from unrolled.tasks.base.distance import Distance
from unrolled.tasks.base.options import made, require_memory, require_share, require_whole
from unrolled.tasks.tagging import name_lexicon as lexicon
from unrolled.tasks.tagging.entities import OUTSIDE
from unrolled.tasks.tagging.name_lexicon import AMBIGUOUS, Ambiguous

_TRIES = 1000
_BYTES_PER_WORD = 8  # A reference, in a tuple of words.
_MOST_HELD_OUT = 0.5


@dataclass(frozen=True)
class NameSentence:
    """A sentence with its tags in BIO.

    Attributes:
        words, tags: of one length.
        ambiguous: where the ambiguous word stands.
        decider: where the first word stands that tells what it is.
        is_name: whether it is a name.
        type: what its name is, or would be.
        held_out: whether training and validation do not have the ambiguous word.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    ambiguous: int
    decider: int
    is_name: bool
    type: str
    held_out: bool

    @property
    def distance(self) -> int:
        """How many words after the ambiguous one the deciding one stands."""
        return self.decider - self.ambiguous

    def forward_best(self) -> tuple[str, ...]:
        """The best that tags from left to right can be: a guess where it is open, right elsewhere.

        Of both guesses the name has the better F1.
        """
        guess = f"B-{self.type}"
        return (*self.tags[: self.ambiguous], guess, *self.tags[self.ambiguous + 1 :])


@dataclass(frozen=True)
class Options:
    """What sentences to draw; checked when it is made.

    Attributes:
        distance: a `Distance`, or a mapping of its attributes: how many words after the ambiguous
            one the deciding one stands.
        held_out: share of the ambiguous words of each type that training and validation do not
            contain, while every second pair of test sentences has one.
        train_examples, validation_examples, test_examples: sentences in each split, even numbers.
        data_seed: decides the data, together with the options above. More training sentences come
            after those that fewer would be, and change nothing in validation and test.

    Raises:
        ValueError: for options beyond their limits.
    """

    distance: Distance | Mapping = field(default_factory=lambda: Distance(max=20))
    held_out: float = 0.2
    train_examples: int = 4_000
    validation_examples: int = 1_000
    test_examples: int = 2_000
    data_seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "distance", made("distance", Distance, self.distance))
        require_share("held_out", self.held_out, _MOST_HELD_OUT)
        for name in ("train_examples", "validation_examples", "test_examples"):
            require_whole(name, getattr(self, name), 2)
            if getattr(self, name) % 2:
                raise ValueError(
                    f"`{name}`: expected an even number, as sentences come in pairs, got "
                    f"{getattr(self, name)}."
                )
            words = getattr(self, name) * self.distance.max
            require_memory(
                name,
                f"{getattr(self, name)} with distance.max={self.distance.max}",
                words * _BYTES_PER_WORD,
            )
        require_whole("data_seed", self.data_seed, 0)


@dataclass(frozen=True)
class NameSplits:
    """The sentences of each split, no two of them the same."""

    training: list[NameSentence]
    validation: list[NameSentence]
    test: list[NameSentence]


def draw_splits(options: Options) -> NameSplits:
    """All sentences for the options, the same in every process.

    Raises:
        ValueError: if there are too few different sentences for the options.
    """
    known, held_out = _hold_out(options)
    taken = set()

    def split(name: str, count: int, *parts: list[Ambiguous]) -> list[NameSentence]:
        rng = random.Random(f"{options.data_seed} {name}")
        sentences = []
        for pair in range(count // 2):
            words = parts[pair % len(parts)]
            sentences += _new_pair(words, words is held_out, options, rng, taken)
        return sentences

    # Training comes last, so that its size does not change the others.
    test = split("test", options.test_examples, known, *([held_out] if held_out else []))
    validation = split("validation", options.validation_examples, known)
    return NameSplits(split("training", options.train_examples, known), validation, test)


def _hold_out(options: Options) -> tuple[list[Ambiguous], list[Ambiguous]]:
    """The ambiguous words that all splits have, and those of the test alone."""
    rng, known, held_out = random.Random(f"{options.data_seed} held out"), [], []
    for entity in lexicon.SURNAMES:
        words = [each for each in AMBIGUOUS if each.type == entity]
        rng.shuffle(words)
        count = round(options.held_out * len(words))
        held_out += words[:count]
        known += words[count:]
    return known, held_out


def _new_pair(words, held_out, options, rng, taken) -> list[NameSentence]:
    distance = options.distance.draw(rng)
    for _ in range(_TRIES):
        pair = _pair(rng.choice(words), distance, held_out, rng)
        if taken.isdisjoint(each.words for each in pair):
            taken.update(each.words for each in pair)
            return pair
    raise ValueError(
        f"`train_examples`, `validation_examples`, `test_examples`: expected fewer, got "
        f"{options.train_examples}, {options.validation_examples}, {options.test_examples}: after "
        f"{len(taken)} sentences, {_TRIES} more of distance {distance} were all among them. Ask "
        "for fewer, or raise distance.max."
    )


class _Text:
    """Words and their tags, in the making."""

    def __init__(self):
        self.words, self.tags = [], []

    def add(self, words: str, entity: str | None = None) -> "_Text":
        """Words of one entity, or of none."""
        for number, word in enumerate(words.split()):
            self.words.append(word)
            self.tags.append(f"{'I' if number else 'B'}-{entity}" if entity else OUTSIDE)
        return self

    def copy(self) -> "_Text":
        """The same so far, to go on in another way."""
        text = _Text()
        text.words, text.tags = [*self.words], [*self.tags]
        return text


def _pair(ambiguous: Ambiguous, distance: int, held_out: bool, rng) -> list[NameSentence]:
    """The word as a name and as a thing, in sentences that are the same until that is decided."""
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


def _report(text: _Text, rng) -> None:
    """Who said so, up to the opening quotation mark."""
    entity, words = rng.choice(
        [("PER", lexicon.FIRST_NAMES), ("ORG", lexicon.COMPANIES), (None, ("They", "We", "You"))]
    )
    name = rng.choice(words)
    if entity == "PER" and rng.random() < 0.5:
        name = f"{name} {rng.choice(lexicon.SURNAMES[entity])}"
    text.add(name, entity).add(f'{rng.choice(lexicon.REPORTS)} : "')


def _end(text: _Text, rng) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        text.add("in").add(rng.choice(lexicon.PLACES), "LOC")
    elif kind == 1:
        text.add("with").add(rng.choice(lexicon.FIRST_NAMES), "PER")
    elif kind == 2:
        text.add("near").add(rng.choice(lexicon.COMPANIES), "ORG")
    text.add(rng.choice(lexicon.ENDS))


def _in_between(count: int, rng) -> str:
    """So many words that may stand behind a name and a thing alike."""
    if count < 3:
        return " ".join(rng.sample(lexicon.ADVERBS, count))
    if count == 3:
        return f", {rng.choice(['too', 'however', 'again'])} ,"
    if count == 4:
        return f", {rng.choice(['of course', 'in fact', 'at last', 'so far'])} ,"
    places = []
    while (left := count - 5 - sum(len(place.split()) for place in places)) >= 3:
        place = f"{rng.choice(lexicon.PREPOSITIONS)} the"
        # Three words left over by four would be one too many for adverbs to fill.
        if left >= 4 and rng.random() < 0.5:
            place += f" {rng.choice(lexicon.ADJECTIVES)}"
        places.append(f"{place} {rng.choice(lexicon.PLACES_TO_STAND)}")
    adverbs = rng.sample(lexicon.ADVERBS, left)
    known = ["as", rng.choice(lexicon.EVERYBODY), *places, "knows"]
    return " ".join([*adverbs, ",", *known, ","])
