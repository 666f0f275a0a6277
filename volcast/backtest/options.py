"""European options by QuantLib, and the straddle of a call and a put at one strike."""

import math
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import numpy as np

from volcast.errors import ConfigError
from volcast.packages import required_module

__all__ = ["OptionValue", "european_option", "implied_volatility"]


@dataclass(frozen=True)
class OptionValue:
    """What an option is worth, for one unit of its underlying.

    Attributes
    ----------
    price
        In the currency of the underlying.
    delta
        Change of the price for a change of the underlying by 1.
    vega
        Change of the price for a change of the implied volatility by 1.0, that is by 100 points.
    """

    price: float
    delta: float
    vega: float


def european_option(
    kind: str, spot: float, strike: float, years: float, volatility: float, rate: float = 0.0, dividends: float = 0.0
) -> OptionValue:
    """Value of a European option (Black and Scholes 1973; Merton 1973 with dividends).

    Parameters
    ----------
    kind
        ``"call"`` or ``"put"``.
    spot, strike
        Price of the underlying, and of its exercise.
    years
        To expiry; at 0 the option is worth what exercising it brings.
    volatility
        Implied, annualized, decimal.
    rate, dividends
        Continuous yields a year, decimal.

    Raises
    ------
    ConfigError
        There is no such kind, or QuantLib is not installed.
    """
    quantlib = _quantlib()
    if kind not in ("call", "put"):
        raise ConfigError(f"kind is {kind!r}; the rule is 'call' or 'put'; name one.")
    if years <= 0:
        sign = 1.0 if kind == "call" else -1.0
        inside = sign * (spot - strike) > 0
        return OptionValue(max(sign * (spot - strike), 0.0), sign if inside else 0.0, 0.0)
    payoff = quantlib.PlainVanillaPayoff(quantlib.Option.Call if kind == "call" else quantlib.Option.Put, strike)
    forward, discount = spot * np.exp((rate - dividends) * years), np.exp(-rate * years)
    calculator = quantlib.BlackCalculator(payoff, float(forward), volatility * years**0.5, float(discount))
    return OptionValue(calculator.value(), calculator.delta(spot), calculator.vega(years))


def implied_volatility(call: float, put: float, strike: float, years: float) -> float:
    """Annualized volatility, decimal, at which a call and a put at one strike cost what they do.

    Put-call parity makes their forward of the prices, without interest; NaN where no volatility gives them.

    Parameters
    ----------
    call, put
        Prices, in the currency of the strike.
    strike
        Of both.
    years
        To expiry, above 0.

    Raises
    ------
    ConfigError
        QuantLib is not installed.
    """
    quantlib = _quantlib()
    forward = strike + call - put
    if min(call, put, forward) <= 0:
        return math.nan
    try:
        deviation = quantlib.blackFormulaImpliedStdDev(quantlib.Option.Call, strike, forward, call)
    except RuntimeError:
        return math.nan
    return float(deviation / years**0.5)


@lru_cache(maxsize=1)
def _quantlib() -> ModuleType:
    return required_module("QuantLib", "options", "options")
