"""Days that everybody knows beforehand: releases of statistics, expiries, half-days, and users' own.

A kind of days has a moment on each: what is before it on that day, the bucket in which it lies, and what comes after
are told apart, as they are of the Fed's decisions (`features.fed_decisions`). What happens before the open lies in the
first bucket, what happens from the close on in the first of the next session. Whatever a model learns of a kind is
shrunk as its other terms are, and not by how rare it is: a day that came once in training hardly moves a forecast.

Kinds are rules of the exchange's calendar, or days of a table (`releases.csv`, which names its sources, and the days on
which they did not agree, which are not in it), which ends; later days are taken for ordinary ones.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache, partial
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray2D, Int64Array1D
from volcast.errors import ConfigError
from volcast.markets.clocks import clock_of
from volcast.markets.expiries import expiry_places
from volcast.markets.market import TradingMarket
from volcast.markets.names import DEFAULT_MARKET, DEFAULT_ZONE
from volcast.markets.registry import market_named

__all__ = ["KINDS", "KnownDay", "KnownDays", "KnownKind", "beyond_known_days", "known_days_in", "known_kinds"]

_MINUTE = 60_000_000
_COLUMNS = ("date", "time", "kind", "symbol")
_MISSING = (None, "", "nan", "None", "NaT", "<NA>")
_PLACES = 3
_CLOCK = clock_of(DEFAULT_ZONE)


@dataclass(frozen=True)
class KnownKind:
    """A kind of days that the library knows.

    Attributes
    ----------
    title
        What it is, in words.
    moments
        When it happens in a market's time, in microseconds since the epoch, rising.
    """

    title: str
    moments: Callable[[TradingMarket], Int64Array1D]


@dataclass(frozen=True)
class KnownDay:
    """One day of a user's own.

    Attributes
    ----------
    moment
        When it happens, in microseconds since the epoch.
    kind
        What it is, in the user's word.
    symbol
        Whose it is; empty where it is everybody's.
    """

    moment: int
    kind: str
    symbol: str = ""


def _listed(kind: str) -> Callable[[TradingMarket], Int64Array1D]:
    return lambda market: _releases()[kind]


@lru_cache(maxsize=1)
def _releases() -> dict[str, Int64Array1D]:
    text = files("volcast.features").joinpath("releases.csv").read_text(encoding="utf-8")
    moments: dict[str, list[int]] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        moments.setdefault(row["kind"], []).append(_CLOCK.moment(f"{row['date']} {row['time']}").value // 1000)
    return {kind: np.array(sorted(listed), dtype=np.int64) for kind, listed in moments.items()}


def _months(days: Int64Array1D) -> Int64Array1D:
    months: Int64Array1D = days.view("M8[D]").astype("M8[M]").astype(np.int64)
    return months


def _expiries(market: TradingMarket, *, quarterly: bool) -> Int64Array1D:
    """Opens of third Fridays of the month, or where there is no session on one, of the session before it."""
    sessions = market.sessions
    places = expiry_places(sessions.session)
    chosen = places[(_months(sessions.session[places]) % 3 == 2) == quarterly]
    return np.asarray(sessions.open[chosen], dtype=np.int64)


def _month_ends(market: TradingMarket) -> Int64Array1D:
    """The last minute of the last session of each month; that of the last session that is known may go on."""
    months = _months(market.sessions.session)
    return np.asarray(market.sessions.close[:-1][months[1:] != months[:-1]] - _MINUTE)


def _half_days(market: TradingMarket) -> Int64Array1D:
    """Sessions shorter than regular ones of their time: exchanges have changed the length of all, as Tokyo in 2024."""
    sessions = market.sessions
    return sessions.open[sessions.minutes < market.regular_sessions.minutes_at(sessions.close)]


KINDS: Mapping[str, KnownKind] = {
    "employment": KnownKind("the Employment Situation, 8:30", _listed("employment")),
    "cpi": KnownKind("the Consumer Price Index, 8:30", _listed("cpi")),
    "gdp": KnownKind("Gross Domestic Product, each of a quarter's three estimates, 8:30", _listed("gdp")),
    "pce": KnownKind("Personal Income and Outlays, 8:30, or 10:00 on days of GDP until January 2026", _listed("pce")),
    "ism_manufacturing": KnownKind(
        "ISM's manufacturing PMI, first business day of a month, 10:00", _listed("ism_manufacturing")
    ),
    "ism_services": KnownKind("ISM's services PMI, third business day of a month, 10:00", _listed("ism_services")),
    "jobless_claims": KnownKind(
        "Unemployment Insurance Weekly Claims, Thursdays, or Wednesdays before holidays, 8:30",
        _listed("jobless_claims"),
    ),
    "option_expiry": KnownKind(
        "third Friday of a month, or the session before where it is a holiday, but of the quarter's last months",
        partial(_expiries, quarterly=False),
    ),
    "quarterly_expiry": KnownKind(
        "the same of March, June, September and December", partial(_expiries, quarterly=True)
    ),
    "month_end": KnownKind("last session of a month, its last hour", _month_ends),
    "half_day": KnownKind("sessions that end early, by the exchange's calendar", _half_days),
}
"""The kinds that the library knows, by name; the Fed's decisions are apart, and part of every model."""


def known_kinds(market: str = DEFAULT_MARKET) -> pd.DataFrame:
    """What the library knows of each kind of days, and how far.

    Parameters
    ----------
    market
        Name of the market whose sessions end early, and expire.

    Returns
    -------
    DataFrame indexed by kind, columns ``what`` (its hours New York's), ``days`` (how many), ``first`` and ``last``
    (dates of the market's clock, empty where there are no days).
    """
    rows, trading = {}, market_named(market)
    for name, kind in KINDS.items():
        moments = kind.moments(trading)
        ends = trading.clock.times(moments[[0, -1]] if len(moments) else moments).strftime("%Y-%m-%d")
        first, last = ends if len(ends) else ("", "")
        rows[name] = {"what": kind.title, "days": len(moments), "first": first, "last": last}
    return pd.DataFrame(rows).T.rename_axis("kind")


