"""Every variant of every unit: its layer and its options."""

from pathlib import Path

import yaml

from unrolled import layers

FOLDER = Path(__file__).parents[2] / "conf" / "cell"


def _read(path):
    options = yaml.safe_load(path.read_text())
    assert options.pop("name") == path.stem
    module, _, name = options.pop("_target_").rpartition(".")
    assert module in ("unrolled.layers", "unrolled.layers.variants")
    return getattr(layers if module == "unrolled.layers" else layers.variants, name), options


PATHS = [path for path in sorted(FOLDER.glob("*.yaml")) if not path.stem.startswith("keras_")]
VARIANTS = {path.stem: _read(path) for path in PATHS}
"""Every file of conf/cell but those of Keras's own layers."""

COMBINED = {
    "without bias": (layers.GRU, {"use_bias": False}),
    "MGU, reset after": (layers.variants.GRU, {"relevance_gate": "shared", "reset_after": True}),
    "MUT1, reset after": (layers.variants.GRU, {**VARIANTS["gru_mut1"][1], "reset_after": True}),
    "MUT1 without relevance gate": (
        layers.variants.GRU,
        {**VARIANTS["gru_mut1"][1], "relevance_gate": False},
    ),
    "MUT2 and MUT3": (
        layers.variants.GRU,
        {"state_in_update_gate": "tanh", "unweighted_input": "relevance"},
    ),
    "no gates": (
        layers.variants.LSTM,
        {"update_gate": False, "forget_gate": False, "output_gate": False},
    ),
    "CIFG of Gers without activations": (
        layers.variants.PeepholeLSTM,
        {
            "peepholes": "gers",
            "forget_gate": "coupled",
            "candidate_activation": False,
            "output_activation": False,
        },
    ),
    "NFG with peepholes": (layers.variants.PeepholeLSTM, {"forget_gate": False}),
    "FGR with CIFG and peepholes": (
        layers.variants.PeepholeLSTM,
        {"gate_recurrence": True, "forget_gate": "coupled"},
    ),
    "FGR without bias": (layers.variants.LSTM, {"gate_recurrence": True, "use_bias": False}),
    "minGRU with tanh": (layers.MinGRU, {"activation": "tanh", "longest_lag": 20}),
    "minLSTM without bias": (layers.MinLSTM, {"activation": "tanh", "use_bias": False}),
}
"""Options that change each other's equations."""

EVERY = {**VARIANTS, **COMBINED}


def make(variant, units, **more):
    """The layer of one variant."""
    unit, options = EVERY[variant]
    return unit(units, **{**options, **more})
