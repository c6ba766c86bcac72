"""The excerpts of source code in README.md and docs/*.md: `python -m docs.excerpts` updates them.

A page quotes a class or a function as a comment that names it, followed by a block of code:

    <!-- excerpt: src/layers/gru.py GRUCell.equations -->
    ```python
    ...
    ```

The block is a copy, so that the page can be read anywhere; tests/docs fails when it is out of date.
"""

import ast
import re
import sys
import textwrap
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
EXCERPT = re.compile(
    r"(?P<comment><!-- excerpt: (?P<path>\S+) (?P<symbol>\S+) -->)\n"
    r"```python\n(?P<code>.*?)```\n",
    re.DOTALL,
)


def pages() -> list[Path]:
    """README.md and the pages under docs/."""
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]


def lines_of(path: str, symbol: str) -> tuple[int, int]:
    """First and last line of a class, a function, a method or a constant.

    Args:
        path: of a Python file, relative to the project.
        symbol: its name there, such as `Cell` or `Cell.call`.

    Raises:
        LookupError: if the file defines no such symbol.
    """
    node = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
    for name in symbol.split("."):
        node = next((each for each in ast.iter_child_nodes(node) if _defines(each, name)), None)
        if node is None:
            raise LookupError(f"{path} defines no {symbol}.")
    return node.lineno, node.end_lineno


def _defines(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name == name
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return any(isinstance(each, ast.Name) and each.id == name for each in targets)


def code_of(path: str, symbol: str) -> str:
    """The source code of a symbol, without the indentation of its class."""
    first, last = lines_of(path, symbol)
    lines = (PROJECT / path).read_text(encoding="utf-8").splitlines(keepends=True)
    return textwrap.dedent("".join(lines[first - 1 : last]))


def updated(markdown: str) -> str:
    """A page with all of its excerpts as the source code has them now."""
    return EXCERPT.sub(
        lambda found: (
            f"{found['comment']}\n```python\n{code_of(found['path'], found['symbol'])}```\n"
        ),
        markdown,
    )


def main() -> int:
    """Update all pages, and print which of them changed."""
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = updated(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"{page.relative_to(PROJECT)}: updated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
