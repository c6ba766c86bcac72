"""Why a run failed, as data; the tag `error` says it to people."""

from enum import StrEnum

FAILURE = "failure"  # The tag that holds it.


class Failure(StrEnum):
    """The kinds of failure that other code tells apart.

    Attributes:
        DIVERGED: training diverged: a result of the model, as any other.
        INTERRUPTED: the run was stopped by the user or killed.
        ERROR: anything else, such as a full disk or a store that is gone.
    """

    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    ERROR = "error"


def failure_of(error: BaseException) -> Failure:
    """The kind of failure that an exception stands for.

    A gradient, loss or metric that is not finite raises a `FloatingPointError`.
    """
    if isinstance(error, FloatingPointError):
        return Failure.DIVERGED
    if isinstance(error, KeyboardInterrupt):
        return Failure.INTERRUPTED
    return Failure.ERROR
