"""Where this project's files are."""

import re
from pathlib import Path

_SOURCES = Path(__file__).resolve().parent


def _project() -> Path:
    """The folder of the checkout; the working directory where the package was installed alone."""
    checkout = _SOURCES.parent
    return checkout if (checkout / "conf" / "config.yaml").exists() else Path.cwd()


PROJECT = _project()
CONFIGURATION = PROJECT / "conf"
PACKAGE = _SOURCES  # The folder that is imported as `unrolled`.


def text_of(path: Path) -> str:
    """Of a file, whatever bytes are in it: one that is unreadable must not hide the others."""
    return path.read_text(encoding="utf-8", errors="replace")


def says(choice: str) -> str:
    """What a file of conf says of itself in its first comment, as "task/imdb" does."""
    found = re.search(r"^# (?!@package)(.+)$", text_of(CONFIGURATION / f"{choice}.yaml"), re.M)
    return found[1] if found else "(the file does not say)"
