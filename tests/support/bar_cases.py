"""Files of bars as people have them: three simulated sessions around a change of clocks, each file odd in one way."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from volcast.arrays import time_index

__all__ = ["CASES", "NAIVE", "PLAIN", "PRICES", "write_case"]

NEW_YORK = "America/New_York"
PRICES = ["open", "high", "low", "close"]
_RULE = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


def _bars() -> pd.DataFrame:
    random = np.random.default_rng(20250306)
    days = ("2025-03-06", "2025-03-07", "2025-03-10")
    pieces = [pd.date_range(f"{day} 09:30", periods=390, freq="min", tz=NEW_YORK) for day in days]
    stamps = pieces[0].append(pieces[1:]).rename("timestamp")
    close = 1_240 * np.exp(np.cumsum(random.normal(0, 5e-4, len(stamps))))
    open_ = np.concatenate([[1_240.0], close[:-1]])
    high, low = np.maximum(open_, close) * 1.0002, np.minimum(open_, close) * 0.9998
    volume = random.integers(100, 9_000, len(stamps))
    frame = pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, stamps)
    return frame.round(4)


PLAIN = _bars()
"""One-minute bars, indexed by start, New York time."""

NAIVE = PLAIN.reset_index().assign(timestamp=lambda rows: rows["timestamp"].dt.tz_localize(None))
"""The same with their stamps in a column, without their zone."""

_ZONED = NAIVE.assign(timestamp=[stamp.isoformat() for stamp in PLAIN.index])
_LINES = _ZONED.to_csv(index=False).splitlines()


def _with_line(line: str) -> str:
    return "\n".join([*_LINES[:40], line, *_LINES[41:]]) + "\n"


def _meta_trader() -> str:
    names = ["<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>"]
    stamps = NAIVE["timestamp"]
    frame = NAIVE.assign(date=stamps.dt.strftime("%Y.%m.%d"), time=stamps.dt.strftime("%H:%M:%S"))
    return str(frame[["date", "time", *PRICES, "volume"]].set_axis(names, axis=1).to_csv(index=False, sep="\t"))


def _in_zone(zone: str) -> str:
    return str(NAIVE.assign(timestamp=time_index(PLAIN).tz_convert(zone).tz_localize(None)).to_csv(index=False))


def _split() -> str:
    frame = NAIVE.copy()
    later = frame["timestamp"] >= "2025-03-07 12:17"
    frame.loc[later, PRICES] = (frame.loc[later, PRICES] / 20).round(4)
    return str(frame.to_csv(index=False))


def _longer(length: str, offset: str = "0min") -> str:
    longer = PLAIN.resample(length, offset=offset).agg(_RULE).dropna().reset_index()
    return str(longer.assign(timestamp=[stamp.isoformat() for stamp in longer["timestamp"]]).to_csv(index=False))


def _daily() -> str:
    daily = PLAIN.resample("1D").agg(_RULE).dropna()
    return str(daily.assign(date=time_index(daily).strftime("%Y-%m-%d"))[["date", *_RULE]].to_csv(index=False))


CASES: dict[str, Callable[[], str]] = {
    "good.csv": lambda: _ZONED.to_csv(index=False),
    "am_pm.csv": lambda: NAIVE.assign(timestamp=NAIVE["timestamp"].dt.strftime("%m/%d/%Y %I:%M %p")).to_csv(
        index=False
    ),
    "metatrader.csv": _meta_trader,
    "epoch.csv": lambda: (
        NAIVE.assign(timestamp=time_index(PLAIN).tz_convert("UTC").as_unit("s").asi8)
        .rename(columns={"timestamp": "Epoch"})
        .to_csv(index=False)
    ),
    "short_names.csv": lambda: NAIVE.set_axis(["Date Time", "O", "H", "L", "LTP", "Vol"], axis=1).to_csv(index=False),
    "dollars.csv": lambda: NAIVE.assign(**{field: NAIVE[field].map("${:,.2f}".format) for field in PRICES}).to_csv(
        index=False
    ),
    "decimal_comma.csv": lambda: NAIVE.to_csv(index=False, sep=";", decimal=","),
    "comments.csv": lambda: "# exported 2025-03-11\n# source: example\n" + NAIVE.to_csv(index=False),
    "utc_without_zone.csv": lambda: _in_zone("UTC"),
    "kolkata_without_zone.csv": lambda: _in_zone("Asia/Kolkata"),
    "close_outside_range.csv": lambda: NAIVE.assign(close=(NAIVE["close"] * 0.97).round(4)).to_csv(index=False),
    "split_inside_session.csv": _split,
    "daily.csv": _daily,
    "hourly.csv": lambda: _longer("1h", "30min"),
    "quarter_hours.csv": lambda: _longer("15min"),
    "stamp_missing.csv": lambda: _with_line("," + _LINES[40].split(",", 1)[1]),
    "stamp_of_1677.csv": lambda: _with_line("1677-01-01T09:30:00-05:00," + _LINES[40].split(",", 1)[1]),
    "words.csv": lambda: _with_line(_LINES[40].rsplit(",", 2)[0] + ",n/a,halted"),
    "unknown_zone.csv": lambda: (
        _ZONED.to_csv(index=False).replace("-05:00", " Mars/Olympus").replace("-04:00", " Mars/Olympus")
    ),
    "same_name_twice.csv": lambda: "\n".join(
        [_LINES[0] + ",Close", *(f"{line},{line.split(',')[4]}" for line in _LINES[1:])]
    ),
    "symbol_missing.csv": lambda: "\n".join(
        [_LINES[0] + ",symbol", *(line + ("," if row % 7 else ",ABC") for row, line in enumerate(_LINES[1:]))]
    ),
    "header_alone.csv": lambda: "Price,Close,High,Low,Open,Volume\nTicker,ABC,ABC,ABC,ABC,ABC\nDatetime,,,,,\n",
}
"""The text of each file, by its name."""


def write_case(name: str, folder: Path) -> Path:
    """Write one of the files into `folder`; returns its path."""
    path = folder / name
    path.write_text(CASES[name]())
    return path
