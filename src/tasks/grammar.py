"""English sentences in which a verb agrees with a subject that stands some distance before it.

    the cat , which already ate the apples near the barns , [be] full

A verb whose number is asked stands as its stem in brackets. All else has a form that shows no
number, but for nouns, and the numbers of those in between tell nothing of the subject's:

    sentence = "the" [adjective] clause ending
    clause   = subject {near} "that" "the" clause {near} [adverb] verb    another subject is open
             | subject filler verb                                        the innermost one
    filler   = {near} [relative] [adverb]
    relative = "that" acts | "," ("which" | "who") acts ","
    acts     = act | act {"," act} "and" act
    act      = [adverb] past [object] {near}
    near     = preposition object
    object   = "the" [adjective] noun

The *distance* of a verb is its position minus its subject's: 1 where it is the next word, 12 in the
sentence above. Its *depth* is the number of subjects that are open just before it, its own among
them. An *attractor* is a noun between the two whose number is not the subject's. In "the cats that
the dog [chase] [be] full" the distances are 1 and 5, the depths 2 and 1, and "dog" is an attractor.

The lecture's example of a long dependency; asked as by Linzen, Dupoux & Goldberg 2016, "Assessing
the Ability of LSTMs to Learn Syntax-Sensitive Dependencies".
"""

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from tasks import lexicon
from tasks.lexicon import PLURAL, SINGULAR, FillerWords, Noun

_LEVEL_WORDS = 4  # That an inner subject brings at least: "that the dog [chase]".
_NOUN_WORDS = 3  # That a noun of the filler brings at least: "near the barn", "ate the apple".
_ACT_WORDS = 2  # That an act without an object brings at least: "that slept", "and slept".

_MODIFIED = 0.3  # Chance of an adjective or adverb where there may be one.
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
        filler_words: what stands between subjects and verbs.
        noun_filler: chance that a phrase between them has a noun, where there is room for one.
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
                stand among them, in random order: only so does their number, which is known, give
                nothing away.
        """
        nouns = [self._rng.choice(lexicon.SUBJECTS) for _ in range(depth)]
        room = distance - 1 - _LEVEL_WORDS * (depth - 1)
        *limits, innermost = self._shares(room, 2 * depth - 1)
        after_subjects = [self._aside(limit, adverb=False) for limit in limits[: depth - 1]]
        after_verbs = [self._aside(limit, adverb=True) for limit in limits[depth - 1 :]]
        innermost += sum(limits) - sum(map(len, after_subjects + after_verbs))
        after_subjects.append(self._filler(innermost, _PRONOUNS[nouns[-1]], attractors))

        words, subjects = ["the", *self._adjective(self._happens(_MODIFIED))], []
        for noun, filler in zip(nouns, after_subjects, strict=True):
            if subjects:
                words += "that", "the"
            subjects.append(len(words))
            words += noun[self._subject_number()], *filler
        agreements = []
        for subject, filler in zip(reversed(subjects), [*after_verbs, None], strict=True):
            agreements.append((subject, len(words)))
            words += self._ending() if filler is None else (self._inner_verb(), *filler)
        return Sentence(tuple(words), tuple(agreements))

    def _subject_number(self) -> int:
        return self._coin()

    def _coin(self) -> int:
        return SINGULAR if self._rng.random() < 0.5 else PLURAL

    def _happens(self, chance: float) -> bool:
        return self._rng.random() < chance
