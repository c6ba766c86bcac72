"""English sentences in which a verb agrees with a subject that stands some distance before it.

    the cat , which already ate the apples near the barns , [be] full

A verb whose number is asked stands as its stem in brackets. All else has a form that shows no
number, but for nouns, and the numbers of those in between tell nothing of the subject's:

    sentence = [near ","] "the" [adjective] clause ending
    clause   = subject {near} "that" "the" clause {near} [adverb] verb    with another inside
             | subject filler verb                                        the innermost
    filler   = {near} [relative] [adverb]
    relative = "that" acts | "," ("which" | "who") acts ","
    acts     = act | act {"," act} "and" act
    act      = [adverb] past [object] {near}
    near     = preposition object
    object   = "the" [adjective] noun
    ending   = predicate | possession | circumstance | "the" noun

The *distance* of a verb is its position minus its subject's: 1 where it is the next word, 11 in the
sentence above. Its *depth* is the number of subjects that are open just before it, its own among
them. An *attractor* is a noun between the two whose number is not the subject's. In "the cats that
the dog [chase] [be] full" the distances are 1 and 5, the depths 2 and 1, and "dog" is an attractor.

The lecture's example of a long dependency; asked as by Linzen, Dupoux & Goldberg 2016, "Assessing
the Ability of LSTMs to Learn Syntax-Sensitive Dependencies".
"""

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from unrolled.tasks.agreement import lexicon
from unrolled.tasks.agreement.lexicon import PLURAL, SINGULAR, FillerWords, Noun

_LEVEL_WORDS = 4  # That an inner subject brings at least: "that the dog [chase]".
_NOUN_WORDS = 3  # That a noun of the filler brings at least: "near the barn", "ate the apple".
_ACT_WORDS = 2  # That an act without an object brings at least: "that slept", "and slept".

_MODIFIED = 0.3  # Chance of an adjective or adverb where there may be one.
_OPENED = 0.5  # Chance that a sentence begins "near the barn ,".
_NEAR_A_BEING = 0.3  # Chance that a preposition is followed by an animal or a person.

_PRONOUNS = dict.fromkeys(lexicon.ANIMALS, "which") | dict.fromkeys(lexicon.PEOPLE, "who")


class Sentence(NamedTuple):
    """Words, and the positions (subject, verb) for each asked verb, in the order of the verbs.

    As inner subjects have their verbs before outer ones, a sentence's n verbs have the depths
    n, n - 1, ..., 1.
    """

    words: tuple[str, ...]
    agreements: tuple[tuple[int, int], ...]


def shortest_distance(depth: int, attractors: int | None = None) -> int:
    """The least distance between the outermost subject and its verb that the grammar can write."""
    return 1 + _LEVEL_WORDS * (depth - 1) + 2 * _NOUN_WORDS * (attractors or 0)


def readable(words: Iterable[str], answers: Iterable[int]) -> str:
    """The sentence with each asked verb in the number of its answer.

    >>> readable(["the", "cats", "[be]", "full"], [0, 0, 1, 0])
    'the cats [were] full'
    """
    return " ".join(
        f"[{lexicon.VERB_FORMS[word][answer]}]" if word in lexicon.VERB_FORMS else word
        for word, answer in zip(words, answers, strict=True)
    )


