"""What a command line asks for, checked in full before anything slow is imported."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from unrolled.comparison import baselines
from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION
from unrolled.settings.configuration import SECTIONS, settings
from unrolled.sweeps import composition
from unrolled.sweeps.composition import check_choices, checked, choices_in, composed, is_choice
from unrolled.sweeps.conf_errors import refusing_unreadable
from unrolled.sweeps.experiment_file import check_experiment_file
from unrolled.sweeps.hydra_arguments import check_launchable
from unrolled.sweeps.hydra_keys import check_of_whole_sweep, sweep_directory
from unrolled.sweeps.keys import check_key, dotted_keys
from unrolled.sweeps.launchers import RAY
from unrolled.sweeps.overrides import parse_overrides, text_of
from unrolled.sweeps.search import Search, search_of
from unrolled.sweeps.sweep import SINGLE, Sweep
from unrolled.sweeps.values import check_section, check_type, plain_values

_FREE = ("hydra", "cell", "by_budget", "search")  # Sections whose keys are known elsewhere.


@dataclass(frozen=True)
class Plan:
    """A sweep as the command line asks for it; with no axes, one run.

    Attributes:
        experiment: the name of the experiment, or None.
        axes: what is varied: the values of each key, as typed.
        configurations: checked configurations in which every value of every axis occurs.
        directory: where the runs store their files, if the command line says so.
        search: the stage before it, if there is one.
        launcher: the launcher of Hydra that the command line names, if it does.
        combinations: the values of each section with every combination of its swept options.
            Options that are checked by a constructor may still contradict each other.
    """

    experiment: str | None
    axes: dict[str, list[str]]
    configurations: list[DictConfig]
    directory: Path | None = None
    search: Search | None = None
    launcher: str | None = None
    combinations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the sweep in MLflow and on disk."""
        return self.experiment or SINGLE

    @property
    def runs(self) -> int:
        """The number of runs of the sweep."""
        return prod(map(len, self.axes.values()))

    @property
    def search_runs(self) -> int:
        """The number of runs of the stage before it."""
        if self.search is None:
            return 0
        variants = prod(len(options) for key, options in self.axes.items() if key != "seed")
        return variants * len(self.search.values) * len(self.search.seeds)

    @property
    def trained_runs(self) -> float:
        """How much is trained, in whole runs: a search with halving trains a part of many."""
        if self.search is None or self.search.halving is None:
            return self.runs + self.search_runs
        halving, values = self.search.halving, len(self.search.values)
        part = halving.epochs(values) / (values * halving.rungs[-1])
        return self.runs + part * self.search_runs


def make_plan(arguments: list[str]) -> Plan:
    """Compose what the overrides on a command line ask for.

    Raises:
        RefusedError: for an unknown key, choice or experiment, or a value of the wrong type or
            beyond its limits.
    """
    composition.forget_files()
    with refusing_unreadable(), initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        typed = parse_overrides(arguments)
        experiment = _experiment_of(typed)
        of_file = _axes_of_file(typed)
        values = {**of_file, **typed}
        check_of_whole_sweep(values)
        axes = {key.lstrip("+"): options for key, options in values.items() if len(options) > 1}
        base, by_key = _checked_values(values, list(axes))
        configurations = [base, *(each for found in by_key.values() for each in found[1:])]
        check_launchable(arguments, values)
        if experiment is not None:
            _check_file(experiment, choices_in(_first(values)))
        if "baseline" in typed or not typed.keys() & of_file.keys():
            _check_baseline(configurations, list(axes))
        search = search_of(configurations, values)
        if search is not None:
            searched = [
                checked({**_first(values), search.key: text_of(value)}, _swept_choices(values))
                for value in search.values
            ]
            configurations += searched
            by_key[search.key] = [base, *searched]
        launcher = _launcher_of(typed, configurations[0].jobs)
        if launcher == RAY and search is not None and search.halving is not None:
            raise RefusedError(
                "search.halving: needs a folder that all runs of the sweep see, which "
                f"hydra/launcher={RAY} has not. Set search.halving=null, or use another launcher."
            )
        combinations = _checked_combinations(base, by_key)
    directory = sweep_directory(typed)
    return Plan(experiment, axes, configurations, directory, search, launcher, combinations)


def _launcher_of(typed: Mapping[str, list[str]], jobs: int | None) -> str | None:
    """The launcher that the command line names, which `jobs` must not contradict."""
    (launcher,) = typed.get("hydra/launcher", [None])
    most = {None: jobs, "joblib": jobs, "basic": 1}.get(launcher)
    if jobs is not None and jobs != most:
        raise RefusedError(
            f"jobs: says how many runs train at once on this machine; hydra/launcher={launcher} "
            f"{'runs one after the other' if most else 'has options of its own'}, got jobs={jobs}. "
            "Leave out one of them."
        )
    return launcher


