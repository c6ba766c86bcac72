"""`make test`: pytest, which goes on where nobody reads its output, and ends with its own code."""

import pytest

from experiments.entry import run

run(pytest.main, goes_on=True)
