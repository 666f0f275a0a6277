"""Each framework's example forecasts what a plain call forecasts, and its books hold what a plain loop holds."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT
from tests.support.examples import ExampleRun, example_names, run_example
from volcast import DataHandler, VolatilityForecaster
from volcast.arrays import Int64Array1D, time_index

CASH, TARGET = 1e7, 0.15
MINUTE = pd.Timedelta(minutes=1)


@dataclass(frozen=True)
class Trading:
    """When a framework hears of a decision, sizes its order, and trades.

    Attributes
    ----------
    hears
        ``"start"`` of the first bar from the decision on, or ``"end"`` of the first that ends from it on.
    sized, traded
        At which price: ``"open"``, ``"close"``, ``"next open"`` or ``"next close"`` of that bar.
    begins
        The first day (UTC) whose bars it sees.
    whole
        Whether it holds whole shares.
    """

    hears: str
    sized: str
    traded: str
    begins: str = "2025-01-02"
    whole: bool = True


HERE = {
    "with_bt": Trading("start", "open", "open", whole=False),
    "with_vectorbt": Trading("start", "open", "open", whole=False),
    "with_backtesting": Trading("end", "close", "next open"),
    "with_backtrader": Trading("end", "close", "next open", begins="2025-02-18"),
}
ELSEWHERE = {
    "with_nautilus_trader": Trading("end", "close", "close", begins="2025-02-18"),
    "with_zipline": Trading("start", "close", "next close", begins="2025-02-18"),
}


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")


@pytest.fixture(scope="module")
def forecasts(bars: pd.DataFrame) -> pd.DataFrame:
    return VolatilityForecaster("ewma").forecast_series(bars, "1 session", kind="total")


def weights_of(forecasts: pd.Series) -> pd.Series:
    return (TARGET / forecasts).clip(upper=1.0)


def price(bars: pd.DataFrame, which: str, row: int) -> float:
    """NaN where the bar is not there any more."""
    field, ahead = which.removeprefix("next "), int(which.startswith("next "))
    values: list[float] = bars[field].tolist()
    return values[row + ahead] if row + ahead < len(values) else np.nan


def plain_shares(bars: pd.DataFrame, forecasts: pd.DataFrame, trading: Trading) -> float:
    """What an account holds in the end that trades each decision once, without costs."""
    bars = bars[trading.begins :]
    moments = time_index(bars) if trading.hears == "start" else time_index(bars) + MINUTE
    rows: Int64Array1D = moments.searchsorted(pd.DatetimeIndex(forecasts["asof"]))
    weights = weights_of(forecasts["annualized_volatility"]).to_numpy()
    cash, shares = CASH, 0.0
    # Of decisions before the first bar only the last counts.
    for row, weight in {int(row): weight for row, weight in zip(rows, weights, strict=True)}.items():
        if row == len(bars) or np.isnan(price(bars, trading.traded, row)):
            continue
        sized = price(bars, trading.sized, row)
        wanted = weight * (cash + shares * sized) / sized
        wanted = float(int(wanted)) if trading.whole else wanted
        cash -= (wanted - shares) * price(bars, trading.traded, row)
        shares = wanted
    return shares


def check(run: ExampleRun, bars: pd.DataFrame, forecasts: pd.DataFrame, trading: Trading) -> None:
    plain = forecasts["annualized_volatility"].tz_convert("UTC").rename(None).rename_axis(None)
    assert len(run.forecasts) >= 18
    pd.testing.assert_series_equal(
        run.forecasts, plain.reindex(run.forecasts.index), check_exact=True, check_freq=False, check_index_type=False
    )
    assert run.position in weights_of(plain).tolist()[-2:]
    shares = plain_shares(bars, forecasts, trading)
    assert run.shares == pytest.approx(shares, rel=1e-9, abs=1.0 if trading.whole else 0.0)


@pytest.mark.parametrize("name", HERE)
def test_an_example_holds_what_the_plain_loop_holds(
    name: str, bars: pd.DataFrame, forecasts: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip({"with_backtesting": "backtesting"}.get(name, name.removeprefix("with_")))
    check(run_example(name, tmp_path), bars, forecasts, HERE[name])


def test_the_example_of_skfolio_is_scaled_by_the_forecasts(tmp_path: Path) -> None:
    pytest.importorskip("skfolio")
    names = example_names("with_skfolio", tmp_path, "{**positions, 'covariance': covariance.tolist()}")
    covariance = np.array(names.pop("covariance"))
    symbols = list(names)
    bars = DataHandler("simulator").get_stock_bars(symbols, "2025-01-02", "2025-03-14")
    forecasts = [
        VolatilityForecaster("ewma").forecast(bars.loc[symbol], horizon="1 session", kind="total") for symbol in symbols
    ]
    assert np.sqrt(np.diag(covariance)) == pytest.approx([forecast.annualized_volatility for forecast in forecasts])
    positions = np.array(list(names.values()))
    # Minimum variance: each position adds the same to the risk, and the whole has that of the target.
    assert covariance @ positions == pytest.approx((covariance @ positions).mean(), rel=1e-3)
    assert np.sqrt(positions @ covariance @ positions) == pytest.approx(TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_example_that_needs_other_versions_holds_the_same(
    name: str, bars: pd.DataFrame, forecasts: pd.DataFrame, tmp_path: Path
) -> None:
    check(run_example(name, tmp_path, environment_of(name, tmp_path)), bars, forecasts, ELSEWHERE[name])


def environment_of(name: str, folder: Path) -> Path:
    """The interpreter of a new environment with this checkout and what ``examples/NAME.txt`` asks for."""
    requirements = ROOT / "examples" / f"{name}.txt"
    version = requirements.read_text().split("python ", 1)[1].split()[0]
    uv, home = [sys.executable, "-m", "uv"], folder / "environment"
    made = subprocess.run([*uv, "venv", "--python", version, home], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no Python {version} here: {made.stderr.splitlines()[-1]}")
    python = home / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, "-r", requirements, ROOT], check=True)
    return python


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("with_*.py")), ids=lambda path: path.stem)
def test_an_example_takes_thirty_lines_at_most(path: Path) -> None:
    text = path.read_text()
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    blank = sum(not line.strip() for line in text.splitlines())
    assert len(text.splitlines()) - blank - len(imports) <= 30
    assert path.stem in {*HERE, *ELSEWHERE, "with_skfolio", "with_alpaca_stream"}
