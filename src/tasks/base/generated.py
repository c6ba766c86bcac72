"""What tasks that generate their sentences share: enough memory, and no sentence twice."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from unrolled.tasks.base.options import require_memory

COUNTS = ("train_examples", "validation_examples", "test_examples")
"""The options with the number of sentences in each split."""

_Sentences = TypeVar("_Sentences", bound=Sequence)
_TRIES = 1000
_BYTES_PER_WORD = 8  # A reference in a tuple of words.


def require_memory_for(name: str, options: Any) -> None:
    """Checks that the sentences of a split fit into the memory of this machine.

    Args:
        name: one of `COUNTS`.
        options: with that attribute, and with a `Distance`, which bounds the number of words.

    Raises:
        ValueError: otherwise; see `require_memory`.
    """
    count, longest = getattr(options, name), options.distance.max
    value = f"{count} with distance.max={longest}"
    require_memory(name, value, count * longest * _BYTES_PER_WORD)


def draw_distinct(
    draw: Callable[[], _Sentences], seen: set[tuple[str, ...]], options: Any, distance: int
) -> _Sentences:
    """Draws sentences until none of them has been drawn before.

    Args:
        draw: returns one or more sentences, each with `words`.
        seen: the words of all sentences so far; those of the result are added.
        options: with the attributes `COUNTS`, for the message.
        distance: of the sentences, for the message.

    Raises:
        ValueError: if there seem to be no more distinct sentences.
    """
    for _ in range(_TRIES):
        sentences = draw()
        if seen.isdisjoint(each.words for each in sentences):
            seen.update(each.words for each in sentences)
            return sentences
    raise ValueError(
        f"{', '.join(f'`{name}`' for name in COUNTS)}: expected fewer, got "
        f"{', '.join(str(getattr(options, name)) for name in COUNTS)}: after {len(seen)} "
        f"sentences, {_TRIES} more of distance {distance} were all duplicates. Reduce the numbers "
        "of examples, or increase distance.max."
    )
