"""What whole commands need, as the tests of whole runs have it."""

from tests.experiments.conftest import main, store, watched

__all__ = ["main", "store", "watched"]
