"""What a run records about its origin: configuration, tags and the commit of the code."""

import functools
import json
import os
import subprocess

from omegaconf import DictConfig

from unrolled import tracking
from unrolled.project import PROJECT
from unrolled.sweeps.progress import Identity
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.values import plain_values
from unrolled.sweeps.workers import threads_of_this_process

_OF_THE_LAUNCH = ("jobs", "threads", "stop_at_first_failure")
"""Options of the sweep; of these, a run depends on the number of threads that it has."""


COMMIT = "UNROLLED_COMMIT"
"""The environment variable with the commit of a copy of the project."""


def identity_of(config: DictConfig, sweep: Sweep) -> Identity:
    decisive = {k: v for k, v in flat(config).items() if not k.startswith("tracking.")}
    decisive["threads"] = threads_of_this_process()
    return Identity(sweep.parent_run_id, json.loads(json.dumps(decisive)))


def tags_of(config: DictConfig, sweep: Sweep) -> dict[str, str]:
    variant = sweep.variant(config)
    return {
        "variant": variant,
        tracking.SETTINGS: json.dumps(variant.settings),
        "cell": config.cell.name,
        "task": config.task.name,
        "seed": config.seed,
        "model": config.model.name,
        "budget": config.budget.name,
        "experiment": sweep.experiment,
        "git_commit": git_commit(),
        "threads": threads_of_this_process(),
        **({} if sweep.stage is None else {"stage": sweep.stage}),
    }


@functools.cache
def git_commit() -> str:
    """The commit of this project, with the suffix "-dirty" if files differ from it."""
    if COMMIT in os.environ:  # A copy of the project on another machine, without its history.
        return os.environ[COMMIT]
    git = ["git", "-C", str(PROJECT)]
    try:
        head, changes = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("-dirty" if changes else "")


def flat(config: DictConfig) -> dict[str, str]:
    """The values of a configuration by their dotted keys, without those of the whole sweep."""

    def walk(part, above):
        for key, value in part.items():
            if isinstance(value, dict):
                yield from walk(value, f"{above}{key}.")
            else:
                yield above + key, value

    hidden = ("budgets", *_OF_THE_LAUNCH)
    return dict(walk({k: v for k, v in plain_values(config).items() if k not in hidden}, ""))
