"""What rules the learning rate of a training."""

from types import SimpleNamespace

import keras
import pytest

from tests.whole_runs import composed
from unrolled.sweeps.training import _Decay


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0, 1.9, 1.8], 1.0),
        ([2.0, 1.99, 1.98], 0.25),  # Of the lowest so far, each is to gain 2%.
        ([2.0, 2.5, 2.2], 0.25),
        ([2.0, 2.5, 1.9], 0.5),
    ],
)
def test_the_learning_rate_falls_after_an_epoch_that_gains_too_little(losses, expected):
    optimizer = keras.optimizers.SGD(1.0)
    log = SimpleNamespace(history={"validation/loss": []})
    decay = _Decay(SimpleNamespace(decay=0.5, gain=0.02), log)
    decay.set_model(SimpleNamespace(optimizer=optimizer))
    for epoch, loss in enumerate(losses):
        log.history["validation/loss"].append(loss)
        decay.on_epoch_end(epoch)
    assert float(optimizer.learning_rate) == expected


def test_language_models_fall_along_a_cosine_or_by_what_validation_says():
    adam = composed("task=shakespeare_char").training
    sgd = composed("task=pydoc_word", "training=language_sgd").training
    assert (adam.schedule, adam.decay) == ("cosine", None)
    assert (sgd.schedule, sgd.decay) == ("constant", 0.5)
