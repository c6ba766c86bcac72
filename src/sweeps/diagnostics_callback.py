"""Gradient flow and gate statistics, measured during training."""

import math
import time

import keras
import numpy as np
from omegaconf import DictConfig

from unrolled.diagnostics import (
    Curve,
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


def measured_part(model: keras.Model) -> keras.Model:
    """The part of a model that is measured: the functional model, on the same weights.

    Raises:
        ValueError: if it has several inputs.
    """
    network = getattr(model, "network", model)
    inputs = getattr(network, "inputs", None) or []
    if len(inputs) > 1:
        raise ValueError(
            "diagnostics.measurements: expected 0, as gradients through time are measured of "
            f"models with one input, and this one has {len(inputs)}: "
            f"{', '.join(each.name for each in inputs)}. Take diagnostics=none."
        )
    return network


class Diagnosis(keras.callbacks.Callback):
    """Measures gradient flow and gates on a fixed set of examples during training.

    Args:
        model: built and compiled.
        task: loaded; the model is measured on the first examples of its validation split.
        config: a section `diagnostics` with at least one measurement.
        steps: the number of training steps.
        tracked: the measurements are logged to this run, at their training steps.

    Attributes:
        measured: the results of `now`, each with its training step, in order.
        seconds: the time that measurements took during training.
    """

    async_safe = True  # It reads no metric, so Keras need not wait for one after every batch.

    def __init__(
        self, model: keras.Model, task: Task, config: DictConfig, steps: int, tracked: TrackedRun
    ):
        super().__init__()
        self.measured: list[dict] = []
        self.seconds = 0.0
        self._losses = list(config.losses)
        self._task = task
        self._examples = task.diagnostic_examples(config.examples)
        self._batch = self._examples.batch(np.arange(len(self._examples)))
        self._flow = FlowMeter(model)
        try:
            self._gates: GateMeter | None = GateMeter(model)
        except NoGatesError:
            self._gates = None
        self._due = set(logarithmic(steps, config.measurements))
        self._tracked = tracked
        self._step = 0

    def on_train_begin(self, logs: dict | None = None) -> None:  # noqa: ARG002
        if not self.measured:
            self._measure()

    def state(self) -> dict:
        """The state that `resume` restores."""
        return {"measured": self.measured, "seconds": self.seconds, "step": self._step}

    def resume(self, state: dict) -> None:
        """Restore a `state`."""
        self.measured, self.seconds = state["measured"], state["seconds"]
        self._step = state["step"]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: ARG002
        self._step += 1
        if self._step in self._due:
            start = time.perf_counter()
            self._measure()
            self.seconds += time.perf_counter() - start

    def now(self, gates: list[Gates]) -> dict:
        """Measure the model as it is now.

        Args:
            gates: the result of `gates`.
        """
        flows = [
            _flow(flow)
            for loss in self._losses
            for flow in self._flow.measure(*self._batch, loss=loss)
        ]
        return {"flows": flows, "gates": [_gates(each) for each in gates]}

    def gates(self) -> list[Gates]:
        """The gate activations on the examples; empty for a unit without gates."""
        return self._gates.measure(self._batch[0]) if self._gates else []

    def longest(self) -> tuple[int, list[str], int]:
        """The longest example: its index, the names of its steps, and the step of its answer.

        If the task asks for answers at several steps, it is the last of them.
        """
        examples = self._examples
        number = int(examples.lengths.argmax())
        last = int(examples.lengths[number]) - 1
        if examples.target_mask is not None:
            last = int(np.flatnonzero(examples.target_mask[number])[-1])
        return number, self._task.step_labels(examples.inputs[number]), last

    def norms(self, number: int, gates: Gates) -> np.ndarray:
        """log10 |dL/dc<t>| at each step of an example, in the layer of these gates.

        L is the loss at the last answer if that is measured, else the task's own loss.
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
    """Gradient flow by lag, as JSON values."""
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


def _decay_of(curve: Curve) -> Decay:
    """The decay of a curve; a curve without any gradient has no memory."""
    if np.any(curve.log10_mean > -np.inf):
        return decay(curve.at, curve.log10_mean)
    return Decay(math.nan, math.nan, math.nan, 0, False, False)


def _gates(gates: Gates) -> dict:
    """Gate statistics, as JSON values."""
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
    """The values that are plotted over training."""
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
