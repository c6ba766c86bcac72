"""The sweep that a command line names by the id of its parent run."""

from collections.abc import Sequence

from unrolled.console.refusals import RefusedError


def one_id(ids: Sequence[str]) -> str | None:
    """The id on a command line, None if there is none.

    Raises:
        RefusedError: for several ids.
    """
    if len(ids) > 1:
        raise RefusedError(f"run: expected the id of one sweep, got {' '.join(ids)!r}.")
    return ids[0] if ids else None


def or_latest(run_id: str | None) -> str:
    """The id, or that of the latest sweep if it is None.

    Raises:
        tracking.NoSuchRunError: if there is no sweep yet.
    """
    from unrolled.tracking import NoSuchRunError, latest_sweep

    if run_id is None:
        run_id = latest_sweep()
    if run_id is None:
        raise NoSuchRunError("There is no sweep yet; make one: make experiment name=...")
    return run_id
