"""What all tests share."""

import shutil

import keras
import pytest


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    """Initial weights are drawn; a bound that some of them miss shall be missed every time."""
    keras.utils.set_random_seed(1)


@pytest.fixture(scope="session")
def new_store(tmp_path_factory):
    """A function that puts a store without runs into a folder and gives its URI.

    MLflow takes seconds to make one, through all the versions of its tables; so it makes one, and
    the others are copies. Tests of `tracking` have MLflow make theirs.
    """
    import tracking

    first = tmp_path_factory.mktemp("store") / "runs.db"
    tracking.connect(f"sqlite:///{first}")

    def put(folder):
        shutil.copyfile(first, folder / "runs.db")
        return f"sqlite:///{folder}/runs.db"

    return put
