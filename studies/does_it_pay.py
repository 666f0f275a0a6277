"""Does a better forecast pay? Each strategy with each forecast, at each cost, against the same one by the EWMA.

    python studies/does_it_pay.py --data FOLDER [--forecasts har,default,foresight] [--files SPY_1min,AAPL_5min]

Every file is cut in the middle of its sessions; what is trained is trained on the first half (`default` the default
training, `roadmap` the notebook's network, searched for in 20 trials), and all forecasts trade the second, the same
sessions. A figure is a mean over files of what the forecast is worth above the EWMA in a year: net utility (points) for
strategies that hold the symbol, return (points) for the straddle. Its standard error takes all files of a day as one
observation and is robust to autocorrelation (Newey and West). `gross` trades for nothing; at the other costs an option
pays one percent of its price besides. A second table says what each strategy traded and held at one basis point, beside
a target that follows every hour's forecast. Both go to standard output as Markdown. With ``--keep FOLDER`` forecasts
lie there and are made once.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from volcast.backtest.accounts import Costs
from volcast.backtest.engine import Run, best_volatility, run_strategy
from volcast.backtest.forecasts import BASELINE_FORECASTS, baseline_forecasts, model_forecasts, perfect_foresight
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.backtest.strategies.base import Strategy
from volcast.backtest.strategies.risk_parity import RiskParity
from volcast.backtest.strategies.straddle import StraddleTiming
from volcast.backtest.strategies.volatility_managed import VolatilityManaged
from volcast.backtest.strategies.volatility_target import VolatilityTarget
from volcast.errors import VolatilityError
from volcast.evaluation.significance import long_run_covariance
from volcast.forecaster import FALLBACK, VolatilityForecaster
from volcast.markets.names import DEFAULT_YEAR
from volcast.training.trainer import LocalLSTMTrainer

COSTS: Mapping[str, Costs] = {"gross": Costs(0.0, 0.0), "0": Costs(0.0), "1": Costs(1.0), "5": Costs(5.0)}
USUAL = "1"
TARGET = 0.15
SINGLE: Sequence[Strategy] = (VolatilityTarget(TARGET), VolatilityManaged(), StraddleTiming())
NETWORKS = {"default": "har_lstm", "roadmap": "roadmap"}
FORECASTS = (*(name for name in BASELINE_FORECASTS if name != FALLBACK), *NETWORKS, "foresight")
SHOWN = {"turnover a year": "turnover_a_year", "costs a year, %": "costs_a_year", "to target": "volatility_to_target"}

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class HourlyTarget:
    """What the day's target is held against: a position that follows the EWMA of each hour as it is printed."""

    hourly: pd.DataFrame
    target_volatility: float = TARGET
    title: ClassVar[str] = "target by the hour"

    def plan(self, market: Market, costs: Costs) -> Plan:
        """Target over the annualized volatility of the hour ahead, at most 2."""
        first = market.outlook[market.symbol]["asof"].iloc[0]
        rows = self.hourly[self.hourly["asof"] >= first]
        positions = (self.target_volatility / rows["annualized_volatility"]).clip(upper=2.0)
        index = pd.DatetimeIndex(rows["asof"]).tz_convert(first.tz)
        return market.plan_for(pd.DataFrame({market.symbol: positions.to_numpy()}, index=index))


@dataclass
class Results:
    """What came out so far, by strategy, cost and forecast."""

    gains: dict[tuple[str, str, str], list[pd.Series]] = field(default_factory=dict)
    figures: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)

    def add(self, strategy: Strategy, bars: pd.DataFrame, tables: Mapping[str, Tables]) -> None:
        """Trade `strategy` by each of `tables` at each cost, and keep what each was worth above the EWMA."""
        markets = {name: Market.of(bars, table) for name, table in tables.items()}
        for cost, costs in COSTS.items():
            try:
                runs = {name: run_strategy(strategy, market, costs) for name, market in markets.items()}
            except VolatilityError as error:
                print(f"  {strategy.title}: left out ({error})", flush=True)
                return
            for name, run in runs.items():
                if name != FALLBACK:
                    gain = worth(run, markets[name]) - worth(runs[FALLBACK], markets[FALLBACK])
                    self.gains.setdefault((strategy.title, cost, name), []).append(gain)
                if cost == USUAL:
                    self.add_figures(name, run, markets[name])

    def add_figures(self, name: str, run: Run, market: Market) -> None:
        """Keep what a run by the forecasts of `name` traded and held."""
        mean = float(worth(run, market).mean())
        self.figures.setdefault((run.name, name), []).append({**run.statistics, "worth": mean})


