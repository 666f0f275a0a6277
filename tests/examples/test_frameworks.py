"""Each framework's example forecasts what a plain call forecasts, and its books hold what a plain loop holds."""

import ast
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT, of_symbol
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


HERE = {"with_bt": Trading("start", "open", "open", whole=False)}
ELSEWHERE = {
    "with_vectorbt": Trading("start", "open", "open", whole=False),
    "with_backtesting": Trading("end", "close", "next open"),
    "with_backtrader": Trading("end", "close", "next open", begins="2025-02-18"),
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
    check(run_example(name, tmp_path), bars, forecasts, HERE[name])


@pytest.mark.parametrize("name", ["with_skfolio", pytest.param("with_pyportfolioopt", marks=pytest.mark.slow)])
def test_a_portfolio_is_scaled_by_the_forecasts(name: str, tmp_path: Path) -> None:
    python = environment_of(name, tmp_path) if (ROOT / "examples" / f"{name}.txt").exists() else Path(sys.executable)
    names = example_names(name, tmp_path, "{**positions, 'covariance': covariance.tolist()}", python)
    covariance = np.array(names.pop("covariance"))
    symbols = list(names)
    bars = DataHandler("simulator").get_stock_bars(symbols, "2025-01-02", "2025-03-14")
    forecasts = [
        VolatilityForecaster("ewma").forecast(of_symbol(bars, symbol), horizon="1 session", kind="total")
        for symbol in symbols
    ]
    assert np.sqrt(np.diag(covariance)) == pytest.approx([forecast.annualized_volatility for forecast in forecasts])
    positions = np.array(list(names.values()))
    # Minimum variance: each position adds the same to the risk, and the whole has that of the target.
    assert covariance @ positions == pytest.approx((covariance @ positions).mean(), rel=1e-3)
    assert np.sqrt(positions @ covariance @ positions) == pytest.approx(TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_example_in_an_environment_of_its_own_holds_the_same(
    name: str, bars: pd.DataFrame, forecasts: pd.DataFrame, tmp_path: Path
) -> None:
    check(run_example(name, tmp_path, environment_of(name, tmp_path)), bars, forecasts, ELSEWHERE[name])


def environment_of(name: str, folder: Path) -> Path:
    """The interpreter of a new environment with this checkout and what ``examples/NAME.txt`` asks for."""
    requirements = ROOT / "examples" / f"{name}.txt"
    home = folder / "environment"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", interpreter(requirements), home], check=True)
    python = home / "bin" / "python"
    # What the file asks for goes before this package's own floors. Of two releases of NumPy the logarithms may differ
    # in the last digit.
    alike = f"numpy=={np.__version__}"
    subprocess.run(
        [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "-r",
            requirements,
            alike,
            ROOT,
            "--override",
            requirements,
        ],
        check=True,
    )
    return python


def interpreter(requirements: Path) -> str:
    """This Python if it is as late as the first line of `requirements` asks, or another; pyenv's are looked at, too."""
    version = requirements.read_text().splitlines()[0].removeprefix("# Python ").split()[0]
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    places = [sys.executable] if sys.version_info[:2] >= tuple(map(int, version.split("."))) else []
    places += [str(path) for path in installed.glob(f"{version}.*/bin/python")]
    for place in [*places, shutil.which(f"python{version}")]:
        if place and subprocess.run([place, "--version"], capture_output=True).returncode == 0:
            return place
    pytest.skip(f"there is no Python {version} on this machine, which {requirements.name} asks for")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("with_*.py")), ids=lambda path: path.stem)
def test_an_example_takes_thirty_lines_at_most_behind_its_imports(path: Path) -> None:
    text = path.read_text()
    statements = [node for node in ast.parse(text).body if not isinstance(node, ast.Import | ast.ImportFrom)]
    lines = text.splitlines()[statements[1].lineno - 1 :]
    assert sum(bool(line.strip()) for line in lines) <= 30
    assert path.stem in {*HERE, *ELSEWHERE, "with_skfolio", "with_pyportfolioopt", "with_alpaca_stream"}
