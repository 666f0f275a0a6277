"""Bars of Alpaca through everything that can go wrong on the way; no key in any output."""

import itertools
import json
import logging
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.alpaca_stand_in import KEY, SECRET, AlpacaStandIn, Script
from tests.support.bars import make_bars, of_symbol
from volcast.bars.handler import DataHandler
from volcast.bars.sources import alpaca_pages
from volcast.bars.sources.alpaca import AlpacaBars
from volcast.bars.sources.alpaca_pages import AlpacaAccess, AlpacaCredentials
from volcast.bars.sources.http import Patience, RequestLimiter
from volcast.errors import BarsWarning, CredentialsError, DataSourceError, NotEnoughDataError, VolatilityError

HASTY = Patience(
    connect_seconds=2,
    read_seconds=2,
    answer_seconds=2,
    attempts=5,
    total_seconds=20,
    first_wait_seconds=0.01,
    longest_wait_seconds=0.05,
)
IMPATIENT = replace(HASTY, read_seconds=0.3, answer_seconds=0.4)
BARS = make_bars("2024-06-03", "2024-06-07").tz_convert("UTC")
START, END = pd.Timestamp("2024-06-01", tz="UTC"), pd.Timestamp("2024-06-30", tz="UTC")


@pytest.fixture(autouse=True)
def _fresh_limiter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpaca_pages, "_LIMITER", RequestLimiter(10_000, 60))


def fetched(script: Script, *, page: int = 700, patience: Patience = HASTY, symbol: str = "SPY") -> pd.DataFrame:
    with AlpacaStandIn({"SPY": BARS}, script, page=page, stall=60) as server:
        source = AlpacaBars(AlpacaAccess(AlpacaCredentials(KEY, SECRET), server.url, patience))
        return source.fetch(symbol, START, END, "1Min")


RECOVERABLE = [
    [], ["429"], ["429 after 0"], ["429", "429", "429"], ["500"], ["503", "500"], ["reset"], ["reset", "reset", "500"],
    ["stall"], ["trickle"], ["half"], ["cut json"], ["ok", "half", "reset", "429", "stall", "ok"], ["empty page"],
    ["ok", "empty page"], ["twice"], ["ok", "twice"], ["shuffled"], ["shuffled", "twice", "shuffled"], ["drip"],
    ["ok", "drip", "ok"],
]  # fmt: skip


