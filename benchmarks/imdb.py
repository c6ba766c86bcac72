"""One epoch on film reviews: the same model with a unit of ours and with its peer."""

import time
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial

import keras
import numpy as np
from omegaconf import DictConfig

from benchmarks.peers import name_of_peer, peer_of, unit_named
from benchmarks.timing import Two
from unrolled.models import build_model
from unrolled.sweeps.training import compile_model
from unrolled.tasks.base.examples import Examples, training_batches
from unrolled.tasks.sentiment.imdb import Imdb


class OneBucket(Examples):
    """Examples that are all treated as having the longest length, to which batches are padded."""

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.full(len(self), self.inputs.shape[1])


@dataclass(frozen=True)
class Epoch:
    """One epoch of one model.

    Attributes:
        seconds: of the whole epoch.
        first_batch: seconds of its first batch, which traces and may compile.
        accuracy: on the test split, after the epoch.
    """

    seconds: float
    first_batch: float
    accuracy: float


@dataclass(frozen=True)
class Epochs:
    """An epoch of a unit and of its peer, from the same weights, over the same batches."""

    unit: str
    batches: str
    seed: int
    peer: str
    both: Two

    @property
    def ratio(self) -> float:
        """The peer's time over ours: above 1 ours is faster."""
        return self.both.peer.seconds / self.both.ours.seconds

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged to MLflow."""
        key = f"imdb/{self.unit}/{self.batches}/seed {self.seed}"
        found = {f"{key}/ratio": self.ratio}
        for who, epoch in self.both._asdict().items():
            found |= {
                f"{key}/{who} s": epoch.seconds,
                f"{key}/{who} first batch s": epoch.first_batch,
                f"{key}/{who} accuracy": epoch.accuracy,
            }
        return found

    def line(self) -> str:
        """One line for the terminal."""
        ours, peer = self.both
        return (
            f"epoch {ours.seconds:.1f} s, peer {peer.seconds:.1f}, ratio {self.ratio:.2f}; "
            f"accuracy {ours.accuracy:.3f}, peer {peer.accuracy:.3f}"
        )

    def report(self) -> dict:
        """All fields as plain values."""
        return {**asdict(self), "both": {k: asdict(v) for k, v in self.both._asdict().items()}}


def load_reviews(config: DictConfig) -> Imdb:
    """The reviews, of `config.imdb`.

    Raises:
        MissingDataError: if they are not on this machine and cannot be downloaded; the message says
            what to do.
        ValueError: for options that the task rejects.
    """
    options = ("vocabulary_size", "max_words", "train_examples", "test_examples")
    task = Imdb(**{name: config[name] for name in options})
    task.load()
    return task


def measure_epochs(
    task: Imdb, unit: str, batches: str, seed: int, config: DictConfig, *, peer_first: bool
) -> Epochs:
    """Train both models for one epoch, from the same weights and in the same order.

    Args:
        task: loaded.
        unit: its name in conf/cell.
        batches: "padded", each to the longest review of all, or "bucketed", each to its own
            longest.
        seed: of the initial weights and the order of the reviews.
        config: the section `imdb` of the configuration.
        peer_first: whether the peer is trained first.
    """
    _warm_up()
    training = task.training
    if batches == "padded":
        training = OneBucket(training.inputs, training.targets)
    models = _models(task, unit, seed, config)
    done = {}
    for who in reversed(Two._fields) if peer_first else Two._fields:
        done[who] = _epoch(getattr(models, who), training, task, seed, config)
    peer = name_of_peer(_recurrent(models.peer))
    return Epochs(unit, batches, seed, peer, Two(**done))


@cache
def _warm_up() -> None:
    """Pay the one-time costs of a process with a model that is not measured."""
    shape = {"vocabulary_size": 2, "classes": 2, "per_step": False, "units": 1, "embedding": 1}
    model = build_model(keras.layers.SimpleRNN, **shape)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(), jit_compile=False)
    examples = Examples(np.ones((2, 2), "int32"), np.zeros(2, "int32"))
    model.fit(training_batches(examples, 1, seed=0), verbose=0)


def _models(task: Imdb, unit: str, seed: int, config: DictConfig) -> Two:
    keras.utils.set_random_seed(seed)
    build = partial(
        build_model,
        vocabulary_size=len(task.vocabulary),
        classes=task.classes,
        per_step=task.per_step,
        units=config.size,
        embedding=config.embedding,
    )
    ours = build(unit_named(unit))
    peer = build(lambda **_: peer_of(_recurrent(ours)))
    for layer in ("embedding", "scores"):
        peer.get_layer(layer).set_weights(ours.get_layer(layer).get_weights())
    return Two(ours, peer)


def _recurrent(model: keras.Model) -> keras.layers.RNN:
    return next(layer for layer in model.layers if isinstance(layer, keras.layers.RNN))


def _epoch(model, training: Examples, task: Imdb, seed: int, config: DictConfig) -> Epoch:
    seconds, first_batch = _fit(model, training, task, seed, config)
    return Epoch(seconds, first_batch, task.evaluate(model).metrics["accuracy"])


def _fit(
    model, training: Examples, task: Imdb, seed: int, config: DictConfig
) -> tuple[float, float]:
    compile_model(model, task, config, task.batches_per_epoch(config.batch_size))
    clock = _FirstBatch()
    batches = training_batches(training, config.batch_size, seed)
    start = time.perf_counter()
    model.fit(batches, shuffle=False, callbacks=[clock], verbose=0)
    return time.perf_counter() - start, clock.ended - start


class _FirstBatch(keras.callbacks.Callback):
    """Measures when the first batch ended."""

    async_safe = True  # It reads no metric, so Keras need not wait for one after every batch.

    def __init__(self):
        super().__init__()
        self.ended = None

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        if self.ended is None:
            self.ended = time.perf_counter()
