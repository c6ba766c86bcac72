"""An extension of Griffe that turns the docstrings of this project into Markdown."""

import re

import griffe

_EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
_STEP = re.compile(r"<([tT\d][^<>\s]{0,5})>")


class Docstrings(griffe.Extension):
    """Makes blocks of code of examples, and `a⟨t⟩` of `a<t>`.

    Markdown would read `>>>` as a quotation, and `<t>` as a tag of HTML.
    """

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        """Changes the docstring of an object that was read from the source code."""
        if obj.docstring:
            text = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
            obj.docstring.value = _STEP.sub(r"⟨\1⟩", text)
