"""Runs as they would be read back, of numbers made up."""

import dataclasses
import json

from unrolled import tracking
from unrolled.comparison.baselines import compared_with, read_all
from unrolled.comparison.variants import Variant
from unrolled.tasks.base.metric import accuracy, mean_squared_error
from unrolled.tracking import RunRecord

MSE = mean_squared_error(chance_level=1 / 6, solved=0.01)
ACCURACY = accuracy(classes=2, solved=0.9)


def variant(name):
    """The variant that tests call by this name, such as "gru T=50"."""
    cell, *others = name.split(" ")
    return Variant({"cell": cell, **dict(each.split("=") for each in others)})


def by_variant(values):
    """The same values, by variants instead of names."""
    return {variant(name): value for name, value in values.items()}


def tags(name, **more):
    """The tags of a run of the variant that tests call by this name."""
    settings = variant(name).settings
    return {
        "variant": name,
        tracking.SETTINGS: json.dumps(settings),
        "cell": settings["cell"],
    } | more


def record(name, value, metric=MSE, memory=None, longer=False):
    """A run that ended with this test metric; with `memory` its gradient was followed as well."""
    report = {"metric": dataclasses.asdict(metric), "metrics": {metric.key: value}}
    if memory is not None:
        flow = {"layer": "rnn", "loss": "late", "direction": "forward", "state": "c"}
        flow |= {"memory": memory, "memory_is_longer": longer}
        report["diagnosis"] = {"kept": {"flows": [flow], "gates": []}}
    metrics = {f"test/{metric.key}": value}
    return RunRecord("id", name, "FINISHED", tags(name), {}, metrics, {}, report)


def group(name, values, metric=MSE, memories=(), longer=False):
    """A run for each value, with a memory each or none."""
    memories = memories or [None] * len(values)
    return [
        record(name, value, metric, memory, longer)
        for value, memory in zip(values, memories, strict=True)
    ]


def against(runs, *baselines, **units):
    """What the variants of these runs are compared with; `units` names a cell's `_target_`."""
    made_by = {each: units.get(each.texts["cell"], each.texts["cell"]) for each in runs}
    return compared_with(read_all(baselines, made_by), made_by)
