"""The vocabulary of the sentences in `unrolled.tasks.agreement.grammar`.

The word classes are disjoint, and only nouns show a number: a noun is a pair of singular and
plural, which always differ (so "sheep" and "fish" are excluded).
"""

import random
from dataclasses import dataclass, fields

Noun = tuple[str, str]
SINGULAR, PLURAL = 0, 1


def _nouns(text: str) -> tuple[Noun, ...]:
    """Parses nouns from a text of `singular/plural`."""
    pairs = (noun.split("/") for noun in text.split())
    return tuple((singular, plural) for singular, plural in pairs)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ANIMALS = _nouns("""
    bear/bears bird/birds butterfly/butterflies calf/calves camel/camels canary/canaries cat/cats
    cow/cows dog/dogs donkey/donkeys duck/ducks eagle/eagles elephant/elephants finch/finches
    fox/foxes frog/frogs goat/goats goose/geese hedgehog/hedgehogs hen/hens horse/horses
    kitten/kittens lion/lions monkey/monkeys mouse/mice ostrich/ostriches owl/owls ox/oxen pig/pigs
    pony/ponies puppy/puppies rabbit/rabbits rat/rats squirrel/squirrels tiger/tigers wolf/wolves
""")
PEOPLE = _nouns("""
    actress/actresses artist/artists baby/babies baker/bakers boss/bosses boy/boys child/children
    clerk/clerks doctor/doctors driver/drivers farmer/farmers fisherman/fishermen
    gentleman/gentlemen girl/girls guest/guests king/kings lady/ladies lawyer/lawyers man/men
    neighbour/neighbours nurse/nurses painter/painters person/people pilot/pilots
    policeman/policemen queen/queens sailor/sailors singer/singers soldier/soldiers spy/spies
    student/students teacher/teachers thief/thieves wife/wives witch/witches woman/women
""")
SUBJECTS = ANIMALS + PEOPLE

PREPOSITIONS = _words("around behind beside beyond by near opposite past")
FUNCTION_WORDS = _words("the that which who and ,")


@dataclass(frozen=True)
class FillerWords:
    """Words that lengthen a sentence, some of which can be held out.

    Attributes:
        places: nouns that follow a preposition.
        things: objects of `acts_on_thing`.
        adjectives: before any noun.
        adverbs: before any verb.
        acts: past-tense verbs without an object.
        acts_on_thing, acts_on_being: past-tense verbs whose object is a thing, or an animal or a
            person.
    """

    places: tuple[Noun, ...]
    things: tuple[Noun, ...]
    adjectives: tuple[str, ...]
    adverbs: tuple[str, ...]
    acts: tuple[str, ...]
    acts_on_thing: tuple[str, ...]
    acts_on_being: tuple[str, ...]

    def hold_out(self, fraction: float, seed: int) -> tuple["FillerWords", "FillerWords"]:
        """Splits the words in two; the second part has the given fraction of every class.

        A fraction of 0 leaves the second part empty. Any other fraction selects at least one word
        per class.
        """
        rng = random.Random(f"{seed} held out")
        known, held_out = {}, {}
        for field in fields(self):
            words = list(getattr(self, field.name))
            rng.shuffle(words)
            count = max(1, round(fraction * len(words))) if fraction else 0
            held_out[field.name], known[field.name] = tuple(words[:count]), tuple(words[count:])
        return FillerWords(**known), FillerWords(**held_out)

    def forms(self) -> list[str]:
        """Returns every word, and every noun in singular and plural."""
        words = [word for field in fields(self) for word in getattr(self, field.name)]
        return [form for word in words for form in ([word] if isinstance(word, str) else word)]


