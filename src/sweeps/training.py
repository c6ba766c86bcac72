"""Training one model on one task, with checkpoints and a log of every epoch."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import keras
from omegaconf import DictConfig

from unrolled.diagnostics import GradientWatch
from unrolled.sweeps import interruption
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.diagnostics_callback import Diagnosis
from unrolled.sweeps.named_objects import imported
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.task import Task
from unrolled.tracking import TrackedRun

_SECONDS_BETWEEN_REPORTS = 0.5


def compile_model(
    model: keras.Model, task: Task, config: DictConfig, steps: int | None = None
) -> None:
    """Compile a model with the optimizer of a section `training` and the loss of a task.

    Args:
        model: built.
        task: its loss and metric are used.
        config: the section.
        steps: the number of training steps, over which a cosine schedule extends.
    """
    optimizer = optimizer_class(config.optimizer)
    rate = float(config.learning_rate)  # Keras rejects integers.
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        optimizer=optimizer(
            rate,
            global_clipnorm=config.clip_norm,
            clipvalue=config.clip_value,
        ),
        loss=task.loss(),
        weighted_metrics=task.keras_metrics(),
        jit_compile=config.jit_compile,
    )
    # Otherwise the first step creates its variables, and TensorFlow traces it a second time.
    model.optimizer.build(model.trainable_variables)


def optimizer_class(name: str) -> type[keras.optimizers.Optimizer]:
    """The class that `training.optimizer` names.

    Raises:
        RefusedError: if there is no such class, or it is not an optimizer.
    """
    kind = keras.optimizers.Optimizer
    return imported("training.optimizer", name, "keras.optimizers.Adam", kind)


def fit(
    model: keras.Model,
    task: Task,
    config: DictConfig,
    tracked: TrackedRun,
    directory: Path,
    report_progress: Callable[[float], None],
    checkpoint: Checkpoint,
    diagnosis: Diagnosis | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    until: int | None = None,
) -> tuple[dict[str, list[float]], int]:
    """Train for the epochs of the budget, and save the model of the best epoch.

    The best epoch has the best value of the task's metric on the validation split; ties are broken
    by the lowest loss. Training starts after the last epoch that `checkpoint` has saved. Its result
    is that of uninterrupted training.

    Args:
        model: compiled.
        task: loaded.
        config: the whole configuration.
        tracked: the metrics of each epoch are logged to this run.
        directory: where the best model is saved; see `best_model`.
        report_progress: called with the fraction of the training that is done.
        checkpoint: saves the state of training after each epoch.
        diagnosis: the callback that measures gradient flow and gates.
        callbacks: called after all others at the end of an epoch.
        until: the epoch to stop after, from 1; None for the last epoch of the budget, which also
            decides on the learning rates of a schedule.

    Returns:
        The values of each metric after each epoch, and the best epoch, counted from 1.

    Raises:
        DivergedError: for a training step whose gradients are not finite or explode.
        FloatingPointError: for a loss or metric that is not finite after an epoch.
    """
    batch_size, window = config.training.batch_size, config.training.window
    watch = GradientWatch(model, config.training.explosion)
    log = _EpochLog(tracked, len(task.training), watch)
    best = _SaveBest(directory, task.metric)
    resumed: list[_Resumable] = [log, best, *([diagnosis] if diagnosis else [])]
    done, states = checkpoint.restore(model)
    for each, state in zip(resumed, states, strict=False):  # None, at the first epoch.
        each.resume(state)
    watch.steps = done * task.batches_per_epoch(batch_size, window)
    model.fit(
        task.training_batches(batch_size, config.seed, window, done),
        validation_data=task.validation_batches(batch_size, window),
        initial_epoch=done,
        epochs=until or config.budget.epochs,
        shuffle=False,  # the batches come shuffled
        callbacks=[
            _Watched(watch),
            *([diagnosis] if diagnosis else []),
            log,
            best,
            *([_Decay(config.training, log)] if config.training.decay else []),
            _SaveCheckpoint(checkpoint, resumed),
            *callbacks,
            _ProgressReport(report_progress, config.budget.epochs),
        ],
        verbose=0,
    )
    return log.history, best.epoch


def best_model(directory: Path, epoch: int | str) -> Path:
    """The file of the best model so far, that of the given epoch, counted from 1."""
    return directory / f"best_of_epoch_{epoch}.keras"


def save_to_use(model: keras.Model, path: Path) -> None:
    """Save a model for inference, without its loss, metrics and optimizer.

    When Keras loads a file, it looks up the class of every object in it. The metric of a task is in
    none of the modules that a model needs, so with it the file could not be loaded elsewhere.

    Args:
        model: compiled or not; it is not changed.
        path: a `.keras` file.
    """
    compiled, model.compiled = model.compiled, False
    try:
        model.save(path)
    finally:
        model.compiled = compiled


def training_steps(task: Task, config: DictConfig) -> int:
    """The number of training steps of a run."""
    training = config.training
    return config.budget.epochs * task.batches_per_epoch(training.batch_size, training.window)


class _Resumable(Protocol):
    """A callback with a state that a checkpoint saves."""

    def state(self) -> dict: ...

    def resume(self, state: dict) -> None: ...


class _Watched(keras.callbacks.Callback):
    """Ends training at the first step that diverges, before other callbacks measure the model."""

    async_safe = True  # As for `_ProgressReport`.

    def __init__(self, watch: GradientWatch):
        super().__init__()
        self._watch = watch

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        self._watch.check()


class _SaveBest(keras.callbacks.Callback):
    """Saves the model after each epoch that is the best so far.

    Not `ModelCheckpoint`, which compares one metric: where several epochs are right on all of the
    validation split, the first of them can be much worse than the last on other data.

    Each model has a file of its own. So if the process is killed while it saves one, or before the
    checkpoint of that epoch, the model that the last checkpoint refers to survives.
    """

    def __init__(self, directory: Path, metric: Metric):
        super().__init__()
        self.epoch = 0
        self._directory = directory
        self._metric = metric
        self._best = (-math.inf, -math.inf)

    def on_epoch_end(self, epoch, logs=None):
        reached = (self._metric.merit(logs[f"val_{self._metric.key}"]), -logs["val_loss"])
        for other in self._directory.glob(best_model(self._directory, "*").name):
            if other != best_model(self._directory, self.epoch):
                other.unlink()
        if reached > self._best:
            self._best, self.epoch = reached, epoch + 1
            save_to_use(self.model, best_model(self._directory, self.epoch))

    def state(self) -> dict:
        """The state that `resume` restores."""
        return {"epoch": self.epoch, "best": self._best}

    def resume(self, state: dict) -> None:
        """Restore a `state`."""
        self.epoch, self._best = state["epoch"], tuple(state["best"])


class _SaveCheckpoint(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, with the state of the callbacks that have one."""

    def __init__(self, checkpoint: Checkpoint, resumed: list[_Resumable]):
        super().__init__()
        self._checkpoint = checkpoint
        self._resumed = resumed

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        self._checkpoint.save(self.model, epoch + 1, [each.state() for each in self._resumed])


