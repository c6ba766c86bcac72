"""How the layers of a model may be connected.

The model builders and the settings in `unrolled.settings.models` share these choices, so this
module needs nothing but the standard library.
"""

from typing import Literal, get_args

from unrolled.settings.errors import ContradictionError

Direction = Literal["forward", "bidirectional"]
Merge = Literal["concat", "sum", "mul", "ave"]
LanguageHead = Literal["softmax", "adaptive"]
TagHead = Literal["softmax", "crf"]

DIRECTIONS: tuple[str, ...] = get_args(Direction)
MERGES: tuple[str, ...] = get_args(Merge)
LANGUAGE_HEADS: tuple[str, ...] = get_args(LanguageHead)
TAG_HEADS: tuple[str, ...] = get_args(TagHead)

NO_NULL_MERGE = (
    "(Keras's null returns both directions as separate outputs, but the next layer takes one)"
)
CAUSAL = (
    "A language model predicts the next word from the words before it. A layer that reads "
    "backwards has already seen that word."
)


def check_merge(direction: str, merge: str) -> None:
    """Check that there are two directions if their outputs are to be merged.

    Raises:
        ContradictionError: if there is one direction and `merge` is not the default.
    """
    if direction == "forward" and merge != "concat":
        raise ContradictionError(
            "merge",
            f"{merge!r} needs two directions, but the direction is 'forward'. "
            "Set the direction to 'bidirectional', or leave merge at 'concat'.",
        )