class Grammar:
    """Draws sentences.

    Args:
        filler_words: nouns (beside the subjects), adjectives, adverbs and past verbs to draw from.
        noun_filler: chance that a phrase between a subject and its verb has a noun, where there is
            room for one.
        rng: decides everything.
    """

    def __init__(self, filler_words: FillerWords, noun_filler: float, rng: random.Random):
        self._filler_words = filler_words
        self._noun_filler = noun_filler
        self._rng = rng

    def sentence(self, depth: int, distance: int, attractors: int | None = None) -> Sentence:
        """A sentence with `depth` subjects open at once.

        Args:
            depth: at least 1.
            distance: of the outermost subject and its verb, at least
                `shortest_distance(depth, attractors)`. Words that depth does not need are shared
                out at random among all places for them; that makes the inner distances.
            attractors: how many the verb of a sentence of depth 1 has, or None for nouns in
                between whose numbers fall like coins. As many nouns of the subject's own number
                stand among them, in random order: any other share of attractors would tell the
                subject's number to whoever counts the nouns in between.
        """
        nouns = [self._rng.choice(lexicon.SUBJECTS) for _ in range(depth)]
        room = distance - 1 - _LEVEL_WORDS * (depth - 1)
        after_subjects, after_verbs = self._fillers(room, nouns, attractors)
        words = [*self._opening(), "the", *self._adjective(self._happens(_MODIFIED))]
        open_subjects, agreements = [], []
        for noun, filler in zip(nouns, after_subjects, strict=True):
            if open_subjects:
                words += "that", "the"
            open_subjects.append(len(words))
            words += noun[self._subject_number()], *filler
        for filler in after_verbs:
            agreements.append((open_subjects.pop(), len(words)))
            words += self._rng.choice(lexicon.INNER_VERBS), *filler
        agreements.append((open_subjects.pop(), len(words)))
        verbs, endings = self._rng.choice(lexicon.ENDINGS)
        words += self._rng.choice(verbs), *self._rng.choice(endings).split()
        return Sentence(tuple(words), tuple(agreements))

    def _opening(self) -> list[str]:
        """At times a noun before all subjects; else the first noun would always be the answer."""
        if not self._happens(_OPENED):
            return []
        return [*self._near(self._coin(), _Room(1, self._rng)), ","]

    def _fillers(
        self, room: int, nouns: list[Noun], attractors: int | None
    ) -> tuple[list[list[str]], list[list[str]]]:
        """What follows each of the subjects, and each of their verbs but the last: `room` words."""
        inner = len(nouns) - 1
        ends = sorted(self._rng.randint(0, room) for _ in range(2 * inner))
        limits = [end - start for start, end in pairwise([0, *ends])]
        after_subjects = [self._aside(limit) for limit in limits[:inner]]
        after_verbs = [self._aside(limit, adverb=True) for limit in limits[inner:]]
        # Asides use up to their limit; the innermost filler can have any length and takes the rest.
        room -= sum(map(len, after_subjects + after_verbs))
        after_subjects.append(self._filler(room, _PRONOUNS[nouns[-1]], attractors))
        return after_subjects, after_verbs

    def _aside(self, limit: int, adverb: bool = False) -> list[str]:
        """At most `limit` words after a subject or, with an `adverb` at times, after its verb."""
        room, words = _Room(limit, self._rng), []
        while room.take(_NOUN_WORDS, self._noun_filler):
            words += self._near(self._coin(), room)
        if adverb:
            words += self._adverb(room.take(1, _MODIFIED))
        return words

    def _filler(self, length: int, pronoun: str, attractors: int | None) -> list[str]:
        """Exactly `length` words between a subject and its verb."""
        numbers = None if attractors is None else self._balanced_numbers(attractors)
        room = _Room(length - _NOUN_WORDS * len(numbers or ()), self._rng)
        near, acts, commas = [], [], False
        while numbers or room.left >= _ACT_WORDS:
            number = self._next_number(numbers, room)
            # A noun brings its words; to make it an act's object takes an "and" or "that" as well.
            if room.take(_ACT_WORDS) if number is None else room.take(1, 0.5):
                commas = commas if acts else room.take(2, 0.5)
                acts.append(self._act(number, room))
            else:
                (acts[-1] if acts else near).extend(self._near(number, room))
        return [*near, *_relative(pronoun, acts, commas), *self._adverb(room.take(1))]

    def _balanced_numbers(self, of_each: int) -> list[int]:
        numbers = [SINGULAR, PLURAL] * of_each
        self._rng.shuffle(numbers)
        return numbers

    def _next_number(self, numbers: list[int] | None, room: "_Room") -> int | None:
        """The number of the next phrase's noun, or None for a phrase without a noun.

        Nouns of given `numbers` have their place already and are spread among the other words.
        """
        if numbers is None:
            return self._coin() if room.take(_NOUN_WORDS, self._noun_filler) else None
        reserved = _NOUN_WORDS * len(numbers)
        if room.left >= _ACT_WORDS and not self._happens(reserved / (reserved + room.left)):
            return None
        return numbers.pop()

    def _act(self, number: int | None, room: "_Room") -> list[str]:
        filler = self._filler_words
        words = self._adverb(room.take(1, _MODIFIED))
        if number is None:
            return [*words, self._rng.choice(filler.acts)]
        verbs, nouns = self._rng.choice(
            ((filler.acts_on_thing, filler.things), (filler.acts_on_being, lexicon.SUBJECTS))
        )
        return [*words, self._rng.choice(verbs), *self._object(nouns, number, room)]

    def _near(self, number: int, room: "_Room") -> list[str]:
        being = self._happens(_NEAR_A_BEING)
        nouns = lexicon.SUBJECTS if being else self._filler_words.places
        return [self._rng.choice(lexicon.PREPOSITIONS), *self._object(nouns, number, room)]

    def _object(self, nouns: Sequence[Noun], number: int, room: "_Room") -> list[str]:
        adjective = self._adjective(room.take(1, _MODIFIED))
        return ["the", *adjective, self._rng.choice(nouns)[number]]

    def _adjective(self, wanted: bool) -> list[str]:
        return [self._rng.choice(self._filler_words.adjectives)] if wanted else []

    def _adverb(self, wanted: bool) -> list[str]:
        return [self._rng.choice(self._filler_words.adverbs)] if wanted else []

    def _subject_number(self) -> int:
        """Drawn apart from all else, which must not depend on it."""
        return self._coin()

    def _coin(self) -> int:
        return PLURAL if self._happens(0.5) else SINGULAR

    def _happens(self, chance: float) -> bool:
        return self._rng.random() < chance


class _Room:
    """Words that are still to be written."""

    def __init__(self, words: int, rng: random.Random):
        self.left = words
        self._rng = rng

    def take(self, words: int, chance: float = 1.0) -> bool:
        """Whether `words` were taken: with a chance, and only where as many are left."""
        taken = self.left >= words and self._rng.random() < chance
        self.left -= words * taken
        return taken


def _relative(pronoun: str, acts: list[list[str]], commas: bool) -> list[str]:
    if not acts:
        return []
    first, *others = acts
    words = [*first]
    for act in others[:-1]:
        words += ",", *act
    for act in others[-1:]:
        words += "and", *act
    return [",", pronoun, *words, ","] if commas else ["that", *words]
