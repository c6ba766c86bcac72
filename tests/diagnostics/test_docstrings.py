"""The examples in the docstrings of `unrolled.diagnostics` give the documented results."""

import doctest
import importlib

import pytest

MODULES = ["decay", "gates", "gradient_flow", "gradient_watch", "schedule", "weight_gradients"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"unrolled.diagnostics.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
