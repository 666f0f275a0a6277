"""How a suite says that a rule is broken."""

import numpy as np
import numpy.typing as npt

__all__ = ["require", "require_equal"]


def require(holds: bool, sentence: str) -> None:
    """Raise `sentence` as an AssertionError unless the rule is kept."""
    if not holds:
        raise AssertionError(sentence)


def require_equal(values: npt.ArrayLike, expected: npt.ArrayLike, sentence: str, *, relative: float = 0.0) -> None:
    """Require arrays of one shape with equal values; the first two that differ are added to `sentence`.

    Parameters
    ----------
    values, expected
        Of any one shape; NaN equals NaN.
    sentence
        Which rule is broken where they differ, without its full stop.
    relative
        How far a value may lie from the expected one, relative to it; 0 is equal to the last bit.
    """
    one, other = np.asarray(values, dtype=float), np.asarray(expected, dtype=float)
    require(one.shape == other.shape, f"{sentence}: the shapes are {one.shape} and {other.shape}.")
    alike = (np.abs(one - other) <= relative * np.abs(other)) | (one == other) | (np.isnan(one) & np.isnan(other))
    if not alike.all():
        first = np.unravel_index(int(np.argmin(alike)), alike.shape)
        value, wanted, where = float(one[first]), float(other[first]), ", ".join(map(str, first))
        raise AssertionError(f"{sentence}: at {where} there is {value!r} in place of {wanted!r}.")
