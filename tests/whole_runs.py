"""What tests of whole runs share; the fixtures are in conftest.py."""

from hydra import compose, initialize_config_dir

from unrolled import tracking
from unrolled.project import CONFIGURATION


def connect(uri, patch):
    """Runs go to this store, until the patch is undone."""
    patch.setenv("MLFLOW_TRACKING_URI", uri)
    tracking.connect()


def composed(*overrides):
    """The configuration that a command line makes."""
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("config", list(overrides))
