"""The task and the model that a configuration names."""

import contextlib
import functools
import inspect
import json
import math
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from omegaconf import DictConfig

from unrolled.console.printable import reason_of
from unrolled.models import trainable_parameters, units_for_parameters
from unrolled.sweeps.named_objects import imported
from unrolled.sweeps.task_contract import check_task
from unrolled.sweeps.values import plain_values
from unrolled.tasks.base.options import require_memory
from unrolled.tasks.base.task import Task


def load_task(config: DictConfig) -> Task:
    """The loaded task of a configuration; a process loads each task only once for its options."""
    return _loaded_task(json.dumps(_without_name(config.task)))


@functools.lru_cache(maxsize=2)
def _loaded_task(options: str) -> Task:
    with _locating_lookup_errors():
        task = _maker(json.loads(options), "task", _SUCH_AS["task"], Task)()
        task.load()
    check_task(task)
    return task


@contextlib.contextmanager
def _locating_lookup_errors() -> Iterator[None]:
    """A context that says where a key or an index was missing, as in a file of the user's.

    The message of a KeyError is only the key.
    """
    try:
        yield
    except LookupError as error:
        *_, line = traceback.extract_tb(error.__traceback__)
        raise ValueError(
            f"task._target_: expected a task that loads its data, got {reason_of(error)} in "
            f"{line.filename}, line {line.lineno}."
        ) from error


def build(config: DictConfig, task: Task) -> keras.Model:
    """The model of a configuration for a loaded task, of the size that `model.match` asks for.

    It sets the random seed of Keras to `seed`; whatever draws random numbers later continues from
    there.

    Raises:
        ValueError: for options that the unit or the model rejects, with the cell and the sizes.
    """
    with _naming_sizes(config):
        return _build(config, task)


@contextlib.contextmanager
def _naming_sizes(config: DictConfig) -> Iterator[None]:
    """A context that adds the cell and the sizes to the message of a ValueError."""
    try:
        yield
    except ValueError as problem:
        sizes = ", ".join(
            f"model.{key}={config.model[key]}"
            for key in ("units", "embedding", "layers", "direction", "match")
            if key in config.model
        )
        raise ValueError(f"{problem} (This is cell={config.cell.name} with {sizes}.)") from problem


def check_options(section: str, options: Mapping[str, Any]) -> None:
    """Check the options of a task or of a unit by creating it, without data and without weights.

    Args:
        section: "task" or "cell".
        options: the values of the section.

    Raises:
        Exception: whatever the constructor raises.
    """
    options = {key: value for key, value in options.items() if key != "name"}
    if section == "task":
        _maker(options, section, _SUCH_AS[section], Task)()
    else:
        _maker(options, section, _SUCH_AS[section])(units=1)


_SUCH_AS = {"task": "unrolled.tasks.synthetic.adding.Adding", "cell": "unrolled.layers.LSTM"}


def check_room(config: DictConfig, task: Task) -> None:
    """Check that the weights of a configuration's model fit into memory, without creating them.

    Raises:
        ValueError: if they do not, and as `build`.
    """
    with _naming_sizes(config):
        with keras.StatelessScope(initialize_variables=False):
            model = _build(config, task)
        keras.utils.clear_session(free_memory=False)  # Keras records uninitialized variables.
        weights = sum(math.prod(weight.shape) for weight in model.weights)
        require_memory("model", f"one of {weights:,} weights", weights * _BYTES_PER_WEIGHT)


_BYTES_PER_WEIGHT = 4 * 4  # In float32: the weight, its gradient, and two averages for Adam.


def _build(config: DictConfig, task: Task) -> keras.Model:
    options = _without_name(config.model)
    units, match, match_unit = (options.pop(key) for key in ("units", "match", "match_unit"))
    if task.features is not None and options.get("embedding") is not None:
        raise ValueError(
            f"`model.embedding`: expected null, as the inputs of {task.name} are vectors already, "
            f"got {options['embedding']}."
        )
    make = _maker({**options, **task.model_arguments()}, "model", "unrolled.models.build_model")
    _check_kind(make, config, task)
    unit = _maker(_without_name(config.cell), "cell", _SUCH_AS["cell"])
    if match == "parameters":
        like = imported("model.match_unit", match_unit, "unrolled.layers.LSTM", keras.layers.Layer)
        like = make(like, units=units)
        units = units_for_parameters(
            lambda size: make(unit, units=size), trainable_parameters(like)
        )
    keras.utils.set_random_seed(config.seed)  # Not before: trying sizes draws numbers too.
    return make(unit, units=units, name=config.cell.name)


def _check_kind(make: functools.partial, config: DictConfig, task: Task) -> None:
    """Check that the builder of the model takes the arguments that the task has for it.

    The name of the model does not tell: a user may have written another builder of the same kind.
    """
    try:
        inspect.signature(make.func).bind(None, units=1, name="", **make.keywords)
    except TypeError as error:
        raise ValueError(
            f"`model`: expected {task.model}, or another model that can learn {task.name}, got "
            f"{config.model.name}, whose builder takes other arguments ({error})."
        ) from error


def _maker(
    options: dict, section: str, such_as: str, kind: type | None = None
) -> functools.partial:
    """The object that `_target_` of a section names, with the other options of the section.

    Not `hydra.utils.instantiate`, which hides the message about a rejected option.
    """
    target = imported(f"{section}._target_", options.pop("_target_"), such_as, kind)
    return functools.partial(target, **options)


def _without_name(section: DictConfig) -> dict:
    """The options in a section of the configuration; its name is only displayed."""
    return {key: value for key, value in plain_values(section).items() if key != "name"}
