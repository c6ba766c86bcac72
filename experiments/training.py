"""Fitting one model to one task, and following it."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import hydra
import keras
from omegaconf import DictConfig

from diagnostics import GradientWatch
from experiments import interruption
from experiments.diagnosis import Diagnosis
from tasks.examples import evaluation_batches, training_batches
from tasks.metric import Metric
from tasks.task import Task
from tracking import TrackedRun

_SECONDS_BETWEEN_REPORTS = 0.5


def compile_model(model: keras.Model, task: Task, config: DictConfig) -> None:
    """The optimiser of a section `training`, and the loss and the metric of a task."""
    optimizer = hydra.utils.get_class(config.optimizer)
    model.compile(
        optimizer=optimizer(
            config.learning_rate, global_clipnorm=config.clip_norm, clipvalue=config.clip_value
        ),
        loss=task.loss(),
        weighted_metrics=[task.metric_in_keras()],
        jit_compile=config.jit_compile,
    )


def fit(
    model: keras.Model,
    task: Task,
    config: DictConfig,
    tracked: TrackedRun,
    best: Path,
    report_share: Callable[[float], None],
    diagnosis: Diagnosis | None = None,
) -> tuple[dict[str, list[float]], int]:
    """Train for the epochs of the budget and keep the best epoch's model in the file `best`.

    Args:
        model: compiled.
        task: loaded.
        config: the whole configuration.
        tracked: the run that gets each epoch's metrics.
        best: a `.keras` file; after the call it holds the model of the best epoch, the one with the
            best value of the task's metric on the validation split, and of equals the lowest loss.
        report_share: called with the share of the training that is done.
        diagnosis: what looks into the model meanwhile.

    Returns:
        Each metric's value after each epoch, and the number of the best epoch, from 1.

    Raises:
        DivergedError: for a training step whose gradients are not finite or explode.
        FloatingPointError: for a loss or metric that is not finite after an epoch.
    """
    batch_size = config.training.batch_size
    watch = GradientWatch(model, config.training.explosion)
    keep, log = _KeepBest(best, task.metric), _EpochLog(tracked, len(task.training), watch)
    model.fit(
        training_batches(task.training, batch_size, config.seed),
        validation_data=evaluation_batches(task.validation, 4 * batch_size),
        epochs=config.budget.epochs,
        shuffle=False,  # the batches come shuffled
        callbacks=[
            _Watched(watch),
            *([diagnosis] if diagnosis else []),
            log,
            keep,
            _ShareDone(report_share),
        ],
        verbose=0,
    )
    return log.history, keep.epoch


def training_steps(task: Task, config: DictConfig) -> int:
    """How many there are in all."""
    return config.budget.epochs * math.ceil(len(task.training) / config.training.batch_size)


class _Watched(keras.callbacks.Callback):
    """Ends training at the first step that diverges; it comes before whoever measures the model."""

    async_safe = True  # As `_ShareDone`.

    def __init__(self, watch: GradientWatch):
        super().__init__()
        self._watch = watch

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        self._watch.check()


class _KeepBest(keras.callbacks.Callback):
    """Saves the model after each epoch that is the best so far.

    Not `ModelCheckpoint`, which knows one metric: where several epochs answer all of the validation
    split, the first of them can be far from the last on other data.
    """

    def __init__(self, path: Path, metric: Metric):
        super().__init__()
        self.epoch = 0
        self._path = path
        self._metric = metric
        self._best = (-math.inf, -math.inf)

    def on_epoch_end(self, epoch, logs=None):
        reached = (self._metric.merit(logs[f"val_{self._metric.key}"]), -logs["val_loss"])
        if reached > self._best:
            self._best, self.epoch = reached, epoch + 1
            self.model.save(self._path)


class _EpochLog(keras.callbacks.Callback):
    """Each epoch's metrics to the tracked run, beside the seconds and the examples they cost.

    An epoch's seconds are those of its training and validation, and of looking into the model;
    keeping the model is not counted. Norms of gradients are those before clipping.
    """

    def __init__(self, tracked: TrackedRun, examples: int, watch: GradientWatch):
        super().__init__()
        self._tracked = tracked
        self._examples = examples
        self._watch = watch
        self._seconds = 0.0
        self.history = {}

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self._epoch_start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._epoch_start
        self._seconds += seconds
        for name, value in logs.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name} is {value} after epoch {epoch + 1}; "
                    "try a lower training.learning_rate or training.clip_norm"
                )
        measured = {
            f"validation/{name.removeprefix('val_')}"
            if name.startswith("val_")
            else f"train/{name}": value
            for name, value in logs.items()
        }
        measured |= {
            "seconds": self._seconds,
            "seconds_per_epoch": seconds,
            "examples_seen": (epoch + 1) * self._examples,
            **self._gradients(),
        }
        self._tracked.log_metrics(measured, step=epoch + 1)
        for name, value in measured.items():
            self.history.setdefault(name, []).append(float(value))

    def _gradients(self):
        """Of the epoch's training steps."""
        watched = self._watch.take()
        norms = {f"gradient_norm/{path}": norm for path, norm in watched.mean.items()}
        return {
            **norms,
            "gradient_norm/all": watched.mean_total,
            "gradient_norm/all/largest": watched.largest_total,
            "clipped_steps": watched.clipped,
        }


class _ShareDone(keras.callbacks.Callback):
    """Tells now and then which share of all training batches is done."""

    async_safe = True  # It looks at no metric, so Keras need not wait for one after every batch.

    def __init__(self, report: Callable[[float], None]):
        super().__init__()
        self._report = report
        self._epoch = 0
        self._next = 0.0

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        interruption.check()
        now = time.perf_counter()
        if now >= self._next:
            self._next = now + _SECONDS_BETWEEN_REPORTS
            done = self._epoch + (batch + 1) / self.params["steps"]
            self._report(done / self.params["epochs"])

    def on_train_end(self, logs=None):  # noqa: ARG002
        self._report(1.0)