class _Decay(keras.callbacks.Callback):
    """Lowers the learning rate after an epoch that improved the validation loss too little.

    Not `ReduceLROnPlateau`, which loses its state when training is resumed.
    """

    def __init__(self, config: DictConfig, log: "_EpochLog"):
        super().__init__()
        self._factor, self._gain = config.decay, config.gain
        self._log = log

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        *before, now = self._log.history["validation/loss"]
        if before and now > min(before) * (1 - self._gain):
            rate = self.model.optimizer.learning_rate
            rate.assign(rate * self._factor)


class _EpochLog(keras.callbacks.Callback):
    """Logs the metrics of each epoch to the tracked run, with its seconds and examples.

    The seconds of an epoch include training, validation and diagnostics, but not saving the model.
    Gradient norms are those before clipping.
    """

    def __init__(self, tracked: TrackedRun, examples: int, watch: GradientWatch):
        super().__init__()
        self._tracked = tracked
        self._examples = examples
        self._watch = watch
        self._seconds = 0.0
        self.history: dict[str, list[float]] = {}

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
            "learning_rate": float(self.model.optimizer.learning_rate),
            **self._gradients(),
        }
        self._tracked.log_metrics(measured, step=epoch + 1)
        for name, value in measured.items():
            self.history.setdefault(name, []).append(float(value))

    def state(self) -> dict:
        """The state that `resume` restores."""
        return {"history": self.history, "seconds": self._seconds}

    def resume(self, state: dict) -> None:
        """Restore a `state`."""
        self.history, self._seconds = state["history"], state["seconds"]

    def _gradients(self):
        """Gradient norms over the training steps of the epoch."""
        watched = self._watch.take()
        norms = {f"gradient_norm/{path}": norm for path, norm in watched.mean.items()}
        return {
            **norms,
            "gradient_norm/all": watched.mean_total,
            "gradient_norm/largest": watched.largest_total,
            "clipped_steps": watched.clipped,
        }


class _ProgressReport(keras.callbacks.Callback):
    """Reports, about twice a second, the fraction of all training batches that is done.

    Args:
        report: called with it.
        epochs: of the whole training.
    """

    async_safe = True  # It reads no metric, so Keras need not wait for one after every batch.

    def __init__(self, report: Callable[[float], None], epochs: int):
        super().__init__()
        self._report = report
        self._epochs = epochs
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
            self._report(done / self._epochs)

    def on_train_end(self, logs=None):  # noqa: ARG002
        self._report(self.params["epochs"] / self._epochs)
