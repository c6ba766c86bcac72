"""The tag heads, compared with an enumeration of all paths."""

from itertools import pairwise, product

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled.models import CRF, TagSoftmax

TAGS, UNITS, STEPS = 4, 3, 5
LENGTHS = np.array([5, 1, 3, 0])
MASK = np.arange(STEPS) < LENGTHS[:, None]
STARTS = np.array([True, True, False, True])
TRANSITIONS = np.ones((TAGS, TAGS), bool)
TRANSITIONS[0, 2] = TRANSITIONS[3, 2] = False


@pytest.fixture(params=["free", "legal"])
def crf(request):
    legal = (STARTS, TRANSITIONS) if request.param == "legal" else (None, None)
    layer = CRF(TAGS, *legal)
    layer.build((None, None, UNITS))
    rng = np.random.default_rng(3)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def inputs():
    return np.random.default_rng(4).normal(size=(len(LENGTHS), STEPS, UNITS)).astype("float32")


def paths(crf, row):
    """Returns every legal path over a sentence, and its score."""
    scores = (inputs()[row] @ crf.kernel.numpy() + crf.bias.numpy()).astype("float64")
    starts, steps = crf.starts.numpy(), crf.transitions.numpy()
    found = {}
    for path in product(range(TAGS), repeat=LENGTHS[row]):
        pairs = list(pairwise(path))
        if crf.legal_starts and not (STARTS[path[0]] and all(TRANSITIONS[pair] for pair in pairs)):
            continue
        found[path] = (
            starts[path[0]]
            + sum(scores[step, tag] for step, tag in enumerate(path))
            + sum(steps[pair] for pair in pairs)
        )
    return found


def log_sum(values):
    return np.logaddexp.reduce(list(values))


def test_the_decoded_path_is_the_best(crf):
    found = crf.decode(crf(inputs()), tf.constant(MASK)).numpy()
    for row, length in enumerate(LENGTHS[:3]):
        each = paths(crf, row)
        assert tuple(found[row, :length]) == max(each, key=each.get)
    assert (found[~MASK] == 0).all()


def test_losses_of_the_steps_sum_to_that_of_the_path_and_are_conditional(crf):
    for row, length in enumerate(LENGTHS[:3]):
        each = paths(crf, row)
        some = list(each)[::7]
        tags = np.zeros((len(some), STEPS), np.int32)
        tags[:, :length] = some
        x, mask = (np.repeat(part[row : row + 1], len(some), axis=0) for part in (inputs(), MASK))
        found = crf.losses_by_step(crf(x), tags, tf.constant(mask)).numpy()
        for path, losses in zip(some, found, strict=True):
            assert losses.sum() == pytest.approx(log_sum(each.values()) - each[path], abs=1e-4)
            for step in range(length):
                begun = [v for other, v in each.items() if other[:step] == path[:step]]
                went_on = [v for other, v in each.items() if other[: step + 1] == path[: step + 1]]
                assert losses[step] == pytest.approx(log_sum(begun) - log_sum(went_on), abs=1e-4)
            assert (losses[length:] == 0).all()


def test_an_illegal_path_has_probability_0():
    crf = CRF(TAGS, STARTS, TRANSITIONS)
    crf.build((None, None, UNITS))
    tags = np.zeros(MASK.shape, np.int32)
    tags[0, 1] = 2  # After 0, which is forbidden.
    losses = crf.losses_by_step(crf(inputs()), tags, tf.constant(MASK)).numpy()
    assert np.exp(-losses[0].sum()) == 0
    assert np.isfinite(losses).all()
    crf.transitions.assign(np.where(TRANSITIONS, 0, 50))  # Though its weights speak for it.
    crf.starts.assign(np.where(STARTS, 0, 50))
    found = crf.decode(crf(inputs()), tf.constant(MASK)).numpy()
    for row, length in enumerate(LENGTHS[:3]):
        assert STARTS[found[row, 0]]
        assert TRANSITIONS[found[row, : length - 1], found[row, 1:length]].all()


