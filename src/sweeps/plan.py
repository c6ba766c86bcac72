"""What a command line asks for, checked in full before anything slow is imported."""

import json
import os
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from unrolled.comparison import baselines
from unrolled.console.printable import printable
from unrolled.console.refusals import RefusedError, unknown
from unrolled.project import CONFIGURATION, says
from unrolled.sweeps.checks import (
    check_key,
    check_settable,
    dotted_keys,
    is_of_hydra,
    is_whole,
    near,
    one_line,
    parse_overrides,
    refusing_unreadable,
    shown,
)
from unrolled.sweeps.claim import LOCK
from unrolled.sweeps.experiment_file import check_experiment_file
from unrolled.sweeps.limits import check_references, check_sections, check_type, check_values
from unrolled.sweeps.sweep import SINGLE, Sweep


@dataclass(frozen=True)
class Search:
    """A stage before the sweep that finds the best value of one key for each variant.

    Attributes:
        key: of the configuration.
        values: tried of it.
        seeds: of its runs, none of which the sweep has.
    """

    key: str
    values: list[Any]
    seeds: list[int]

    @property
    def overrides(self) -> list[str]:
        """What makes the sweep's command line that of this stage."""
        values = ",".join(map(_typed, self.values))
        return [f"{self.key}={values}", f"seed={','.join(map(str, self.seeds))}"]


@dataclass(frozen=True)
class Plan:
    """A sweep as the command line asks for it; with no axes, one run.

    Attributes:
        experiment: the name of the experiment, or None.
        axes: what is varied: the values of each key, as typed.
        configurations: composed configurations in which every value of every axis occurs.
        directory: where the runs keep their files, if the command line says so.
        search: the stage before it, if there is one.
    """

    experiment: str | None
    axes: dict[str, list[str]]
    configurations: list[DictConfig]
    directory: Path | None = None
    search: Search | None = None

    @property
    def name(self) -> str:
        """What the sweep is called in MLflow and on disk."""
        return self.experiment or SINGLE

    @property
    def runs(self) -> int:
        """How many runs the sweep has."""
        return prod(map(len, self.axes.values()))

    @property
    def search_runs(self) -> int:
        """How many runs the stage before it has."""
        if self.search is None:
            return 0
        variants = prod(len(options) for key, options in self.axes.items() if key != "seed")
        return variants * len(self.search.values) * len(self.search.seeds)


def make_plan(arguments: list[str]) -> Plan:
    """Compose what the overrides on a command line ask for.

    Raises:
        RefusedError: for an unknown key, choice or experiment, or a value of the wrong type or
            beyond its limits.
    """
    for cached in (_compose_once, _without_hydra):  # Files may have changed since the last plan.
        cached.cache_clear()
    with refusing_unreadable(), initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        typed = parse_overrides(arguments)
        experiment = _experiment_of(typed)
        values = {**_axes_of_file(typed), **typed}
        _check_hydra(values)
        axes = {key.lstrip("+"): options for key, options in values.items() if len(options) > 1}
        first = {key: options[0] for key, options in values.items()}
        checked = partial(_checked_as_swept, swept={key for key in axes if _is_choice(key)})
        configurations = [checked(first)]
        for key, options in values.items():  # Each value once: combinations bring nothing new.
            others = [checked({**first, key: option}) for option in options[1:]]
            _check_names(key, options, [configurations[0], *others], list(axes))
            configurations += others
        for options in _judged_together(values):
            checked({**first, **options})
        _check_launchable(arguments, values)
        if experiment is not None:
            _check_file(experiment, {k: v for k, v in first.items() if _is_choice(k)})
        if "baseline" in typed or not typed.keys() & _axes_of_file(typed).keys():
            _check_baseline(configurations, list(axes))
        search = _search_of(configurations, values)
        if search is not None:
            configurations += [
                checked({**first, search.key: _typed(value)}) for value in search.values
            ]
    return Plan(experiment, axes, configurations, _directory(typed), search)


