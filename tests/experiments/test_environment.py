"""The virtual environment that `make` sets up, in folders that are moved, copied or oddly named."""

import os
import shutil
import subprocess
import sys

import pytest

from experiments import environment
from experiments.environment import Environment
from experiments.lock import differences
from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION

PROJECT = CONFIGURATION.parent
PIN = "numpy==2.0.0"
LOCK = f"{PIN} \\\n    --hash=sha256:0\n    # via\n    #   -r requirements.txt\n    #   keras\n"
ODD = 'It\'s "my" Course (2) #1, é $HOME back\\slash'
SCRIPT = "import unrolled; print(unrolled.__file__)\n"
FINDER = """from __future__ import annotations
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

MAPPING: dict[str, str] = {{'unrolled': '{}/src'}}

spec = spec_from_file_location("unrolled", MAPPING["unrolled"] + "/__init__.py")
sys.modules["unrolled"] = module_from_spec(spec)
"""


@pytest.fixture
def project(tmp_path):
    """A project with an environment as pip writes it, with absolute paths."""
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "requirements.txt").write_text(f"# Comment.\n{PIN}  # Another.\n")
    (folder / "requirements.lock").write_text(LOCK)
    shutil.copy(PROJECT / "Makefile", folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    packages = packages_of(folder)
    # As setuptools writes it, except for how the package is found through the mapping.
    finder = "__editable___unrolled_0_1_0_finder"
    (packages / f"{finder}.py").write_text(FINDER.format(folder))
    (packages / "__editable__.unrolled-0.1.0.pth").write_text(f"import {finder}\n")
    information = packages / "unrolled-0.1.0.dist-info"
    information.mkdir()
    (information / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "old"}')
    python = folder / ".venv" / "bin" / "python"
    script(folder, "direct").write_text(f"#!{python}\n{SCRIPT}")
    script(folder, "long").write_text(
        f"""#!/bin/sh\n'''exec' "{python}" "$0" "$@"\n' '''\n{SCRIPT}"""
    )
    script(folder, "other").write_text("#!/bin/sh\necho other\n")
    for name in ("direct", "long", "other"):
        script(folder, name).chmod(0o755)
    (folder / ".venv" / "requirements.lock").write_text(LOCK)
    (folder / ".venv" / "ready").touch()
    return folder


def packages_of(folder):
    return next((folder / ".venv").glob("lib/python*/site-packages"))


def script(folder, name):
    return folder / ".venv" / "bin" / name


def finished(*command):
    """The finished process of a command, to which a `make test` around it passes no variable."""
    given = ("MAKE", "MFLAGS", "PYTHON")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(given)}
    return subprocess.run(command, env=outside, capture_output=True, text=True)


def output_of(*command):
    done = finished(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs_its_own_code(folder):
    own = f"{folder}/src/__init__.py\n"
    programs = [[script(folder, "direct")], [script(folder, "long")]]
    programs.append([script(folder, "python"), "-c", SCRIPT])
    return all(output_of(*program) == own for program in programs)


def test_a_moved_environment_runs_the_code_of_its_own_folder(project, tmp_path):
    Environment(project).settle()
    assert runs_its_own_code(project)
    moved = project.rename(tmp_path / ODD)
    shutil.copytree(moved, project, symlinks=True)  # Another clone stands at the old path.
    assert runs_its_own_code(moved)
    assert output_of(script(moved, "other")) == "other\n"


def test_an_environment_with_absolute_paths_is_corrected_after_a_move(project, tmp_path):
    moved = project.rename(tmp_path / "moved")
    shutil.copytree(moved, project, symlinks=True)
    assert Environment(moved).is_installed()
    Environment(moved).settle()
    assert runs_its_own_code(moved)
    assert f"{moved}/.venv" in script(moved, "activate").read_text()
    information = packages_of(moved) / "unrolled-0.1.0.dist-info" / "direct_url.json"
    assert moved.as_uri() in information.read_text()


def test_a_copy_of_links_leaves_the_original_alone(project, tmp_path):
    texts = [path for path in (project / ".venv").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in texts}
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True, copy_function=os.link)
    for name in ("activate", "activate.csh", "activate.fish", "Activate.ps1"):
        script(copy, name).unlink()  # Python's own venv writes into these.
    (copy / ".venv" / "pyvenv.cfg").unlink()
    Environment(copy).settle()
    assert runs_its_own_code(copy)
    assert {path: path.read_bytes() for path in texts} == before


def test_make_notices_another_folder(project, tmp_path):
    dry = ["make", "--dry-run", "setup", "-C"]
    set_up = "-m experiments.environment"
    assert set_up in output_of(*dry, project)
    Environment(project).settle()
    for name in ("requirements.txt", "requirements.lock"):
        os.utime(project / name, (0, 0))
    assert set_up not in output_of(*dry, project)
    moved = project.rename(tmp_path / ODD)
    assert set_up in output_of(*dry, moved)
    Environment(moved).settle()
    assert set_up not in output_of(*dry, moved)


