"""Exit codes of programs, and their behavior if the output is closed."""

import os
import re
import subprocess
import sys

import pytest

from unrolled.console import terminal
from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION

PROJECT = CONFIGURATION.parent
# These tests run in `make test`, whose variables must not reach another make.
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("MAKE", "MFLAGS")) and key != "PYTHONUNBUFFERED"
}
LONG = """
import sys
from pathlib import Path
from unrolled.console.program import run

def main(arguments):
    for number in range(20_000):
        print("line", number)
    Path("done").touch()
    return 3

run(main, goes_on=%s)
"""


def ended(command, **options):
    """Returns exit code and standard error of a command whose output is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **options
    )
    os.close(writing)
    return done.returncode, done.stderr


def python(program, folder):
    """Returns a command that runs a program with only the standard library and this project."""
    path = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import os; os.chdir({str(folder)!r})"
    # Without site-packages only experiments/__init__.py finds the package.
    return [sys.executable, "-S", "-c", f"{path}; import experiments\n{program}"]


def test_a_printing_program_exits_with_0_if_its_output_is_closed(tmp_path):
    assert ended(python(LONG % False, tmp_path)) == (0, "")
    assert not (tmp_path / "done").exists()


def test_another_program_continues_and_exits_with_its_own_code(tmp_path):
    assert ended(python(LONG % True, tmp_path)) == (3, "")
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(("goes_on", "code"), [(False, 0), (True, 3)])
def test_the_console_handles_closed_output(goes_on, code, tmp_path):
    program = (LONG % goes_on).replace("print(", "say.print(").replace("20_000", "3")
    program = "from unrolled.console.terminal import say\n" + program
    command = python(program, tmp_path)
    command.remove("-S")
    assert ended(command) == (code, "")
    assert (tmp_path / "done").exists() == goes_on


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [("RefusedError('no')", 2, "no\n"), ("KeyboardInterrupt", 130, ""), ("SystemExit(7)", 7, "")],
)
def test_the_exit_code_does_not_depend_on_the_reader(raised, code, said, tmp_path):
    program = (
        "from unrolled.console.program import RefusedError, run\n"
        "def main(arguments):\n"
        "    sys.stdout.write('text')\n"  # Buffered until the end.
        f"    raise {raised}\n"
        "run(main)\n"
    )
    assert ended(python(program, tmp_path)) == (code, said)
    read = subprocess.run(
        python(program, tmp_path), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (read.returncode, read.stdout, read.stderr) == (code, "text", said)


@pytest.mark.parametrize("target", ["list", "help"])
def test_make_prints_no_error_if_its_output_is_closed(target):
    command = ["make", target, f"PYTHON={sys.executable}"]
    assert ended(command, cwd=PROJECT) == (0, "")


def test_every_program_of_the_makefile_uses_run():
    makefile = (PROJECT / "Makefile").read_text()
    recipes = re.findall(r"-m ((?:experiments|benchmarks|tests)[\w.]*)", makefile)
    assert len(set(recipes)) >= 7
    for name in recipes:
        path = name.replace(".", "/")
        path = f"{path}.py" if (PROJECT / f"{path}.py").exists() else f"{path}/__main__.py"
        last = (PROJECT / path).read_text().splitlines()[-1]
        assert last.strip().startswith("run("), path


def test_a_user_without_a_home_folder_gets_one(tmp_path):
    program = (
        "import pathlib, tempfile\n"
        "from unrolled.console.program import run\n"
        "os.environ.pop('HOME', None)\n"
        "import pwd\n"
        "pwd.getpwuid = lambda uid: {}[uid]\n"
        "run(lambda _: pathlib.Path.home() != pathlib.Path(tempfile.gettempdir()))\n"
    )
    done = subprocess.run(python(program, tmp_path), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_temporary_folder_is_reported_in_one_line(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(terminal.tempfile, "TemporaryFile", none)
    with pytest.raises(RefusedError, match="Set TMPDIR"), terminal.quiet_start():
        pass
