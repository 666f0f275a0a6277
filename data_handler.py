"""Bars of a symbol, wherever they come from: Alpaca, the user's own file, or the simulator."""

import os
from collections.abc import Mapping
from datetime import date
from typing import Self

import pandas as pd

from alpaca_bars import AlpacaCredentials, fetch_alpaca_bars
from bar_checks import validate_bars
from bar_files import read_bars_file
from errors import CredentialsError, DataSourceError, NotEnoughDataError
from market_simulator import simulate_bars
from trading_sessions import EXCHANGE_TIMEZONE
from training_config import TrainingConfig, minutes_of

__all__ = ["DataHandler", "alpaca_credentials"]

_KEY, _SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"


class DataHandler:
    """Gets bars from one source.

    Parameters
    ----------
    source
        ``"alpaca"``, ``"file"`` or ``"simulator"``.
    bars_path
        The user's own CSV or Parquet file, for ``"file"``.
    bars_timezone
        Zone of that file's stamps where they carry none.
    feed, adjustment
        Alpaca's feed (``"sip"`` or ``"iex"``) and adjustment (``"raw"``, ``"split"``, ``"dividend"`` or ``"all"``).
    seed
        The simulator's.
    url_override
        Another address than Alpaca's, such as a stand-in server's.

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
        feed: str = "sip",
        adjustment: str = "all",
        seed: int = 42,
        url_override: str | None = None,
    ) -> None:
        if source not in ("alpaca", "file", "simulator"):
            raise DataSourceError(f"source is {source!r}; it must be one of alpaca, file, simulator.")
        if source == "file" and bars_path is None:
            raise DataSourceError("source is 'file' and no path was given; give bars_path, the file of bars.")
        self.source = source
        self._bars_path, self._bars_timezone = bars_path, bars_timezone
        self._feed, self._adjustment, self._url_override = feed, adjustment, url_override
        self._seed = seed

    @classmethod
    def from_config(cls, config: TrainingConfig) -> Self:
        """The handler of a configuration's source."""
        return cls(
            config.effective_source,
            bars_path=config.bars_path,
            bars_timezone=config.bars_timezone,
            feed=config.feed,
            adjustment=config.adjustment,
            seed=config.seed,
        )

    def get_stock_bars(
        self,
        symbol: str,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        timeframe: str = "1Min",
    ) -> pd.DataFrame:
        """Bars of `symbol` from `start_date` to `end_date`, New York days, both included.

        Parameters
        ----------
        symbol
            Ticker.
        start_date, end_date
            None sets no bound, which only a file can do.
        timeframe
            Length of a bar: ``"1Min"``, ``"5Min"``, ``"1Hour"`` ...; a file's bars are as they are.

        Returns
        -------
        DataFrame indexed by ``timestamp`` (tz-aware, start of the bar), columns open, high, low, close, volume as
        far as the source has them. ``attrs`` tells ``symbol``, ``source``, ``simulated`` and ``detail``.

        Raises
        ------
        BarsError, NotEnoughDataError
            The bars are unusable, or there are none.
        CredentialsError
            There are no keys for Alpaca, or it refuses them.
        DataSourceError
            The source failed.
        """
        if self.source == "file":
            return self._from_file(symbol, start_date, end_date)
        if start_date is None or end_date is None:
            raise DataSourceError(f"the {self.source} needs a first and a last day; give start_date and end_date.")
        if self.source == "simulator":
            return simulate_bars(symbol, start_date, end_date, seed=self._seed, minutes=minutes_of(timeframe))
        credentials = alpaca_credentials()
        if credentials is None:
            raise CredentialsError(
                f"there are no bars to use: set {_KEY} and {_SECRET} (or put them in a .env file) to fetch them from "
                "Alpaca, or give your own with --bars FILE; --simulate runs without either."
            )
        bars = fetch_alpaca_bars(
            symbol,
            _new_york_midnight(start_date),
            _new_york_midnight(end_date) + pd.Timedelta(days=1),
            timeframe,
            credentials,
            feed=self._feed,
            adjustment=self._adjustment,
            url_override=self._url_override,
        )
        detail = f"feed {self._feed}, adjustment {self._adjustment}"
        bars.attrs = {"symbol": symbol, "source": "alpaca", "simulated": False, "detail": detail}
        return validate_bars(bars, f"Alpaca's bars of {symbol}")

    def _from_file(self, symbol: str, start_date: str | date | None, end_date: str | date | None) -> pd.DataFrame:
        path = str(self._bars_path)
        bars = validate_bars(read_bars_file(path, symbol, self._bars_timezone), f"the bars in {path}")
        first, last = bars.index[0], bars.index[-1]
        if start_date is not None:
            bars = bars[bars.index >= _new_york_midnight(start_date)]
        if end_date is not None:
            bars = bars[bars.index < _new_york_midnight(end_date) + pd.Timedelta(days=1)]
        if bars.empty:
            raise NotEnoughDataError(
                f"{path} has bars from {first:%Y-%m-%d} to {last:%Y-%m-%d} and none from "
                f"{start_date or 'its start'} to "
                f"{end_date or 'its end'}; the dates must overlap; change or leave out --start-date and --end-date."
            )
        bars.attrs = {"symbol": symbol, "source": "file", "simulated": False, "detail": os.path.basename(path)}
        return bars


def alpaca_credentials(environ: Mapping[str, str] = os.environ) -> AlpacaCredentials | None:
    """Alpaca's keys from `environ`, or else from a ``.env`` file in the working directory; None without either."""
    from dotenv import dotenv_values

    for source in (environ, dotenv_values(".env")):
        key, secret = source.get(_KEY), source.get(_SECRET)
        if key and secret:
            return AlpacaCredentials(key, secret)
    return None


def _new_york_midnight(day: str | date) -> pd.Timestamp:
    return pd.Timestamp(day).tz_localize(None).normalize().tz_localize(EXCHANGE_TIMEZONE)