def test_it_is_installed_again_only_for_another_lock(project):
    os.utime(project / "requirements.lock")  # As in a copy, whose files are all new.
    assert Environment(project).is_installed()
    with (project / "requirements.lock").open("a") as lock:
        lock.write("six==1.17.0\n    # via tensorflow\n")
    assert not Environment(project).is_installed()


def test_a_lock_that_does_not_match_the_requirements_is_rejected(project):
    (project / "requirements.txt").write_text("numpy==2.1.0\nhydra_core==1.3.8\n")
    with pytest.raises(RefusedError) as rejected:
        Environment(project).is_installed()
    assert "hydra-core: expected 1.3.8, got no entry" in str(rejected.value)
    assert "numpy: expected 2.1.0, got 2.0.0. Run make lock" in str(rejected.value)


def test_the_lock_of_this_project_matches_its_requirements():
    requirements, lock = (
        (PROJECT / name).read_text() for name in ("requirements.txt", "requirements.lock")
    )
    assert differences(requirements, lock) == []
    assert "://" not in lock  # the address of a package index
    one_less = requirements.replace("scipy==", "# scipy==")
    assert len(differences(one_less, lock)) == 1


@pytest.fixture
def other_python(monkeypatch):
    """What an environment of another Python's version is compared with: "3.99"."""
    monkeypatch.setattr(environment, "_THIS_PYTHON", "3.99")


@pytest.mark.parametrize(("arguments", "installs"), [([], False), (["--exact"], True)])
@pytest.mark.usefixtures("other_python")
def test_another_python_replaces_it_only_if_named(arguments, installs, project, monkeypatch):
    installed = []
    monkeypatch.setattr(Environment, "install", lambda self: installed.append(self) or 1)
    monkeypatch.chdir(project)
    assert environment.main(arguments) == installs
    assert len(installed) == installs
    assert (project / ".venv" / "bin").exists() != installs


def test_the_same_python_leaves_it_alone(project, monkeypatch):
    monkeypatch.chdir(project)
    assert environment.main(["--exact"]) == 0
    before = script(project, "activate").stat().st_mtime_ns
    assert environment.main(["--exact"]) == 0
    assert script(project, "activate").stat().st_mtime_ns == before


@pytest.mark.parametrize("missing", ["ready", "bin/python"])
def test_an_incomplete_environment_is_not_installed(missing, project):
    (project / ".venv" / missing).unlink()
    (project / ".venv" / "bin" / "python").unlink(missing_ok=True)
    (project / ".venv" / "bin" / "python").symlink_to("/no/such/python")
    assert not Environment(project).is_installed()


@pytest.mark.parametrize("name", ["50%", "a:b", "what?", "${now}", "two\nlines"])
def test_an_unusable_folder_name_is_rejected_before_anything_is_installed(
    name, tmp_path, monkeypatch
):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(RefusedError, match="Rename the folder"):
        environment.main([])
    assert not list((tmp_path / name).iterdir())


def test_a_folder_that_cannot_be_written_to_is_rejected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".venv").touch()  # No folder can be made here, whoever runs the test.
    with pytest.raises(RefusedError, match=r"\.venv: cannot be written to \(File exists\)"):
        environment.main([])


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that puts a command into a folder that is first on PATH."""
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name, content):
        (folder / name).write_text(f"#!/bin/sh\n{content}\n")
        (folder / name).chmod(0o755)

    return put


def test_make_takes_the_newest_python_that_works(commands):
    for version in ("3.13", "3.12", "3.11"):
        commands(f"python{version}", "echo not active >&2; exit 127")
    bare = PROJECT / "tests"  # A folder without .venv.
    setup = ["make", "--dry-run", "--file", PROJECT / "Makefile", "setup", "-C", bare]
    for name in ("requirements.txt", "requirements.lock"):
        setup += ["--assume-old", name]
    commands("python3.12", f'exec "{sys.executable}" "$@"')
    assert "\n'python3.12' -m experiments.environment \n" in output_of(*setup)
    assert "-m experiments.environment --exact" in output_of(*setup, "PYTHON=python3.12")


@pytest.mark.parametrize("named", [[], ["PYTHON=/no/such/python"], ["PYTHON=/bin/false"]])
def test_make_says_which_python_it_needs(named, commands):
    for version in ("3.13", "3.12", "3.11"):
        commands(f"python{version}", "exit 127")
    bare = PROJECT / "tests"  # A folder without .venv.
    done = finished("make", "--file", PROJECT / "Makefile", "-C", bare, "list", *named)
    assert done.returncode == 2
    assert "Expected a command that runs Python 3.11, 3.12 or 3.13" in done.stderr
    assert (named[0].removeprefix("PYTHON=") if named else "none on PATH") in done.stderr
