"""`make test`: pytest, which goes on where nobody reads its output, and ends with its own code."""

import pytest

from unrolled.console.program import run

run(pytest.main, goes_on=True)