def _search_of(configurations: list[DictConfig], values: dict[str, list[str]]) -> Search | None:
    """The section `search`, if there is one.

    Args:
        configurations: of the sweep.
        values: what the experiment's file and the command line say of each key.
    """
    config = configurations[0]
    if config.search is None:
        return None
    try:
        section = OmegaConf.to_container(config.search, resolve=True)
    except (OmegaConfBaseException, ValueError) as error:  # ValueError: it is no section.
        raise RefusedError(
            f"search: expected key, values and seeds, or null; got {config.search!r} "
            f"({one_line(error)})."
        ) from error
    if not isinstance(section, dict) or set(section) != {"key", "values", "seeds"}:
        raise RefusedError(f"search: expected key, values and seeds, or null; got {section}.")
    search = Search(**section)
    for each in configurations:  # Not every choice of a group has the same keys.
        _check_searched(search.key, each, values)
    if not _are_different(search.values) or len(search.values) < 2:
        raise RefusedError(
            f"search.values: expected two different values at least, such as [0.001,0.003]; "
            f"got {search.values!r}."
        )
    seeds = search.seeds
    if not _are_different(seeds) or not seeds or not all(is_whole(s) and s >= 0 for s in seeds):
        raise RefusedError(f"search.seeds: expected integers, such as [101]; got {seeds!r}.")
    shared = set(seeds) & {int(seed) for seed in values.get("seed", [config.seed])}
    if shared:
        raise RefusedError(
            f"search.seeds: {', '.join(map(str, sorted(shared)))} would be judged by what they "
            "chose; expected none of the seeds of the sweep."
        )
    return search


def _check_searched(key: Any, config: DictConfig, values: dict[str, list[str]]) -> None:
    if not isinstance(key, str):
        raise RefusedError(
            f"search.key: expected a key such as training.learning_rate, got {key!r}."
        )
    if key not in (known := dotted_keys(config)):
        raise RefusedError(f"search.key: {unknown('value', key, near(key, known))}")
    parts = key.split(".")
    if parts[0] in _NOT_SEARCHED or parts[-1] == "name" or any(p.startswith("_") for p in parts):
        raise RefusedError(
            "search.key: expected a value with which a variant learns better or worse, such as "
            f"training.learning_rate, got {key!r}."
        )
    if key in (each.lstrip("+") for each in values):
        raise RefusedError(
            f"search.key: {key} is set or swept as well; leave that out, or say search=null."
        )


_NOT_SEARCHED = ("seed", "search", "baseline", "budgets", "by_budget", "tracking")


def _are_different(values: Any) -> bool:
    return isinstance(values, list) and len(set(map(str, values))) == len(values)


def _typed(value: Any) -> str:
    """A value as a command line has it."""
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def _untyped(text: str) -> Any:
    """What a command line has, perhaps a text in quotes, as it is meant."""
    return OverridesParser.create().parse_override(f"value={text}").value()


def _judged_together(values: dict[str, list[str]]) -> list[dict[str, str]]:
    """The combinations of values that can be wrong though each of them is right."""
    keys = ("model.direction", "model.merge")
    if not values.keys() >= set(keys):
        return []
    return [dict(zip(keys, each, strict=True)) for each in product(*(values[k] for k in keys))]


def quoted(value: str) -> str:
    """A value in quotes, so that Hydra takes every sign in it as it is."""
    return QuotedString(text=value, quote=Quote.single).with_quotes()


def _directory(typed: dict[str, list[str]]) -> Path | None:
    if "hydra.sweep.dir" not in typed:
        return None
    directory = Path(_untyped(typed["hydra.sweep.dir"][0])).absolute()
    check_is_new(directory)
    return directory


def check_is_new(directory: Path) -> None:
    """A folder that the command line names must not hold what something else has left there.

    Raises:
        RefusedError: if it does, or is no folder.
    """
    held = directory.exists() and (
        not directory.is_dir() or any(each.name != LOCK for each in directory.iterdir())
    )
    if held:
        raise RefusedError(f"hydra.sweep.dir: expected a new or an empty folder, got {directory}.")


