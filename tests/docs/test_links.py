"""Links, names and commands in the documentation lead to what exists."""

import os
import re
import shlex
import unicodedata

import pytest
import yaml

from docs import excerpts
from docs.excerpts import PROJECT, lines_of
from docs.prepare_site import LINK
from tests.docs.pages import PAGES, commands, prose, text_of

EACH_PAGE = pytest.mark.parametrize("name", PAGES)
CONF = PROJECT / "conf"


def anchors(name):
    """The anchors of a page's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE):
        text = unicodedata.normalize("NFC", re.sub(r"[`*]", "", heading)).strip().lower()
        yield re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@EACH_PAGE
def test_links_lead_to_files_and_headings(name):
    folder = PAGES[name].parent
    wrong = []
    for link in LINK.finditer(prose(name)):
        if ":" in link["target"]:
            continue
        target = (folder / link["target"]).resolve()
        path = target.relative_to(PROJECT).as_posix()
        if not target.exists():
            wrong.append(link["target"])
        elif link["anchor"] and link["anchor"][1:] not in anchors(path):
            wrong.append(link["target"] + link["anchor"])
    for anchor in re.findall(r"\]\(#([^)]+)\)", prose(name)):
        if anchor not in anchors(name):
            wrong.append(f"#{anchor}")
    assert wrong == []


@EACH_PAGE
def test_links_with_the_name_of_a_symbol_lead_to_it(name):
    for link in LINK.finditer(prose(name)):
        symbol = re.fullmatch(r"`([A-Za-z_][\w.]*)`", link["text"])
        if symbol and link["target"].endswith(".py"):
            path = (PAGES[name].parent / link["target"]).resolve().relative_to(PROJECT)
            lines_of(path.as_posix(), symbol[1])


@EACH_PAGE
def test_excerpts_are_up_to_date(name):
    text = text_of(name)
    assert excerpts.updated(text) == text, "Run `python -m docs.excerpts`."


@EACH_PAGE
def test_dotted_names_exist(name):
    for dotted in re.findall(r"`(unrolled(?:\.\w+)+)", prose(name)):
        folder, parts = PROJECT / "src", dotted.split(".")[1:]
        while parts and (folder / parts[0]).is_dir():
            folder /= parts.pop(0)
        if not parts:
            continue
        module = folder / f"{parts[0]}.py"
        if module.exists():
            if len(parts) > 1:
                lines_of(module.relative_to(PROJECT).as_posix(), ".".join(parts[1:]))
        else:  # A name that the package exports.
            exported = (folder / "__init__.py").read_text(encoding="utf-8")
            assert re.search(rf"\b{parts[0]}\b", exported), dotted


@EACH_PAGE
def test_make_has_the_targets(name):
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for command in commands(name):
        words = [word for word in shlex.split(command)[1:] if "=" not in word and word != "..."]
        assert set(words[:1]) <= targets, command


@EACH_PAGE
def test_conf_has_the_names_on_command_lines(name):
    text = re.sub(r"\s+", " ", prose(name))
    own = set(re.findall(r'title="conf/(\S+)\.yaml"', text_of("docs/extending.md")))
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} | {"name"}
    for group, values in re.findall(r"(?<![\w./])(\w+)=([a-z_0-9,]+)\b", " ".join(commands(name))):
        if group in groups:
            folder = "experiment" if group == "name" else group
            for value in values.split(","):
                choice = f"{folder}/{value}"
                assert (CONF / f"{choice}.yaml").exists() or choice in own, (group, value)
    for path in re.findall(r"`(conf/[\w/]+\.yaml)`", text):
        assert (PROJECT / path).exists() or path[5:-5] in own, path


@pytest.fixture
def _on_a_cluster(tmp_path, monkeypatch):
    """A machine that has the commands of SLURM and the package of Ray; none of them is run."""
    command = tmp_path / "bin" / "sbatch"
    command.parent.mkdir()
    command.touch(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(command.parent), os.environ["PATH"]]))
    monkeypatch.setattr("unrolled.sweeps.launchers.find_spec", lambda name: name)


COMMANDS = sorted({command for name in PAGES for command in commands(name)})
OWN = {"open_forget_gate", "mine", "first_symbol", "complaints"}  # Of docs/extending.md.


@pytest.mark.usefixtures("_on_a_cluster")
@pytest.mark.parametrize(
    "command",
    [
        each
        for each in COMMANDS
        if re.match(r"make experiment name=\S+ ", each) and "<" not in each and "..." not in each
        if not OWN & set(re.split(r"[\s=,]", each))
    ],
)
def test_experiments_on_the_pages_can_be_planned(command):
    """Those with overrides; all experiments as they are: see `tests/sweeps/test_plan.py`."""
    from unrolled.sweeps.plan import make_plan

    _, _, name, *overrides = shlex.split(command)
    small = [each for each in ("seed=1", "budget=quick") if each.split("=")[0] + "=" not in command]
    plan = make_plan([name.replace("name=", "experiment="), *overrides, *small])
    assert plan.runs >= 1


def test_every_experiment_cell_and_task_is_described():
    for group, page in (("experiment", "experiments"), ("cell", "units"), ("task", "tasks")):
        for path in (CONF / group).glob("*.yaml"):
            assert f"`{path.stem}`" in text_of(f"docs/{page}.md"), path


def test_every_page_is_in_the_navigation():
    nav = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    written = {name.removeprefix("docs/") for name in PAGES if name != "README.md"}
    assert set(_linked(nav)) == written | {"index.md"}


def _linked(nav):
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _linked(part)
