"""Numbers of things in sentences."""

__all__ = ["counted"]


def counted(number: float, thing: str) -> str:
    """How many of a `thing`, which is named as of one, in words.

    Examples
    --------
    >>> counted(1, "hourly bucket"), counted(0, "bar"), counted(98_280, "bar")
    ('1 hourly bucket', '0 bars', '98,280 bars')
    """
    return f"{number:,.12g} {thing}{'' if number == 1 else 's'}"
