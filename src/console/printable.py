"""Makes text from users, files and models safe for the terminal."""

import re

# Control characters except line feed and tab, line and paragraph separators, bidirectional
# formatting characters, and lone surrogates, which no stream can encode.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MAX_REASON_LENGTH = 500


def printable(text: str) -> str:
    r"""Replaces every character that could control a terminal by its escape sequence.

    Line feeds and tabs are unchanged, as are characters that only affect how letters join, such as
    the joiners of Persian and of emoji.

    >>> printable("red \x1b[31m, NUL \x00, bell \x07")
    'red \\x1b[31m, NUL \\x00, bell \\x07'
    """
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def reason_of(error: BaseException) -> str:
    """Returns the type and the beginning of the message of an error, in one short line.

    Keras includes whole configurations in its messages, over hundreds of lines.
    """
    message = " ".join(printable(str(error)).split())
    if len(message) > _MAX_REASON_LENGTH:
        message = f"{message[:_MAX_REASON_LENGTH].rstrip()} ..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