def _check_hydra(values: dict[str, list[str]]) -> None:
    if len(values.get("baseline", [])) > 1:
        raise RefusedError(
            "baseline: expected one variant to compare the others with, or a list such as "
            f"[lstm,gru]; got {','.join(values['baseline'])}."
        )
    for key, options in values.items():
        section = re.split("[./@]", key.lstrip("+~"))[0]
        if section in _ONE_VALUE and len(options) > 1:
            raise RefusedError(f"{key}: {_ONE_VALUE[section]}")
        if is_of_hydra(key.lstrip("+~")):
            _check_hydras(key, options[0])


_ONE_VALUE = {
    "search": "expected one search; several values of a key are [a,b].",
    "tracking": "expected one value, as a sweep and all its runs are in one store.",
    "hydra": "expected one value, as it holds for the whole sweep.",
}


def _check_hydras(key: str, typed: str) -> None:
    """A key of Hydra's own must leave the sweep where, and made as, the programs here expect."""
    plain = key.lstrip("+~")
    if plain in _FIXED or plain.startswith("hydra.sweeper."):
        raise RefusedError(f"{key}: {_FIXED.get(plain, _FIXED['hydra.sweeper'])}")
    option = plain.removeprefix("hydra.launcher.")
    is_option = option != plain and not option.startswith("_")
    # With + or ~ a key would get past those who look for it by its name.
    if key not in ("hydra.sweep.dir", "hydra/launcher") and not (is_option and key == plain):
        raise RefusedError(
            f"{key}: expected one of the keys of Hydra that can be set here: hydra.sweep.dir=<a "
            "new folder>, hydra/launcher=joblib, or hydra.launcher.<option>=<value>."
        )
    if key == "hydra/launcher":
        known = GlobalHydra.instance().config_loader().get_group_options(key)
        if typed not in known:
            raise RefusedError(unknown(key, typed, known))
    if key == "hydra.launcher.n_jobs" and typed == "0":
        raise RefusedError(
            "hydra.launcher.n_jobs: expected how many runs train at once, 1 or more, or -1 for one "
            "on each core, got 0."
        )
    if key == "hydra.sweep.dir":
        _check_can_be_made(_untyped(typed))


_FIXED = {
    "hydra": "expected a key below it, such as hydra/launcher=joblib.",
    "hydra.mode": "stays MULTIRUN, as every command is a sweep, if only of one run.",
    "hydra.run.dir": "is not used, as every command is a sweep; expected hydra.sweep.dir=<folder>.",
    "hydra.sweep.subdir": "stays the number of the run; the bar looks there.",
    "hydra.sweeper": "expected the sweep in key=value,value on the command line.",
}


def _check_can_be_made(folder: Any) -> None:
    if not isinstance(folder, str):
        raise RefusedError(
            f"hydra.sweep.dir: expected the path of a folder, got {shown(folder)}; a folder of "
            "that name is ./<name>."
        )
    # A reference would be resolved at another time for each run, to another folder.
    if "${" in folder or printable(folder) != folder or {"\n", "\t"} & set(folder):
        raise RefusedError(
            "hydra.sweep.dir: expected a folder without ${...} and without control characters, "
            f"got {folder!r}."
        )
    there = Path(folder).absolute()
    while not there.exists():
        there = there.parent
    if not folder or not there.is_dir() or not os.access(there, os.W_OK):
        raise RefusedError(
            f"hydra.sweep.dir: expected a folder that can be made, got {folder!r}"
            + (f", and {there} is none that can be written to." if folder else ".")
        )


def _check_file(experiment: str, choices: dict[str, str]) -> None:
    """What an experiment's file sets must be there without it."""
    with_it = _composed(choices, with_hydra=True)
    chosen = with_it.hydra.runtime.choices
    without = _composed(
        {key: value for key, value in chosen.items() if _is_choice(key) and key != "experiment"}
    )
    for key in dotted_keys(with_it):
        if key.partition(".")[0] in _FREE:
            continue
        try:
            check_key(key, without)
            check_type(key, with_it, without)
        except RefusedError as error:
            raise RefusedError(f"conf/experiment/{experiment}.yaml: {error}") from error


