"""Write requirements.lock from requirements.txt: `make lock`.

requirements.txt names the direct dependencies; requirements.lock names every package with its
version and hashes, for all supported versions of Python. Runs on a plain Python, before anything is
installed.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from unrolled.console.program import FAILED, run

REQUIREMENTS = "requirements.txt"
LOCK = "requirements.lock"
_UV = "uv==0.13.9"
_OLDEST_PYTHON = "3.11"
_PIN = re.compile(r"([\w.-]+)==([^\s;]+)")


def main(_: list[str]) -> int:
    """Write the lock of the working directory; returns the exit code.

    Versions in the present lock stay where requirements.txt allows them.
    """
    with tempfile.TemporaryDirectory() as folder:
        tools = Path(folder) / "bin"
        for command in (
            [sys.executable, "-m", "venv", folder],
            [tools / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", _UV],
            [
                *(tools / "uv", "pip", "compile", "--quiet", REQUIREMENTS, "--output-file", LOCK),
                *("--universal", "--python-version", _OLDEST_PYTHON, "--generate-hashes"),
                *("--no-emit-index-url", "--no-emit-find-links"),
                *("--custom-compile-command", "make lock"),
            ],
        ):
            if subprocess.run(command).returncode != 0:
                return FAILED
    return 0


def differences(requirements: str, lock: str) -> list[str]:
    """Compare the direct dependencies of the two files.

    Args:
        requirements: the text of requirements.txt.
        lock: the text of requirements.lock, as uv writes it.

    Returns:
        One phrase for each package whose version differs or that only one file has; what is
        expected is that of requirements.txt.
    """
    wanted, locked = _pins(requirements), _directly_required(lock)
    return [
        f"{name}: expected {wanted.get(name, 'no entry')}, got {locked.get(name, 'no entry')}"
        for name in sorted(wanted.keys() | locked.keys())
        if wanted.get(name) != locked.get(name)
    ]


def _pins(text: str) -> dict[str, str]:
    """The version of each package that a line of the text pins."""
    found = (_PIN.match(line) for line in text.splitlines())
    return {_normalized(pin[1]): pin[2] for pin in found if pin}


def _directly_required(lock: str) -> dict[str, str]:
    """The pins of the lock below which uv names requirements.txt as the source."""
    pins, name, version = {}, "", ""
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            name, version = _normalized(pin[1]), pin[2]
        elif line.endswith(f"-r {REQUIREMENTS}"):
            pins[name] = version
    return pins


def _normalized(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    run(main)
