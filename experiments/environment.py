"""Set up .venv, the virtual environment in which everything here runs: `make setup`.

A virtual environment names its folder in the scripts that it installs and in the path to this
project's code. Once moved or copied, it would run the code of whatever is in the old folder. Here
both are relative instead. Runs on a plain Python, before anything is installed.
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

from experiments.lock import LOCK, REQUIREMENTS, differences
from unrolled.console.program import FAILED, run
from unrolled.console.refusals import RefusedError
from unrolled.system.atomic import write_atomically

_UNUSABLE = {
    ":": "Python makes no virtual environment in such a folder",
    "%": "MLflow cannot read its own files in such a folder",
    "?": "the address of a SQLite database ends there",
    "${": "Hydra takes it for the name of a value",
    "\n": "make takes it for the end of a name",
}
"""What a folder's name must not contain, and why."""
_THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def main(arguments: list[str]) -> int:
    """Set up .venv in the working directory where it is missing, outdated or moved.

    Args:
        arguments: `--exact` if the user named this Python: a .venv of another minor version is
            then made again. Otherwise a .venv that runs keeps its Python.

    Returns:
        The exit code.
    """
    project = Path.cwd()
    _check(project)
    environment = Environment(project)
    with environment.locked():
        if arguments == ["--exact"] and environment.python_version() != _THIS_PYTHON:
            environment.remove()
        if not environment.is_installed():
            version = environment.python_version() or _THIS_PYTHON
            print(f"Setting up .venv: Python {version}, {LOCK} (about a minute and a half) ...")
            sys.stdout.flush()
            if code := environment.install():
                return code
        environment.settle()
    return 0


def _check(project: Path) -> None:
    """Check that an environment can be set up in a folder.

    Raises:
        RefusedError: if it cannot.
    """
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
        self._lock = project / LOCK
        self._installed_lock = self._folder / LOCK

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Return a context that one process at a time can enter."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def python_version(self) -> str | None:
        """Return the version of its Python, such as "3.11"; None if that does not run."""
        version = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run([self._python, "-c", version], capture_output=True, text=True)
        except OSError:  # Its interpreter is not on this machine.
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def is_installed(self) -> bool:
        """Return whether it runs and has every package of the lock.

        Raises:
            RefusedError: if the lock does not match requirements.txt.
        """
        requirements = (self._project / REQUIREMENTS).read_text()
        if different := differences(requirements, self._lock.read_text()):
            raise RefusedError(
                f"{LOCK} does not match {REQUIREMENTS}: {'; '.join(different)}. Run make lock, "
                "which writes it again."
            )
        return (
            self._ready.exists()
            and self._installed_lock.exists()
            and self._installed_lock.read_bytes() == self._lock.read_bytes()
            and self.python_version() is not None
        )

    def install(self) -> int:
        """Install the packages of the lock, then this project.

        Returns:
            The exit code of the command that failed, or 0.
        """
        self._ready.unlink(missing_ok=True)
        commands = []
        if self.python_version() is None:
            self.remove()
            commands.append([sys.executable, "-m", "venv", self._folder])
        pip = [self._python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        commands += [
            [*pip, "--requirement", self._lock],
            # By the setuptools that the lock names: `settle` edits what it writes.
            [*pip, "--no-deps", "--no-build-isolation", "--editable", self._project],
        ]
        for command in commands:
            if subprocess.run(command, cwd=self._project).returncode != 0:
                print(".venv is incomplete; once that is solved: make setup", file=sys.stderr)
                return FAILED
        shutil.copyfile(self._lock, self._installed_lock)
        return 0

    def remove(self) -> None:
        """Remove all of its files but the lock that this process holds."""
        for each in self._folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            elif each.name != "lock":
                each.unlink()

    def settle(self) -> None:
        """Make everything in it refer to this folder, and write the folder to .venv/ready.

        Raises:
            RefusedError: if the project is not installed in it.
        """
        folder = os.fsencode(self._project) + b"\n"
        if self._ready.exists() and self._ready.read_bytes() == folder:
            self._ready.touch()  # make compares its time with those of the requirements.
            return
        # Its own Python writes the scripts that activate it, which need the folder's name.
        subprocess.run([self._python, "-m", "venv", "--without-pip", self._folder], check=True)
        self._point_to_sources()
        for script in (self._folder / "bin").iterdir():
            if script.is_file() and not script.is_symlink():
                _make_relative(script)
        write_atomically(self._ready, folder)

    def _point_to_sources(self) -> None:
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
            origin = json.loads(path.read_text()) | {"url": self._project.as_uri()}
            write_atomically(path, json.dumps(origin).encode())


_MAPPING = re.compile(r"^MAPPING\b.*=.*'unrolled'.*$", re.MULTILINE)
"""The line in which setuptools says where the package is."""
_THROUGH_SHELL = rb"""/bin/sh\n'''exec' [^\n]*python[^\n]* "\$0" "\$@"\n' '''"""
_INTERPRETER = re.compile(rb"#!(?:%s|[^\n]*/python[\d.]*)\n" % _THROUGH_SHELL)
_RELATIVE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python" "$0" "$@"
' '''
"""
"""A command to a shell; a string that does nothing to Python, which reads the file next."""


def _make_relative(script: Path) -> None:
    """Make a Python script run by the interpreter beside it."""
    content = script.read_bytes()
    if (found := _INTERPRETER.match(content)) and found[0] != _RELATIVE:
        write_atomically(script, _RELATIVE + content[found.end() :])


if __name__ == "__main__":
    run(main, goes_on=True)
