"""What the tests of the documentation read from README.md and docs/*.md."""

import re
from typing import NamedTuple

from docs.excerpts import EXCERPT, PROJECT, pages

PAGES = {page.relative_to(PROJECT).as_posix(): page for page in pages()}
_FENCE = re.compile(r"^(`{3,})(?P<info>[^\n]*)\n(?P<code>.*?)^\1\n", re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not run: [^>]* -->\n$")


class Block(NamedTuple):
    """A block of code on a page: its language, the name of the file it is, if any, and its text."""

    language: str
    file: str | None
    code: str
    runs: bool


def text_of(name: str) -> str:
    return PAGES[name].read_text(encoding="utf-8")


def blocks(name: str) -> list[Block]:
    """The blocks of code on a page, without the excerpts of source code."""
    text = EXCERPT.sub("", text_of(name))
    return [
        Block(
            found["info"].partition(" ")[0],
            (re.search(r'title="([^"]+)"', found["info"]) or [None, None])[1],
            found["code"],
            _NOT_RUN.search(text[: found.start()]) is None,
        )
        for found in _FENCE.finditer(text)
    ]


def prose(name: str) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", text_of(name))


def commands(name: str) -> list[str]:
    """The commands `make ...` on a page, in the text and in indented lines."""
    text = prose(name).replace("\\\n", " ")
    inline = re.findall(r"`(make [^`]*)`", re.sub(r"\s+", " ", text))
    indented = re.findall(r"^    (make .*)$", text, re.MULTILINE)
    return [*inline, *indented]