def beyond_known_days(kinds: Sequence[str], day: date) -> str:
    """A sentence for bars of a `day` after the end of the list of one of the `kinds`; empty before."""
    for name, moments in _releases().items():
        last = f"{_CLOCK.time(int(moments[-1])):%Y-%m-%d}"
        if name in kinds and last < day.isoformat():
            return (
                f"The bars reach {day}, and the days of {name} are listed until {last}: later ones are taken for "
                "ordinary ones; update the library."
            )
    return ""


@dataclass(frozen=True)
class KnownDays:
    """The days that one model knows.

    Attributes
    ----------
    kinds
        In the order of its columns: names in `KINDS`, and those of its own days.
    own_days
        The days of the kinds that are not in `KINDS`.
    market
        Name of the market.
    symbol
        Whose volatility is forecast: of days with a symbol, its own alone count.
    """

    kinds: tuple[str, ...] = ()
    own_days: tuple[KnownDay, ...] = ()
    market: str = DEFAULT_MARKET
    symbol: str = ""

    @cached_property
    def _tables(self) -> list[tuple[Int64Array1D, Int64Array1D]]:
        """Of each kind the days on which something makes itself felt, rising, and the label of the bucket in which."""
        market = market_named(self.market)
        tables = []
        for kind in self.kinds:
            own_moments = [one.moment for one in self.own_days if one.kind == kind and one.symbol in ("", self.symbol)]
            moments = KINDS[kind].moments(market) if kind in KINDS else np.array(sorted(own_moments), dtype=np.int64)
            place = market.buckets.label.searchsorted(moments, side="right")
            labels = market.buckets.label[place[place < len(market.buckets.label)]]
            days, first = np.unique(market.hours_and_days(labels)[1], return_index=True)
            tables.append((days, labels[first]))
        return tables

    @property
    def column_count(self) -> int:
        """Columns of `dummies`."""
        return _PLACES * len(self.kinds)

    def dummies(self, labels: Int64Array1D) -> BoolArray2D:
        """Which buckets lie before, with and after what is known of each kind, shape (n, column_count).

        `labels` are the ends of the buckets in microseconds since the epoch, shape (n,).
        """
        columns = np.zeros((len(labels), self.column_count), dtype=bool)
        if not self.kinds:
            return columns
        _, days = market_named(self.market).hours_and_days(labels)
        for place, (known, of_kind) in enumerate(self._tables):
            if not len(known):
                continue
            row = np.minimum(known.searchsorted(days), len(known) - 1)
            is_known, label = known[row] == days, of_kind[row]
            for column, side in enumerate((labels < label, labels == label, labels > label)):
                columns[:, _PLACES * place + column] = is_known & side
        return columns

    def of_symbol(self, symbol: str) -> "KnownDays":
        """These days as they concern one symbol."""
        return self if symbol == self.symbol else replace(self, symbol=symbol)

    def to_dict(self) -> dict[str, Any]:
        """The days, ready for JSON; those that the library knows are named alone."""
        return {"kinds": list(self.kinds), "own_days": [vars(one) for one in self.own_days], "market": self.market}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "KnownDays":
        """The days whose `to_dict` gave `numbers`."""
        days = tuple(KnownDay(**one) for one in numbers["own_days"])
        return cls(tuple(numbers["kinds"]), days, str(numbers["market"]))


def known_days_in(frame: pd.DataFrame) -> tuple[KnownDay, ...]:
    """A user's own days.

    Parameters
    ----------
    frame
        A row a day. ``date``: as 2024-10-30, or dates. ``kind``: a word. ``time``: New York time as 16:05, empty where
        it is not known, which counts as before the open. ``symbol``: whose day it is; empty where it is everybody's.
        ``time`` and ``symbol`` may be missing.

    Returns
    -------
    The days. What happens from the close on, or on a day without a session, makes itself felt in the next one.

    Raises
    ------
    ConfigError
        A column is missing, or a cell is none of these.
    """
    if not isinstance(frame, pd.DataFrame) or not {"date", "kind"} <= set(frame.columns):
        raise ConfigError("known days need the columns date and kind, and may have time and symbol; name them so.")
    days = []
    texts = frame[[name for name in _COLUMNS if name in frame]].astype(str)
    for number, row in enumerate(texts.to_dict("records"), start=1):
        cells = {name: "" if row.get(name) in _MISSING else str(row[name]) for name in _COLUMNS}
        days.append(_known_day(number, cells))
    return tuple(days)


def _known_day(number: int, cells: Mapping[str, str]) -> KnownDay:
    day = pd.to_datetime(cells["date"], format="ISO8601", errors="coerce")
    clock = pd.to_datetime(cells["time"] or "00:00", format="mixed", errors="coerce")
    kind = cells["kind"].strip()
    if pd.isna(day) or pd.isna(clock) or not kind or kind in KINDS:
        raise ConfigError(
            f"row {number} of the known days is {', '.join(map(repr, cells.values()))}; it must be a date such as "
            "2024-10-30, a time such as 16:05 or none, a kind in a word of your own, and a symbol or none; mend it."
        )
    moment = _CLOCK.moment(f"{day:%Y-%m-%d} {clock:%H:%M}").value // 1000
    return KnownDay(moment, kind, cells["symbol"].strip().upper())
