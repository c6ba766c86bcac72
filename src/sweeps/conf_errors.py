"""Errors of Hydra, OmegaConf and YAML, each as one paragraph about the files of conf/."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml.error import MarkedYAMLError
from yaml.reader import Reader, ReaderError

from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the others are often about the library."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(error: BaseException) -> str:
    """The message of an error of Hydra and of its cause, which Hydra leaves out, in one line."""
    causes = [error, *([error.__cause__] if error.__cause__ else [])]
    said = " ".join(str(each) for each in causes)
    # The rest says where in the library the error was found.
    return " ".join(re.sub(r"(?s)\n\s*(full_key:|Config search path:).*", "", said).split())


@contextmanager
def refusing_unreadable() -> Iterator[None]:
    """Raise RefusedError in place of the errors of Hydra, OmegaConf and YAML.

    Raises:
        RefusedError: with one paragraph that names the file, where that is known.
    """
    try:
        yield
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}" if mark else "conf"
        where = where.removeprefix(f"{CONFIGURATION.parent}/")
        raise RefusedError(
            f"{where}: expected YAML, got a syntax error: {error.problem}. Indent with "
            "spaces, not tabs, close brackets and quotes, and put a space behind each colon."
        ) from error
    except (UnicodeDecodeError, ReaderError) as error:
        raise RefusedError(
            f"{_unreadable()}: expected a text file in UTF-8 without control characters, "
            f"got invalid bytes ({first_line(error)}). Save it as UTF-8."
        ) from error
    except RecursionError as error:
        raise RefusedError("conf: expected YAML without a value that contains itself.") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise RefusedError(one_line(error)) from error


def _unreadable() -> Path:
    """The first file of conf/ that is not a text in UTF-8, or conf/ itself."""
    for path in sorted(CONFIGURATION.rglob("*.yaml")):
        try:
            if Reader.NON_PRINTABLE.search(path.read_text(encoding="utf-8")):
                break
        except UnicodeDecodeError:
            break
    else:
        path = CONFIGURATION
    return path.relative_to(CONFIGURATION.parent)
