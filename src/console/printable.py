"""Text of users, files and models, made harmless for the terminal."""

import re

# Control characters but for line feed and tab, line and paragraph separators, what turns the
# direction of writing around, and halves of surrogate pairs, which no stream can encode.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LONGEST_REASON = 500


def printable(text: str) -> str:
    r"""A text with every character that could steer a terminal written as its escape.

    Line feeds and tabs stay. So does whatever only changes how letters join, such as the joiners of
    Persian and of emoji.

    >>> printable("red \x1b[31m, NUL \x00, bell \x07")
    'red \\x1b[31m, NUL \\x00, bell \\x07'
    """
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def reason_of(error: BaseException) -> str:
    """What an error of a library says, in one short line: its kind and the beginning of its text.

    Keras quotes whole configurations, over hundreds of lines.
    """
    said = " ".join(printable(str(error)).split())
    if len(said) > _LONGEST_REASON:
        said = f"{said[:_LONGEST_REASON].rstrip()} ..."
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
