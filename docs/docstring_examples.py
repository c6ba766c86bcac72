"""An extension of Griffe: examples (`>>> ...`) in docstrings become blocks of code."""

import re

import griffe

_EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)


class DocstringExamples(griffe.Extension):
    """Without it, Markdown reads `>>>` as a quotation."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        """Changes the docstring of an object that was read from the source code."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(
                lambda found: f"```pycon\n{found[0].rstrip()}\n```", obj.docstring.value
            )
