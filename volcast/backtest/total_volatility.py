r"""The volatility of the day for which a position is held: a session and its night.

Where a model forecasts total volatility, that of the session ahead is the day's. Where there are forecasts of hours
alone, as by a baseline, they know nothing of nights, which are 20 to 42 % of the variance of a day; what the past says
of them scales a session's forecast :math:`\hat\sigma_t` up:

.. math:: \hat\tau_t^2 = k_t \varphi_t \hat\sigma_t^2, \quad
          k_t = \frac{m\, a_t + \sum_{s < t - 1} \lambda^{t-s} (RV_s + r_{s+1}^2) / \hat\sigma_s^2}
                     {m + \sum_{s < t - 1} \lambda^{t-s}}, \quad
          a_t = \frac{\sum_{s < t - 1} (RV_s + r_{s+1}^2)}{\sum_{s < t - 1} RV_s}

with :math:`r_{s+1}` the return of the night after session s, through which the position decided at its open is held.
:math:`a_t` is the night's part of past variance alone; as forecasts come in, their own outcomes outweigh it, those of
the last months most, which also mends a forecast that is off on average. Means are of ratios, not ratios of means: a
position is held in inverse proportion to the forecast, so that variance in calm times counts more.

What is aimed at is the volatility of returns :math:`R_s` from close to close, and prices that trend or turn within a
day make it larger or smaller than the root of :math:`RV_s + r_s^2`. So forecasts of either kind are scaled by

.. math:: \varphi_t = \frac{m' + n_t q_t}{m' + n_t}, \quad
          q_t = \frac{\sum_{s < t} R_s^2 / \hat\sigma_s^2}{\sum_{s < t} (RV_s + r_s^2) / \hat\sigma_s^2}

One squared return says little, so :math:`q_t` is shrunk to 1 with the weight of a quarter of a year.
"""

import numpy as np
import pandas as pd

from volcast.forecasters.horizons import TOTAL_HORIZONS

__all__ = ["FEWEST_NIGHTS", "day_volatility", "variance_over"]

FEWEST_NIGHTS = 22
"""Nights that must have passed before the first day is forecast; the weight m of what they say."""
_HALF_LIFE = 63
"""Sessions in which an outcome's weight in k halves: a quarter of a year."""
_CLOSE_TO_CLOSE_PRIOR = 63.0
"""The weight m' of a ratio of 1."""


def day_volatility(
    session_volatility: pd.Series, prices: pd.DataFrame, total_volatility: pd.Series | None = None
) -> pd.Series:
    """Volatility of each day, from close to close, not annualized, as of its session's open.

    Parameters
    ----------
    session_volatility
        Forecasts as of the open, of the session's hours, not annualized, indexed by session.
    prices
        `prices.session_prices` of the same symbol; sessions before a day alone are looked at.
    total_volatility
        Forecasts of each session with the night before it, not annualized, indexed alike; they take the place of what
        the hours say wherever there is one.

    Returns
    -------
    Series indexed as `session_volatility`; NaN where there is no total volatility and fewer than 22 nights had passed.
    """
    forecasts = session_volatility.reindex(prices.index) ** 2
    scale = _held_over_forecast(forecasts, prices) * _close_to_close(forecasts, prices)
    nights = prices["night"].notna().cumsum().shift(fill_value=0)
    scale = scale.where(nights >= FEWEST_NIGHTS).reindex(session_volatility.index)
    days = session_volatility * scale**0.5
    if total_volatility is not None:
        totals = total_volatility.reindex(prices.index) ** 2
        of_totals = (totals * _close_to_close(totals, prices)) ** 0.5
        days = of_totals.reindex(days.index).fillna(days)
    return days.rename("volatility")


def variance_over(totals: pd.DataFrame, sessions: int) -> pd.Series:
    """Total variance forecast over the next `sessions`: straight lines between horizons, then on at the last's rate.

    `totals` has a column for each of `horizons.TOTAL_HORIZONS`: volatility over it, not annualized.
    """
    counts = np.fromiter(TOTAL_HORIZONS.values(), dtype=float)
    weights = [np.interp(sessions, counts, of_one) for of_one in np.eye(len(counts))]
    variances = totals[list(TOTAL_HORIZONS)].to_numpy(dtype=float) ** 2
    return pd.Series(variances @ weights * max(sessions / counts[-1], 1.0), totals.index)


def _held_over_forecast(forecasts: pd.Series, prices: pd.DataFrame) -> pd.Series:
    """k of each session: a night is that of the session before it, and is known with the session after it."""
    hours = prices["variance"].shift().where(prices["night"].notna())
    held = hours + prices["night"] ** 2
    share = _sum_before(held) / _sum_before(hours)
    ratio = held / forecasts.shift()
    mean = ratio.ewm(halflife=_HALF_LIFE, ignore_na=True).mean().shift().fillna(0.0)
    decay = 0.5 ** (1.0 / _HALF_LIFE)
    weight = (1.0 - decay ** _count_before(ratio)) / (1.0 - decay)
    scale: pd.Series = (FEWEST_NIGHTS * share + weight * mean) / (FEWEST_NIGHTS + weight)
    return scale


def _close_to_close(forecasts: pd.Series, prices: pd.DataFrame) -> pd.Series:
    """phi of each session."""
    day = (prices["variance"] + prices["night"] ** 2) / forecasts
    squares = (np.log(prices["close"]).diff() ** 2 / forecasts).where(day.notna())
    count = _count_before(day)
    ratio = (_sum_before(squares) / _sum_before(day)).where(count > 0, 1.0)
    shrunk: pd.Series = (_CLOSE_TO_CLOSE_PRIOR + count * ratio) / (_CLOSE_TO_CLOSE_PRIOR + count)
    return shrunk


def _sum_before(values: pd.Series) -> pd.Series:
    return values.fillna(0.0).cumsum().shift(fill_value=0.0)


def _count_before(values: pd.Series) -> pd.Series:
    return values.notna().cumsum().shift(fill_value=0)
