"""Runs as they would be read back, of numbers made up."""

import dataclasses

from unrolled.comparison.baselines import compared_with
from unrolled.tasks.base.metric import accuracy, mean_squared_error
from unrolled.tracking import RunRecord

MSE = mean_squared_error(guessing=1 / 6, learnt=0.01)
ACCURACY = accuracy(classes=2, learnt=0.9)


def record(variant, value, metric=MSE, memory=None, longer=False):
    """A run that ended with this test metric; with `memory` its gradient was followed as well."""
    report = {"metric": dataclasses.asdict(metric), "metrics": {metric.key: value}}
    if memory is not None:
        flow = {"layer": "rnn", "loss": "late", "direction": "forward", "state": "c"}
        flow |= {"memory": memory, "memory_is_longer": longer}
        report["diagnosis"] = {"kept": {"flows": [flow], "gates": []}}
    tags = {"variant": variant, "cell": variant.split()[0]}
    metrics = {f"test/{metric.key}": value}
    return RunRecord("id", variant, "FINISHED", tags, {}, metrics, {}, report)


def group(variant, values, metric=MSE, memories=(), longer=False):
    """A run for each value, with a memory each or none."""
    memories = memories or [None] * len(values)
    return [
        record(variant, value, metric, memory, longer)
        for value, memory in zip(values, memories, strict=True)
    ]


def against(runs, *baselines, **units):
    """What the variants of these runs are compared with; `units` names a cell's `_target_`."""
    made_by = {name: units.get(name.split()[0], name.split()[0]) for name in runs}
    return compared_with(baselines, made_by)
