"""A grammar of English sentences in which a verb agrees with a distant subject.

    the cat , which already ate the apples near the barns , [be] full

A target verb is written as its stem in brackets. No other word except nouns shows a number, and the
numbers of the nouns in between are independent of the subject's:

    sentence = [near ","] "the" [adjective] clause ending
    clause   = subject {near} "that" "the" clause {near} [adverb] verb    with an inner clause
             | subject filler verb                                        the innermost clause
    filler   = {near} [relative] [adverb]
    relative = "that" acts | "," ("which" | "who") acts ","
    acts     = act | act {"," act} "and" act
    act      = [adverb] past [object] {near}
    near     = preposition object
    object   = "the" [adjective] noun
    ending   = predicate | possession | circumstance | "the" noun

The *distance* of a verb is its position minus its subject's: 1 for the next word, 11 in the
sentence above. Its *depth* is the number of open subjects just before it, including its own. An
*attractor* is a noun between subject and verb whose number differs from the subject's. In "the cats
that the dog [chase] [be] full" the distances are 1 and 5, the depths 2 and 1, and "dog" is an
attractor.

This is the lecture's example of a long-range dependency, with the prediction task of Linzen, Dupoux
& Goldberg 2016, "Assessing the Ability of LSTMs to Learn Syntax-Sensitive Dependencies".
"""

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from unrolled.tasks.agreement import lexicon
from unrolled.tasks.agreement.lexicon import PLURAL, SINGULAR, FillerWords, Noun

_LEVEL_WORDS = 4  # Minimum length of an inner clause: "that the dog [chase]".
_NOUN_WORDS = 3  # Minimum length of a filler phrase with a noun: "near the barn".
_ACT_WORDS = 2  # Minimum length of an act without an object: "that slept", "and slept".

_P_MODIFIER = 0.3  # Probability of an optional adjective or adverb.
_P_OPENING = 0.5  # Probability that a sentence begins with a phrase such as "near the barn ,".
_P_NEAR_BEING = 0.3  # Probability that a preposition is followed by an animal or a person.

_PRONOUNS = dict.fromkeys(lexicon.ANIMALS, "which") | dict.fromkeys(lexicon.PEOPLE, "who")


class Sentence(NamedTuple):
    """Words, and the positions (subject, verb) of each target verb, in the order of the verbs.

    The verbs of inner subjects precede those of outer subjects, so the n target verbs of a sentence
    have depths n, n - 1, ..., 1.
    """

    words: tuple[str, ...]
    agreements: tuple[tuple[int, int], ...]


def shortest_distance(depth: int, attractors: int | None = None) -> int:
    """Returns the minimum distance between the outermost subject and its verb."""
    return 1 + _LEVEL_WORDS * (depth - 1) + 2 * _NOUN_WORDS * (attractors or 0)


def inflected(words: Iterable[str], numbers: Iterable[int]) -> str:
    """Returns the sentence as text, with each target verb inflected for its number.

    >>> inflected(["the", "cats", "[be]", "full"], [0, 0, 1, 0])
    'the cats [were] full'
    """
    return " ".join(
        f"[{lexicon.VERB_FORMS[word][number]}]" if word in lexicon.VERB_FORMS else word
        for word, number in zip(words, numbers, strict=True)
    )


