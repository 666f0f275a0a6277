"""Coins of Alpaca, without keys: the rules of a source, and the handler's way to them."""

from pathlib import Path

import pandas as pd
import pytest

from tests.bars.sources.test_alpaca import HASTY
from tests.support.alpaca_stand_in import KEY, SECRET, AlpacaStandIn
from tests.support.coins import coin_bars
from volcast.bars.handler import DataHandler
from volcast.bars.sources import alpaca_pages
from volcast.bars.sources.alpaca_coins import AlpacaCoinBars
from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaCredentials
from volcast.bars.sources.http import RequestLimiter
from volcast.errors import CredentialsError
from volcast.testing.sources import check_source

BARS = coin_bars("2024-06-01", days=4)
START, END = pd.Timestamp("2024-06-01", tz="UTC"), pd.Timestamp("2024-06-04", tz="UTC")


@pytest.fixture(autouse=True)
def _fresh_limiter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpaca_pages, "_LIMITER", RequestLimiter(10_000, 60))


@pytest.mark.parametrize("keys", [None, AlpacaCredentials(KEY, SECRET)], ids=["no keys", "keys"])
def test_coins_keep_the_rules_with_and_without_keys(keys: AlpacaCredentials | None) -> None:
    with AlpacaStandIn({"BTC/USD": BARS}, page=1000) as server:
        check_source(AlpacaCoinBars(AlpacaAccess(keys, server.url, HASTY)), "BTC/USD", START, END, market="24/7")


def test_what_goes_wrong_on_the_way_is_mended() -> None:
    with AlpacaStandIn({"BTC/USD": BARS}, ["503", "reset", "half", "twice", "429"], page=1000) as server:
        bars = AlpacaCoinBars(AlpacaAccess(None, server.url, HASTY)).fetch("BTC/USD", START, END, "1Min")
    pd.testing.assert_frame_equal(bars, BARS[BARS.index < END], check_freq=False)


def test_coins_refused_without_keys_are_said() -> None:
    with AlpacaStandIn({"BTC/USD": BARS}, ["forbidden"]) as server, pytest.raises(CredentialsError) as caught:
        AlpacaCoinBars(AlpacaAccess(None, server.url, HASTY)).fetch("BTC/USD", START, END, "1Min")
    assert "refuses BTC/USD without keys" in str(caught.value)
    assert caught.value.__context__ is None


def test_the_minute_that_runs_is_not_asked_for() -> None:
    now = BARS.index[500] + pd.Timedelta(seconds=100)
    with AlpacaStandIn({"BTC/USD": BARS}) as server:
        source = AlpacaCoinBars(AlpacaAccess(None, server.url, HASTY, now.to_pydatetime))
        assert source.fetch("BTC/USD", START, END, "1Min").index[-1] == BARS.index[499]


def test_the_handler_asks_for_a_pair_without_keys_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volcast.bars.handler.alpaca_credentials", lambda: None)
    with AlpacaStandIn({"BTC/USD": BARS}) as server:
        handler = DataHandler(url_override=server.url, patience=HASTY, cache_dir=tmp_path)
        bars = handler.get_stock_bars("BTC/USD", "2024-06-03", "2024-06-04")
    offline = DataHandler(cache_dir=tmp_path, offline=True).get_stock_bars("BTC/USD", "2024-06-03", "2024-06-04")
    pd.testing.assert_frame_equal(bars, offline)
    assert bars.attrs["detail"] == "feed us, adjustment raw"
    assert len(list(tmp_path.glob("alpaca/us/raw/1Min/BTC-USD_7b4c96/2024-06_*.parquet"))) == 1
    with pytest.raises(CredentialsError, match="there are no bars to use"):
        DataHandler(cache_dir=tmp_path).get_stock_bars("SPY", "2024-06-03", "2024-06-04")


def test_what_traded_in_the_night_and_over_a_weekend_is_fetched_behind_what_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volcast.bars.handler.alpaca_credentials", lambda: None)
    for moment in ("2024-06-01 01:30", "2024-06-01 05:00", "2024-06-02 10:00", "2024-06-03 03:00"):
        now = pd.Timestamp(moment, tz="UTC")
        with AlpacaStandIn({"BTC/USD": BARS}) as server:
            handler = DataHandler(
                market="24/7", url_override=server.url, patience=HASTY, cache_dir=tmp_path, clock=now.to_pydatetime
            )
            bars = handler.get_stock_bars("BTC/USD", "2024-06-01", "2024-06-04")
        assert bars.index[-1] == now - pd.Timedelta(minutes=2)
        assert len(bars) == (BARS.index <= bars.index[-1]).sum()
