"""The error for values that are valid one by one and not together."""


class ContradictionError(ValueError):
    """A value that does not fit another one of the same section.

    Attributes:
        key: the option, without its section.
        reason: what is wrong and how to correct it.
    """

    def __init__(self, key: str, reason: str):
        super().__init__(f"`{key}`: {reason}")
        self.key = key
        self.reason = reason
