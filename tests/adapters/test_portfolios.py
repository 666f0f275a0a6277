"""Covariances for optimizers: forecast volatilities, realized correlations, positive definite whatever is missing."""

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast import VolatilityForecaster
from volcast.adapters.portfolios import covariance
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.measures.correlations import fisher_averaged, half_hourly_returns, nearest_correlations

FORECASTER = VolatilityForecaster("ewma")
PRICES = ["open", "high", "low", "close"]
BASE = make_bars("2024-07-01", "2024-11-29", minutes=5)


def panel_of(count: int, seed: int, *, holes: float = 0.0) -> pd.DataFrame:
    """Symbols that share a factor, some of whose days and bars are missing."""
    rng = np.random.default_rng(seed)
    factor, frames = rng.normal(0, 0.0008, len(BASE)), {}
    for number in range(count):
        path = np.exp(np.cumsum(rng.uniform(-0.5, 1.5) * factor + rng.normal(0, 0.0008, len(BASE))))
        frame = BASE.copy()
        close = 100 * path
        frame = frame.assign(open=close, high=close * 1.0005, low=close * 0.9995, close=close)
        days = pd.DatetimeIndex(frame.index).normalize()
        absent = rng.choice(days.unique(), int(holes * rng.uniform() * days.nunique()), replace=False)
        frames[f"S{number}"] = frame[~days.isin(absent) & (rng.uniform(size=len(frame)) >= 0.1 * holes)]
    return pd.concat(frames, names=["symbol", "timestamp"])


def test_the_diagonal_is_forecast_and_the_rest_realized() -> None:
    bars = panel_of(4, 1)
    matrix = covariance(FORECASTER, bars)
    panel = FORECASTER.forecast_panel(bars, horizon="1 session", kind="total")
    np.testing.assert_allclose(np.diag(matrix), panel["annualized_volatility"] ** 2, rtol=1e-12)
    assert list(matrix.index) == list(matrix.columns) == list(panel.index)
    spread = np.sqrt(np.diag(matrix))
    correlations = matrix.to_numpy() / np.outer(spread, spread)
    daily = bars["close"].unstack(0).tz_convert("America/New_York")
    plain = half_hourly_returns(daily, FORECASTER.market).corr().to_numpy()
    assert np.abs(correlations - plain).max() < 0.15


@pytest.mark.parametrize("seed", range(100))
def test_it_is_positive_definite_whatever_is_missing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = panel_of(int(rng.integers(2, 9)), seed, holes=0.6)
    # One symbol begins late, one is the other's twin.
    late = bars.index.get_level_values(0) == "S0"
    bars = bars[~late | (np.arange(len(bars)) > rng.integers(0, 2000))]
    shrinkage = ("ledoit-wolf", "oas")[seed % 2]
    matrix = covariance(FORECASTER, bars, shrinkage=shrinkage, sessions=int(rng.integers(3, 50))).to_numpy()  # type: ignore[arg-type]
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0
    np.linalg.cholesky(matrix)


def test_it_knows_nothing_of_what_comes_after() -> None:
    bars, asof = panel_of(3, 2), pd.Timestamp("2024-11-20 11:00", tz="America/New_York")
    stamps = pd.DatetimeIndex(bars.index.get_level_values(1))
    before = covariance(FORECASTER, bars[stamps < asof], asof)
    edited = bars.copy()
    edited.loc[stamps >= asof, PRICES] *= 3
    pd.testing.assert_frame_equal(covariance(FORECASTER, edited, asof), before)


def test_a_pair_is_averaged_as_fisher_did() -> None:
    rng = np.random.default_rng(3)
    days = pd.Index(np.repeat(["a", "b"], 10))
    returns = pd.DataFrame(rng.normal(size=(20, 2)), index=pd.MultiIndex.from_arrays([days, range(20)]))
    returns.iloc[:3, 0] = np.nan

    def z(values: pd.DataFrame) -> float:
        both = values.dropna()
        x, y = both[0], both[1]
        return float(np.arctanh((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())))

    weighted = (4 * z(returns.iloc[:10]) + 7 * z(returns.iloc[10:])) / 11
    assert fisher_averaged(returns)[0, 1] == pytest.approx(np.tanh(weighted))


def test_what_is_no_matrix_of_correlations_becomes_one() -> None:
    impossible = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    mended = nearest_correlations(impossible)
    assert np.linalg.eigvalsh(mended).min() > 0
    np.testing.assert_allclose(np.diag(mended), 1.0)
    np.testing.assert_array_equal(nearest_correlations(np.eye(3)), np.eye(3))


def test_what_cannot_be_is_refused() -> None:
    bars = panel_of(2, 4)
    with pytest.raises(ConfigError, match="'ledoit-wolf'"):
        covariance(FORECASTER, bars, shrinkage="james-stein")  # type: ignore[arg-type]
    with pytest.raises(NotEnoughDataError, match="needs two"):
        covariance(FORECASTER, bars.loc[["S0"]])
