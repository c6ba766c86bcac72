"""Write the pages of the documentation site to build/docs: `python -m docs.prepare_site`.

Pages link to files of the project, such as ../src/layers/gru.py, as is right on a code host. A site
holds its own pages only. So README.md becomes the home page, each file that a page links to becomes
a page with line numbers, and the link leads to the line of the symbol that its text names. What
this writes is plain Markdown, which any generator can build.
"""

import ast
import posixpath
import re
import shutil
import sys
from pathlib import Path

from docs.excerpts import EXCERPT, PROJECT, lines_of

BUILD = PROJECT / "build" / "docs"
PAGES = BUILD / "pages"
LINK = re.compile(r"\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
_SYMBOL = re.compile(r"`([A-Za-z_][\w.]*)`")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
_FENCE = "`" * 8


def main() -> int:
    """Write all pages, and a folder in which mkdocstrings finds the package."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(PROJECT / "docs", PAGES, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (PAGES / "index.md").write_text((PROJECT / "README.md").read_text("utf-8"), "utf-8")
    linked = set()
    for page in sorted(PAGES.rglob("*.md")):
        name = page.relative_to(PAGES).as_posix()
        # Links of README.md start in the project's folder, those of the others below docs/.
        folder = "" if name == "index.md" else posixpath.dirname(f"docs/{name}")
        page.write_text(_for_site(page.read_text("utf-8"), folder, name, linked), "utf-8")
    for path in sorted(linked):
        _write_source(path)
    (BUILD / "package").mkdir()
    (BUILD / "package" / "unrolled").symlink_to(PROJECT / "src", target_is_directory=True)
    return 0


def _for_site(markdown: str, folder: str, name: str, linked: set[str]) -> str:
    """A page with links to other pages of the site; adds the files it links to, to `linked`."""

    def moved(link: re.Match) -> str:
        text, target, anchor = link["text"], link["target"], link["anchor"] or ""
        if ":" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        here = posixpath.dirname(name) or "."
        if path == "README.md" or path.startswith("docs/"):
            page = "index.md" if path == "README.md" else path.removeprefix("docs/")
            return f"[{text}]({posixpath.relpath(page, here)}{anchor})"
        linked.add(path)
        # In HTML: MkDocs looks for the anchors of Markdown links among headings alone.
        page = posixpath.relpath(f"source/{path}.html", here)
        return f'<a href="{page}{_line_of(path, text)}">{text}</a>'

    def numbered(found: re.Match) -> str:
        first, last = lines_of(found["path"], found["symbol"])
        title = f"{found['path']}, lines {first} to {last}"
        return f'```python title="{title}" linenums="{first}"\n{found["code"]}```\n'

    return EXCERPT.sub(numbered, LINK.sub(moved, markdown))


def _line_of(path: str, text: str) -> str:
    symbol = _SYMBOL.fullmatch(text)
    if symbol is None or not path.endswith(".py"):
        return ""
    return f"#__codelineno-0-{lines_of(path, symbol[1])[0]}"


def _write_source(path: str) -> None:
    file = PROJECT / path
    if file.is_dir():
        content = "\n".join(
            _entry(each) for each in sorted(file.iterdir()) if each.name[0] not in "_."
        )
    else:
        language = _LANGUAGES.get(file.suffix, "text")
        content = f'{_FENCE}{language} linenums="1"\n{file.read_text("utf-8")}\n{_FENCE}'
    page = PAGES / "source" / f"{path}.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    head = "---\nsearch:\n  exclude: true\nhide: [toc]\n---\n"
    page.write_text(f"{head}\n# `{path}`\n\n{content}\n", "utf-8")


def _entry(file: Path) -> str:
    """A file of a folder, with the first line of its docstring."""
    if file.suffix != ".py":
        return f"- `{file.name}`"
    about = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n")[0]
    return f"- `{file.name}`: {about.replace('<', '&lt;')}"


if __name__ == "__main__":
    sys.exit(main())
