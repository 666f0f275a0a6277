"""What nights and known days are worth to the default forecast.

``python studies/nights_and_days.py PART --data FOLDER`` with PART one of:

- ``nights``: the default training on the future's bars, with its nights and without, judged on a development window
- ``final``: the same on the last quarter of the file, which no choice was made on
- ``days``: each kind of known days in the regression, on development windows of the future and of the panel
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from volcast.arrays import time_index

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from volcast.evaluation.losses import qlike_losses
from volcast.features.known_days import KINDS, KnownDays
from volcast.features.windows import TimeSplit
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.markets.names import DEFAULT_ZONE
from volcast.measures.hourly import get_hourly_measures
from volcast.training.har_lstm import har_lstm_targets
from volcast.training.trainer import LocalLSTMTrainer

FUTURE, FUTURE_ENDS = "NQ_1min.parquet", "2023-10-01"
WINDOWS = {"nights": ("2022-10-01", "2023-04-01"), "final": ("2023-10-01", "2024-01-01")}
FUTURE_WINDOW = ("2022-01-01", "2023-04-01")
PANEL_WINDOWS = (("2024-01-01", "2024-07-01"), ("2024-07-01", "2025-01-01"), ("2025-01-01", "2025-05-01"))
FEWEST_BEFORE, FEWEST_IN = 600, 150


def of_nights(data: Path, first: str, end: str) -> pd.DataFrame:
    """QLIKE of the window by hour, with nights relative to without, and the share inside the intervals."""
    bars = pd.read_parquet(data / FUTURE)
    bars = bars[bars.index < pd.Timestamp(end, tz=DEFAULT_ZONE)]
    losses, inside = {}, {}
    for nights in ("never", "auto"):
        with tempfile.TemporaryDirectory() as place:
            settings = {
                "symbol": "NQ",
                "market": "XNYS",
                "accept_quality": True,
                "model_save_path": place,
                "test_from": first,
            }
            result = LocalLSTMTrainer({**settings, "nights": nights}).run_training_pipeline(bars=bars)
        judged = result.evaluation.by_bucket
        losses[nights] = pd.Series(
            qlike_losses(judged["realized"].to_numpy(), judged["model"].to_numpy()), judged.index
        )
        inside[nights] = (judged["realized"] >= judged["lower"]) & (judged["realized"] <= judged["upper"])
    table = pd.DataFrame(losses)
    groups = {"all": np.ones(len(table), dtype=bool)}
    hours = time_index(table).hour.to_numpy()
    groups |= {f"{hour}:00": hours == hour for hour in np.unique(hours)}
    rows = {
        name: {
            "ratio": table.loc[rows, "auto"].sum() / table.loc[rows, "never"].sum(),
            **{f"inside, {nights}": inside[nights][rows].mean() for nights in inside},
        }
        for name, rows in groups.items()
    }
    return pd.DataFrame(rows).T


def of_days(data: Path) -> pd.DataFrame:
    """QLIKE of the regression with each kind of days relative to that without, by window; mean over symbols."""
    rows = []
    for name, measures, window in _development(data):
        without = _losses(measures, window, ())
        for kind in KINDS:
            rows.append((kind, "NQ" if name == FUTURE else window[0], _losses(measures, window, (kind,)) / without))
    table = pd.DataFrame(rows, columns=["kind", "window", "ratio"])
    means = table.pivot_table(index="kind", columns="window", values="ratio")
    return means.assign(better=table.groupby("kind")["ratio"].agg(lambda ratios: (ratios < 1).mean()))


def _development(data: Path) -> list[tuple[str, pd.DataFrame, tuple[str, str]]]:
    """Name, measures and window of each file that has enough before and in it."""
    bars = pd.read_parquet(data / FUTURE)
    whole = get_hourly_measures(bars[bars.index < FUTURE_ENDS], nights=True)
    plan = [(FUTURE, whole, FUTURE_WINDOW)]
    for path in sorted((data / "panel_5min").glob("*.parquet")):
        measures = get_hourly_measures(pd.read_parquet(path))
        plan += [(path.name, measures, window) for window in PANEL_WINDOWS]
    return [(name, measures, window) for name, measures, window in plan if _is_enough(measures, window)]


def _is_enough(measures: pd.DataFrame, window: tuple[str, str]) -> bool:
    first, end = _rows(measures, window)
    return first >= FEWEST_BEFORE and end - first >= FEWEST_IN


def _rows(measures: pd.DataFrame, window: tuple[str, str]) -> tuple[int, int]:
    first, end = (int(measures.index.searchsorted(pd.Timestamp(day, tz=DEFAULT_ZONE))) for day in window)
    return first, end


def _losses(measures: pd.DataFrame, window: tuple[str, str], kinds: tuple[str, ...]) -> float:
    """Sum of QLIKE over a window, the regression fitted before it and refitted daily."""
    first, end = _rows(measures, window)
    # What the networks' part would need of validation is not looked at.
    split = TimeSplit(slice(0, first), slice(first, end), slice(end, end))
    recipe: HarLstm = har_lstm_targets({"": measures}, {"": split}, known_days=KnownDays(kinds)).regression
    positions = np.arange(first, end)
    forecast = recipe.forecast((), measures, time_index(measures)[positions], positions).volatility
    return float(qlike_losses(measures["rv_hourly"].to_numpy()[positions], forecast).sum())


def main() -> None:
    """Run one part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*WINDOWS, "days"])
    parser.add_argument("--data", type=Path, required=True, help="folder with the future's file and the panel's folder")
    options = parser.parse_args()
    table = of_days(options.data) if options.part == "days" else of_nights(options.data, *WINDOWS[options.part])
    print(table.round(4).to_string())


if __name__ == "__main__":
    main()
