"""How many runs of a sweep train at once, and with how many threads each."""

import os
from dataclasses import dataclass

from unrolled.sweeps.plan import Plan
from unrolled.system.memory import available_memory

_MEMORY_OF_A_RUN = 1_500 * 2**20
"""Bytes; most of it is TensorFlow itself, the programs that XLA compiles, and MLflow."""
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Workers:
    """What a sweep uses of this machine.

    Attributes:
        jobs: the number of runs that train at once; with 1, they train in the process of the sweep.
        threads: the number of threads that TensorFlow has in each of them.
    """

    jobs: int
    threads: int

    @classmethod
    def of(cls, plan: Plan) -> "Workers":
        """What the options `jobs` and `threads` ask for, or else as much as fits.

        The threads do not depend on `jobs`: TensorFlow divides large products among its threads,
        another division rounds differently, and training amplifies the difference.
        """
        config, cores = plan.configurations[0], _cores()
        runs = max(plan.runs, plan.search_runs)
        fitting = max(1, available_memory() // _MEMORY_OF_A_RUN)
        return cls(
            jobs=min(runs, config.jobs or min(cores, fitting)),
            threads=config.threads or max(1, cores // runs),
        )

    def limit_threads(self) -> None:
        """Give TensorFlow this many threads, in this process and in those that it starts.

        It has no effect on a process in which TensorFlow has computed something before.
        """
        for name in _THREADS:
            os.environ[name] = str(self.threads)

    def overrides(self, launcher: str | None) -> list[str]:
        """What Hydra has to be told besides the command line.

        Args:
            launcher: the launcher that the command line names; None for one that suits `jobs`.
        """
        if launcher not in (None, "joblib"):
            return []
        if self.jobs == 1 and launcher is None:
            return ["hydra/launcher=basic"]
        # With joblib's own batches, a run could wait for another one while a worker is idle.
        options = {"n_jobs": self.jobs, "batch_size": 1}
        chosen = ["hydra/launcher=joblib"] if launcher is None else []
        return [*chosen, *(f"hydra.launcher.{key}={value}" for key, value in options.items())]


def threads_of_this_process() -> str:
    """The number of threads that TensorFlow has for one operation, for the record of a run."""
    return os.environ.get(_THREADS[0]) or str(_cores())


def _cores() -> int:
    import joblib  # Too slow for a command line that is rejected.

    return joblib.cpu_count()
