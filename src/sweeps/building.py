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
    return _loaded_task(json.dumps(_without_name(plain_values(config.task))))


@functools.lru_cache(maxsize=2)
def _loaded_task(options: str) -> Task:
    with _locating_lookup_errors():
        task = _maker("task", json.loads(options))()
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
    make = _maker(section, _without_name(options))
    make() if section == "task" else make(units=1)


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
    options = _without_name(plain_values(config.model))
    units, match, match_unit = (options.pop(key) for key in ("units", "match", "match_unit"))
    if task.features is not None and options.get("embedding") is not None:
        raise ValueError(
            f"`model.embedding`: expected null, as the inputs of {task.name} are vectors already, "
            f"got {options['embedding']}."
        )
    make = _maker("model", {**options, **task.model_arguments()})
    _check_kind(make, config, task)
    unit = _maker("cell", _without_name(plain_values(config.cell)))
    if match == "parameters":
        like = imported("model.match_unit", match_unit, _SUCH_AS["cell"], keras.layers.Layer)
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


_SUCH_AS = {
    "task": "unrolled.tasks.synthetic.adding.Adding",
    "model": "unrolled.models.build_model",
    "cell": "unrolled.layers.LSTM",
}
"""An example of what `_target_` may be in each section, for messages."""


def _maker(section: str, options: Mapping[str, Any]) -> functools.partial:
    """The object that `_target_` of a section names, with the other options of the section.

    Not `hydra.utils.instantiate`, which hides the message about a rejected option.
    """
    arguments = {key: value for key, value in options.items() if key != "_target_"}
    kind = Task if section == "task" else None
    target = imported(f"{section}._target_", options["_target_"], _SUCH_AS[section], kind)
    return functools.partial(target, **arguments)


def _without_name(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a section; its name is only displayed."""
    return {key: value for key, value in options.items() if key != "name"}