class Grammar:
    """Generates sentences.

    Args:
        filler_words: nouns (in addition to the subjects), adjectives, adverbs and past-tense verbs.
        noun_filler: probability that a phrase between a subject and its verb contains a noun, if
            there is room for one.
        rng: source of randomness.
    """

    def __init__(self, filler_words: FillerWords, noun_filler: float, rng: random.Random):
        self._filler_words = filler_words
        self._noun_filler = noun_filler
        self._rng = rng

    def sentence(self, depth: int, distance: int, attractors: int | None = None) -> Sentence:
        """Generates a sentence with `depth` subjects open at once.

        Args:
            depth: at least 1.
            distance: distance between the outermost subject and its verb, at least
                `shortest_distance(depth, attractors)`. Words that the depth does not require are
                distributed at random over all possible places, which determines the inner
                distances.
            attractors: number of attractors of the verb of a sentence of depth 1. The same number
                of nouns with the subject's own number is added, in random order. Any other fraction
                of attractors would reveal the subject's number to a model that counts nouns. None
                for independent random numbers.
        """
        nouns = [self._rng.choice(lexicon.SUBJECTS) for _ in range(depth)]
        free_words = distance - 1 - _LEVEL_WORDS * (depth - 1)
        after_subjects, after_verbs = self._fillers(free_words, nouns, attractors)
        words = [*self._opening(), "the", *self._adjective(self._bernoulli(_P_MODIFIER))]
        open_subjects: list[int] = []
        agreements = []
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
        """Returns [] or a phrase whose noun precedes the subjects, so the first noun is no cue."""
        if not self._bernoulli(_P_OPENING):
            return []
        return [*self._near(self._coin(), _Room(1, self._rng)), ","]

    def _fillers(
        self, room: int, nouns: list[Noun], attractors: int | None
    ) -> tuple[list[list[str]], list[list[str]]]:
        """Returns `room` words: what follows each subject, and each verb except the last."""
        inner = len(nouns) - 1
        ends = sorted(self._rng.randint(0, room) for _ in range(2 * inner))
        limits = [end - start for start, end in pairwise([0, *ends])]
        after_subjects = [self._aside(limit) for limit in limits[:inner]]
        after_verbs = [self._aside(limit, adverb=True) for limit in limits[inner:]]
        # Asides may be shorter than their limit. The innermost filler takes the remaining words.
        room -= sum(map(len, after_subjects + after_verbs))
        after_subjects.append(self._filler(room, _PRONOUNS[nouns[-1]], attractors))
        return after_subjects, after_verbs

    def _aside(self, limit: int, adverb: bool = False) -> list[str]:
        """Returns at most `limit` words after a subject or, with `adverb`, after its verb."""
        room, words = _Room(limit, self._rng), []
        while room.take(_NOUN_WORDS, self._noun_filler):
            words += self._near(self._coin(), room)
        if adverb:
            words += self._adverb(room.take(1, _P_MODIFIER))
        return words

    def _filler(self, length: int, pronoun: str, attractors: int | None) -> list[str]:
        """Returns exactly `length` words between a subject and its verb."""
        numbers = None if attractors is None else self._balanced_numbers(attractors)
        room = _Room(length - _NOUN_WORDS * len(numbers or ()), self._rng)
        near: list[str] = []
        acts: list[list[str]] = []
        commas = False
        while numbers or room.left >= _ACT_WORDS:
            number = self._next_number(numbers, room)
            # The words of a noun are already reserved; as the object of an act it needs one more,
            # "and" or "that".
            is_act = room.take(_ACT_WORDS) if number is None else room.take(1, 0.5)
            if number is None or is_act:  # There is always room for an act without a noun.
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
        """Returns the number of the next phrase's noun, or None for a phrase without a noun.

        The places of the given `numbers` are reserved, and spread at random among the other words.
        """
        if numbers is None:
            return self._coin() if room.take(_NOUN_WORDS, self._noun_filler) else None
        reserved = _NOUN_WORDS * len(numbers)
        if room.left >= _ACT_WORDS and not self._bernoulli(reserved / (reserved + room.left)):
            return None
        return numbers.pop()

    def _act(self, number: int | None, room: "_Room") -> list[str]:
        filler = self._filler_words
        words = self._adverb(room.take(1, _P_MODIFIER))
        if number is None:
            return [*words, self._rng.choice(filler.acts)]
        verbs, nouns = self._rng.choice(
            ((filler.acts_on_thing, filler.things), (filler.acts_on_being, lexicon.SUBJECTS))
        )
        return [*words, self._rng.choice(verbs), *self._object(nouns, number, room)]

    def _near(self, number: int, room: "_Room") -> list[str]:
        being = self._bernoulli(_P_NEAR_BEING)
        nouns = lexicon.SUBJECTS if being else self._filler_words.places
        return [self._rng.choice(lexicon.PREPOSITIONS), *self._object(nouns, number, room)]

    def _object(self, nouns: Sequence[Noun], number: int, room: "_Room") -> list[str]:
        adjective = self._adjective(room.take(1, _P_MODIFIER))
        return ["the", *adjective, self._rng.choice(nouns)[number]]

    def _adjective(self, present: bool) -> list[str]:
        return [self._rng.choice(self._filler_words.adjectives)] if present else []

    def _adverb(self, present: bool) -> list[str]:
        return [self._rng.choice(self._filler_words.adverbs)] if present else []

    def _subject_number(self) -> int:
        """Draws the subject's number, independently of everything else."""
        return self._coin()

    def _coin(self) -> int:
        return PLURAL if self._bernoulli(0.5) else SINGULAR

    def _bernoulli(self, probability: float) -> bool:
        return self._rng.random() < probability


class _Room:
    """The number of words that are still to be generated."""

    def __init__(self, words: int, rng: random.Random):
        self.left = words
        self._rng = rng

    def take(self, words: int, probability: float = 1.0) -> bool:
        """Takes `words` with some probability, if enough are left; returns whether it did."""
        taken = self.left >= words and self._rng.random() < probability
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