_FREE = ("hydra", "cell", "by_budget", "search")  # Sections whose keys are known elsewhere.


def _check_names(
    key: str, options: list[str], configurations: list[DictConfig], axes: list[str]
) -> None:
    """No two values may make runs of one name: the comparison would take them for one."""
    names = [Sweep(axes=axes).run_name(configuration) for configuration in configurations]
    if len(set(names)) < len(names):
        raise RefusedError(
            f"{key}: {', '.join(options)} make runs of the same name, {names[0]!r}. "
            "Is a value there twice, or has a copied file of conf/ kept the other's name?"
        )


def _check_baseline(configurations: list[DictConfig], axes: list[str]) -> None:
    """Baselines must be in the sweep; see `baselines.check`.

    Not asked where the command line takes other axes than the experiment's file and says nothing of
    the baseline: then it may be missing, and the comparison says so.
    """
    sweep = Sweep(axes=axes)
    units = {sweep.variant(each): each.cell._target_ for each in configurations}
    baselines.check(baselines.names_of(configurations[0].baseline), units)


def _experiment_of(typed: dict[str, list[str]]) -> str | None:
    names = typed.get("experiment", [None])
    if len(names) > 1:
        raise RefusedError("experiment: expected one name; run several one after the other.")
    return names[0]


def _axes_of_file(typed: dict[str, list[str]]) -> dict[str, list[str]]:
    """The axes that the experiment's file sets in `hydra.sweeper.params`."""
    choices = {key: values[0] for key, values in typed.items() if _is_choice(key)}
    _check_choices(choices)
    if "experiment" in choices:
        check_experiment_file(choices["experiment"])
    params = _composed(choices, with_hydra=True).hydra.sweeper.params or {}
    if "experiment" in choices and not params and all(len(each) < 2 for each in typed.values()):
        raise RefusedError(
            f"conf/experiment/{choices['experiment']}.yaml: expected a sweep, hydra.sweeper.params "
            "with values such as `cell: gru,lstm`, got none. Add it to the file, or say what to "
            "vary: cell=gru,lstm."
        )
    return parse_overrides([f"{key}={value}" for key, value in params.items()])


def _checked_as_swept(overrides: dict[str, str], swept: set[str]) -> DictConfig:
    """As `_checked`; the message says for which of the choices that are swept it holds."""
    try:
        return _checked(overrides)
    except RefusedError as error:
        chosen = " ".join(f"{key}={overrides[key]}" for key in overrides if key in swept)
        if not chosen:
            raise
        raise RefusedError(f"With {chosen}: {error}") from error


def forced(arguments: list[str]) -> list[str]:
    """A command line that Hydra takes though keys on it are of choices that are swept.

    Hydra first composes a configuration of the default choices and applies what is not swept to it:
    it refuses `task=adding,copying task.T=20` if the default task has no T. A sweep over one value
    says the same, and is applied to each run alone. `make_plan` has checked the keys with every
    choice.
    """
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return _forced(arguments)


def _forced(arguments: list[str]) -> list[str]:
    typed = parse_overrides(arguments)
    fixed = {key: values[0] for key, values in typed.items() if len(values) == 1}
    composed = _composed({key: value for key, value in fixed.items() if _is_choice(key)})
    known = dotted_keys(composed)
    return [_forced_if_unknown(argument, known) for argument in arguments]


def _forced_if_unknown(argument: str, known: list[str]) -> str:
    override = OverridesParser.create().parse_override(argument)
    key, value = override.get_key_element(), argument.partition("=")[2]
    is_known = any(each == key or each.startswith(f"{key}.") for each in known)
    if is_known or override.is_sweep_override() or _is_choice(key):
        return argument
    if key.startswith(("~", "++", "hydra")):
        return argument
    if value.lstrip()[:1] in ("'", '"', ""):  # Of these Hydra would sweep what is in the quotes.
        return f"++{key.lstrip('+')}={value}"
    return f"{key}=choice({value})"


