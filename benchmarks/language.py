"""A training step of the small language model of Zaremba et al. (2014), and of its softmax alone.

Tokens are drawn by Zipf's law, so that no text is needed and an adaptive softmax sees frequent and
rare words in the proportions of real text.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

import keras
import numpy as np
import tensorflow as tf
from omegaconf import DictConfig

from benchmarks.peers import is_generic, name_of_peer, peer_of, unit_named
from benchmarks.timing import Timing, Two, first_calls, in_turn
from unrolled.models import build_language_model


@dataclass(frozen=True)
class LanguageSteps:
    """Seconds of a training step of a model and of its peer.

    Attributes:
        unit: of our model.
        heads: of our model and of the peer.
        peer: the name of the peer's recurrent layer.
        timing: of whole steps.
        softmax: seconds of the softmax, its loss and their gradients in a step, for both.
    """

    unit: str
    heads: Two
    peer: str
    timing: Timing
    softmax: Two

    @property
    def fractions(self) -> Two:
        """The time of the softmax, divided by that of a step."""
        pairs = zip(self.softmax, self.timing.seconds, strict=True)
        return Two(*(softmax / whole for softmax, whole in pairs))

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged to MLflow."""
        key = f"language/{self.unit}/{self.heads.ours} : {self.heads.peer}"
        values = {"ms": self.timing.milliseconds, "softmax fraction": self.fractions}
        both = {
            f"{key}/{who} {what}": value
            for what, two in values.items()
            for who, value in two._asdict().items()
        }
        return {**both, f"{key}/ratio": self.timing.ratio}

    def line(self) -> str:
        """One line for the terminal."""
        ours, peer = self.timing.milliseconds
        return (
            f"{ours:.1f} ms, peer {peer:.1f}, ratio {self.timing.ratio:.2f}; softmax "
            f"{self.fractions.ours:.0%}, peer {self.fractions.peer:.0%}"
        )

    def report(self) -> dict:
        """All fields as plain values."""
        return asdict(self)


def measure_language(unit: str, heads: Two, config: DictConfig, seed: int) -> LanguageSteps:
    """Time our model with one head, in turn with a model of Keras's layers with another.

    Args:
        unit: its name in conf/cell.
        heads: "softmax" or "adaptive", for our model and for the peer.
        config: the section `language` of the configuration.
        seed: of the tokens.
    """
    layer = unit_named(unit)
    example = layer(units=2)
    example.build((None, None, 2))
    peer = peer_of(example)
    units = Two(layer, _like(peer, layer))
    models = [_model(*each, config) for each in zip(units, heads, strict=True)]
    windows = _windows(config, seed)
    steps = Two(*(_step(model, windows) for model in models))
    softmax = Two(*(_softmax_step(model, windows[0], config) for model in models))
    first, _ = first_calls(steps)
    timing = Timing(first, in_turn(steps, config.repeats * len(windows)))
    first_calls(softmax)
    seconds = in_turn(softmax, config.repeats)
    return LanguageSteps(unit, heads, name_of_peer(peer), timing, Two(*map(median, seconds)))


def _like(peer: keras.layers.Layer, layer: Callable) -> Callable[..., keras.layers.Layer]:
    """A function that makes layers of the peer's class."""
    if is_generic(peer):
        return lambda units, **given: keras.layers.RNN(layer(units=units).cell, **given)
    options = {"reset_after": False} if isinstance(peer, keras.layers.GRU) else {}
    return partial(type(peer), **options)


def _model(unit, head, config):
    model = build_language_model(
        unit,
        vocabulary_size=config.vocabulary_size,
        units=config.units,
        layers=config.layers,
        embedding=config.units,
        head=head,
        cutoffs=list(config.cutoffs) if head == "adaptive" else None,
    )
    model.compile(keras.optimizers.SGD(1.0, global_clipnorm=0.25), jit_compile=False)
    return model


def _windows(config, seed):
    rng = np.random.default_rng(seed)
    numbers = np.arange(1, config.vocabulary_size)
    shape = (config.windows, config.batch, config.window)
    text = rng.choice(numbers, shape, p=(1 / numbers) / (1 / numbers).sum()).astype(np.int32)
    begins, ones = tf.zeros(config.batch, tf.bool), tf.ones((config.batch, config.window))
    return [((tf.constant(np.roll(y, 1, axis=1)), begins), tf.constant(y), ones) for y in text]


def _step(model, windows):
    # Creates the variables of the optimizer and of the carried states. If the first call of the
    # function did so, TensorFlow would trace it twice.
    model.train_step(windows[0])
    step = tf.function(lambda *window: model.train_step(window)["loss"])
    turn = iter(range(10**9))
    return lambda: step(*windows[next(turn) % len(windows)])


def _softmax_step(model, window, config):
    """The scores, their loss and both gradients, for random outputs of the last layer."""
    _, following, _ = window
    top = tf.random.normal((config.batch, config.window, config.units))
    weights = model.head.trainable_variables

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(top)
            loss = tf.reduce_mean(model.negative_log_likelihood(top, following))
        return tape.gradient(loss, [top, *weights])

    return step
