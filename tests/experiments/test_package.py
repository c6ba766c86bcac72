"""What pyproject.toml says of the package, against the sources and requirements.txt."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from unrolled.project import CONFIGURATION

PROJECT = CONFIGURATION.parent
SOURCES = PROJECT / "src"
LIBRARY = ("layers", "models", "diagnostics")
UNIMPORTED = {"hydra-joblib-launcher", "hydra-submitit-launcher", "importlib-resources"}
"""Plugins, and what another package fails to require."""
SHARED = {"google": "protobuf", "mlflow": "mlflow"}
"""The one that is meant of the distributions that install into a package."""
OPTIONAL = {"ray"}
"""Packages that an extra has and requirements.txt has not."""
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def requirements_of(lines):
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


NEEDED = requirements_of(DECLARED["project"]["dependencies"])
EXTRAS = DECLARED["project"]["optional-dependencies"]
EXTRA = requirements_of([*EXTRAS["experiments"], *EXTRAS["slurm"]])


def distributions_imported_by(folder):
    """The names of the distributions whose packages the modules of a folder import."""
    owners = packages_distributions()
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module]
            else:
                continue
            for module in modules:
                found |= owners_of(module, owners)
    return {canonicalize_name(name) for name in found}


def owners_of(module, owners):
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in {"unrolled", *OPTIONAL}:
        return set()
    return {SHARED[top]} if top in SHARED else set(owners[top])


def test_the_library_declares_what_it_imports():
    imported = set().union(*(distributions_imported_by(SOURCES / room) for room in LIBRARY))
    assert imported == NEEDED.keys()


def test_the_extra_declares_what_the_other_rooms_import():
    imported = distributions_imported_by(SOURCES)
    assert imported == (NEEDED | EXTRA).keys() - UNIMPORTED


def test_the_pinned_versions_are_in_the_declared_ranges():
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    pinned = requirements_of(line.partition("#")[0] for line in lines if line.partition("#")[0])
    for name, requirement in (NEEDED | EXTRA).items():
        version = next(iter(pinned[name].specifier)).version
        assert version in requirement.specifier, name


def test_every_folder_of_the_sources_is_a_declared_package():
    folders = {path.parent.relative_to(SOURCES) for path in SOURCES.rglob("*.py")}
    packages = {".".join(["unrolled", *folder.parts]) for folder in folders}
    assert packages == set(DECLARED["tool"]["setuptools"]["packages"])
    assert all((SOURCES / folder / "__init__.py").exists() for folder in folders)


def test_one_set_of_python_versions_everywhere():
    project = DECLARED["project"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    makefile = (PROJECT / "Makefile").read_text()
    assert re.search(r"^PYTHONS := (.*)$", makefile, re.M)[1].split() == versions[::-1]
    workflow = (PROJECT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.search(r"python: \[(.*)\]", workflow)[1].replace('"', "").split(", ") == versions
    assert project["requires-python"] == f">={versions[0]}"


def test_one_version_everywhere():
    version = DECLARED["project"]["version"]
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (version, DECLARED["project"]["license"])
    assert (
        f"\n## {version} - {citation['date-released']}\n" in (PROJECT / "CHANGELOG.md").read_text()
    )


def test_installed_without_a_checkout_it_writes_to_the_working_directory(tmp_path):
    # The sources as a wheel installs them: without conf/ beside them.
    packages, work = tmp_path / "site-packages", tmp_path / "work"
    shutil.copytree(SOURCES, packages / "unrolled", ignore=shutil.ignore_patterns("__pycache__"))
    work.mkdir()
    program = "from unrolled import project; print(project.__file__); print(project.PROJECT)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{packages}/unrolled/project.py\n{work}\n", done.stderr
