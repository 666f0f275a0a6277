"""How often a live forecaster notices that its bars were changed, and what a call without a change costs.

``python studies/revised_bars.py --edits 500``: for the fallback and each kind of network, one frame in a live loop. A
turn makes one random edit (a value, a row, many, a row inserted or removed, the index shifted; most in place) and asks
for a forecast, which is held to that of a forecaster that has seen nothing. Then calls without an edit are timed, on a
frame that grew by one bar each.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd

from volcast import DataHandler, VolatilityForecaster
from volcast.errors import VolatilityError

__all__ = ["main"]

SAMPLES = Path(__file__).parents[1] / "tests" / "data"
MODELS = {
    "ewma": "EWMA",
    "schema-2-har-lstm": "default",
    "schema-2": "roadmap",
    "schema-2-pooled-har-lstm": "many symbols",
}
EDITS = ("cell", "row", "rows", "column", "drop", "insert", "shift", "append", "copy")


def fresh(model: str) -> VolatilityForecaster:
    """A forecaster that has seen no bars."""
    return VolatilityForecaster(model, {"model_save_path": str(SAMPLES)})


def answer(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> str:
    """The forecast, or why there is none."""
    try:
        return repr(forecaster.forecast(bars, allow_in_sample=True))
    except VolatilityError as error:
        return str(error)


def edited(bars: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One edit at a random place, in place but where rows come, go or are copied."""
    kind, row = str(random.choice(EDITS)), int(random.integers(1, len(bars) - 50))
    column, factor = str(random.choice(["open", "high", "low", "close"])), float(random.uniform(0.99, 1.01))
    values = bars[column].to_numpy(copy=True)
    if kind in ("cell", "row", "rows"):
        stop = row + (40 if kind == "rows" else 1)
        prices = [column] if kind == "cell" else ["open", "high", "low", "close"]
        bars.loc[bars.index[row:stop], prices] *= factor
    elif kind == "column":
        values[row:] *= factor
        bars[column] = values
    elif kind == "drop":
        return bars.drop(index=bars.index[[row]])
    elif kind == "insert":
        late = bars.iloc[[row]].set_axis(bars.index[[row]] + pd.Timedelta(seconds=30))
        return pd.concat([bars, late]).sort_index()
    elif kind == "shift":
        bars.index = bars.index + pd.Timedelta(minutes=int(random.choice([-60, -5, 5, 60])))
    elif kind == "append":
        bars.loc[bars.index[-1] + pd.Timedelta(minutes=5)] = bars.iloc[-1] * factor
    else:
        return bars.copy()
    return bars


def noticed(model: str, history: pd.DataFrame, edits: int, seed: int) -> tuple[int, int, int]:
    """After how many edits the live forecaster says what a fresh one says, a forecast, and another than before."""
    random, live = np.random.default_rng(seed), fresh(model)
    bars, equal, forecasts, others = history.copy(), 0, 0, 0
    before = answer(live, bars)
    for number in range(edits):
        # Edits add up; before the bars are of no market any more, they begin anew.
        bars = edited(history.copy() if number % 25 == 0 else bars, random)
        said = answer(live, bars)
        equal += said == answer(fresh(model), bars)
        forecasts += said.startswith("Forecast(")
        others, before = others + (said != before), said
    return equal, forecasts, others


def milliseconds(model: str, history: pd.DataFrame, calls: int) -> float:
    """Median time of a call with one more bar and no edit."""
    live, seconds = fresh(model), []
    for count in range(len(history) - calls, len(history)):
        bars = history.iloc[:count]
        began = time.perf_counter()
        live.forecast(bars, allow_in_sample=True)
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds[1:])


def main() -> None:
    """Print a line for each kind of model."""
    parser = argparse.ArgumentParser(description="Edits of bars in a live loop, held to fresh forecasters.")
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calls", type=int, default=400)
    options = parser.parse_args()
    history = DataHandler("simulator").get_stock_bars("SPY", "2024-10-01", "2024-12-20", "5Min")
    for model, kind in MODELS.items():
        equal, forecasts, others = noticed(model, history, options.edits, options.seed)
        cost = milliseconds(model, history, options.calls)
        print(
            f"{kind}: {equal} of {options.edits} equal to a fresh forecaster ({forecasts} forecasts, {others} others "
            f"than before the edit); {cost:.2f} ms a call without one",
            flush=True,
        )


if __name__ == "__main__":
    main()
