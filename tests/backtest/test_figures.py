"""The curves of a backtest are what its runs did, and are drawn as they are."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from volcast.backtest.engine import Backtest, run_backtest
from volcast.backtest.figures import PICTURES
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.errors import ConfigError


@pytest.fixture(scope="module")
def backtest(holed_bars: pd.DataFrame) -> Backtest:
    market = Market.of(holed_bars, baseline_forecasts("har", holed_bars))
    return run_backtest(VolatilityTarget(0.15), market, None, baseline_forecasts("ewma", holed_bars))


def test_curves_are_of_the_runs(backtest: Backtest) -> None:
    capital = backtest.curves()
    assert list(capital) == [run.name for run in backtest.runs]
    for run in backtest.runs:
        assert capital[run.name].tolist() == run.sessions["equity"].tolist()
        peak, falls = 1.0, []
        for value in run.sessions["equity"]:
            peak = max(peak, value)
            falls.append(value / peak - 1)
        np.testing.assert_allclose(backtest.curves("drawdown")[run.name], falls, atol=1e-15)
        assert min(falls) == pytest.approx(run.statistics["max_drawdown"])
        assert backtest.curves("costs")[run.name].iloc[-1] == pytest.approx(run.sessions["costs"].sum())
    assert backtest.curves("exposure")["exposure"].tolist() == backtest.strategy.sessions["exposure"].tolist()


def test_volatility_is_that_of_five_sessions_beside_the_forecast(backtest: Backtest) -> None:
    curves, market = backtest.curves("volatility"), backtest.market
    day = curves.index[-1].tz_localize(None).normalize()
    prices = market.prices["XYZ"]
    last = prices[prices.index <= day].tail(5)
    expected = (252 * (last["variance"] + last["night"] ** 2).mean()) ** 0.5
    assert curves["realized, 5 sessions"].iloc[-1] == pytest.approx(expected)
    assert curves["forecast, as of the open"].iloc[-1] == market.outlook["XYZ"].loc[day, "annualized_volatility"]
    assert (curves["target"] == 0.15).all()


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_shows_the_curves_and_marks_what_is_missing(backtest: Backtest, picture: str) -> None:
    axes = Figure().add_subplot()
    assert backtest.plot(picture, ax=axes) is axes  # type: ignore[arg-type]
    curves = backtest.curves(picture)  # type: ignore[arg-type]
    lines = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()}
    for name in curves:
        np.testing.assert_array_equal(lines[str(name)], curves[name])
    after = curves.index.searchsorted(pd.Timestamp("2024-11-22", tz="America/New_York"))
    (hole,) = (line for line in axes.get_lines() if line.get_label() == "sessions missing")
    assert hole.get_xdata() == [after - 0.5] * 2


def test_what_there_is_not_is_refused(backtest: Backtest) -> None:
    with pytest.raises(ConfigError, match="no picture 'x'; it must be one of capital"):
        backtest.plot("x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ax is a str"):
        backtest.plot(ax="here")  # type: ignore[arg-type]
