"""How the layers of a model may be connected.

The model builders and the settings in `unrolled.settings.models` share these choices, so this
module needs nothing but the standard library.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from unrolled.settings.errors import ContradictionError

Direction = Literal["forward", "bidirectional"]
CausalDirection = Literal["forward"]
Merge = Literal["concat", "sum", "mul", "ave"]
LanguageHead = Literal["softmax", "adaptive"]
TagHead = Literal["softmax", "crf"]

DIRECTIONS: tuple[str, ...] = get_args(Direction)
CAUSAL_DIRECTIONS: tuple[str, ...] = get_args(CausalDirection)
MERGES: tuple[str, ...] = get_args(Merge)
LANGUAGE_HEADS: tuple[str, ...] = get_args(LanguageHead)
TAG_HEADS: tuple[str, ...] = get_args(TagHead)
MOST_LAYERS = 100


def check_stack(layers: int, dropout: float) -> None:
    """Check the number of stacked layers and the dropout rate between them.

    Raises:
        ValueError: for the first that is out of range.
    """
    if not 1 <= layers <= MOST_LAYERS:
        raise ValueError(f"`layers`: expected an integer from 1 to {MOST_LAYERS}, got {layers!r}.")
    if not 0 <= dropout < 1:
        raise ValueError(
            f"`dropout`: expected a number of at least 0 and less than 1, got {dropout!r}."
        )


def check_cutoffs(cutoffs: Sequence[int], vocabulary_size: int | None = None) -> None:
    """Check the first token ids of the clusters of an adaptive softmax.

    Raises:
        ContradictionError: if there are none, they do not increase, or one is out of range.
    """
    below = [] if vocabulary_size is None else [vocabulary_size]
    if not cutoffs or any(low >= high for low, high in pairwise([0, *cutoffs, *below])):
        most = (
            "" if vocabulary_size is None else f" and below the vocabulary size {vocabulary_size}"
        )
        raise ContradictionError(
            "cutoffs",
            f"expected strictly increasing integers of at least 1{most}, got {list(cutoffs)}.",
        )


def check_tied(units: int, embedding: int | None, head: str) -> None:
    """Check that output weights can be tied to the embeddings.

    Raises:
        ContradictionError: if the head or the sizes do not allow it.
    """
    if head != "softmax":
        raise ContradictionError(
            "tied",
            f"expected head 'softmax' with tied weights, got {head!r}, whose weights differ in "
            "shape from the embeddings.",
        )
    if embedding != units:
        raise ContradictionError(
            "tied",
            "expected `embedding` to equal `units`, because the output weights are the "
            f"embeddings; got embedding {embedding} and units {units}.",
        )


def check_direction(direction: str, merge: str) -> None:
    """Check the direction and the merge mode, each by itself and together.

    Raises:
        ValueError: for an unknown direction or merge mode.
        ContradictionError: for a merge mode without a second direction.
    """
    if direction not in DIRECTIONS:
        raise ValueError(
            f"`direction`: expected one of {', '.join(DIRECTIONS)}, got {direction!r}."
        )
    if merge not in MERGES:
        raise ValueError(
            f"`merge`: expected one of {', '.join(MERGES)}, got {merge!r}. Keras's None returns "
            "two outputs, one per direction, but the next layer takes one input."
        )
    if direction == "forward" and merge != "concat":
        raise ContradictionError(
            "merge",
            f"{merge!r} needs two directions, and `direction` is 'forward'. "
            "Set `direction` to 'bidirectional', or `merge` to 'concat'.",
        )