def _first(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {key: options[0] for key, options in values.items()}


def _swept_choices(values: Mapping[str, list[str]]) -> set[str]:
    return {key for key, options in values.items() if len(options) > 1 and is_choice(key)}


def _checked_values(
    values: Mapping[str, list[str]], axes: list[str]
) -> tuple[DictConfig, dict[str, list[DictConfig]]]:
    """The configuration with the first value of each key, and for each key those with its values.

    All are checked.
    """
    first, swept = _first(values), _swept_choices(values)
    base = checked(first, swept)
    by_key = {
        key: [base, *(checked({**first, key: option}, swept) for option in options[1:])]
        for key, options in values.items()
    }
    for key, options in values.items():
        _check_names(key, options, by_key[key], axes)
    return base, by_key


def _combinations(
    section: str, base: DictConfig, by_key: Mapping[str, Sequence[DictConfig]]
) -> Iterator[dict[str, Any]]:
    """The section with every combination of its swept options; none with fewer than two of them.

    Values that are valid each by itself may contradict each other.

    Args:
        section: whose options are combined.
        base: the configuration with the first value of each key.
        by_key: for each key the configurations with its values.
    """
    choices = by_key.get(section, [base])
    swept = {
        key.lstrip("+"): found
        for key, found in by_key.items()
        if key.lstrip("+").startswith(f"{section}.") and len(found) > 1
    }
    if len(swept) + (len(choices) > 1) < 2:
        return
    options = [[_value(each, key) for each in found] for key, found in swept.items()]
    for choice in choices:
        config = deepcopy(choice)
        for combination in product(*options):
            # Set in place, so that references to a swept option follow it.
            for key, value in zip(swept, combination, strict=True):
                OmegaConf.update(config, key, value, force_add=True)
            yield plain_values(config[section])


def _checked_combinations(
    base: DictConfig,
    by_key: Mapping[str, Sequence[DictConfig]],
) -> dict[str, list[dict[str, Any]]]:
    """The combinations of swept options, by section, with those that are declared checked."""
    first = plain_values(base)
    found = {section: list(_combinations(section, base, by_key)) for section in SECTIONS}
    for section, combinations in found.items():
        for together in combinations:
            declared = settings({**first, section: together})[section]
            check_section(section, declared, together)
    return found


def _value(config: DictConfig, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _check_file(experiment: str, choices: Mapping[str, str]) -> None:
    """The keys that an experiment's file sets must exist without it."""
    with_it = composed(choices, with_hydra=True)
    chosen = with_it.hydra.runtime.choices
    without = composed(
        {key: value for key, value in chosen.items() if is_choice(key) and key != "experiment"}
    )
    for key in dotted_keys(with_it):
        if key.partition(".")[0] in _FREE:
            continue
        try:
            check_key(key, without)
            check_type(key, with_it, without)
        except RefusedError as error:
            raise RefusedError(f"conf/experiment/{experiment}.yaml: {error}") from error


def _check_names(
    key: str, options: Sequence[str], configurations: Sequence[DictConfig], axes: list[str]
) -> None:
    """No two values may give runs the same name: the comparison would not tell them apart."""
    names = [Sweep(axes=axes).run_name(configuration) for configuration in configurations]
    if len(set(names)) < len(names):
        raise RefusedError(
            f"{key}: {', '.join(options)} make runs of the same name, {names[0]!r}. "
            "Is a value there twice, or does a copied file of conf/ still have the other's name?"
        )


def _check_baseline(configurations: Sequence[DictConfig], axes: list[str]) -> None:
    """Baselines must be in the sweep; see `baselines.check`.

    Not checked if the command line has other axes than the experiment's file and does not mention
    the baseline: then it may be missing, and the comparison says so.
    """
    sweep = Sweep(axes=axes)
    units = {sweep.variant(each): each.cell._target_ for each in configurations}
    baselines.check(baselines.names_of(configurations[0].baseline), units)


def _experiment_of(typed: Mapping[str, list[str]]) -> str | None:
    names = typed.get("experiment", [None])
    if len(names) > 1:
        raise RefusedError("experiment: expected one name; run several one after the other.")
    return names[0]


def _axes_of_file(typed: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The axes that the experiment's file sets in `hydra.sweeper.params`."""
    choices = choices_in(_first(typed))
    check_choices(choices)
    if "experiment" in choices:
        check_experiment_file(choices["experiment"])
    params = composed(choices, with_hydra=True).hydra.sweeper.params or {}
    if "experiment" in choices and not params and all(len(each) < 2 for each in typed.values()):
        raise RefusedError(
            f"conf/experiment/{choices['experiment']}.yaml: expected a sweep, hydra.sweeper.params "
            "with values such as `cell: gru,lstm`, got none. Add it to the file, or say what to "
            "vary: cell=gru,lstm."
        )
    return parse_overrides([f"{key}={value}" for key, value in params.items()])


def baselines_of(arguments: list[str]) -> list[str] | None:
    """The names in `baseline=...`, None if it is not there.

    Raises:
        RefusedError: for any other argument, or a value that is no name and no list of names.
    """
    typed = parse_overrides(arguments)
    for key in typed:
        if key != "baseline":
            raise RefusedError(f"{key}: a comparison takes run=... and baseline=..., nothing else.")
    if not typed:
        return None
    check_of_whole_sweep(typed)
    with refusing_unreadable(), initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        names = baselines.names_of(checked({"baseline": typed["baseline"][0]}).baseline)
    if not names:
        raise RefusedError("baseline: expected a name, or a list such as [lstm,gru]; got null.")
    return names
