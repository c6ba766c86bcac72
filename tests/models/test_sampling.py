from itertools import islice

import keras
import numpy as np
import pytest

from unrolled import layers
from unrolled.models import build_language_model, sampling
from unrolled.models.sampling import Sampler
from unrolled.models.scoring import score

WORDS, START = 12, 2


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    model = build_language_model(layers.GRU, vocabulary_size=WORDS, units=8, embedding=5)
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(1).normal(0, 1, weight.shape))
    return model


def _samples(model, count=40, prompt=(), seed=0, **settings):
    sampler = Sampler(model, START, [0, 1], **settings)
    return list(islice(sampler.sample(np.array(prompt, np.int32), seed), count))


def test_the_same_seed_draws_the_same_text(model):
    assert _samples(model) == _samples(model)
    assert _samples(model) != _samples(model, seed=1)


def test_temperature_0_takes_the_most_probable_token(model):
    text = [START, 5, 7]
    for _ in range(10):  # Recomputes the whole prefix every time.
        scores = np.array(model(np.array([text])))[0, -1]
        scores[:2] = -np.inf
        text.append(int(scores.argmax()))
    assert _samples(model, 10, prompt=[5, 7], temperature=0) == text[3:]


def test_excluded_tokens_are_never_sampled(model):
    assert not {0, 1} & set(_samples(model, 300, temperature=5.0))


def test_a_long_prompt_is_processed_as_one_token_at_a_time(model, monkeypatch):
    monkeypatch.setattr(sampling, "_WINDOW", 20)
    prompt = np.random.default_rng(0).integers(2, WORDS, 50)  # More than two windows.
    sampler = Sampler(model, START)
    log_p, _ = sampler._read(prompt)
    scores = np.array(model(np.concatenate([[START], prompt])[None]), np.float64)[0, -1]
    np.testing.assert_allclose(log_p[0], scores - np.log(np.exp(scores).sum()), atol=1e-4)


def test_frequencies_are_those_of_the_probabilities(model):
    sampler = Sampler(model, START, [0], temperature=0.7)
    log_p, _ = sampler._read(np.zeros(0, np.int32))
    p = sampler.probabilities(log_p[0])
    rng = np.random.default_rng(0)
    drawn = np.bincount([sampler._draw(log_p[0], rng) for _ in range(4000)], minlength=WORDS)
    np.testing.assert_allclose(drawn / 4000, p, atol=0.03)


P = np.array([0.05, 0.4, 0.2, 0.25, 0.1])


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 99}, [0, 1, 2, 3, 4]),
        ({"top_p": 0.3}, [1]),
        ({"top_p": 0.6}, [1, 3]),
        ({"top_p": 0.7}, [1, 2, 3]),
        ({"top_p": 0.9, "top_k": 2}, [1, 3]),
        ({"temperature": 0}, [1]),
    ],
)
def test_top_k_and_top_p_select_the_candidates(model, settings, kept):
    found = Sampler(model, START, **settings).probabilities(np.log(P))
    expected = np.zeros(5)
    expected[kept] = P[kept] / P[kept].sum() if settings != {"temperature": 0} else 1
    np.testing.assert_allclose(found, expected)


@pytest.mark.filterwarnings("error")
def test_a_tiny_temperature_equals_temperature_0(model):
    found = Sampler(model, START, temperature=1e-320).probabilities(np.log(P))
    np.testing.assert_array_equal(found, [0, 1, 0, 0, 0])


def test_temperature_is_an_exponent(model):
    found = Sampler(model, START, temperature=2.0).probabilities(np.log(P))
    np.testing.assert_allclose(found, np.sqrt(P) / np.sqrt(P).sum())


@pytest.mark.parametrize(
    "settings", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}]
)
def test_settings_are_checked(model, settings):
    [name] = settings
    with pytest.raises(ValueError, match=f"`{name}`: expected"):
        Sampler(model, START, **settings)


def test_a_score_is_the_product_of_all_probabilities(model):
    tokens = np.array([4, 5, 6], np.int32)
    found = score(model, tokens, START)
    scores = np.array(model(np.array([[START, 4, 5]])), np.float64)[0]
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    assert found.total == pytest.approx(np.log(np.prod(p[[0, 1, 2], tokens])), abs=1e-5)
    assert found.perplexity == pytest.approx(np.prod(p[[0, 1, 2], tokens]) ** (-1 / 3), rel=1e-4)