def _check_launchable(arguments: list[str], values: dict[str, list[str]]) -> None:
    """What `forced` cannot force: a value that is removed must be there by default."""
    removed = [key for key in values if key.startswith("~")]
    swept = [key for key, options in values.items() if len(options) > 1 and _is_choice(key)]
    if not removed or not swept:
        return
    parser = OverridesParser.create()
    fixed = [
        each for each in _forced(arguments) if not parser.parse_override(each).is_sweep_override()
    ]
    try:
        compose("config", fixed)
    except HydraException as error:
        raise RefusedError(
            f"{', '.join(removed)}: expected a value that the default choice of "
            f"{', '.join(swept)} has, as Hydra removes it there first. Run each choice by itself."
        ) from error


def _checked(overrides: dict[str, str]) -> DictConfig:
    """The configuration, with every key known, every value of its type and within its limits."""
    choices = {key: value for key, value in overrides.items() if _is_choice(key)}
    _check_choices(choices)
    defaults = _composed(choices)
    check_sections(defaults)
    groups = [path.name for path in CONFIGURATION.iterdir() if path.is_dir()]
    settings = [key.lstrip("+") for key in overrides if key not in choices and key[0] != "~"]
    for key in overrides:
        check_settable(key, groups)
        # Units take options that no file of conf/ names; nothing else does.
        if key not in choices and not key.startswith(("+cell.", "++cell.", "~cell.")):
            check_key(key.lstrip("+~"), defaults)
    config = _composed(overrides)
    check_references(config)
    for key in settings:
        check_type(key, config, defaults)
    _check_named(config)
    check_values(config)
    return config


def _check_named(config: DictConfig) -> None:
    """What has no default, `???` in conf, must have been named."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise RefusedError(
            f"{missing[0]}: the task {config.task.name} has no default for it; expected "
            f"{missing[0]}=<value>, got none. What it needs: {says(f'task/{config.task.name}')}"
        )


def _composed(overrides: dict[str, str], with_hydra: bool = False) -> DictConfig:
    """What Hydra makes of the overrides.

    It takes a tenth of a second to put files together, so it does that once for the same choice of
    them; values that are there are set in a copy, as it sets them.
    """
    set_here = [key for key in overrides if not _is_choice(key) and key[0] not in "+~"]
    set_here = [key for key in set_here if not key.startswith("hydra")]
    put_together = tuple(f"{k}={v}" for k, v in overrides.items() if k not in set_here)
    try:
        config = (_compose_once if with_hydra else _without_hydra)(put_together)
        if set_here:
            config = deepcopy(config)
        for key in set_here:
            value = OverridesParser.create().parse_override(f"{key}={overrides[key]}").value()
            OmegaConf.update(config, key, value, merge=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise RefusedError(one_line(error)) from error
    return config


@lru_cache
def _compose_once(overrides: tuple[str, ...]) -> DictConfig:
    return compose("config", list(overrides), return_hydra_config=True)


@lru_cache
def _without_hydra(overrides: tuple[str, ...]) -> DictConfig:
    config = deepcopy(_compose_once(overrides))
    with open_dict(config):
        del config["hydra"]
    return config


def baselines_of(arguments: list[str]) -> list[str] | None:
    """The names in `baseline=...`, None where it is not there.

    Raises:
        RefusedError: for anything else among the arguments, or what is no name and no list of them.
    """
    typed = parse_overrides(arguments)
    for key in typed:
        if key != "baseline":
            raise RefusedError(f"{key}: a comparison takes run=... and baseline=..., nothing else.")
    if not typed:
        return None
    _check_hydra(typed)
    with refusing_unreadable(), initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        names = baselines.names_of(_checked({"baseline": typed["baseline"][0]}).baseline)
    if not names:
        raise RefusedError("baseline: expected a name, or a list such as [lstm,gru]; got null.")
    return names


def _is_choice(key: str) -> bool:
    return (CONFIGURATION / key).is_dir()


def _check_choices(choices: dict[str, str]) -> None:
    for group, name in choices.items():
        known = sorted(path.stem for path in (CONFIGURATION / group).glob("*.yaml"))
        if name not in known:
            raise RefusedError(unknown(group, name, known))
