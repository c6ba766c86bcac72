"""Warnings of this project are logged in a sweep."""

import logging

from hydra import compose, initialize_config_dir
from hydra.core.utils import configure_log

from unrolled.project import CONFIGURATION


def test_hydra_leaves_the_loggers_of_the_project_enabled(monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging, "shutdown", lambda *_: None)
    logger = logging.getLogger("unrolled.made_up")
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose("config", return_hydra_config=True)
    configure_log(config.hydra.hydra_logging)
    assert not logger.disabled
