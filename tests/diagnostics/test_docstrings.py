"""The examples in the docstrings of `diagnostics` run, and give what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["curves", "gates", "gradient_flow", "weight_gradients"])
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"diagnostics.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