def main() -> None:
    """Read the files, trade, and print the tables."""
    options = parser().parse_args()
    files = sorted([*options.data.glob("*_1min.parquet"), *options.data.glob("panel_5min/*.parquet")])
    chosen = [path for path in files if options.files is None or path.stem in options.files.split(",")]
    results = Results()
    panel: dict[str, tuple[pd.DataFrame, dict[str, pd.DataFrame]]] = {}
    for path in chosen:
        try:
            bars, tables = prepared(path, options.forecasts.split(","), options.keep)
        except VolatilityError as error:
            print(f"{path.stem}: left out ({error})", flush=True)
            continue
        symbol = str(bars.attrs["symbol"])
        if path.parent.name == "panel_5min":
            panel[symbol] = bars, tables
        for strategy in SINGLE:
            results.add(strategy, bars, {name: {symbol: table} for name, table in tables.items()})
        hourly = VolatilityForecaster(FALLBACK).forecast_series(bars)
        market = Market.of(bars, {symbol: tables[FALLBACK]})
        results.add_figures(FALLBACK, run_strategy(HourlyTarget(hourly), market, COSTS[USUAL]), market)
        print(f"{symbol}: done", flush=True)
    if len(panel) > 1:
        add_panel(results, panel)
    print(f"{table_of(results.gains)}\n\n{figures_table(results.figures)}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("--data", type=Path, required=True, help="folder of bars in Parquet files")
    options.add_argument("--forecasts", default=",".join(FORECASTS), help="which, with commas (default: all)")
    options.add_argument("--files", help="which files, by name without suffix, with commas (default: all)")
    options.add_argument("--keep", type=Path, help="folder in which forecasts are kept")
    return options


def prepared(path: Path, forecasts: Sequence[str], keep: Path | None) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Bars of a file, and session forecasts of its second half by each name, the EWMA's among them."""
    bars = pd.read_parquet(path)
    bars.attrs = {"symbol": path.stem.replace("_", "-").upper()}
    days = pd.DatetimeIndex(bars.index).tz_convert("America/New_York").normalize().unique()
    cut = days[len(days) // 2]
    tables = {}
    for name in dict.fromkeys([FALLBACK, *forecasts]):
        file = None if keep is None else keep / f"{path.stem}-{name}.parquet"
        if file is not None and file.is_file():
            tables[name] = pd.read_parquet(file)
            continue
        tables[name] = session_forecasts(name, bars, cut)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            tables[name].to_parquet(file)
    shared = sorted(set.intersection(*(set(table["asof"]) for table in tables.values())))
    traded = {name: table[table["asof"].isin(shared) & (table["asof"] >= cut)] for name, table in tables.items()}
    return bars, traded


def session_forecasts(name: str, bars: pd.DataFrame, cut: pd.Timestamp) -> pd.DataFrame:
    """Session forecasts of `bars` by a baseline, by hindsight, or by a network that has seen nothing since `cut`."""
    symbol = bars.attrs["symbol"]
    if name in BASELINE_FORECASTS:
        return baseline_forecasts(name, bars)[symbol]
    if name == "foresight":
        return perfect_foresight(bars)[symbol]
    with tempfile.TemporaryDirectory() as store:
        settings = {"network": NETWORKS[name], "model_save_path": store, "test_from": str(cut.date())}
        bundle = LocalLSTMTrainer(settings).run_training_pipeline(symbol, bars=bars).bundle
        return model_forecasts(VolatilityForecaster(bundle.path, settings), bars)[symbol]


def add_panel(results: Results, panel: Mapping[str, tuple[pd.DataFrame, dict[str, pd.DataFrame]]]) -> None:
    """The same of risk parity over the files that have the newest sessions."""
    latest = max(bars.index[-1] for bars, _ in panel.values())
    held = {name: pair for name, pair in panel.items() if latest - pair[0].index[-1] < pd.Timedelta(days=5)}
    bars = pd.concat({name: pair[0] for name, pair in held.items()}, names=["symbol", "timestamp"])
    names = next(iter(held.values()))[1]
    results.add(RiskParity(TARGET), bars, {one: {key: pair[1][one] for key, pair in held.items()} for one in names})
    print(f"risk parity: {len(held)} symbols", flush=True)


def worth(run: Run, market: Market) -> pd.Series:
    """Points a year, session by session (naive date): net utility, or the return of options."""
    value = run.sessions["return"] * DEFAULT_YEAR
    if run.plan.unit == "share":
        value = run.utility(best_volatility(run, market))
    return pd.Series(100 * value.to_numpy(), index=pd.DatetimeIndex(value.index).tz_localize(None).normalize())


def table_of(gains: Mapping[tuple[str, str, str], Sequence[pd.Series]]) -> str:
    """Mean gain and its standard error, a strategy and cost a row, a forecast a column."""
    names = list(dict.fromkeys(name for _, _, name in gains))
    lines = ["| strategy | cost, bp | files | " + " | ".join(names) + " |", "| --- " * (3 + len(names)) + "|"]
    for strategy, cost in dict.fromkeys((strategy, cost) for strategy, cost, _ in gains):
        series = {name: gains[strategy, cost, name] for name in names}
        cells = [f"{mean:+.2f} ({error:.2f})" for mean, error in map(mean_and_error, series.values())]
        count = len(next(iter(series.values())))
        lines.append(f"| {strategy} | {cost} | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figures_table(figures: Mapping[tuple[str, str], Sequence[Mapping[str, float]]]) -> str:
    """What was traded and held at the usual cost, means over files."""
    heads = ["strategy", "by", *SHOWN, "worth a year, points"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for (strategy, name), rows in figures.items():
        means = {key: np.mean([row.get(key, np.nan) for row in rows]) for key in [*SHOWN.values(), "worth"]}
        means["costs_a_year"] *= 100
        lines.append(f"| {strategy} | {name} | " + " | ".join(f"{value:.3g}" for value in means.values()) + " |")
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
