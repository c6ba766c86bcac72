"""Looking into a model while it learns: how far gradients flow back, what the gates do."""

import math
import time

import keras
import numpy as np
from omegaconf import DictConfig

from unrolled.diagnostics import (
    Decay,
    FlowMeter,
    GateMeter,
    Gates,
    GradientFlow,
    NoGatesError,
    decay,
    logarithmic,
)
from unrolled.diagnostics.gates import OPEN, SHUT
from unrolled.tasks.base.task import Task
from unrolled.tracking import TrackedRun

BINS = 20
"""Of the histograms of gates, from 0 to 1."""
_TIME_CONSTANTS = (0.1, 0.25, 0.5, 0.75, 0.9)


class Diagnosis(keras.callbacks.Callback):
    """Measures a model on the same examples again and again.

    Args:
        model: built and compiled.
        task: loaded; the first examples of its validation split are those measured on.
        config: a section `diagnostics` with at least one measurement.
        steps: training steps in all.
        tracked: the run that gets the numbers, each at its training step.

    Attributes:
        measured: what `now` gave, with the training step, in the order of training.
        seconds: that measurements took after the first training step and before the end.
    """

    async_safe = True  # It looks at no metric, so Keras need not wait for one after every batch.

    def __init__(
        self, model: keras.Model, task: Task, config: DictConfig, steps: int, tracked: TrackedRun
    ):
        super().__init__()
        self.measured = []
        self.seconds = 0.0
        self._losses = list(config.losses)
        self._task = task
        self._examples = task.examples_to_look_into(config.examples)
        self._batch = self._examples.batch(np.arange(len(self._examples)))
        self._flow = FlowMeter(model)
        try:
            self._gates = GateMeter(model)
        except NoGatesError:
            self._gates = None
        self._due = set(logarithmic(steps, config.measurements))
        self._tracked = tracked
        self._step = 0

    def on_train_begin(self, logs=None):  # noqa: ARG002
        if not self.measured:
            self._measure()

    def state(self) -> dict:
        """What to `resume` from."""
        return {"measured": self.measured, "seconds": self.seconds, "step": self._step}

    def resume(self, state: dict) -> None:
        """Go on from the `state` of another."""
        self.measured, self.seconds = state["measured"], state["seconds"]
        self._step = state["step"]

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        self._step += 1
        if self._step in self._due:
            start = time.perf_counter()
            self._measure()
            self.seconds += time.perf_counter() - start

    def now(self, gates: list[Gates]) -> dict:
        """The model as it is, whose gates have been read: what is kept of a measurement."""
        flows = [
            _flow(flow)
            for loss in self._losses
            for flow in self._flow.measure(*self._batch, loss=loss)
        ]
        return {"flows": flows, "gates": [_gates(each) for each in gates]}

    def gates(self) -> list[Gates]:
        """The gates on the examples, of a unit that has any."""
        return self._gates.measure(self._batch[0]) if self._gates else []

    def longest(self) -> tuple[int, list[str], int]:
        """The longest of the examples: its number, what to call its steps, the step of its answer.

        Where several steps are asked it is the last of them.
        """
        examples = self._examples
        number = int(examples.lengths.argmax())
        last = int(examples.lengths[number]) - 1
        if examples.asked is not None:
            last = int(np.flatnonzero(examples.asked[number])[-1])
        return number, self._task.names_of_steps(examples.inputs[number]), last

    def norms(self, number: int, gates: Gates) -> np.ndarray:
        """log10 |dL/dc<t>| at each step of an example, where these gates keep memory.

        L is the loss at the last answer, if it is among those that are measured.
        """
        loss = "late" if "late" in self._losses else self._losses[0]
        flows = self._flow.measure(*self._batch, loss=loss)
        way = gates.layer, gates.direction
        flows = [flow for flow in flows if (flow.layer, flow.direction) == way]
        return min(flows, key=lambda flow: flow.state != "c").log10_norms[number]

    def _measure(self):
        found = {"step": self._step, **self.now(self.gates())}
        self.measured.append(found)
        self._tracked.log_metrics(_metrics(found), step=self._step)


def _flow(flow: GradientFlow) -> dict:
    """A flow by lag, as plain values."""
    curve = flow.by_lag()
    low, _, high = curve.log10_quantiles
    return {
        **{name: getattr(flow, name) for name in ("layer", "direction", "state", "loss")},
        "lags": curve.at.tolist(),
        "log10_mean": curve.log10_mean.tolist(),
        "log10_low": low.tolist(),
        "log10_high": high.tolist(),
        **vars(_decay_of(curve)),
    }


def _decay_of(curve) -> Decay:
    """The decay of a curve; of one without any gradient, one without memory."""
    if np.any(curve.log10_mean > -np.inf):
        return decay(curve.at, curve.log10_mean)
    return Decay(math.nan, math.nan, math.nan, 0, False, False)


def _gates(gates: Gates) -> dict:
    """The use of gates, as plain values."""
    return {
        "layer": gates.layer,
        "direction": gates.direction,
        "gates": {name: _use(values[gates.mask]) for name, values in gates.values.items()},
        "time_constants": gates.time_constant_quantiles(_TIME_CONSTANTS).tolist(),
    }


def _use(values: np.ndarray) -> dict:
    counts, _ = np.histogram(values, BINS, (0, 1))
    return {
        "mean": float(values.mean()),
        "shut": float((values < SHUT).mean()),
        "open": float((values > OPEN).mean()),
        "histogram": (counts / values.size).tolist(),
    }


def _metrics(found: dict) -> dict[str, float]:
    """What is worth a curve over training."""
    metrics = {}
    for flow in found["flows"]:
        key = "/".join(("flow", *(flow[k] for k in ("layer", "direction", "state", "loss"))))
        metrics[f"{key}/decades_per_step"] = flow["rate"]
        metrics[f"{key}/decades_per_step_fit"] = flow["fit"]
        metrics[f"{key}/half_life"] = flow["half_life"]
        metrics[f"{key}/memory"] = flow["memory"]
        metrics[f"{key}/explodes"] = float(flow["explodes"])
    for part in found["gates"]:
        key = f"gates/{part['layer']}/{part['direction']}"
        metrics[f"{key}/time_constant"] = part["time_constants"][len(_TIME_CONSTANTS) // 2]
        for gate, use in part["gates"].items():
            metrics |= {f"{key}/{gate}/{name}": use[name] for name in ("mean", "shut", "open")}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
