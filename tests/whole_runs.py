"""What tests of whole runs share; the fixtures are in conftest.py."""

import subprocess
import sys
import warnings
from contextlib import contextmanager

import tensorflow as tf
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


@contextmanager
def untraced():
    """A context in which TensorFlow's functions run eagerly.

    Tracing them takes most of the time of a tiny run. For tests of what is recorded of runs, not of
    how they train.
    """
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though the `tf.config", UserWarning)
            yield
    finally:
        tf.config.run_functions_eagerly(False)


def refused_without_slow_imports(program, arguments):
    """What a program prints as it refuses its arguments, without having imported anything slow."""
    code = (
        "import sys\n"
        f"from {program}.__main__ import main\n"
        f"code = main({arguments!r})\n"
        "slow = {'tensorflow', 'keras', 'mlflow', 'tensorflow_datasets', 'matplotlib'}\n"
        "print(code, sorted(slow & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "2 []\n"
    return done.stderr
