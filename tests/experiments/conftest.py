"""What tests of whole runs share."""

import pytest
from hydra import compose, initialize_config_dir

import tracking
from experiments.catalogue import CONFIGURATION


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of runs in the test's own folder, and this to work in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.chdir(tmp_path)
    tracking.connect()


def composed(*overrides):
    """The configuration that a command line makes."""
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("config", list(overrides))
