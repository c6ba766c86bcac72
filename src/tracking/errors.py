"""Errors of stores and of the runs in them; each message says what to do."""


class TrackingError(Exception):
    """An error that a command reports in one paragraph, without a traceback."""


class StoreError(TrackingError, ConnectionError):
    """A store that cannot be used, or does not respond."""


class NoSuchRunError(TrackingError, LookupError):
    """A run or an experiment that does not exist in the store."""


class DeletedError(NoSuchRunError):
    """A run or an experiment that was deleted in the UI, and can be restored."""


class UnreadableRecordError(TrackingError, ValueError):
    """A sweep's record that is missing, truncated or invalid."""
