"""The options of the task `agreement`, and its splits."""

import random
from dataclasses import dataclass, field
from itertools import cycle

from unrolled.tasks.agreement.grammar import Grammar, Sentence, shortest_distance
from unrolled.tasks.agreement.lexicon import FILLER, FillerWords
from unrolled.tasks.base.distance import Distance
from unrolled.tasks.base.generated import COUNTS, draw_distinct, require_memory_for
from unrolled.tasks.base.options import as_dataclass, require_fraction, require_integer


@dataclass(frozen=True)
class Depth:
    """The number of open subjects, uniform from `min` to `max`.

    Raises:
        ValueError: unless 1 <= min <= max.
    """

    min: int = 1
    max: int = 1

    def __post_init__(self):
        require_integer("depth.min", self.min, 1)
        require_integer("depth.max", self.max, self.min)

    def draw(self, rng: random.Random) -> int:
        """Draws a depth from the distribution."""
        return rng.randint(self.min, self.max)


@dataclass(frozen=True)
class Options:
    """The options of the task, validated on creation.

    Attributes:
        distance: a `Distance`, or a mapping of its attributes: the distance between the outermost
            subject and its verb. Words that `depth` does not require are distributed at random,
            also over inner pairs.
        depth: a `Depth`, or a mapping of its attributes.
        attractors: number of attractors of each verb; None for nouns with independent random
            numbers. With a number, the same number of nouns with the subject's own number is added,
            so that the words in between are uninformative; together with the subject, however, its
            number is in the majority. Requires a depth of 1, because inner subjects may be
            attractors too.
        noun_filler: probability that a phrase in between contains a noun, if there is room for one.
            Has no effect with an exact number of attractors.
        held_out: fraction of the filler words (nouns that are never subjects, adjectives, adverbs
            and past-tense verbs) that are absent from training and validation. Every second test
            sentence uses only these as filler. Subjects are not held out, because the number of an
            unseen noun cannot be known.
        train_examples, validation_examples, test_examples: number of sentences in each split.
        data_seed: determines the data, together with the options above. Increasing the number of
            training sentences appends to them, and does not change validation and test.

    Raises:
        ValueError: for options out of range, or a combination that no sentence satisfies.
    """

    distance: Distance = field(default_factory=Distance)
    depth: Depth = field(default_factory=Depth)
    attractors: int | None = None
    noun_filler: float = 0.5
    held_out: float = 0.2
    train_examples: int = 10_000
    validation_examples: int = 2_000
    test_examples: int = 2_000
    data_seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "distance", as_dataclass("distance", Distance, self.distance))
        object.__setattr__(self, "depth", as_dataclass("depth", Depth, self.depth))
        require_fraction("noun_filler", self.noun_filler, 1)
        require_fraction("held_out", self.held_out, 0.5)
        for name in COUNTS:
            require_integer(name, getattr(self, name), 1)
            require_memory_for(name, self)
        require_integer("data_seed", self.data_seed, 0)
        self._require_room("depth.max", self.depth.max, shortest_distance(self.depth.max))
        if self.attractors is not None:
            self._check_attractors(self.attractors)

    def _check_attractors(self, attractors: int) -> None:
        require_integer("attractors", attractors, 0)
        if self.depth.max > 1:
            raise ValueError(
                f"`attractors`: expected null with depth.max={self.depth.max}, got "
                f"{attractors}, because inner subjects may be attractors too. Set "
                "attractors=null or depth.max=1."
            )
        self._require_room("attractors", attractors, shortest_distance(1, attractors))

    def _require_room(self, option: str, value: int, shortest: int) -> None:
        if self.distance.min < shortest:
            raise ValueError(
                f"`distance.min`: expected at least {shortest} with {option}={value}, got "
                f"{self.distance.min}, which leaves no room for the nouns. Increase distance.min "
                f"or decrease {option}."
            )


@dataclass(frozen=True)
class Splits:
    """The sentences of a task, all distinct.

    Attributes:
        training, validation, test: in the order of generation.
        held_out: the words that training and validation do not contain.
    """

    training: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]
    held_out: frozenset[str]


def draw_splits(options: Options, filler_words: FillerWords = FILLER) -> Splits:
    """Generates all sentences for the options, deterministically.

    Raises:
        ValueError: if there are too few distinct sentences for the options.
    """
    known, held_out = filler_words.hold_out(options.held_out, options.data_seed)
    seen: set[tuple[str, ...]] = set()

    def split(name: str, count: int, *words: FillerWords) -> list[Sentence]:
        rng = random.Random(f"{options.data_seed} {name}")
        grammars = cycle([Grammar(part, options.noun_filler, rng) for part in words])
        return [_new_sentence(next(grammars), options, rng, seen) for _ in range(count)]

    # Training comes last, so that its size does not affect the other splits.
    test = split("test", options.test_examples, known, *([held_out] if options.held_out else []))
    validation = split("validation", options.validation_examples, known)
    training = split("training", options.train_examples, known)
    return Splits(training, validation, test, frozenset(held_out.forms()))


def _new_sentence(
    grammar: Grammar, options: Options, rng: random.Random, seen: set[tuple[str, ...]]
) -> Sentence:
    depth, distance = options.depth.draw(rng), options.distance.draw(rng)
    (sentence,) = draw_distinct(
        lambda: (grammar.sentence(depth, distance, options.attractors),), seen, options, distance
    )
    return sentence
