r"""From the volatility of a session's hours to that of a whole day, from close to close.

Hourly forecasts know nothing of nights, which are 20 to 42 % of the variance of a day. What the past says of them
scales a session's forecast :math:`\hat\sigma_t` up:

.. math:: \hat\tau_t^2 = k_t \hat\sigma_t^2, \quad
          k_t = \frac{m\, a_t + \sum_{s < t} (RV_s^2 + r_s^2) / \hat\sigma_s^2}{m + n_t}, \quad
          a_t = \frac{\sum_{s < t} (RV_s^2 + r_s^2)}{\sum_{s < t} RV_s^2}

with :math:`r_s` the return of the night before session s. :math:`a_t` is the night's part of past variance alone; as
the :math:`n_t` forecasts come in, their own outcomes outweigh it, which also mends a forecast that is off on average.
"""

import pandas as pd

__all__ = ["FEWEST_NIGHTS", "day_volatility"]

FEWEST_NIGHTS = 22
"""Nights that must have passed before the first day is forecast; the weight m of what they say."""


def day_volatility(session_volatility: pd.Series, prices: pd.DataFrame) -> pd.Series:
    """Volatility of each day, from close to close, not annualized, as of its session's open.

    Parameters
    ----------
    session_volatility
        Forecasts as of the open, of the session's hours, not annualized, indexed by session.
    prices
        `prices.session_prices` of the same symbol; sessions before a day alone are looked at.

    Returns
    -------
    Series indexed as `session_volatility`; NaN where fewer than 22 nights had passed.
    """
    day = prices["variance"] + prices["night"] ** 2
    hours = prices["variance"].where(day.notna())
    nights = day.notna().cumsum().shift(fill_value=0)
    share = (day.fillna(0.0).cumsum() / hours.fillna(0.0).cumsum()).shift()
    ratio = day / session_volatility.reindex(prices.index) ** 2
    outcomes = ratio.fillna(0.0).cumsum().shift(fill_value=0.0)
    count = ratio.notna().cumsum().shift(fill_value=0)
    scale = (FEWEST_NIGHTS * share + outcomes) / (FEWEST_NIGHTS + count)
    scale = scale.where(nights >= FEWEST_NIGHTS).reindex(session_volatility.index)
    return (session_volatility * scale**0.5).rename("volatility")
