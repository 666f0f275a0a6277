"""How long backtests take: a straddle hour by hour, a target that retrains every month, and the check for look-ahead.

    python studies/backtest_speed.py --bars SPY_1min.parquet

Bars are one symbol's of a year at least. Seconds of processor time stand beside those of the clock: other work on the
machine disturbs these. The models that are trained go to a temporary folder.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from volcast.backtest.engine import Run, run_strategy
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.strategies.straddle import StraddleTiming
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.markets.names import DEFAULT_YEAR
from volcast.testing import assert_no_lookahead


def main() -> None:
    """Measure and print a row each."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--bars", type=Path, required=True, help="a Parquet file of bars")
    path = options.parse_args().bars
    bars = pd.read_parquet(path)
    bars.attrs = {"symbol": path.stem.partition("_")[0].upper()}
    print("| what | seconds | of processors |\n| --- | --- | --- |")
    report("straddle, a year of hourly steps", lambda: straddle_over_a_year(bars))
    report("assert_no_lookahead, target", lambda: assert_no_lookahead(VolatilityTarget(), bars))
    with tempfile.TemporaryDirectory() as models:
        report("volcast backtest, retrained every month", lambda: retrained_monthly(path, Path(models)))


def report(what: str, work: Callable[[], object]) -> None:
    """A row: seconds by the clock, and those that this process and its children computed."""
    began, before = time.perf_counter(), sum(os.times()[:4])
    work()
    print(f"| {what} | {time.perf_counter() - began:.1f} | {sum(os.times()[:4]) - before:.1f} |", flush=True)


def straddle_over_a_year(bars: pd.DataFrame) -> Run:
    """The straddle's run over the last year of sessions, their forecasts and prices included."""
    market = Market.of(bars, baseline_forecasts("ewma", bars))
    symbol = market.symbol
    year = {symbol: market.forecasts[symbol].iloc[-DEFAULT_YEAR - 1 :]}
    return run_strategy(StraddleTiming(), Market.of(bars, year))


def retrained_monthly(path: Path, models: Path) -> None:
    """The command, in a process of its own."""
    symbol = path.stem.partition("_")[0].upper()
    command = ["-m", "volcast", "backtest", "--symbol", symbol, "--bars", str(path), "--retrain", "monthly"]
    command += ["--models", str(models), "--report", str(models / "report.html"), "--json"]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)


if __name__ == "__main__":
    main()
