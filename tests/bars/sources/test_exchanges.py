"""Bars of exchanges through ccxt: pages, outages, what can be mended and what cannot."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.bars.sources.test_alpaca import HASTY
from tests.support.coins import coin_bars
from tests.support.exchange_stand_in import ExchangeStandIn
from volcast.bars.handler import DataHandler
from volcast.bars.sources import exchanges, registry
from volcast.bars.sources.exchanges import ExchangeBars, RecentExchangeBars
from volcast.bars.sources.http import RequestLimiter
from volcast.errors import DataSourceError, NotEnoughDataError
from volcast.testing.sources import check_source

pytest.importorskip("ccxt", reason="ccxt is not installed")

BARS = coin_bars("2024-06-01", days=4)
START, END = pd.Timestamp("2024-06-01", tz="UTC"), pd.Timestamp("2024-06-04", tz="UTC")
NOW = datetime(2024, 6, 20, tzinfo=UTC)
PAIRS = {"binance": "BTC/USDT", "coinbase": "BTC/USD", "kraken": "ETH/USD"}


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "_limiter", lambda *arguments: RequestLimiter(10_000, 60))


def source_of(exchange: str, server: ExchangeStandIn) -> ExchangeBars:
    source = ExchangeBars(exchange, url_override=server.url, patience=HASTY, clock=lambda: NOW)
    source._client.enableRateLimit = False
    return source


@pytest.mark.parametrize("exchange", ["binance", "coinbase"])
def test_an_exchange_keeps_the_rules(exchange: str) -> None:
    pair = PAIRS[exchange]
    with ExchangeStandIn({pair: BARS}) as server:
        check_source(source_of(exchange, server), pair, START, END, market="24/7")


def test_kraken_keeps_the_rules_as_far_back_as_it_has_bars() -> None:
    last = pd.Timestamp("2024-06-05", tz="UTC")
    hours = BARS.resample("1h").agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    with ExchangeStandIn({"ETH/USD": hours}, now=last) as server:
        bars = ExchangeBars("kraken", url_override=server.url, clock=last.to_pydatetime)
        bars._client.enableRateLimit = False
        source = RecentExchangeBars(bars, 720)
        check_source(source, "ETH/USD", START, END, "1Hour", market="24/7")
    with ExchangeStandIn({"ETH/USD": BARS}, now=last) as server:
        bars = ExchangeBars("kraken", url_override=server.url, clock=last.to_pydatetime)
        bars._client.enableRateLimit = False
        source = RecentExchangeBars(bars, 720)
        recent = source.fetch("ETH/USD", START, last, "1Min")
        assert recent.index[0] == last - pd.Timedelta(minutes=720)
        assert "last 720 bars of 1Min only" in recent.attrs["notes"][0]
        with pytest.raises(NotEnoughDataError, match="last 720 bars"):
            source.fetch("ETH/USD", START, END, "1Min")


@pytest.mark.parametrize("exchange", ["binance", "coinbase"])
def test_outages_longer_than_a_page_and_minutes_without_trades_are_gone_over(exchange: str) -> None:
    random = np.random.default_rng(0)
    outage = (BARS.index >= "2024-06-02") & (BARS.index < "2024-06-03 06:00")
    sparse = BARS[(random.random(len(BARS)) < 0.4) & ~outage]
    pair = PAIRS[exchange]
    with ExchangeStandIn({pair: sparse}) as server:
        bars = source_of(exchange, server).fetch(pair, START, END, "1Min")
        pd.testing.assert_frame_equal(bars, sparse[sparse.index < END], check_freq=False)
        assert len(server.requests) < 60


@pytest.mark.parametrize("script", [["429"], ["503", "reset"], ["half"], ["ok", "503", "half", "429"]])
def test_what_can_be_mended_gives_the_right_bars(script: list[str]) -> None:
    with ExchangeStandIn({"BTC/USDT": BARS}, script) as server:
        bars = source_of("binance", server).fetch("BTC/USDT", START, END, "1Min")
    pd.testing.assert_frame_equal(bars, BARS[BARS.index < END], check_freq=False)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (["503"] * 9, "gave no whole answer: it failed (status 503), at 5 attempts"),
        (["reset"] * 9, "the connection failed, at 5 attempts"),
        (["451"] * 9, "refused the request for BTC/USDT"),
        (["418"] * 9, "refused the request for BTC/USDT"),
        (['body [[1717200000000, "a", 1, 1, 1, 1]]'], "not of the agreed form"),
        (["body [[1717200000000, null, 1, 1, 1, 1]]"], "not of the agreed form"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_is_said_in_one_sentence(script: list[str], said: str) -> None:
    with ExchangeStandIn({"BTC/USDT": BARS}, script) as server, pytest.raises(DataSourceError) as caught:
        source_of("binance", server).fetch("BTC/USDT", START, START + pd.Timedelta(hours=2), "1Min")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_pair_and_a_length_that_are_not_there_are_said() -> None:
    with ExchangeStandIn({"BTC/USDT": BARS}) as server:
        source = source_of("binance", server)
        with pytest.raises(DataSourceError, match="binance has no pair DOGE/USD"):
            source.fetch("DOGE/USD", START, END, "1Min")
        with pytest.raises(DataSourceError, match=r"binance has bars of .*5m"):
            source.fetch("BTC/USDT", START, END, "7Min")
    with pytest.raises(DataSourceError, match="no exchange of ccxt"):
        ExchangeBars("nowhere")


def test_the_handler_keeps_an_exchange_s_bars_under_a_name_that_a_file_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExchangeStandIn({"BTC/USDT": BARS}) as server:
        monkeypatch.setattr("volcast.bars.handler.load_source", lambda name: source_of(name, server))
        bars = DataHandler("binance", cache_dir=tmp_path).get_stock_bars("BTC/USDT", "2024-06-03", "2024-06-04")
        requests = len(server.requests)
        again = DataHandler("binance", cache_dir=tmp_path).get_stock_bars("BTC/USDT", "2024-06-03", "2024-06-04")
        assert len(server.requests) == requests
    offline = DataHandler("binance", cache_dir=tmp_path, offline=True)
    pd.testing.assert_frame_equal(bars, again)
    pd.testing.assert_frame_equal(bars, offline.get_stock_bars("BTC/USDT", "2024-06-03", "2024-06-04"))
    assert (bars.attrs["symbol"], bars.attrs["source"]) == ("BTC/USDT", "binance")
    assert [path.name for path in tmp_path.glob("binance/spot/raw/1Min/*")] == ["BTC-USDT_4d7eaa"]


@pytest.mark.parametrize("name", ["binance", "coinbase", "kraken"])
def test_each_exchange_is_a_source_by_its_name(name: str) -> None:
    assert isinstance(registry.load_source(name), ExchangeBars | RecentExchangeBars)