def test_gradients_equal_finite_differences(crf):
    tags = np.where(MASK, np.arange(STEPS) % 2, 0).astype(np.int32)

    @tf.function  # Traced once for all differences.
    def summed():
        return tf.reduce_sum(crf.losses_by_step(crf(inputs()), tags, tf.constant(MASK)))

    def loss(*values):
        for weight, value in zip(crf.weights, values, strict=True):
            weight.assign(value)
        return float(summed())

    values = [weight.numpy().astype("float64") for weight in crf.weights]
    with tf.GradientTape() as tape:
        total = summed()
    gradients = tape.gradient(total, [weight.value for weight in crf.weights])
    for number, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
        for place in np.ndindex(value.shape):
            step = np.zeros_like(value)
            step[place] = 1e-2
            up, down = ([*values], [*values])
            up[number], down[number] = value + step, value - step
            slope = (loss(*up) - loss(*down)) / 2e-2
            assert gradient.numpy()[place] == pytest.approx(slope, abs=2e-3)


def test_it_runs_in_a_graph_whatever_the_steps(crf):
    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, UNITS)),
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def both(x, tags, mask):
        scores = crf(x)
        return crf.losses_by_step(scores, tags, mask), crf.decode(scores, mask)

    for steps in (1, 2, 40):
        x = np.random.default_rng(0).normal(size=(2, steps, UNITS)).astype("float32")
        mask = tf.ones((2, steps), bool)
        losses, tags = both(x, tf.zeros((2, steps), tf.int32), mask)
        again = crf.losses_by_step(crf(x), tf.zeros((2, steps), tf.int32), mask)
        np.testing.assert_allclose(losses, again, atol=1e-4)
        np.testing.assert_array_equal(tags, crf.decode(crf(x), mask))


def test_a_thousand_steps_of_large_scores_keep_their_precision(crf):
    x = 100 * np.random.default_rng(0).normal(size=(1, 1000, UNITS)).astype("float32")
    mask = tf.ones((1, 1000), bool)
    scores = crf(x)

    @tf.function  # A thousand steps take seconds without.
    def computed():
        best = crf.decode(scores, mask)
        return best, crf.losses_by_step(scores, best, mask)[0]

    best, losses = (found.numpy() for found in computed())
    e, starts, steps = (np.float64(part) for part in (scores[0], *map(np.array, crf.weights[2:])))
    if crf.legal_starts:
        starts, steps = np.where(STARTS, starts, -1e4), np.where(TRANSITIONS, steps, -1e4)
    forward, path = starts + e[0], best[0]
    reached = forward[path[0]]
    for t in range(1, 1000):
        forward = np.logaddexp.reduce(forward[:, None] + steps, axis=0) + e[t]
        reached += steps[path[t - 1], path[t]] + e[t, path[t]]
    partition = np.logaddexp.reduce(forward)
    assert losses.sum() == pytest.approx(partition - reached, abs=1e-3)


def test_legal_tags_of_the_wrong_shape_raise():
    with pytest.raises(ValueError, match=r"`legal_starts`: expected shape \(4,\), got \(3,\)"):
        CRF(4, [True] * 3)
    with pytest.raises(ValueError, match=r"`legal_transitions`: .* \(4, 4\), got \(4, 3\)"):
        CRF(4, None, np.ones((4, 3), bool))


def test_legal_tags_may_be_any_sequence():
    crf = CRF(TAGS, tuple(STARTS), list(TRANSITIONS))
    assert crf.get_config()["legal_starts"] == STARTS.tolist()
    assert crf.get_config()["legal_transitions"] == TRANSITIONS.tolist()


def test_it_can_be_rebuilt_from_its_configuration(crf):
    again = CRF.from_config(crf.get_config())
    again.build((None, None, UNITS))
    again.set_weights(crf.get_weights())
    tags, mask = np.zeros(MASK.shape, np.int32), tf.constant(MASK)
    np.testing.assert_array_equal(
        again.losses_by_step(again(inputs()), tags, mask),
        crf.losses_by_step(crf(inputs()), tags, mask),
    )


def test_the_output_shape_is_known_without_weights():
    assert CRF(TAGS).compute_output_shape((None, 7, UNITS)) == (None, 7, TAGS)


def test_a_softmax_scores_each_step_independently():
    head = TagSoftmax(TAGS)
    scores, mask = head(inputs()), tf.constant(MASK)
    tags = np.where(MASK, 2, 0).astype(np.int32)
    p = keras.ops.softmax(scores).numpy()
    expected = np.where(MASK, -np.log(p[..., 2]), 0)
    np.testing.assert_allclose(head.losses_by_step(scores, tags, mask), expected, atol=1e-5)
    np.testing.assert_array_equal(head.decode(scores, mask), np.where(MASK, p.argmax(-1), 0))
