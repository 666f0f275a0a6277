"""The rules of a horizon: which buckets it has, and that nobody knows its outcome before it has ended."""

import math

import numpy as np

from volcast.arrays import BoolArray1D, Float64Array1D, Int64Array1D, begins_run
from volcast.errors import ConfigError
from volcast.forecasters.horizons import HORIZONS, Horizon, HorizonRule
from volcast.testing.rules import require, require_equal

__all__ = ["check_horizon"]


_SESSION_LENGTHS = (7, 7, 4, 7, 7, 1, 7, 7, 7, 7, 7, 6, 7, 7)
_TOLERANCE = 1e-12


def check_horizon(horizon: Horizon | HorizonRule) -> None:
    """Check a horizon, by its name or as it is, on sessions of different lengths.

    - Its outcome is the root of the sum of its buckets' variances, from the first one to where it ends.
    - It ends after its first bucket, never before one that began earlier.
    - Its outcome is known no sooner than with its last bucket, and NaN until then.
    - What comes after it is known does not change it, nor do sessions before it: not a bit.

    Parameters
    ----------
    horizon
        A name in `forecasters.horizons.HORIZONS`, or a rule that is not there yet.

    Raises
    ------
    AssertionError
        Which rule is broken, and by which bucket.
    ConfigError
        There is no horizon of that name.

    Examples
    --------
    >>> from volcast.forecasters.horizons import buckets_ahead
    >>> check_horizon(buckets_ahead(3, "three buckets"))
    """
    rule = horizon if isinstance(horizon, HorizonRule) else _rule_named(horizon)
    lengths = np.array(_SESSION_LENGTHS * 4)
    sessions = np.repeat(np.arange(len(lengths)), lengths)
    variance = np.random.default_rng(0).lognormal(-12, 1, len(sessions))
    _check_ends(rule, sessions)
    _check_sums(rule, variance, sessions)
    for count in (0, 1, 7, 20, 60, len(variance) // 2):
        _check_as_of(rule, variance, sessions, count)
    for first in np.unique(sessions)[1:4]:
        _check_later_start(rule, variance, sessions, int(np.searchsorted(sessions, first)))


def _rule_named(horizon: Horizon) -> HorizonRule:
    if horizon not in HORIZONS:
        raise ConfigError(f"there is no horizon {horizon!r}; it must be one of {', '.join(map(repr, HORIZONS))}.")
    return HORIZONS[horizon]


def _check_ends(rule: HorizonRule, sessions: Int64Array1D) -> None:
    ends = np.asarray(rule.ends(sessions))
    require(ends.shape == sessions.shape, f"{rule.title}: ends has shape {ends.shape}; the rule is one of each bucket.")
    begins = np.arange(len(sessions))
    require(bool((ends > begins).all()), f"{rule.title} ends before its first bucket has; it must have one at least.")
    require(bool((np.diff(ends) >= 0).all()), f"{rule.title} ends before one that began earlier; ends may not fall.")


def _check_sums(rule: HorizonRule, variance: Float64Array1D, sessions: Int64Array1D) -> None:
    """Outcomes against a loop over the buckets of each horizon."""
    outcomes, ends = rule.outcomes(variance, _opens(sessions)), rule.ends(sessions)
    for begin, (volatility, known_with) in enumerate(zip(outcomes.volatility, outcomes.known_with, strict=True)):
        if known_with == len(variance):
            require(math.isnan(volatility), f"{rule.title}: the outcome of bucket {begin} is there and not known.")
            continue
        require(
            bool(known_with >= ends[begin] - 1),
            f"{rule.title}: the outcome of bucket {begin} is known with bucket {known_with}, and the horizon lasts to "
            f"bucket {ends[begin] - 1}.",
        )
        total = math.fsum(variance[begin : ends[begin]])
        require_equal(
            volatility,
            math.sqrt(total),
            f"{rule.title}: the outcome of bucket {begin} is not the root of the variance to bucket {ends[begin] - 1}",
            relative=_TOLERANCE,
        )
    is_over = outcomes.known_with < len(variance)
    require(bool(is_over.any()), f"{rule.title}: no outcome of {len(variance)} buckets is ever known.")


def _check_as_of(rule: HorizonRule, variance: Float64Array1D, sessions: Int64Array1D, count: int) -> None:
    """What is known after `count` buckets is what is known of them later, whatever comes."""
    whole = rule.outcomes(variance, _opens(sessions))
    now = rule.outcomes(variance[:count], _opens(sessions)[:count])
    ended = whole.known_with[:count] < count
    require_equal(
        now.known_with,
        np.where(ended, whole.known_with[:count], count),
        f"{rule.title}: after {count} buckets another number of outcomes is known than later for the same buckets",
    )
    expected = np.where(ended, whole.volatility[:count], np.nan)
    require_equal(now.volatility, expected, f"{rule.title}: outcomes known after {count} buckets change later")
    noise = np.concatenate([variance[:count], variance[count:][::-1] * 3])
    changed = rule.outcomes(noise, _opens(sessions)).volatility[:count]
    require_equal(
        np.where(ended, changed, np.nan), expected, f"{rule.title}: what comes after {count} buckets changes outcomes"
    )


def _check_later_start(rule: HorizonRule, variance: Float64Array1D, sessions: Int64Array1D, begin: int) -> None:
    whole = rule.outcomes(variance, _opens(sessions)).volatility[begin:]
    part = rule.outcomes(variance[begin:], _opens(sessions)[begin:]).volatility
    require_equal(part, whole, f"{rule.title}: outcomes change when the buckets begin with number {begin}")


def _opens(sessions: Int64Array1D) -> BoolArray1D:
    return begins_run(sessions)