@pytest.mark.parametrize("script", RECOVERABLE, ids=lambda script: ", ".join(script) or "nothing")
def test_what_can_be_mended_gives_the_right_bars(script: list[str]) -> None:
    began = time.monotonic()
    pd.testing.assert_frame_equal(fetched(script), BARS, check_freq=False, check_index_type=False)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        (["500"] * 9, DataSourceError, "it failed (status 500), at 5 attempts"),
        (["429"] * 9, DataSourceError, "limits the number of requests (status 429), at 5 attempts"),
        (["reset"] * 9, DataSourceError, "the connection failed, at 5 attempts"),
        (["stall"] * 9, DataSourceError, "the answer stalled, at 5 attempts"),
        (["trickle"] * 9, DataSourceError, "the answer stalled, at 5 attempts"),
        (["drip"] * 9, DataSourceError, "the answer stalled, at 5 attempts"),
        (["half"] * 9, DataSourceError, "the answer broke off, at 5 attempts"),
        (["forbidden"], CredentialsError, "APCA_API_KEY_ID and APCA_API_SECRET_KEY must be a valid pair"),
        (["unauthorized"], CredentialsError, "APCA_API_KEY_ID and APCA_API_SECRET_KEY must be a valid pair"),
        (["no plan"], CredentialsError, "set feed to 'iex'"),
        (["unknown symbol"], DataSourceError, "does not accept the request for SPY"),
        (["loop"] * 99, DataSourceError, "lead back to themselves"),
        (["endless"] * 999, DataSourceError, "pages do not end"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_gets_one_sentence_in_bounded_time(
    script: list[str], error: type[VolatilityError], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    began = time.monotonic()
    with pytest.raises(error) as caught:
        fetched(script, patience=IMPATIENT if script[0] in ("stall", "trickle", "drip") else HASTY)
    assert time.monotonic() - began < 10
    assert said in str(caught.value)
    assert str(caught.value).count(". ") == 0
    assert "\n" not in str(caught.value)
    assert_no_keys(everything_about(caught.value) + caplog.text)


BAR = {"t": "2024-06-03T13:30:00Z", "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 100, "n": 1, "vw": 1.2}


def with_field(field: str, value: object) -> dict[str, Any]:
    return {"bars": {"SPY": [{**BAR, field: value}]}}


def without_field(field: str) -> dict[str, Any]:
    return {"bars": {"SPY": [{name: value for name, value in BAR.items() if name != field}]}}


WRONG_ANSWERS: list[Any] = [
    [], "bars", 7, True, {"bars": []}, {"bars": "none"}, {"bars": 3}, {"bars": {"SPY": None}}, {"bars": {"SPY": {}}},
    {"bars": {"SPY": [BAR, None]}}, {"bars": {"SPY": [[1, 2, 3]]}}, {"bars": {"SPY": ["bar"]}},
    {"bars": {"SPY": [BAR]}, "next_page_token": 7}, {"bars": {"SPY": [BAR]}, "next_page_token": ["a"]},
    *itertools.starmap(with_field, itertools.product("ohlcv", (None, "1.5", True, [1], {}))),
    *map(without_field, "tohlcv"),
    *itertools.starmap(with_field, itertools.product("t", (None, 7, "yesterday", "", [], "2024-13-01T00:00:00Z"))),
]  # fmt: skip


@pytest.mark.parametrize("answer", WRONG_ANSWERS, ids=lambda answer: json.dumps(answer)[:60])
def test_an_answer_of_the_wrong_type_gets_one_sentence(answer: Any) -> None:
    with pytest.raises(DataSourceError, match="Alpaca") as caught:
        fetched([f"body {json.dumps(answer)}"])
    assert str(caught.value).count(". ") == 0
    assert "\n" not in str(caught.value)
    assert_no_keys(everything_about(caught.value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["bars", "next_page_token", "SPY", *"tohlcv"]), inner, max_size=8)
    ),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(JSON | st.builds(lambda inner: {"bars": {"SPY": [{**BAR, "c": inner}]}}, JSON))
def test_whatever_is_answered_is_bars_or_one_sentence(answer: Any) -> None:
    alpaca_pages._LIMITER = RequestLimiter(10_000, 60)
    sentence = ""
    try:
        bars = fetched([f"body {json.dumps(answer)}"] * 60, patience=replace(HASTY, attempts=1))
    except VolatilityError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert sentence or bars.notna().all(axis=None)


def everything_about(error: BaseException) -> str:
    """The error, its whole chain, and what a debugger would print of every frame outside of the test itself."""
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        parts += [repr(link), str(link.args)]
        link = link.__cause__ or link.__context__
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    report.stack = traceback.StackSummary.from_list(
        [frame for frame in report.stack if "/tests/" not in frame.filename]
    )
    return "".join([*parts, *report.format()])


def assert_no_keys(text: str) -> None:
    assert KEY not in text
    assert SECRET not in text


def test_null_bars_are_no_bars() -> None:
    assert fetched(["null"]).empty


def test_an_error_has_no_cause_that_could_show_the_request() -> None:
    with pytest.raises(DataSourceError) as caught:
        fetched(["reset"] * 9)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_an_unreachable_service_is_said_in_bounded_time() -> None:
    source = AlpacaBars(AlpacaAccess(AlpacaCredentials(KEY, SECRET), "http://127.0.0.1:1", HASTY))
    began = time.monotonic()
    with pytest.raises(DataSourceError, match="the connection failed"):
        source.fetch("SPY", START, END, "1Min")
    assert time.monotonic() - began < 5


def test_a_wait_that_is_asked_for_is_kept_and_bounded() -> None:
    patient = Patience(first_wait_seconds=0.01, longest_wait_seconds=5)
    began = time.monotonic()
    fetched(["429 after 1"], patience=patient)
    assert 1 <= time.monotonic() - began < 3
    began = time.monotonic()
    fetched(["429 after 1"], patience=HASTY)
    assert time.monotonic() - began < 1


def test_the_last_fifteen_minutes_are_not_asked_of_the_consolidated_feed() -> None:
    now = BARS.index[500] + pd.Timedelta(minutes=15, seconds=30)
    with AlpacaStandIn({"SPY": BARS}) as server:
        for feed, last in (("sip", BARS.index[499]), ("iex", BARS.index[513])):
            source = AlpacaBars(
                AlpacaAccess(
                    AlpacaCredentials(KEY, SECRET), url_override=server.url, clock=lambda: now.to_pydatetime()
                ),
                feed=feed,  # type: ignore[arg-type]
            )
            assert source.fetch("SPY", START, END, "1Min").index[-1] == last
            assert {request["feed"] for request in server.requests} == {feed}
            server.requests.clear()


def test_the_limit_is_shared_between_threads() -> None:
    now, lock = [0.0], threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            now[0] += seconds

    limiter = RequestLimiter(200, 60, clock=lambda: now[0], sleep=sleep)
    sent: list[float] = []

    def work() -> None:
        for _ in range(125):
            limiter.acquire()
            sent.append(now[0])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.sort()
    assert len(sent) == 1000
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[200:], strict=False))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)


