"""What a task's options are held to."""


def require_whole(name: str, value, least: int) -> None:
    """Refuse what is no whole number or less than `least`.

    Raises:
        ValueError: with the option's name, what was expected and what came.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"`{name}`: expected a whole number of at least {least}, got {value!r}.")
