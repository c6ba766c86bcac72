"""What the values of a composed configuration are held to, each by itself and together."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unrolled.comparison import baselines
from unrolled.console.refusals import RefusedError
from unrolled.sweeps.checks import (
    Limit,
    at_least,
    at_least_or_null,
    between,
    check_limits,
    check_numbers,
    dotted_keys,
    first_line,
    is_whole,
    number,
    one_of,
    or_null,
    shown,
)


def check_sections(config: DictConfig) -> None:
    """Every group must have brought its section, with what it is called and made by.

    Raises:
        RefusedError: for the first that has not.
    """
    for group in ("cell", "model", "training", "task", "budget", "diagnostics", "tracking"):
        section, keys = config.get(group), ["name"]
        if group in ("cell", "model", "task"):
            keys.append("_target_")
        for key in keys:
            if not OmegaConf.is_dict(section) or not isinstance(section.get(key), str):
                raise RefusedError(
                    f"{group}: expected a section with {' and '.join(keys)}, each a word, got "
                    f"{section}. Compare its file with the others in conf/{group}."
                )


def check_references(config: DictConfig) -> None:
    """Every `${...}` must lead to a value.

    Raises:
        RefusedError: for the first that does not.
    """
    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        key = error.full_key or "the configuration"
        if "'suited." in str(error):
            raise RefusedError(
                f"{key}: the task {config.task.name} recommends no value for it, as it is not "
                f"learned by model={config.model.name}. Leave model=... out to get the model of "
                f"the task, or say {key}=<value>."
            ) from error
        raise RefusedError(
            f"{key}: expected a value, got a reference that cannot be resolved "
            f"({first_line(error)}). Correct it, or say {key}=<value>."
        ) from error


def check_type(key: str, config: DictConfig, defaults: DictConfig) -> None:
    """A value that was set must be of the type that its default has.

    Args:
        key: what was set.
        config: the configuration in which it is.
        defaults: the configuration without what was set.

    Raises:
        RefusedError: if it is not; a value without a default may be of any type.
    """
    if key in ("search", "baseline"):  # Of several types, which are checked elsewhere.
        return
    known = dotted_keys(defaults)
    below = [each for each in known if each.startswith(f"{key}.")]
    if key not in known and not below:
        return
    value, default = OmegaConf.select(config, key), OmegaConf.select(defaults, key)
    if below:
        if not OmegaConf.is_dict(value):
            raise RefusedError(
                f"{key}: got {shown(value)}, but it has values below it; set one of "
                f"{', '.join(below)}."
            )
        return
    # Whether it may be null its limits say.
    if value is None and (key in _LIMITS or key in _limits_of_model(config)):
        return
    if default is not None and not _is_like(value, default):
        usual = shown(default) if isinstance(default, bool) else default
        kind = "a list" if OmegaConf.is_list(default) else _NAMES[type(default)]
        raise RefusedError(
            f"{key}: expected {kind}, such as {usual}; got {shown(value)}.{_sweep(key, value)}"
        )


def _is_like(value: Any, default: Any) -> bool:
    if OmegaConf.is_list(default):
        return OmegaConf.is_list(value)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def _sweep(key: str, value: Any) -> str:
    """A hint for those who mean a sweep by brackets."""
    if not OmegaConf.is_list(value) or len(value) == 0:
        return ""
    return f" Several values to sweep stand without brackets: {key}={','.join(map(str, value))}."


_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a word"}


def check_values(config: DictConfig) -> None:
    """Every value must be within its limits, and none may contradict another.

    Raises:
        RefusedError: for the first that is not.
    """
    check_numbers(config)
    check_limits(config, {**_LIMITS, **_limits_of_model(config)})
    _check_merge(config.model)
    _check_clipping(config.training)
    _check_schedule(config.training)


def _check_clipping(training: DictConfig) -> None:
    if training.clip_norm is not None and training.clip_value is not None:
        raise RefusedError(
            f"training.clip_value: got {training.clip_value}, with training.clip_norm="
            f"{training.clip_norm}. Gradients are clipped by one of them; set the other to null."
        )


def _check_schedule(training: DictConfig) -> None:
    if training.schedule != "constant" and training.decay is not None:
        raise RefusedError(
            f"training.decay: got {training.decay}, with training.schedule={training.schedule}. "
            "One of them sets the learning rate; set decay to null or the schedule to constant."
        )


def _check_merge(model: DictConfig) -> None:
    if model.get("merge", "concat") != "concat" and model.direction == "forward":
        raise RefusedError(
            f"model.merge: {model.merge} needs two directions, and model.direction is forward. "
            "Leave it, or set model.direction=bidirectional."
        )


def _names_variants(value: Any) -> bool:
    names = baselines.names_of(value)
    return (value is None or len(names) > 0) and all(
        isinstance(name, str) and name for name in names
    )


_MOST_LAYERS = 100
_LONGEST_WORD = 1000  # All words are padded to it.
_MOST_MEASUREMENTS = 10_000
_FRACTION = number(lambda value: 0 <= value < 1, "at least 0 and less than 1")
_POSITIVE = number(lambda value: value > 0, "more than 0")
_TEXT = (lambda value: isinstance(value, str) and value != ""), "a text that is not empty"
_RISING = (
    lambda values: (
        OmegaConf.is_list(values)
        and all(is_whole(value) and value > 0 for value in values)
        and list(values) == sorted(set(values))
    ),
    "a list of increasing integers, such as [1000,4000]",
)
_LIMITS = {
    "baseline": (
        _names_variants,
        "the name of a variant, such as lstm, or a list of such as [lstm,gru], or null",
    ),
    "seed": at_least(0),
    "tracking.patience": at_least(0),
    "model.units": at_least(1),
    "model.layers": between(1, _MOST_LAYERS),
    "model.embedding": at_least_or_null(1),
    "model.dropout": _FRACTION,
    "model.direction": one_of("forward", "bidirectional"),
    "model.match": one_of("units", "parameters"),
    "training.batch_size": at_least(1),
    "training.learning_rate": _POSITIVE,
    "training.clip_norm": or_null(_POSITIVE),
    "training.clip_value": or_null(_POSITIVE),
    "training.explosion": _POSITIVE,
    "training.window": at_least_or_null(1),
    "training.schedule": one_of("constant", "cosine"),
    "training.decay": or_null(number(lambda value: 0 < value < 1, "more than 0 and less than 1")),
    "training.gain": _FRACTION,
    "diagnostics.measurements": (
        (lambda value: is_whole(value) and (value == 0 or 2 <= value <= _MOST_MEASUREMENTS)),
        f"0, or an integer from 2 to {_MOST_MEASUREMENTS}",
    ),
    "diagnostics.examples": at_least(1),
    "diagnostics.losses": (
        (lambda losses: sorted(losses) in (["late"], ["own"], ["late", "own"])),
        "[late], [own] or [late,own]",
    ),
    "budget.epochs": at_least(1),
    "tracking.uri": or_null(_TEXT),
    "task.path": (lambda value: value != "", "the path of a file or a folder"),
    "task.cache_dir": or_null(_TEXT),
    "budget.train_examples": at_least_or_null(1),
    "budget.evaluation_examples": at_least_or_null(1),
}
_MERGE = (
    (lambda value: value in ("concat", "sum", "mul", "ave")),
    "one of concat, sum, mul, ave (null, as in Keras, would merge nothing, and what follows takes "
    "one sequence)",
)
_LIMITS_OF_MODEL = {
    "stack": {"model.merge": _MERGE},
    "tagger": {
        "model.merge": _MERGE,
        "model.head": one_of("softmax", "crf"),
        "model.vectors": or_null(_TEXT),
        "model.embedding": at_least(1),
        "model.capitals": at_least_or_null(1),
        "model.character_embedding": at_least(1),
        "model.character_units": at_least_or_null(1),
        "model.word_dropout": _FRACTION,
        "task.longest_word": between(1, _LONGEST_WORD),
        "training.window": ((lambda value: value is None), "null: each sentence is read whole"),
        "diagnostics.measurements": (
            (lambda value: value == 0),
            "0: gradients through time are measured of models with one input; "
            "the task agreement asks at steps as well",
        ),
    },
    "language": {
        "model.direction": (
            (lambda value: value == "forward"),
            "forward: a layer that reads backwards has seen the next word, so its probability "
            "would be of nothing unknown",
        ),
        "model.head": one_of("softmax", "adaptive"),
        "model.cutoffs": or_null(_RISING),
        "training.window": at_least(1),
    },
}


def _limits_of_model(config: DictConfig) -> dict[str, Limit]:
    return _LIMITS_OF_MODEL.get(config.model.name, {})
