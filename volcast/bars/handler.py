"""Bars of symbols, wherever they come from: Alpaca, Yahoo, the user's own files, other sources, or the simulator.

Shell: ``python data_handler.py --help``.
"""

import os
import reprlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast

import pandas as pd

from volcast.bars.cache import BarCache, default_cache_directory
from volcast.bars.checks import cut_to_days, validate_bars
from volcast.bars.cleaning import clean_bars
from volcast.bars.fetching import (
    FetchProgress,
    MayHaveTraded,
    SettledBars,
    at_any_time,
    bars_through_cache,
    cached_bars,
    in_extended_hours,
)
from volcast.bars.frames import as_bars_frame
from volcast.bars.rolls import roll_days_of
from volcast.bars.sources.alpaca import AlpacaBars, Feed
from volcast.bars.sources.alpaca_coins import COIN_FEED, AlpacaCoinBars, is_pair
from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaCredentials, AlpacaHistory, FeedNotInPlanError
from volcast.bars.sources.files import read_bars_file
from volcast.bars.sources.http import Patience
from volcast.bars.sources.registry import BarSource, load_source, minutes_of
from volcast.bars.sources.simulator import simulate_bars
from volcast.bars.symbols import for_each_symbol, stacked_bars
from volcast.bars.untraded import UNTRADED, are_left_out
from volcast.counts import counted
from volcast.errors import BarsWarning, CredentialsError, DataSourceError, NotEnoughDataError
from volcast.files import file_name_of
from volcast.markets.market import TradingMarket
from volcast.markets.names import default_market
from volcast.markets.registry import market_named

__all__ = ["DataHandler", "alpaca_credentials"]

_KEY, _SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
_WITH_SETTINGS = ("alpaca", "file", "simulator")
"""Sources that are asked by settings of their own; every other one by its `fetch`."""
_TOLD = ("left_out_rows", "stamps", "untraded", "rolls")
"""What `attrs` of a source's bars say of them, and those of the handler's do."""
_BOTH_FEEDS: tuple[Feed, ...] = ("sip", "iex")


