"""Does a better forecast pay? Each strategy with each forecast, at each cost, against the same one by the EWMA.

    python studies/does_it_pay.py --data FOLDER [--forecasts har,default,foresight] [--files SPY_1min,AAPL_5min]

Every file is cut in the middle of its sessions; what is trained is trained on the first half (`default` the default
training, `roadmap` the notebook's network, searched for in 20 trials), and all forecasts trade the second, the same
sessions. A figure is a mean over files of what the forecast is worth above the EWMA in a year: net utility (points) for
strategies that hold the symbol, return (points) for the straddle. Its standard error takes all files of a day as one
observation and is robust to autocorrelation (Newey and West). The table goes to standard output as Markdown.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from volcast.backtest.accounts import Costs
from volcast.backtest.engine import Run, run_strategy
from volcast.backtest.forecasts import BASELINE_FORECASTS, baseline_forecasts, model_forecasts, perfect_foresight
from volcast.backtest.market import Market
from volcast.backtest.statistics import SESSIONS_PER_YEAR
from volcast.backtest.strategies.base import Strategy
from volcast.backtest.strategies.risk_parity import RiskParity
from volcast.backtest.strategies.straddle import StraddleTiming
from volcast.backtest.strategies.volatility_managed import VolatilityManaged
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.errors import VolatilityError
from volcast.evaluation.significance import long_run_covariance
from volcast.forecaster import FALLBACK, VolatilityForecaster
from volcast.training.trainer import LocalLSTMTrainer

COSTS = (0.0, 1.0, 5.0)
TARGET = 0.15
SINGLE: Sequence[Strategy] = (VolatilityTarget(TARGET), VolatilityManaged(), StraddleTiming())
NETWORKS = {"default": "har_lstm", "roadmap": "roadmap"}
FORECASTS = (*(name for name in BASELINE_FORECASTS if name != FALLBACK), *NETWORKS, "foresight")

Tables = Mapping[str, pd.DataFrame]


def main() -> None:
    """Read the files, trade, and print the table."""
    options = parser().parse_args()
    files = sorted([*options.data.glob("*_1min.parquet"), *options.data.glob("panel_5min/*.parquet")])
    chosen = [path for path in files if options.files is None or path.stem in options.files.split(",")]
    forecasts = options.forecasts.split(",")
    gains: dict[tuple[str, float, str], list[pd.Series]] = {}
    panel: dict[str, tuple[pd.DataFrame, dict[str, pd.DataFrame]]] = {}
    for path in chosen:
        bars, tables = prepared(path, forecasts)
        symbol = str(bars.attrs["symbol"])
        if path.parent.name == "panel_5min":
            panel[symbol] = bars, tables
        for strategy in SINGLE:
            add_gains(gains, strategy, bars, {name: {symbol: table} for name, table in tables.items()})
        print(f"{symbol}: done", flush=True)
    if len(panel) > 1:
        add_panel(gains, panel)
    print(table_of(gains))


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--data", type=Path, required=True, help="folder of bars in Parquet files")
    options.add_argument("--forecasts", default=",".join(FORECASTS), help="which, with commas (default: all)")
    options.add_argument("--files", help="which files, by name without suffix, with commas (default: all)")
    return options


def prepared(path: Path, forecasts: Sequence[str]) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Bars of a file, and session forecasts of its second half by each name, the EWMA's among them."""
    bars = pd.read_parquet(path)
    symbol = path.stem.replace("_", "-").upper()
    bars.attrs = {"symbol": symbol}
    days = pd.DatetimeIndex(bars.index).tz_convert("America/New_York").normalize().unique()
    cut = days[len(days) // 2]
    tables = {name: session_forecasts(name, bars, cut)[symbol] for name in dict.fromkeys([FALLBACK, *forecasts])}
    shared = sorted(set.intersection(*(set(table["asof"]) for table in tables.values())))
    traded = {name: table[table["asof"].isin(shared) & (table["asof"] >= cut)] for name, table in tables.items()}
    return bars, traded


def session_forecasts(name: str, bars: pd.DataFrame, cut: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Session forecasts of `bars` by a baseline, by hindsight, or by a network that has seen nothing since `cut`."""
    if name in BASELINE_FORECASTS:
        return baseline_forecasts(name, bars)
    if name == "foresight":
        return perfect_foresight(bars)
    with tempfile.TemporaryDirectory() as store:
        settings = {"network": NETWORKS[name], "model_save_path": store, "test_from": str(cut.date())}
        bundle = LocalLSTMTrainer(settings).run_training_pipeline(bars.attrs["symbol"], bars=bars).bundle
        return model_forecasts(VolatilityForecaster(bundle.path, settings), bars)


def add_gains(
    gains: dict[tuple[str, float, str], list[pd.Series]],
    strategy: Strategy,
    bars: pd.DataFrame,
    tables: Mapping[str, Tables],
) -> None:
    """What each forecast is worth above the EWMA, session by session, at each cost."""
    for bps in COSTS:
        try:
            runs = {name: run_strategy(strategy, Market.of(bars, table), Costs(bps)) for name, table in tables.items()}
        except VolatilityError as error:
            print(f"  {strategy.title}: left out ({error})", flush=True)
            return
        for name, run in runs.items():
            if name != FALLBACK:
                gain = worth(run) - worth(runs[FALLBACK])
                gains.setdefault((strategy.title, bps, name), []).append(gain)


def add_panel(
    gains: dict[tuple[str, float, str], list[pd.Series]],
    panel: Mapping[str, tuple[pd.DataFrame, dict[str, pd.DataFrame]]],
) -> None:
    """The same of risk parity over the files that have the newest sessions."""
    latest = max(bars.index[-1] for bars, _ in panel.values())
    held = {name: pair for name, pair in panel.items() if latest - pair[0].index[-1] < pd.Timedelta(days=5)}
    bars = pd.concat({name: pair[0] for name, pair in held.items()}, names=["symbol", "timestamp"])
    names = next(iter(held.values()))[1]
    add_gains(
        gains, RiskParity(TARGET), bars, {one: {key: pair[1][one] for key, pair in held.items()} for one in names}
    )


def worth(run: Run) -> pd.Series:
    """Points a year, session by session (naive date): net utility, or the return of options."""
    value = run.utility(TARGET) if run.plan.unit == "share" else run.sessions["return"] * SESSIONS_PER_YEAR
    return pd.Series(100 * value.to_numpy(), index=pd.DatetimeIndex(value.index).tz_localize(None).normalize())


def table_of(gains: Mapping[tuple[str, float, str], Sequence[pd.Series]]) -> str:
    """Mean gain and its standard error, a strategy and cost a row, a forecast a column."""
    names = list(dict.fromkeys(name for _, _, name in gains))
    lines = ["| strategy | cost, bp | files | " + " | ".join(names) + " |", "| --- " * (3 + len(names)) + "|"]
    for strategy, bps in dict.fromkeys((strategy, bps) for strategy, bps, _ in gains):
        series = {name: gains[strategy, bps, name] for name in names}
        cells = [f"{mean:+.2f} ({error:.2f})" for mean, error in map(mean_and_error, series.values())]
        count = len(next(iter(series.values())))
        lines.append(f"| {strategy} | {bps:g} | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_and_error(gains: Sequence[pd.Series]) -> tuple[float, float]:
    """Mean over all files and sessions, and its standard error by day."""
    frame = pd.concat(gains, axis=1, sort=True)
    sums, count = frame.sum(axis=1).to_numpy(), int(frame.count().sum())
    mean = float(sums.sum() / count)
    deviations = (sums - mean * frame.count(axis=1).to_numpy()) * len(frame) / count
    variance = float(long_run_covariance(deviations[:, None])[0, 0])
    return mean, float(np.sqrt(max(variance, 0.0) / len(frame)))


if __name__ == "__main__":
    main()
