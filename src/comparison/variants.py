"""What sets the variants of a sweep apart."""

import re

STAGE = "search"  # The tag `stage` of runs that find a key's values, and the folder they are in.


def parts(variant: str) -> dict[str, str]:
    """A variant's or a baseline's name by what it sets: "lstm T=50" is {"cell": "lstm", "T": "50"}.

    >>> parts("lstm T=50 match=units")
    {'cell': 'lstm', 'T': '50', 'match': 'units'}
    >>> parts("layers=1")
    {'layers': '1'}
    >>> parts("gru max=60 max=4")
    {'cell': 'gru', 'max': '60', "max'": '4'}
    """
    found = {}
    for word in re.split(r" (?=\w+=)", variant):
        key, value = word.split("=", 1) if "=" in word else ("cell", word)
        while key in found:  # Two keys may end in the same word.
            key += "'"
        found[key] = value
    return found
