"""Programs to start: `python -m experiments`, `python -m experiments.sample`, and so on."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("unrolled") is None:
    # Before anything is installed, `make list` and `make setup` import it from its sources.
    _sources = Path(__file__).resolve().parents[1] / "src"
    _spec = importlib.util.spec_from_file_location(
        "unrolled", _sources / "__init__.py", submodule_search_locations=[str(_sources)]
    )
    sys.modules["unrolled"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["unrolled"])
