"""Options: put-call parity, and the formula of Black and Scholes written out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volcast.backtest.options import european_option
from volcast.errors import ConfigError

pytest.importorskip("QuantLib", reason="options need QuantLib")

spots, years = st.floats(20.0, 500.0), st.floats(0.001, 2.0)
volatilities, rates = st.floats(0.03, 1.5), st.floats(-0.02, 0.1)


def plain_call(spot: float, strike: float, years: float, volatility: float, rate: float, dividends: float) -> float:
    spread = volatility * math.sqrt(years)
    first = (math.log(spot / strike) + (rate - dividends) * years) / spread + spread / 2
    below = [0.5 * math.erfc(-value / math.sqrt(2)) for value in (first, first - spread)]
    return spot * math.exp(-dividends * years) * below[0] - strike * math.exp(-rate * years) * below[1]


@given(spots, spots, years, volatilities, rates, rates)
def test_a_call_is_that_of_the_formula_and_a_put_keeps_parity(
    spot: float, strike: float, years: float, volatility: float, rate: float, dividends: float
) -> None:
    call, put = (european_option(kind, spot, strike, years, volatility, rate, dividends) for kind in ("call", "put"))
    assert call.price == pytest.approx(plain_call(spot, strike, years, volatility, rate, dividends), abs=1e-8 * spot)
    forward = spot * math.exp(-dividends * years) - strike * math.exp(-rate * years)
    assert call.price - put.price == pytest.approx(forward, abs=1e-9 * (spot + strike))
    assert call.delta - put.delta == pytest.approx(math.exp(-dividends * years), abs=1e-9)


@given(st.floats(50.0, 150.0), st.floats(0.05, 1.0), st.floats(0.1, 0.6))
def test_greeks_are_slopes_of_the_price(spot: float, years: float, volatility: float) -> None:
    for kind in ("call", "put"):
        value = european_option(kind, spot, 100.0, years, volatility)
        up, down = (european_option(kind, spot + step, 100.0, years, volatility).price for step in (1e-3, -1e-3))
        assert value.delta == pytest.approx((up - down) / 2e-3, abs=1e-5)
        more, less = (european_option(kind, spot, 100.0, years, volatility + step).price for step in (1e-5, -1e-5))
        assert value.vega == pytest.approx((more - less) / 2e-5, rel=1e-4, abs=1e-4)


def test_at_expiry_an_option_is_worth_what_exercising_it_brings() -> None:
    assert european_option("call", 110.0, 100.0, 0.0, 0.2).price == 10.0
    assert european_option("put", 110.0, 100.0, 0.0, 0.2).price == 0.0
    assert european_option("put", 90.0, 100.0, 0.0, 0.2).delta == -1.0


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="kind is 'swap'"):
        european_option("swap", 100.0, 100.0, 1.0, 0.2)