FILLER = FillerWords(
    places=_nouns("""
        bakery/bakeries barn/barns beach/beaches bench/benches bridge/bridges bush/bushes
        castle/castles church/churches cottage/cottages factory/factories farm/farms fence/fences
        field/fields fountain/fountains garden/gardens gate/gates hill/hills hotel/hotels
        house/houses hut/huts lake/lakes library/libraries market/markets mill/mills museum/museums
        palace/palaces path/paths river/rivers road/roads roof/roofs school/schools shop/shops
        stable/stables station/stations statue/statues tower/towers tree/trees valley/valleys
        wall/walls well/wells
    """),
    things=_nouns("""
        apple/apples basket/baskets berry/berries biscuit/biscuits bone/bones box/boxes
        brush/brushes cake/cakes carrot/carrots cherry/cherries coin/coins cushion/cushions
        dish/dishes egg/eggs flower/flowers glove/gloves hat/hats key/keys knife/knives leaf/leaves
        letter/letters loaf/loaves mushroom/mushrooms nut/nuts onion/onions peach/peaches pear/pears
        pie/pies plum/plums potato/potatoes ribbon/ribbons sandwich/sandwiches scarf/scarves
        shoe/shoes spoon/spoons strawberry/strawberries toffee/toffees tomato/tomatoes toy/toys
        turnip/turnips
    """),
    adjectives=_words("""
        beautiful big black blue brown clean dark dirty dusty elegant enormous famous funny golden
        green grey huge large little lovely muddy narrow nice odd old ordinary pale plain pretty
        quaint red round rusty shabby small splendid strange tall tiny ugly white yellow young
    """),
    adverbs=_words("""
        again already also always apparently certainly clearly eventually finally frequently
        generally gladly happily hardly maybe naturally never now obviously occasionally often
        perhaps possibly probably quickly quietly rarely really reportedly seldom simply slowly
        sometimes soon still suddenly supposedly surely then usually
    """),
    acts=_words("""
        appeared arrived cried danced dozed escaped fainted fell groaned hesitated hurried jumped
        laughed limped listened moved panicked paused played posed rested returned screamed shivered
        sighed sang slept smiled sneezed stumbled swam trembled vanished waited wandered whistled
        woke worked yawned
    """),
    acts_on_thing=_words("""
        ate brought broke carried collected damaged destroyed dropped examined fetched found
        gathered hid inspected kept licked lost needed noticed owned received repaired sniffed
        stole tasted threw touched wanted
    """),
    acts_on_being=_words("""
        admired amused annoyed avoided believed chased comforted copied deceived envied feared
        followed frightened greeted guarded heard helped ignored joined liked loved met missed
        observed remembered saved saw surprised teased trusted visited watched
    """),
)


def _verbs(text: str) -> dict[str, tuple[str, str]]:
    """Parses `stem/singular/plural` verbs into (singular, plural) by stem in brackets."""
    verbs = (verb.split("/") for verb in text.split())
    return {f"[{stem}]": (singular, plural) for stem, singular, plural in verbs}


COPULAS = _verbs("be/was/were seem/seems/seem look/looks/look feel/feels/feel")
PREDICATES = _words("""
    afraid angry bored busy calm cheerful clever curious full grateful happy hungry ill lazy lonely
    nervous patient polite proud sad safe sleepy strong thirsty tired worried
""")

OWNING = _verbs("have/has/have")
OWNED = ("no time", "no luck", "enough food", "enough money", "much work", "good manners")

INTRANSITIVE = _verbs("""
    cough/coughs/cough go/goes/go hide/hides/hide run/runs/run sing/sings/sing sleep/sleeps/sleep
    swim/swims/swim wait/waits/wait
""")
CIRCUMSTANCES = ("alone", "here", "at night", "in spring", "all day", "every day", "for hours")

TRANSITIVE = _verbs("""
    admire/admires/admire avoid/avoids/avoid chase/chases/chase fear/fears/fear
    follow/follows/follow help/helps/help know/knows/know like/likes/like love/loves/love
    miss/misses/miss need/needs/need remember/remembers/remember see/sees/see trust/trusts/trust
    visit/visits/visit watch/watches/watch
""")

VERB_FORMS = COPULAS | OWNING | INTRANSITIVE | TRANSITIVE  # All target verbs.
INNER_VERBS = tuple(TRANSITIVE)
# The possible last verbs of a sentence by kind, with their possible complements.
ENDINGS = (
    (tuple(COPULAS), PREDICATES),
    (tuple(OWNING), OWNED),
    (tuple(INTRANSITIVE), CIRCUMSTANCES),
    (tuple(TRANSITIVE), tuple(f"the {form}" for noun in SUBJECTS for form in noun)),
)

NUMBERS = {
    form: number
    for noun in SUBJECTS + FILLER.places + FILLER.things
    for number, form in enumerate(noun)
}
_ENDING_WORDS = " ".join(ending for _, endings in ENDINGS for ending in endings).split()
WORDS = sorted(
    {*NUMBERS, *VERB_FORMS, *PREPOSITIONS, *FUNCTION_WORDS, *FILLER.forms(), *_ENDING_WORDS}
)