@pytest.mark.usefixtures("keys")
def test_a_plan_without_the_consolidated_feed_gets_iex_and_is_told(tmp_path: Path) -> None:
    def without_sip(number: int, query: dict[str, str]) -> str:
        return "no plan" if query["feed"] == "sip" else "ok"

    with AlpacaStandIn({"SPY": BARS}, without_sip) as server:
        handler = DataHandler("alpaca", cache_dir=tmp_path, url_override=server.url, patience=HASTY)
        with pytest.warns(BarsWarning, match="these are IEX's bars"):
            bars = handler.get_stock_bars("SPY", "2024-06-03", "2024-06-07")
        assert any("IEX" in note for note in bars.attrs["notes"])
        assert bars.attrs["detail"] == "feed iex, adjustment all"
        strict = DataHandler("alpaca", feed="sip", cache_dir=tmp_path, url_override=server.url, patience=HASTY)
        with pytest.raises(CredentialsError, match="'iex'"):
            strict.get_stock_bars("SPY", "2024-06-03", "2024-06-07")


@pytest.mark.usefixtures("keys")
def test_no_bars_in_the_span_is_said_and_not_kept(tmp_path: Path) -> None:
    with AlpacaStandIn({"SPY": BARS}) as server:
        handler = DataHandler("alpaca", cache_dir=tmp_path, url_override=server.url, patience=HASTY)
        with pytest.raises(NotEnoughDataError, match="no bars of NOSUCH from 2024-06-03 to 2024-06-07"):
            handler.get_stock_bars("NOSUCH", "2024-06-03", "2024-06-07")
        assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.usefixtures("keys")
def test_keys_are_in_no_file_of_the_cache(tmp_path: Path) -> None:
    with AlpacaStandIn({"SPY": BARS}) as server:
        handler = DataHandler("alpaca", cache_dir=tmp_path, url_override=server.url, patience=HASTY)
        bars = handler.get_stock_bars("SPY", "2024-06-03", "2024-06-07")
    assert_no_keys(str(bars.attrs))
    for path in tmp_path.rglob("*"):
        assert_no_keys(str(path))
        if path.is_file():
            assert_no_keys(path.read_bytes().decode("latin-1"))


@pytest.mark.usefixtures("keys")
def test_several_symbols_are_fetched_together_and_one_that_fails_is_reported(tmp_path: Path) -> None:
    with AlpacaStandIn({"SPY": BARS, "QQQ": BARS * 2}) as server:
        handler = DataHandler("alpaca", cache_dir=tmp_path, url_override=server.url, patience=HASTY)
        bars = handler.get_stock_bars(["SPY", "NOSUCH", "QQQ"], "2024-06-03", "2024-06-07")
        assert list(bars.index.get_level_values("symbol").unique()) == ["SPY", "QQQ"]
        assert list(bars.attrs["failed"]) == ["NOSUCH"]
        pd.testing.assert_frame_equal(of_symbol(bars, "QQQ"), BARS * 2, check_freq=False, check_index_type=False)
        with pytest.raises(DataSourceError, match="of 1 symbol none"):
            handler.get_stock_bars(["NOSUCH"], "2024-06-03", "2024-06-07")
