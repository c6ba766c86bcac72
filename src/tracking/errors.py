"""What can be wrong with a store or with what it holds; each message says what to do."""


class TrackingError(Exception):
    """What a command refuses in one paragraph, without a traceback."""


class StoreError(TrackingError, ConnectionError):
    """A store that cannot be used, or does not answer."""


class NoSuchRunError(TrackingError, LookupError):
    """A run, or an experiment, that the store does not know."""


class DeletedError(NoSuchRunError):
    """A run, or an experiment, that was deleted in the UI and can be restored."""


class UnreadableRecordError(TrackingError, ValueError):
    """A sweep's record that is missing, cut or garbled."""
