"""How far each run of a sweep is, in small files in the run's own folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from unrolled.sweeps.state_files import StateError, read_state, write_at_once, write_state


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        name: of the run.
        seconds: that it took.
        summary: its result, for people.
        error: why it failed, for people; None if it ended well.
        failure: the kind of failure, a `tracking.Failure`; None if it ended well.
    """

    name: str
    seconds: float
    summary: str
    error: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Identity:
    """Which run it is; progress that another run has left is not progress of this one.

    Attributes:
        sweep: the MLflow id of its sweep's parent run; None for a single run.
        configuration: all of it that decides what the run computes, by dotted keys, as JSON has it.
    """

    sweep: str | None
    configuration: Mapping[str, Any]


@dataclass(frozen=True)
class Begun:
    """A run that began earlier.

    Attributes:
        run_id: its MLflow run.
        outcome: how it ended, if it ended well.
    """

    run_id: str
    outcome: Outcome | None


class Progress:
    """What one run leaves in its own folder, for the sweep's bar and for going on with the run.

    Args:
        directory: the run's folder.
    """

    _SHARE, _OUTCOME, _RUN = "progress", "outcome.json", "run.json"

    def __init__(self, directory: Path):
        self._directory = directory

    def report(self, share: float) -> None:
        """The share of the run that is done, from 0 to 1."""
        write_at_once(self._directory / self._SHARE, f"{share:.4f}")

    @property
    def share(self) -> float:
        """The share last reported, 0 before the first. A bar shows it; nothing depends on it."""
        try:
            return float((self._directory / self._SHARE).read_text())
        except (FileNotFoundError, ValueError):
            return 0.0

    @property
    def is_of_an_earlier_version(self) -> bool:
        """Whether a version of this project that had no `run.json` has left something here."""
        return (self._directory / "run_id").exists()

    def begin(self, identity: Identity, run_id: str) -> None:
        """Record as which MLflow run this one has begun."""
        self._write(identity, Begun(run_id, None))

    def begun(self, identity: Identity) -> Begun | None:
        """What this very run has left in the folder; None if nothing was left there.

        Raises:
            StateError: if another run has left it, or it cannot be read.
        """
        left = read_state(
            self._directory / self._RUN, {"sweep", "configuration", "run_id", "outcome"}
        )
        if left is None:
            return None
        self._check(identity, left)
        outcome = left["outcome"]
        return Begun(left["run_id"], None if outcome is None else Outcome(**outcome))

    def _check(self, identity, left):
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
        """How this attempt at the run ended."""
        write_state(self._directory / self._OUTCOME, asdict(outcome))

    def ended_well(self, identity: Identity, run_id: str, outcome: Outcome) -> None:
        """Record that the run is complete, so that it need not run again."""
        self._write(identity, Begun(run_id, outcome))

    @property
    def outcome(self) -> Outcome | None:
        """How the last attempt ended, None before it did."""
        try:
            left = read_state(
                self._directory / self._OUTCOME, {each.name for each in fields(Outcome)}
            )
        except StateError as error:
            from unrolled.tracking import Failure  # It takes seconds to import.

            return Outcome(str(self._directory), 0.0, "", str(error), Failure.ERROR)
        return None if left is None else Outcome(**left)

    def forget_outcome(self) -> None:
        """Before another attempt: how the last one ended says nothing about it."""
        (self._directory / self._OUTCOME).unlink(missing_ok=True)

    def _write(self, identity, begun):
        write_state(self._directory / self._RUN, {**asdict(identity), **asdict(begun)})
