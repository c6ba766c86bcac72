"""The vocabulary of the sentences in `unrolled.tasks.tagging.name_sentences`.

An ambiguous word is a name of one type, or the beginning of one, and also denotes a thing. The
following words disambiguate it: `AFTER_NAMES` and `AFTER_THINGS` are disjoint.
"""

from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True)
class Ambiguous:
    """A word that may be a name.

    Attributes:
        word: the word, capitalized as at the beginning of a sentence.
        type: type of the name: "PER", "ORG" or "LOC".
        thing: category of the thing, a key of `AFTER_THINGS`.
    """

    word: str
    type: str
    thing: str


def _ambiguous_words(entity: str, **words_of_things: str) -> list[Ambiguous]:
    return [
        Ambiguous(word, entity, thing)
        for thing, words in words_of_things.items()
        for word in _words(words)
    ]


AMBIGUOUS = (
    *_ambiguous_words(
        "PER",
        plant="Rose Lily Daisy Violet Ivy Heather Holly Iris Jasmine Hazel Willow Poppy Forrest",
        food="Ginger Olive Pepper Rosemary Basil Candy Cherry Honey Sage Clementine Herb Graham",
        idea="Hope Grace Faith Joy Mercy Patience Prudence Charity Dawn Summer Will Art Trinity",
        object="Teddy Bill Jack Penny Pearl Ruby Robin Drew Rusty Sandy Crystal Opal Cliff",
    ),
    *_ambiguous_words(
        "ORG",
        food="Apple Orange Raisin Kernel",
        plant="Lotus Oak Cactus Reed",
        object="Shell Target Gap Oracle Subway Dove Puma Jaguar Mars Corona Visa Slack Square",
        idea="Sprint Stripe Progress Vanguard",
    ),
    *_ambiguous_words(
        "LOC",
        food="Turkey Sandwich Hamburger Rice Champagne",
        plant="Orchard Bush Moss Sedge",
        object="China Phoenix Buffalo Bath Cork Mobile Independence",
        idea="Reading Nice Concord Providence",
    ),
)
"""All ambiguous words, without duplicates."""

AFTER_NAMES = {
    "PER": _words("""
        said laughed resigned married apologised shouted whispered nodded wept retired promised
        replied confessed emigrated
    """),
    "ORG": _words("""
        hired merged sued invested expanded outsourced manufactures employs advertises recalled
        refinanced acquired
    """),
    "LOC": _words("""
        voted seceded borders hosted elected annexed rebelled exports mobilised imports legislated
        flooded
    """),
}
"""Verbs that indicate a name, by its type."""

SURNAMES = {
    "PER": _words("""
        Roosevelt Miller Johnson Baker Carter Hughes Novak Okafor Tanaka Larsen Moreau Fischer
        Kowalski Petrov Silva Rossi
    """),
    "ORG": _words("Corporation Industries Limited Holdings Incorporated Partners Laboratories"),
    "LOC": _words("City County Province Island Valley Harbour"),
}
"""Words that may directly follow a name as a part of it, by its type."""

AFTER_THINGS = {
    "plant": _words("wilted bloomed withered sprouted grows smells climbs germinated"),
    "food": _words("tastes spoiled melted simmered smelled ripened crumbled fermented"),
    "idea": _words("fades matters returned comforts vanished inspires endures prevails"),
    "object": _words("broke glittered cracked costs weighs shattered tipped rattled"),
}
"""Verbs that indicate a thing, by its category."""

COMPOUNDS = {
    "plant": _words("petals leaves roots seedlings hedges stems"),
    "food": _words("pies soup flavours recipes salads sauces"),
    "idea": _words("itself alone ideals poems songs metaphors"),
    "object": _words("bears collectors repairs dealers replicas shops"),
}
"""Words that may directly follow a thing, by its category."""

FIRST_NAMES = _words("Mary Susan Peter Ahmed Yuki Elena Carlos Ingrid Pavel Fatima Kenji Louise")
PLACES = _words("Paris Berlin Nairobi Lima Oslo Chicago Kyoto Madrid Warsaw Boston Cairo Sydney")
COMPANIES = _words("Siemens Toyota Nokia Unilever Boeing Nestlé Samsung Philips Ericsson Bosch")
REPORTS = _words("wrote explained added announced read heard noticed reported")
ADVERBS = _words("also often never still really always certainly hardly soon perhaps")
PLACES_TO_STAND = _words("river market harbour station library bridge square mill tower garden")
ADJECTIVES = _words("old small busy quiet famous crowded empty sunny")
PREPOSITIONS = _words("near behind beside by opposite beyond")
EVERYBODY = _words("everybody everyone nobody somebody anybody")
ENDS = ("again", "last year", "in the morning", "for years", "as expected", "after all", "at once")
