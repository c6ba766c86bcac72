"""Kinds of failure of a run, as data; the tag `error` has the message."""

from enum import StrEnum

FAILURE = "failure"  # The tag with the kind of failure.


class Failure(StrEnum):
    """The kinds of failure that other code distinguishes.

    Attributes:
        DIVERGED: training diverged, which is a result of the model.
        INTERRUPTED: the run was stopped by the user or killed.
        ERROR: any other failure, such as a full disk or an unavailable store.
    """

    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    ERROR = "error"


def failure_of(error: BaseException) -> Failure:
    """Returns the kind of failure of an exception.

    A gradient, loss or metric that is not finite raises a `FloatingPointError`.
    """
    if isinstance(error, FloatingPointError):
        return Failure.DIVERGED
    if isinstance(error, KeyboardInterrupt):
        return Failure.INTERRUPTED
    return Failure.ERROR
