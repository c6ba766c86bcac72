"""Makes .venv, in which everything here runs, and adapts it to another folder: `make setup`.

A virtual environment names its folder in the scripts that it installs and where this project's code
is. Moved or copied, it runs the code of whatever stands in the old folder, or none. Here both are
relative instead. Runs on Python 3.11, before anything is installed.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.console.program import FAILED, run
from unrolled.console.refusals import RefusedError
from unrolled.system.atomic import write_atomically

_REQUIREMENTS = "requirements.txt"
_UNUSABLE = {
    ":": "Python makes no virtual environment in such a folder",
    "%": "MLflow cannot read its own files in such a folder",
    "?": "the address of a SQLite database ends there",
    "${": "Hydra takes it for the name of a value",
    "\n": "make takes it for the end of a name",
}
"""What a folder's name may not have in it, and why."""


def main(_: list[str]) -> int:
    """Set up the folder that this process runs in, as far as it is not; returns the exit code."""
    project = Path.cwd()
    _check(project)
    environment = Environment(project)
    with environment.alone():
        if not environment.is_installed():
            print(f"Setting up .venv from {_REQUIREMENTS} (about a minute and a half) ...")
            sys.stdout.flush()
            if code := environment.install():
                return code
        environment.settle()
    return 0


def _check(project: Path) -> None:
    """Whether this Python, and this folder, can be used.

    Raises:
        RefusedError: if they cannot.
    """
    if sys.version_info[:2] != (3, 11):
        raise RefusedError(
            f"Expected Python 3.11, got {sys.version.split()[0]} ({sys.executable}). Install "
            "Python 3.11, or name it: make PYTHON=<path> ..."
        )
    for sign, why in _UNUSABLE.items():
        if sign in str(project):
            raise RefusedError(
                f"The project's folder is {str(project)!r}; expected a path without {sign!r}, as "
                f"{why}. Rename the folder, then run make again."
            )
    try:
        (project / ".venv").mkdir(exist_ok=True)
        (project / ".venv" / "lock").touch()
    except OSError as error:
        raise RefusedError(
            f"{project / '.venv'}: cannot be written to ({error.strerror}). Expected a project "
            "folder that this user may write to; copy the project to one and run make there."
        ) from error


class Environment:
    """The virtual environment of a project's folder.

    Args:
        project: the folder.
    """

    def __init__(self, project: Path):
        self._project = project
        self._folder = project / ".venv"
        self._python = self._folder / "bin" / "python"
        self._ready = self._folder / "ready"
        self._wanted = project / _REQUIREMENTS
        self._got = self._folder / _REQUIREMENTS

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A context that one process at a time is in."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def is_installed(self) -> bool:
        """Whether it runs here and has everything that requirements.txt asks for."""
        if not self._ready.exists() or not self._runs():
            return False
        if self._got.exists():
            return self._got.read_bytes() == self._wanted.read_bytes()
        # Earlier versions of this project went by the times of the files alone.
        return self._ready.stat().st_mtime >= self._wanted.stat().st_mtime

    def _runs(self) -> bool:
        try:
            return subprocess.run([self._python, "-c", ""], capture_output=True).returncode == 0
        except OSError:  # Its interpreter is not on this machine.
            return False

    def install(self) -> int:
        """Install what requirements.txt names; returns the exit code of what failed, or 0."""
        self._ready.unlink(missing_ok=True)
        if not self._runs():
            self._clear()
        pip = [self._python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        for command in (
            [sys.executable, "-m", "venv", self._folder],
            [*pip, "--requirement", self._wanted],
        ):
            if subprocess.run(command, cwd=self._project).returncode != 0:
                print(".venv is not complete; once that is solved: make setup", file=sys.stderr)
                return FAILED
        shutil.copyfile(self._wanted, self._got)
        return 0

    def _clear(self) -> None:
        for each in self._folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            elif each.name != "lock":  # which this process holds
                each.unlink()

    def settle(self) -> None:
        """Let everything in it refer to this folder, and say so in .venv/ready.

        Raises:
            RefusedError: if the project is not installed in it.
        """
        # Again, for the scripts that activate it. They have no form without the folder's name.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self._folder], check=True)
        self._lead_to_sources()
        for script in (self._folder / "bin").iterdir():
            if script.is_file() and not script.is_symlink():
                _make_relative(script)
        write_atomically(self._ready, os.fsencode(self._project) + b"\n")

    def _lead_to_sources(self) -> None:
        packages = next(self._folder.glob("lib/python*/site-packages"))
        finders = list(packages.glob("__editable___unrolled_*_finder.py"))
        if not any(_MAPPING.search(finder.read_text()) for finder in finders):
            raise RefusedError(
                f"{packages}: expected this project in it, and found none. Delete .venv, then run "
                "make setup."
            )
        sources = os.path.relpath(self._project / "src", packages)
        mapping = f"MAPPING = {{'unrolled': str((Path(__file__).parent / {sources!r}).resolve())}}"
        for finder in finders:
            write_atomically(finder, _MAPPING.sub(lambda _: mapping, finder.read_text()).encode())
        for path in packages.glob("unrolled-*.dist-info/direct_url.json"):
            said = json.loads(path.read_text()) | {"url": self._project.as_uri()}
            write_atomically(path, json.dumps(said).encode())


_MAPPING = re.compile(r"^MAPPING\b.*=.*'unrolled'.*$", re.MULTILINE)
"""The line with which setuptools says where the package is."""
_THROUGH_SHELL = rb"""/bin/sh\n'''exec' [^\n]*python[^\n]* "\$0" "\$@"\n' '''"""
_INTERPRETER = re.compile(rb"#!(?:%s|[^\n]*/python[\d.]*)\n" % _THROUGH_SHELL)
_RELATIVE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python" "$0" "$@"
' '''
"""
"""To a shell a command; to Python, which reads the file then, a text that does nothing."""


def _make_relative(script: Path) -> None:
    """Let a Python script run by the interpreter beside it, wherever that is."""
    content = script.read_bytes()
    if (found := _INTERPRETER.match(content)) and found[0] != _RELATIVE:
        write_atomically(script, _RELATIVE + content[found.end() :])


if __name__ == "__main__":
    run(main, goes_on=True)