class DataHandler:
    """Gets bars from one source.

    Parameters
    ----------
    source
        ``"alpaca"``, ``"file"``, ``"simulator"``, or a name in `bars.sources.registry.SOURCES`: ``"yahoo"``, or another
        package's.
    bars_path
        The user's own file, directory or glob, for ``"file"``.
    bars_timezone, bars_stamps, bars_epoch, bars_dates
        What that file's stamps mean where it does not say so itself; see `bars.sources.files.read_bars_file`.
    feed, adjustment
        Alpaca's feed (``"sip"``, ``"iex"``, or ``"auto"``: the consolidated one where the keys' plan has it, else IEX,
        which is said) and adjustment (``"raw"``, ``"split"``, ``"dividend"`` or ``"all"``).
    cache_dir
        Where bars are kept of Alpaca, and of other sources that say how far theirs are final; None is the user's cache
        directory.
    offline
        Whether only the cache is asked.
    cleaning
        Rules of `bars.cleaning` to apply; what they do is counted in ``attrs["cleaning"]``.
    roll_days
        When a future goes over to another contract: days and moments, see `bars.rolls.roll_moments`, or CSV files of
        them; the steps there are taken out. ``("never",)`` says that no step is one; of none they are looked for.
    market
        Whose sessions and days: a name out of `markets.registry`, or itself; None is that of each symbol.
    seed
        The simulator's.
    progress
        Told what is fetched, and what there is to know about it; None is silent, but for a `BarsWarning` where bars
        are others than were asked for.
    of_several
        Whether bars of several symbols are asked for, one after the other: a file must then say whose it holds.
    url_override, patience, clock
        Another address than Alpaca's, other timeouts, another present moment: for tests.

    Examples
    --------
    >>> bars = DataHandler("simulator").get_stock_bars("TSLA", "2024-01-02", "2024-01-31")
    >>> bars.attrs["simulated"]
    True
    """

    def __init__(
        self,
        source: str = "alpaca",
        *,
        bars_path: str | None = None,
        bars_timezone: str | None = None,
        bars_stamps: str | None = None,
        bars_epoch: str | None = None,
        bars_dates: str | None = None,
        feed: str = "auto",
        adjustment: str = "all",
        cache_dir: str | Path | None = None,
        offline: bool = False,
        cleaning: Sequence[str] = (),
        roll_days: Sequence[str] = (),
        market: str | TradingMarket | None = None,
        seed: int = 42,
        progress: FetchProgress | None = None,
        of_several: bool = False,
        url_override: str | None = None,
        patience: Patience | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if source == "file" and bars_path is None:
            raise DataSourceError("source is 'file' and no path was given; give bars_path, the file of bars.")
        self.source = source
        self._other = None if source in _WITH_SETTINGS else load_source(source)
        self._bars_path, self._file_format = bars_path, (bars_timezone, bars_stamps, bars_epoch, bars_dates)
        self._feeds = _BOTH_FEEDS if feed == "auto" else (cast(Feed, feed),)
        self._adjustment, self._cleaning, self._market, self._seed = (
            adjustment,
            tuple(cleaning),
            None if market is None else market_named(market),
            seed,
        )
        self._rolls = roll_days_of([day for day in roll_days if day != "never"]) if roll_days else None
        self._cache_root = Path(cache_dir) if cache_dir is not None else default_cache_directory()
        self._offline, self._progress, self._of_several = offline, progress, of_several
        self._url_override, self._patience, self._clock = url_override, patience, clock

    def get_stock_bars(
        self,
        symbol: str | Sequence[str],
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        timeframe: str = "1Min",
    ) -> pd.DataFrame:
        """Bars of `symbol` from `start_date` to `end_date`, the market's days, both included.

        Parameters
        ----------
        symbol
            Ticker; or several, which are fetched together.
        start_date, end_date
            None sets no bound, which only files can do.
        timeframe
            Length of a bar: ``"1Min"``, ``"5Min"``, ``"1Hour"`` ...; a file's bars are as they are.

        Returns
        -------
        DataFrame indexed by ``timestamp`` (tz-aware, start of the bar), columns open, high, low, close, volume as
        far as the source has them. ``attrs`` tells ``symbol``, ``source``, ``simulated``, ``detail``, ``notes`` (what
        there is to know about how they came) and ``cleaning`` (what each rule did).
        Of several symbols, the index is (symbol, timestamp), and ``attrs["failed"]`` says for each symbol that is not
        in it why.

        Raises
        ------
        BarsError, NotEnoughDataError
            The bars are unusable, or there are none.
        CredentialsError
            There are no keys for Alpaca, or it refuses them.
        DataSourceError
            The source failed; of several symbols, for each of them.
        """
        if not isinstance(symbol, str):
            _check_symbols(symbol)
            each = copy(self)
            each._of_several = self._of_several or len(set(symbol)) > 1
            return stacked_bars(
                *for_each_symbol(lambda one: each.get_stock_bars(one, start_date, end_date, timeframe), symbol)
            )
        bars = self.unchecked_bars(symbol, start_date, end_date, timeframe)
        name = f"the bars of {symbol} ({self.source}, {bars.attrs['detail']})"
        market = self._market_of(symbol)
        return cut_to_days(validate_bars(bars, name, market), start_date, end_date, name, market)

    def unchecked_bars(
        self,
        symbol: str,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        timeframe: str = "1Min",
    ) -> pd.DataFrame:
        """Bars of one symbol in whatever state they are; a file's are not cut to the days, see `get_stock_bars`."""
        _check_request(symbol, timeframe)
        notes = _Notes(self._progress)
        bars, detail = self._bars_and_detail(symbol, start_date, end_date, timeframe, notes)
        simulated = bool(bars.attrs.get("simulated", False))
        if self.source in UNTRADED:
            bars.attrs["untraded"] = UNTRADED[self.source]
        rules = (*self._cleaning, *(["untraded"] if are_left_out(bars.attrs) else []))
        if self._rolls is not None:
            bars.attrs["rolls"], rules = self._rolls, (*rules, "rolls")
        bars, cleaning = clean_bars(bars, rules, market=self._market_of(symbol))
        if cleaning.sentence():
            notes.say(f"Cleaned the bars of {symbol}: {cleaning.sentence()}.")
        bars.attrs = {
            "symbol": symbol,
            "source": self.source,
            "simulated": simulated,
            "detail": detail,
            "notes": notes.sentences,
            "cleaning": cleaning.counts,
            **{name: bars.attrs[name] for name in _TOLD if name in bars.attrs},
        }
        return bars

    def _market_of(self, symbol: str) -> TradingMarket:
        return self._market or market_named(default_market(symbol, self.source))

    def _bars_and_detail(
        self, symbol: str, start_date: str | date | None, end_date: str | date | None, timeframe: str, notes: "_Notes"
    ) -> tuple[pd.DataFrame, str]:
        """The source's bars, and what to remember of how they were asked for."""
        if self.source == "file":
            path = str(self._bars_path)
            market = self._market_of(symbol)
            bars = read_bars_file(path, symbol, *self._file_format, market, of_several=self._of_several)
            notes.sentences.append(bars.attrs.pop("understood"))
            rows = bars.attrs["left_out_rows"]
            if rows["count"]:
                notes.say(f"Left out {counted(rows['count'], 'row')} that can be no bar: {'; '.join(rows['first'])}.")
            return bars, os.path.basename(path)
        if start_date is None or end_date is None:
            raise DataSourceError(f"the {self.source} needs a first and a last day; give start_date and end_date.")
        market = self._market_of(symbol)
        if self.source == "simulator":
            bars = simulate_bars(
                symbol, start_date, end_date, seed=self._seed, minutes=minutes_of(timeframe), market=market
            )
            return bars, str(bars.attrs["detail"])
        start, end = market.day_begin(start_date), market.day_end(end_date)
        if self._other is None:
            bars, detail = self._from_alpaca(symbol, start, end, timeframe, notes)
        elif isinstance(self._other, SettledBars):
            cache, detail = self._cache(self.source, "spot", "raw", timeframe, symbol), timeframe
            bars = self._cached(self._other, cache, symbol, start, end, timeframe, notes)
        else:
            bars, detail = self._fetched(self._other, symbol, start, end, timeframe, notes), timeframe
        if bars.empty:
            raise NotEnoughDataError(
                f"{self.source} has no bars of {symbol} from {start_date} to {end_date} ({detail}); symbol and dates "
                "must be ones it covers (Alpaca: from 2016 on); check both."
            )
        return bars, detail

    def _fetched(
        self,
        source: BarSource,
        symbol: str,
        start: pd.Timestamp,
        end: pd.Timestamp,
        timeframe: str,
        notes: "_Notes",
    ) -> pd.DataFrame:
        fetched = source.fetch(symbol, start, end, timeframe)
        for sentence in getattr(fetched, "attrs", {}).get("notes", ()):
            notes.say(sentence)
        return as_bars_frame(fetched, f"the bars of {symbol} ({self.source})")

    def _cached(
        self,
        source: SettledBars,
        cache: BarCache,
        symbol: str,
        start: pd.Timestamp,
        end: pd.Timestamp,
        timeframe: str,
        notes: "_Notes",
    ) -> pd.DataFrame:
        if not self._offline:
            return bars_through_cache(source, cache, symbol, start, end, timeframe, notes, may_have_traded=at_any_time)
        return _offline_bars(cache, symbol, start, end, notes, at_any_time)

    def _from_alpaca(
        self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str, notes: "_Notes"
    ) -> tuple[pd.DataFrame, str]:
        """Alpaca's bars, and which they are, in words."""
        feeds, adjustment = ((COIN_FEED,), "raw") if is_pair(symbol) else (self._feeds, self._adjustment)
        may_have_traded = at_any_time if is_pair(symbol) else in_extended_hours
        caches = {feed: self._cache("alpaca", feed, adjustment, timeframe, symbol) for feed in feeds}
        if self._offline:
            feed = next((feed for feed, cache in caches.items() if cache.months()), feeds[0])
            bars = _offline_bars(caches[feed], symbol, start, end, notes, may_have_traded)
            return bars, f"feed {feed}, adjustment {adjustment}"
        for feed, cache in caches.items():
            try:
                source = self._alpaca(symbol, cast(Feed, feed))
                bars = bars_through_cache(
                    source, cache, symbol, start, end, timeframe, notes, may_have_traded=may_have_traded
                )
                return bars, f"feed {feed}, adjustment {adjustment}"
            except FeedNotInPlanError:
                if feed == feeds[-1]:
                    raise
                notes.warn(
                    "Alpaca's plan of these keys does not include the consolidated feed: these are IEX's bars, 2 to "
                    "3.5 % of what was traded, with more minutes missing and another volume."
                )
        raise AssertionError("there is at least one feed")

    def _alpaca(self, symbol: str, feed: Feed) -> AlpacaHistory:
        """Alpaca's bars of stocks, or of coins where the symbol is a pair.

        Raises
        ------
        CredentialsError
            There are no keys, which stocks need.
        """
        credentials = alpaca_credentials()
        if credentials is None and not is_pair(symbol):
            raise CredentialsError(
                f"there are no bars to use: set {_KEY} and {_SECRET} (or put them in a .env file) to fetch them from "
                "Alpaca, or give your own with --bars FILE; --simulate runs without either."
            )
        access = AlpacaAccess(credentials, self._url_override, self._patience or Patience(), self._clock)
        return AlpacaCoinBars(access) if is_pair(symbol) else AlpacaBars(access, feed=feed, adjustment=self._adjustment)

    def _cache(self, source: str, feed: str, adjustment: str, timeframe: str, symbol: str) -> BarCache:
        return BarCache.of_symbol(self._cache_root, source, feed, adjustment, timeframe, symbol)


def _offline_bars(
    cache: BarCache,
    symbol: str,
    start: pd.Timestamp,
    end: pd.Timestamp,
    notes: "_Notes",
    may_have_traded: MayHaveTraded,
) -> pd.DataFrame:
    bars = cached_bars(cache, symbol, start, end, may_have_traded=may_have_traded)
    if not bars.empty:
        notes.say(f"Offline: cached bars of {symbol}, the last one of {bars.index[-1]:%Y-%m-%d %H:%M} UTC.")
    return bars


def _check_request(symbol: str, timeframe: str) -> None:
    for name, value, rule in (("symbol", symbol, file_name_of), ("timeframe", timeframe, minutes_of)):
        try:
            if not isinstance(value, str):
                raise ValueError("must be a text")
            rule(value)
        except ValueError as error:
            raise DataSourceError(f"{name} is {reprlib.repr(value)}, but {error}; change it.") from None


def _check_symbols(symbols: object) -> None:
    if not isinstance(symbols, Sequence) or not symbols or not all(isinstance(symbol, str) for symbol in symbols):
        raise DataSourceError(f"symbol is {reprlib.repr(symbols)}, but must be a symbol or a list of them; change it.")


class _Notes:
    """Keeps the sentences that are said, and passes everything on."""

    def __init__(self, progress: FetchProgress | None) -> None:
        self.sentences: list[str] = []
        self._progress = progress

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)
        if self._progress is not None:
            self._progress.say(sentence)

    def warn(self, sentence: str) -> None:
        self.say(sentence)
        if self._progress is None:
            # Down to whoever called the handler.
            warnings.warn(sentence, BarsWarning, stacklevel=6)

    def fetch_began(self, symbol: str, months: int) -> None:
        if self._progress is not None:
            self._progress.fetch_began(symbol, months)

    def fetch_advanced(self, months: int) -> None:
        if self._progress is not None:
            self._progress.fetch_advanced(months)


def alpaca_credentials(environ: Mapping[str, str] = os.environ) -> AlpacaCredentials | None:
    """Alpaca's keys from `environ`, or else from a ``.env`` file in the working directory; None without either."""
    from dotenv import dotenv_values

    for source in (environ, dotenv_values(".env")):
        key, secret = source.get(_KEY), source.get(_SECRET)
        if key and secret:
            return AlpacaCredentials(key, secret)
    return None
