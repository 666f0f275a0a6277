"""Implied volatility from files, and from the bars of options."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.alpaca_stand_in import KEY, SECRET, AlpacaStandIn
from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.backtest.implied import read_implied, traded_implied
from volcast.backtest.options import european_option, implied_volatility
from volcast.backtest.prices import session_prices
from volcast.bars.sources.alpaca_options import AlpacaOptionBars, contract_name
from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaCredentials
from volcast.bars.sources.http import Patience
from volcast.errors import BarsError, CredentialsError, NotEnoughDataError
from volcast.markets.registry import market_named

_VOLATILITY = 0.23


@pytest.fixture
def table() -> pd.DataFrame:
    stamps = pd.date_range("2024-09-03 10:00", periods=4, freq="D", tz="America/New_York")
    return pd.DataFrame({"implied": [0.2, 0.21, 0.19, 0.2]}, index=stamps.rename("timestamp"))


@pytest.mark.parametrize("name", ["implied.csv", "implied.parquet"])
def test_stamps_and_values_are_read(table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table.to_csv(path) if path.suffix == ".csv" else table.to_parquet(path)
    read = read_implied(path)
    assert read.tolist() == table["implied"].tolist()
    assert list(read.index) == list(table.index)


def test_what_is_wrong_with_a_file_is_said(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "implied.csv"
    with pytest.raises(BarsError, match="cannot be read"):
        read_implied(path)
    for frame, said in (
        (table.rename(columns={"implied": "iv"}), "has no column 'implied' among timestamp, iv"),
        (table.tz_localize(None), "not all times with a zone"),
        (100 * table, "from 19 to 21; it must be annualized decimals"),
    ):
        frame.to_csv(path)
        with pytest.raises(BarsError, match=said):
            read_implied(path)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return make_bars("2025-03-03", "2025-04-30", minutes=5)


@pytest.fixture(scope="module")
def options(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Hourly bars of contracts at whole strikes, priced at one volatility, of a spot two percent above the bars'."""
    sessions = market_named("XNYS").schedule(bars.index[0], bars.index[-1] + pd.Timedelta(days=90))
    numbers = {day: number for number, day in enumerate(sessions.index)}
    hours = bars["close"].groupby(time_index(bars).floor("h")).last()
    hours = hours[time_index(hours).tz_localize(None).normalize().isin(sessions.index)]
    contracts: dict[str, list[dict[str, object]]] = {}
    # The third Friday of April 2025 is Good Friday.
    for expiry in (pd.Timestamp("2025-04-17"), pd.Timestamp("2025-05-16")):
        for stamp, price in zip(time_index(hours), hours, strict=True):
            day = pd.Timestamp(stamp.date())
            opens, closes = (pd.DatetimeIndex(sessions[name])[numbers[day]] for name in ("open", "close"))
            over = (min(stamp + pd.Timedelta(hours=1), closes) - opens) / (closes - opens)
            years = (numbers[expiry] - numbers[day] + 1 - over) / 252
            for strike in range(int(price) - 3, int(price) + 12):
                for kind in ("call", "put") if years > 0 else ():
                    value = european_option(kind, 1.02 * float(price), strike, years, _VOLATILITY).price
                    name = contract_name("XYZ", expiry, kind, strike)
                    row = {"t": stamp, **dict.fromkeys(("open", "high", "low", "close"), value), "volume": 1.0}
                    contracts.setdefault(name, []).append(row)
    return {name: pd.DataFrame(rows).set_index("t").tz_convert("UTC") for name, rows in contracts.items()}


@pytest.fixture
def served(options: dict[str, pd.DataFrame]) -> Iterator[AlpacaStandIn]:
    with AlpacaStandIn(options, page=1_000) as server:
        yield server


def option_bars(server: AlpacaStandIn, secret: str = SECRET) -> AlpacaOptionBars:
    return AlpacaOptionBars(AlpacaAccess(AlpacaCredentials(KEY, secret), server.url, Patience(attempts=2)))


def test_the_volatility_that_options_are_traded_at_comes_back(served: AlpacaStandIn, bars: pd.DataFrame) -> None:
    implied = traded_implied(option_bars(served), "XYZ", session_prices(bars), 21)
    assert implied.to_numpy() == pytest.approx(np.full(len(implied), _VOLATILITY), rel=1e-4)
    assert len(implied) > 6 * 40
    moments = time_index(implied)
    assert moments.is_monotonic_increasing
    assert moments[:2].strftime("%Y-%m-%d %H:%M").tolist() == ["2025-03-06 10:00", "2025-03-06 11:00"]
    asked = {name for query in served.requests for name in query["symbols"].split(",")}
    # Of the first three days those of March are nearer to 21 sessions ahead; of them the server has none.
    assert {name[3:9] for name in asked} == {"250321", "250417", "250516"}


def test_hours_without_a_whole_pair_are_absent(options: dict[str, pd.DataFrame], bars: pd.DataFrame) -> None:
    calls = {name: frame for name, frame in options.items() if name[9] == "C"}
    with AlpacaStandIn(calls) as server, pytest.raises(NotEnoughDataError, match="no bars of XYZ's options between"):
        traded_implied(option_bars(server), "XYZ", session_prices(bars), 21)


def test_wrong_keys_are_said_without_them(served: AlpacaStandIn, bars: pd.DataFrame) -> None:
    with pytest.raises(CredentialsError, match="Alpaca refused the keys") as caught:
        traded_implied(option_bars(served, "another"), "XYZ", session_prices(bars), 21)
    assert KEY not in repr(caught.value)
    assert "another" not in repr(caught.value)


def test_closes_are_known_at_the_end_of_their_hour_and_not_before(served: AlpacaStandIn) -> None:
    name = next(iter(served.bars))
    names, start = [name, name[:9] + "P" + name[10:]], served.bars[name].index[0]
    closes = option_bars(served).closes(names, start, start + pd.Timedelta(days=3))
    assert closes[name].dropna().tolist() == served.bars[name].loc[: closes.index[-1], "close"].tolist()[: len(closes)]
    assert closes.index[0] == start + pd.Timedelta(hours=1)
    source = AlpacaOptionBars(
        AlpacaAccess(
            AlpacaCredentials(KEY, SECRET), url_override=served.url, clock=lambda: start + pd.Timedelta(minutes=70)
        )
    )
    assert source.closes(names, start, start + pd.Timedelta(days=3)).empty


def test_a_contract_has_its_clearing_name() -> None:
    assert contract_name("SPY", pd.Timestamp("2024-06-21"), "call", 500.0) == "SPY240621C00500000"
    assert contract_name("BRK.B", pd.Timestamp("2025-01-17"), "put", 42.5) == "BRKB250117P00042500"


def test_prices_that_no_volatility_gives_are_none() -> None:
    assert np.isnan(implied_volatility(0.0, 1.0, 100.0, 0.1))
    assert np.isnan(implied_volatility(1.0, 150.0, 100.0, 0.1))
