"""The virtual environment that `make` makes, in folders that are moved, copied and oddly named."""

import os
import shutil
import subprocess
import sys

import pytest

from experiments import environment
from experiments.environment import Environment
from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION

PROJECT = CONFIGURATION.parent
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
    """A project with an environment as pip leaves it: with absolute paths."""
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "requirements.txt").write_text("--editable .\n")
    shutil.copy(PROJECT / "Makefile", folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    packages = packages_of(folder)
    # As setuptools writes it, but for how the package is found by the mapping.
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
    (folder / ".venv" / "ready").touch()
    return folder


def packages_of(folder):
    return next((folder / ".venv").glob("lib/python*/site-packages"))


def script(folder, name):
    return folder / ".venv" / "bin" / name


def said_by(*command):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs_its_own_code(folder):
    own = f"{folder}/src/__init__.py\n"
    programs = [[script(folder, "direct")], [script(folder, "long")]]
    programs.append([script(folder, "python"), "-c", SCRIPT])
    return all(said_by(*program) == own for program in programs)


def test_a_moved_environment_runs_the_code_of_its_own_folder(project, tmp_path):
    Environment(project).settle()
    assert runs_its_own_code(project)
    moved = project.rename(tmp_path / ODD)
    shutil.copytree(moved, project, symlinks=True)  # Another clone stands at the old path.
    assert runs_its_own_code(moved)
    assert said_by(script(moved, "other")) == "other\n"


def test_an_environment_of_an_earlier_version_is_set_right_after_a_move(project, tmp_path):
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
    assert set_up in said_by(*dry, project)
    Environment(project).settle()
    os.utime(project / "requirements.txt", (0, 0))
    assert set_up not in said_by(*dry, project)
    moved = project.rename(tmp_path / ODD)
    assert set_up in said_by(*dry, moved)
    Environment(moved).settle()
    assert set_up not in said_by(*dry, moved)


def test_it_is_installed_again_only_for_other_requirements(project):
    kept = project / ".venv" / "requirements.txt"
    shutil.copy(project / "requirements.txt", kept)
    os.utime(project / "requirements.txt")  # As in a copy, whose files are all new.
    assert Environment(project).is_installed()
    kept.write_text("another==1.0\n")
    assert not Environment(project).is_installed()


@pytest.mark.parametrize("missing", ["ready", "bin/python"])
def test_one_that_is_not_complete_is_not_installed(missing, project):
    (project / ".venv" / missing).unlink()
    (project / ".venv" / "bin" / "python").unlink(missing_ok=True)
    (project / ".venv" / "bin" / "python").symlink_to("/no/such/python")
    assert not Environment(project).is_installed()


@pytest.mark.parametrize("name", ["50%", "a:b", "what?", "${now}", "two\nlines"])
def test_a_name_that_cannot_work_is_refused_before_anything_is_installed(
    name, tmp_path, monkeypatch
):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(RefusedError, match="Rename the folder"):
        environment.main([])
    assert not list((tmp_path / name).iterdir())


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".venv").touch()  # No folder can be made here, whoever runs the test.
    with pytest.raises(RefusedError, match=r"\.venv: cannot be written to \(File exists\)"):
        environment.main([])


def test_another_python_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment.sys, "version_info", (3, 13, 1))
    with pytest.raises(RefusedError, match=r"Expected Python 3\.11"):
        environment.main([])
