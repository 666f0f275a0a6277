"""How long imports, a first forecast, the forecasts of a live loop and those of a universe take.

``PYTHONPATH=CHECKOUT python studies/serving_speed.py --data FOLDER --models MODELS`` measures the version in CHECKOUT:
FOLDER holds the bars, MODELS what ``same_forecasts.py record --save MODELS`` left. Figures are medians and the fastest
run, in milliseconds: of new processes by the clock, of calls by the time of the processor, which other work on the
machine disturbs least. A universe, all symbols of which are strangers to the model, is worked on by threads: its
figures are there by the clock, too.
"""

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from same_forecasts import model_in, store_of, whole_panel

from data_handler import DataHandler
from volatility_forecaster import VolatilityForecaster

DOORS = ("volatility_forecaster", "local_training", "training_config", "data_handler")
PROCESSES = 5
MINUTES, BUCKETS, POOLED_CALLS = 500, 500, 20
UNIVERSE, UNIVERSE_CALLS = 500, 3
YEAR = ("2025-06-02", "2026-05-29")

IMPORT = """
import sys, time
began = time.perf_counter()
__import__(sys.argv[1])
print(time.perf_counter() - began)
"""
FIRST_FORECAST = """
import sys, time
import pandas as pd
bars = pd.read_parquet(sys.argv[2])
began = time.perf_counter()
from volatility_forecaster import VolatilityForecaster
VolatilityForecaster(sys.argv[1]).forecast(bars)
print(time.perf_counter() - began)
"""


def seconds_in_new_processes(code: str, *arguments: str) -> list[float]:
    """What `code` prints in one process after the other."""
    # -P: the folder in which this is called shall not come before the checkout.
    command = [sys.executable, "-P", "-c", code, *arguments]
    return [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(PROCESSES)]


def seconds_of_calls(forecaster: VolatilityForecaster, questions: Iterable[Mapping[str, Any]]) -> list[float]:
    """Seconds of each forecast but the first, which takes in the whole history."""
    seconds = []
    for question in questions:
        began = time.process_time()
        forecaster.forecast(**question)
        seconds.append(time.process_time() - began)
    return seconds[1:]


def of_one_symbol(model: Path, bars: pd.DataFrame) -> dict[str, list[float]]:
    """Live loops over one symbol's bars: each call adds a minute, or a bucket."""
    labels = VolatilityForecaster("ewma").forecast_series(bars).index[-BUCKETS - 2 : -1]
    by_minute = range(len(bars) - MINUTES, len(bars) + 1)
    by_bucket = bars.index.searchsorted(labels)
    loops = {"a minute more a call": by_minute, "a bucket more a call": by_bucket}
    return {
        name: seconds_of_calls(
            VolatilityForecaster(model), ({"bars": bars.iloc[:end], "allow_in_sample": True} for end in ends)
        )
        for name, ends in loops.items()
    }


def of_a_panel(model: Path, panel: pd.DataFrame, symbol: str) -> dict[str, list[float]]:
    """Live loops of a pooled model, a bar more a call: with the bars of all symbols, and of one alone."""
    bars, stamps = cast(pd.DataFrame, panel.loc[symbol]), panel.index.get_level_values(1)
    ends = bars.index[-POOLED_CALLS - 1 :]
    count = cast(pd.MultiIndex, panel.index).levshape[0]
    asked = {"symbol": symbol, "allow_in_sample": True}
    market = ({"bars": panel[stamps <= end], **asked} for end in ends)
    alone = ({"bars": bars[:end], **asked} for end in ends)
    return {
        f"pooled, bars of {count} symbols": seconds_of_calls(VolatilityForecaster(model), market),
        "pooled, bars of one symbol": seconds_of_calls(VolatilityForecaster(model), alone),
    }


def of_a_universe(models: Mapping[str, str | Path]) -> dict[str, list[float]]:
    """All symbols of a universe in one call, a year of simulated five-minute bars each, by models by their names."""
    simulator = DataHandler("simulator")
    frames = {name: simulator.get_stock_bars(name, *YEAR, "5Min") for name in map("S{:03}".format, range(UNIVERSE))}
    bars = pd.concat(frames, names=["symbol", "timestamp"])
    seconds: dict[str, list[float]] = {}
    for name, model in models.items():
        forecaster = VolatilityForecaster(model)
        for _ in range(UNIVERSE_CALLS):
            began = time.process_time(), time.perf_counter()
            forecaster.forecast_panel(bars, allow_in_sample=True)
            ended = time.process_time(), time.perf_counter()
            for timed, begin, end in zip(("", ", by the clock"), began, ended, strict=True):
                seconds.setdefault(f"{UNIVERSE} symbols, {name}{timed}", []).append(end - begin)
    return seconds


def measured(data: Path, models: Path) -> dict[str, list[float]]:
    """Seconds of all runs, by what they measure."""
    spy = data / "SPY_1min.parquet"
    default, pooled = (model_in(store_of(models, subject)) for subject in ("default SPY 1 min", "pool of the panel"))
    package = ["volcast"] if importlib.util.find_spec("volcast") is not None else []
    seconds = {f"import {name}": seconds_in_new_processes(IMPORT, name) for name in [*DOORS, *package]}
    seconds["first forecast of a process, with imports"] = seconds_in_new_processes(
        FIRST_FORECAST, str(default), str(spy)
    )
    seconds |= of_one_symbol(default, pd.read_parquet(spy))
    seconds |= of_a_panel(pooled, whole_panel(data), "TSLA")
    return seconds | of_a_universe({"ewma": "ewma", "model of one": default, "model of many": pooled})


def main() -> None:
    """Measure and print one row a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of bars")
    parser.add_argument("--models", type=Path, required=True, help="folder of saved models")
    options = parser.parse_args()
    print(f"{'':45} {'median':>9} {'fastest':>9}  runs")
    for name, seconds in measured(options.data, options.models).items():
        milliseconds = 1000 * np.array(seconds)
        print(f"{name:45} {np.median(milliseconds):9.3f} {milliseconds.min():9.3f}  {len(seconds)}")


if __name__ == "__main__":
    main()
