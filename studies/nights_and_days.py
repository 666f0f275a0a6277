"""What nights and known days are worth to the default forecast.

``python studies/nights_and_days.py PART --data FOLDER`` with PART one of:

- ``nights``: the default training on the future's bars, with its nights and without, judged on a development window
- ``others``: the default training on regular hours of the panel's symbols, with the future's nights and without
- ``final``: ``nights`` on the last quarter of the file, which no choice was made on
- ``days``: each kind of known days in the regression, on development windows of the future and of the panel
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

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
# Where the future's bars and the panel's are of one time.
OTHERS_WINDOWS = (("2022-10-01", "2023-01-01"), ("2023-01-01", "2023-07-01"))
FEWEST_SESSIONS, FEWEST_JUDGED, OPEN_ENDS = 140, 30, 10


def of_nights(data: Path, first: str, end: str) -> pd.DataFrame:
    """QLIKE of the window by hour, with nights relative to without, and the share inside the intervals."""
    bars = pd.read_parquet(data / FUTURE)
    bars = bars[bars.index < pd.Timestamp(end, tz=DEFAULT_ZONE)]
    settings = {"symbol": "NQ", "test_from": first}
    by_nights = {nights: _by_bucket({**settings, "nights": nights}, bars) for nights in ("never", "auto")}
    groups = {"all": slice(None)}
    hours = time_index(by_nights["auto"]).hour.to_numpy()
    groups |= {f"{hour}:00": hours == hour for hour in np.unique(hours)}
    return pd.DataFrame({name: _compared(by_nights, rows) for name, rows in groups.items()}).T


def of_others(data: Path) -> pd.DataFrame:
    """By symbol and window, QLIKE with the future's nights relative to without, and the share inside the intervals."""
    future = pd.read_parquet(data / FUTURE)
    future.attrs["symbol"] = "NQ"
    rows = {}
    for path in sorted((data / "panel_5min").glob("*.parquet")):
        for first, end in OTHERS_WINDOWS:
            bars = pd.read_parquet(path)
            bars = bars[bars.index < pd.Timestamp(end, tz=DEFAULT_ZONE)]
            sessions = time_index(bars).tz_convert(DEFAULT_ZONE).normalize().unique()
            before = int(sessions.searchsorted(pd.Timestamp(first, tz=DEFAULT_ZONE)))
            if before < FEWEST_SESSIONS or len(sessions) - before < FEWEST_JUDGED:
                continue
            settings = {"symbol": path.stem.partition("_")[0], "test_from": first, "nights": "auto"}
            by_nights = {"never": _by_bucket(settings, bars), "auto": _by_bucket(settings, bars, future)}
            opens = time_index(by_nights["auto"]).hour == OPEN_ENDS
            of_each = {name: _compared(by_nights, rows) for name, rows in (("all", slice(None)), ("first", opens))}
            about = {"buckets": len(opens), "from": first}
            rows[settings["symbol"], first] = about | {
                f"{group}: {what}": value for group, figures in of_each.items() for what, value in figures.items()
            }
            print(settings["symbol"], rows[settings["symbol"], first], file=sys.stderr)
    return pd.DataFrame(rows).T


def _by_bucket(
    settings: dict[str, str], bars: pd.DataFrame, overnight_bars: pd.DataFrame | None = None
) -> pd.DataFrame:
    """What a training's test part realized and forecast, bucket by bucket."""
    with tempfile.TemporaryDirectory() as place:
        trainer = LocalLSTMTrainer({"market": "XNYS", "accept_quality": True, "model_save_path": place, **settings})
        return trainer.run_training_pipeline(bars=bars, overnight_bars=overnight_bars).evaluation.by_bucket


def _compared(by_nights: dict[str, pd.DataFrame], rows: Any) -> dict[str, float]:
    """Of some rows, QLIKE with nights relative to without, and the share inside the intervals of both."""
    judged = {nights: table[rows] for nights, table in by_nights.items()}
    losses = {
        nights: qlike_losses(one["realized"].to_numpy(), one["model"].to_numpy()) for nights, one in judged.items()
    }
    inside = {nights: one["realized"].between(one["lower"], one["upper"]).mean() for nights, one in judged.items()}
    return {
        "ratio": losses["auto"].sum() / losses["never"].sum(),
        **{f"inside, {nights}": share for nights, share in inside.items()},
    }


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
    parser.add_argument("part", choices=[*WINDOWS, "days", "others"])
    parser.add_argument("--data", type=Path, required=True, help="folder with the future's file and the panel's folder")
    options = parser.parse_args()
    if options.part in WINDOWS:
        table = of_nights(options.data, *WINDOWS[options.part])
    else:
        table = {"days": of_days, "others": of_others}[options.part](options.data)
    print(table.round(4).to_string())


if __name__ == "__main__":
    main()
