"""Every cell of conf/cell: its layer and its options."""

from pathlib import Path

import yaml

import layers

FOLDER = Path(__file__).parents[2] / "conf" / "cell"


def _read(path):
    options = yaml.safe_load(path.read_text())
    assert options.pop("name") == path.stem
    module, name = options.pop("_target_").split(".")
    assert module == "layers"
    return getattr(layers, name), options


VARIANTS = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def make(variant, units, **more):
    """The layer of one file."""
    unit, options = VARIANTS[variant]
    return unit(units, **{**options, **more})
