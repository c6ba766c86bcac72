"""Fitting one model to one task, and following it."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
from omegaconf import DictConfig

from unrolled.diagnostics import GradientWatch
from unrolled.sweeps import interruption
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.checks import imported
from unrolled.sweeps.diagnostics_callback import Diagnosis
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.task import Task
from unrolled.tracking import TrackedRun

_SECONDS_BETWEEN_REPORTS = 0.5


def compile_model(
    model: keras.Model, task: Task, config: DictConfig, steps: int | None = None
) -> None:
    """The optimiser of a section `training`, and the loss and the metric of a task.

    Args:
        model: built.
        task: what it is to learn.
        config: the section.
        steps: how many training takes in all, over which a cosine schedule spreads.
    """
    optimizer = optimizer_class(config.optimizer)
    rate = float(config.learning_rate)  # Keras takes no whole number.
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
    # Else the first step makes its variables, and TensorFlow has to trace it a second time.
    model.optimizer.build(model.trainable_variables)


def optimizer_class(name: str) -> type[keras.optimizers.Optimizer]:
    """What `training.optimizer` names.

    Raises:
        RefusedError: if there is no such class, or it is no optimizer.
    """
    kind = keras.optimizers.Optimizer
    return imported("training.optimizer", name, "keras.optimizers.Adam", kind)


def fit(
    model: keras.Model,
    task: Task,
    config: DictConfig,
    tracked: TrackedRun,
    directory: Path,
    report_share: Callable[[float], None],
    checkpoint: Checkpoint,
    diagnosis: Diagnosis | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[dict[str, list[float]], int]:
    """Train for the epochs of the budget, and save the model of the best epoch.

    It is the epoch with the best value of the task's metric on the validation split, and of equals
    the one with the lowest loss. Training begins after the last epoch that `checkpoint` has saved,
    and ends as if it had begun with the first.

    Args:
        model: compiled.
        task: loaded.
        config: the whole configuration.
        tracked: the run that gets each epoch's metrics.
        directory: where that model is saved; see `best_model`.
        report_share: called with the share of the training that is done.
        checkpoint: where each epoch is kept.
        diagnosis: what looks into the model meanwhile.
        callbacks: that come after all others at the end of an epoch.

    Returns:
        Each metric's value after each epoch, and the number of the best epoch, from 1.

    Raises:
        DivergedError: for a training step whose gradients are not finite or explode.
        FloatingPointError: for a loss or metric that is not finite after an epoch.
    """
    batch_size, window = config.training.batch_size, config.training.window
    watch = GradientWatch(model, config.training.explosion)
    log, keep = _EpochLog(tracked, len(task.training), watch), _KeepBest(directory, task.metric)
    resumed = [log, keep, *([diagnosis] if diagnosis else [])]
    done, states = checkpoint.restore(model)
    for each, state in zip(resumed, states, strict=False):  # None, at the first epoch.
        each.resume(state)
    watch.steps = done * task.batches_per_epoch(batch_size, window)
    model.fit(
        task.training_batches(batch_size, config.seed, window, done),
        validation_data=task.validation_batches(batch_size, window),
        initial_epoch=done,
        epochs=config.budget.epochs,
        shuffle=False,  # the batches come shuffled
        callbacks=[
            _Watched(watch),
            *([diagnosis] if diagnosis else []),
            log,
            keep,
            *([_Decay(config.training, log)] if config.training.decay else []),
            _KeepLast(checkpoint, resumed),
            *callbacks,
            _ShareDone(report_share),
        ],
        verbose=0,
    )
    return log.history, keep.epoch


def best_model(directory: Path, epoch: int | str) -> Path:
    """The file of the best model so far, which is that of an epoch, from 1."""
    return directory / f"best_of_epoch_{epoch}.keras"


def save_to_use(model: keras.Model, path: Path) -> None:
    """Save a model as it answers: without its loss, its metrics and the optimizer's settings.

    Keras looks up the class of everything that a file has. A task's metric, which is in none of the
    modules that a model needs, would keep others from loading it.

    Args:
        model: compiled or not; it stays as it is.
        path: a `.keras` file.
    """
    compiled, model.compiled = model.compiled, False
    try:
        model.save(path)
    finally:
        model.compiled = compiled


def training_steps(task: Task, config: DictConfig) -> int:
    """How many there are in all."""
    training = config.training
    return config.budget.epochs * task.batches_per_epoch(training.batch_size, training.window)


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

    Each has a file of its own, so that a run that is killed while it saves one, or before the
    checkpoint of that epoch, still has the one of which the last checkpoint tells.
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
        """What to `resume` from."""
        return {"epoch": self.epoch, "best": self._best}

    def resume(self, state: dict) -> None:
        """Go on from the `state` of another."""
        self.epoch, self._best = state["epoch"], tuple(state["best"])


class _KeepLast(keras.callbacks.Callback):
    """Keeps the model after each epoch, and the state of callbacks that have one."""

    def __init__(self, checkpoint: Checkpoint, resumed: list):
        super().__init__()
        self._checkpoint = checkpoint
        self._resumed = resumed

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        self._checkpoint.save(self.model, epoch + 1, [each.state() for each in self._resumed])


class _Decay(keras.callbacks.Callback):
    """Lowers the learning rate after an epoch that gained too little on the validation split.

    Not `ReduceLROnPlateau`, which forgets what it has seen where training is taken up again.
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
            "learning_rate": float(self.model.optimizer.learning_rate),
            **self._gradients(),
        }
        self._tracked.log_metrics(measured, step=epoch + 1)
        for name, value in measured.items():
            self.history.setdefault(name, []).append(float(value))

    def state(self) -> dict:
        """What to `resume` from."""
        return {"history": self.history, "seconds": self._seconds}

    def resume(self, state: dict) -> None:
        """Go on from the `state` of another."""
        self.history, self._seconds = state["history"], state["seconds"]

    def _gradients(self):
        """Of the epoch's training steps."""
        watched = self._watch.take()
        norms = {f"gradient_norm/{path}": norm for path, norm in watched.mean.items()}
        return {
            **norms,
            "gradient_norm/all": watched.mean_total,
            "gradient_norm/largest": watched.largest_total,
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
