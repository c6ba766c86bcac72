"""Which sentences the task `agreement` is made of: its options, and its splits."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle

from unrolled.tasks.agreement.grammar import Grammar, Sentence, shortest_distance
from unrolled.tasks.agreement.lexicon import FILLER, FillerWords
from unrolled.tasks.base.distance import Distance
from unrolled.tasks.base.options import made, require_memory, require_share, require_whole

_TRIES = 1000
_BYTES_PER_WORD = 8  # A reference, in a tuple of words.


@dataclass(frozen=True)
class Depth:
    """How many subjects are open at once: from `min` to `max`, each as likely as the others.

    Raises:
        ValueError: for limits that are not 1 <= min <= max.
    """

    min: int = 1
    max: int = 1

    def __post_init__(self):
        require_whole("depth.min", self.min, 1)
        require_whole("depth.max", self.max, self.min)

    def draw(self, rng: random.Random) -> int:
        """A depth by the distribution."""
        return rng.randint(self.min, self.max)


@dataclass(frozen=True)
class Options:
    """What sentences to draw; checked when it is made.

    Attributes:
        distance: a `Distance`, or a mapping of its attributes. It rules the outermost subject and
            its verb; words that `depth` leaves over are shared out at random, also to inner pairs.
        depth: a `Depth`, or a mapping of its attributes.
        attractors: None for nouns in between whose numbers fall like coins, or how many attractors
            each verb has. As many nouns of the subject's own number then stand among them, so that
            what is in between gives nothing away; the subject is in the majority with them, though.
            Needs a depth of 1, as inner subjects may be attractors too.
        noun_filler: chance that a phrase in between has a noun, where there is room for one. With
            an exact number of attractors it has no effect.
        held_out: share of the filler words (nouns that are never subjects, adjectives, adverbs and
            past verbs) that training and validation do not contain, while every second test
            sentence has only those in their places. Subjects are not held out: nobody can know the
            number of a noun that was never seen with a verb.
        train_examples, validation_examples, test_examples: sentences in each split.
        data_seed: decides the data, together with the options above. More training sentences come
            after those that fewer would be, and change nothing in validation and test.

    Raises:
        ValueError: for options beyond their limits, or that no sentence can meet together.
    """

    distance: Distance | Mapping = field(default_factory=Distance)
    depth: Depth | Mapping = field(default_factory=Depth)
    attractors: int | None = None
    noun_filler: float = 0.5
    held_out: float = 0.2
    train_examples: int = 10_000
    validation_examples: int = 2_000
    test_examples: int = 2_000
    data_seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "distance", made("distance", Distance, self.distance))
        object.__setattr__(self, "depth", made("depth", Depth, self.depth))
        require_share("noun_filler", self.noun_filler, 1)
        require_share("held_out", self.held_out, 0.5)
        for name in ("train_examples", "validation_examples", "test_examples"):
            require_whole(name, getattr(self, name), 1)
            words = getattr(self, name) * self.distance.max
            require_memory(
                name,
                f"{getattr(self, name)} with distance.max={self.distance.max}",
                words * _BYTES_PER_WORD,
            )
        require_whole("data_seed", self.data_seed, 0)
        self._require_room("depth.max", self.depth.max, shortest_distance(self.depth.max))
        if self.attractors is not None:
            self._check_attractors()

    def _check_attractors(self) -> None:
        require_whole("attractors", self.attractors, 0)
        if self.depth.max > 1:
            raise ValueError(
                f"`attractors`: expected null with depth.max={self.depth.max}, got "
                f"{self.attractors}: inner subjects may be attractors too. Set attractors=null or "
                "depth.max=1."
            )
        self._require_room("attractors", self.attractors, shortest_distance(1, self.attractors))

    def _require_room(self, option: str, value: int, shortest: int) -> None:
        if self.distance.min < shortest:
            raise ValueError(
                f"`distance.min`: expected at least {shortest} with {option}={value}, got "
                f"{self.distance.min}: nearer verbs leave no room for as many nouns. Raise "
                f"distance.min or lower {option}."
            )


@dataclass(frozen=True)
class Splits:
    """The sentences of a task, no two of them the same.

    Attributes:
        training, validation, test: in the order drawn.
        held_out: the words that training and validation do not contain.
    """

    training: list[Sentence]
    validation: list[Sentence]
    test: list[Sentence]
    held_out: frozenset[str]


def draw_splits(options: Options, filler_words: FillerWords = FILLER) -> Splits:
    """All sentences for the options, the same in every process.

    Raises:
        ValueError: if there are too few different sentences for the options.
    """
    known, held_out = filler_words.hold_out(options.held_out, options.data_seed)
    taken = set()

    def split(name: str, count: int, *words: FillerWords) -> list[Sentence]:
        rng = random.Random(f"{options.data_seed} {name}")
        grammars = cycle([Grammar(part, options.noun_filler, rng) for part in words])
        return [_new_sentence(next(grammars), options, rng, taken) for _ in range(count)]

    # Training comes last, so that its size does not change the others.
    test = split("test", options.test_examples, known, *([held_out] if options.held_out else []))
    validation = split("validation", options.validation_examples, known)
    training = split("training", options.train_examples, known)
    return Splits(training, validation, test, frozenset(held_out.forms()))


def _new_sentence(
    grammar: Grammar, options: Options, rng: random.Random, taken: set[tuple[str, ...]]
) -> Sentence:
    depth, distance = options.depth.draw(rng), options.distance.draw(rng)
    for _ in range(_TRIES):
        sentence = grammar.sentence(depth, distance, options.attractors)
        if sentence.words not in taken:
            taken.add(sentence.words)
            return sentence
    raise ValueError(
        f"`train_examples`, `validation_examples`, `test_examples`: expected fewer, got "
        f"{options.train_examples}, {options.validation_examples}, {options.test_examples}: after "
        f"{len(taken)} sentences, {_TRIES} more of distance {distance} were all among them. Ask "
        "for fewer, or raise distance.max."
    )
