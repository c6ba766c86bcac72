"""What one may ask of the benchmark, and what one is told where one may not."""

import os
import subprocess

from omegaconf import OmegaConf

from benchmarks import plan
from benchmarks.plan import make_plan
from benchmarks.settings import SECTIONS
from tests.whole_runs import refused_without_slow_imports
from unrolled.console.make_arguments import overrides_of_make
from unrolled.project import CONFIGURATION
from unrolled.settings.section import keys
from unrolled.sweeps.keys import dotted_keys

SHAPE = "{batch: 2,steps: 3,inputs: 4,units: 5}"


def test_what_is_asked_for_is_in_the_configuration():
    config = make_plan([f"shapes=[{SHAPE}]", "parts=[steps]", "units=[gru,lstm]", "masks=[true]"])
    assert config.shapes == [{"batch": 2, "steps": 3, "inputs": 4, "units": 5}]
    assert (config.parts, config.units, config.masks) == (["steps"], ["gru", "lstm"], [True])


def test_every_value_is_checked_and_has_its_comment():
    config = OmegaConf.load(CONFIGURATION / "benchmark.yaml")
    config.pop("defaults")
    declared = {
        f"{name}.{key}".lstrip(".") for name, section in SECTIONS.items() for key in keys(section)
    }
    assert set(dotted_keys(config)) == {*declared, *plan._NAMES}
    lines = (CONFIGURATION / "benchmark.yaml").read_text().splitlines()
    silent = [line for line in lines if line and not line.lstrip().startswith("- ")]
    assert [line for line in silent if "#" not in line] == ["defaults:"]


def test_refusing_imports_nothing_slow():
    said = refused_without_slow_imports("benchmarks", ["repeat=5"])
    assert "Did you mean repeats?" in said


def test_make_hands_overrides_over_as_they_were_typed(tmp_path):
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nprintf %s "$*: $MAKE_OVERRIDES"\n')
    fake.chmod(0o755)
    ready = tmp_path / "ready"
    ready.write_text(f"{CONFIGURATION.parent}\n")  # As if .venv were set up in this folder.
    typed = ["parts=[steps]", f"shapes=[{SHAPE}]"]
    # These tests run below `make test`, of which this make must know nothing.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "bench", *typed, f"RUN={fake}", f"READY={ready}"],
        cwd=CONFIGURATION.parent,
        capture_output=True,
        text=True,
        env=environment,
    )
    command, _, overrides = done.stdout.partition(": ")
    assert command == "-m benchmarks --from-make"
    ours = [a for a in overrides_of_make(overrides) if not a.startswith(("RUN=", "READY="))]
    assert sorted(ours) == sorted(typed)
