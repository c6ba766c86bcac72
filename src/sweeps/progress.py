"""The progress of each run of a sweep, in small files in the folder of the run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from unrolled.sweeps.state_files import StateError, read_state, write_state
from unrolled.system.atomic import write_atomically


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        name: of the run.
        seconds: its duration.
        summary: its result, for people.
        error: why it failed, for people; None if it succeeded.
        failure: the kind of failure, a `tracking.Failure`; None if it succeeded.
    """

    name: str
    seconds: float
    summary: str
    error: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Identity:
    """Identifies a run, so that it never takes up the progress of another one.

    Attributes:
        sweep: the MLflow id of its sweep's parent run; None for a single run.
        configuration: the values that decide what the run computes, by dotted keys, as JSON values.
    """

    sweep: str | None
    configuration: Mapping[str, Any]


@dataclass(frozen=True)
class Begun:
    """A run that was started earlier.

    Attributes:
        run_id: its MLflow run.
        outcome: how it ended, if it succeeded.
    """

    run_id: str
    outcome: Outcome | None


class Progress:
    """The files in which one run records its progress, for the progress bar and for resuming.

    Args:
        directory: the folder of the run.
    """

    _FRACTION, _OUTCOME, _RUN = "progress", "outcome.json", "run.json"

    def __init__(self, directory: Path):
        self._directory = directory

    def report(self, fraction: float) -> None:
        """Record the fraction of the run that is done, from 0 to 1."""
        write_atomically(self._directory / self._FRACTION, f"{fraction:.4f}".encode())

    @property
    def fraction(self) -> float:
        """The fraction last reported, 0 before the first report. It is only displayed."""
        try:
            return float((self._directory / self._FRACTION).read_text())
        except (FileNotFoundError, ValueError):
            return 0.0

    @property
    def is_of_an_earlier_version(self) -> bool:
        """Whether the folder has files of a version of this project that wrote no `run.json`."""
        return (self._directory / "run_id").exists()

    def begin(self, identity: Identity, run_id: str) -> None:
        """Record the MLflow run of this run."""
        self._write(identity, Begun(run_id, None))

    def begun(self, identity: Identity) -> Begun | None:
        """Read what this run has recorded in the folder; None if there is nothing.

        Raises:
            StateError: if another run has recorded it, or it cannot be read.
        """
        left = self._read()
        if left is None:
            return None
        self.check(identity, left)
        outcome = left["outcome"]
        return Begun(left["run_id"], None if outcome is None else Outcome(**outcome))

    @property
    def run_id(self) -> str | None:
        """The MLflow run that was recorded in the folder; None if there is none.

        Raises:
            StateError: if it cannot be read.
        """
        left = self._read()
        return None if left is None else left["run_id"]

    def check(self, identity: Identity, left: Mapping[str, Any]) -> None:
        """Check that what a run has left is of this run.

        Args:
            identity: of this run.
            left: the entries `sweep` and `configuration` of an `Identity`, perhaps with others.

        Raises:
            StateError: if it is of another run.
        """
        if left["sweep"] != identity.sweep:
            raise StateError(
                f"{self._directory} holds the progress of a run of another sweep (parent run "
                f"{left['sweep']}; this one is {identity.sweep}). Nothing of it was used. Start a "
                "new sweep: make experiment name=..."
            )
        was, is_now = left["configuration"], identity.configuration
        changed = [key for key in {**was, **is_now} if was.get(key) != is_now.get(key)]
        if changed:
            said = "; ".join(f"{k} was {was.get(k)!r}, is {is_now.get(k)!r}" for k in changed)
            raise StateError(
                f"{self._directory} holds the progress of a run of another configuration: {said}. "
                "Nothing of it was used. Put that back, or start a new sweep: "
                "make experiment name=..."
            )

    def finish(self, outcome: Outcome) -> None:
        """Record how this attempt at the run ended."""
        write_state(self._directory / self._OUTCOME, asdict(outcome))

    def ended_well(self, identity: Identity, run_id: str, outcome: Outcome) -> None:
        """Record that the run is complete, so that it is not run again."""
        self._write(identity, Begun(run_id, outcome))

    @property
    def outcome(self) -> Outcome | None:
        """How the last attempt ended; None while it is running."""
        try:
            left = read_state(
                self._directory / self._OUTCOME, {each.name for each in fields(Outcome)}
            )
        except StateError as error:
            from unrolled.tracking import Failure  # It takes seconds to import.

            return Outcome(str(self._directory), 0.0, "", str(error), Failure.ERROR)
        return None if left is None else Outcome(**left)

    def forget_outcome(self) -> None:
        """Delete the outcome of the last attempt, before another one."""
        (self._directory / self._OUTCOME).unlink(missing_ok=True)

    def _read(self):
        return read_state(
            self._directory / self._RUN, {"sweep", "configuration", "run_id", "outcome"}
        )

    def _write(self, identity, begun):
        write_state(self._directory / self._RUN, {**asdict(identity), **asdict(begun)})
