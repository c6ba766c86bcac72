"""The examples in the docstrings of `layers` run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

from unrolled import layers

MODULES = [
    module.name for module in pkgutil.walk_packages(layers.__path__, prefix="unrolled.layers.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    cells = [getattr(layers, name) for name in layers.__all__ if name.endswith("Cell")]
    units = [cell for cell in cells if cell is not layers.Cell]
    without = [c.__name__ for c in units if not any(t.examples for t in finder.find(c))]
    assert without == []
