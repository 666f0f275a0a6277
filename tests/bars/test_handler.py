"""Alpaca's bars through `DataHandler`, from a stand-in server that answers as Alpaca does."""

import json
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.bars.handler import DataHandler, alpaca_credentials
from volcast.cli import train as training_cli
from volcast.errors import ConfigError, CredentialsError, DataSourceError, NotEnoughDataError, VolatilityError
from volcast.measures.hourly import get_hourly_rv

KEY, SECRET = "PKSTANDIN0123456789", "s3cretStandInThatNobodyMaySee"
NEW_YORK = "America/New_York"


@dataclass
class StandIn:
    """What the server has, what it was asked for, and how it answers."""

    bars: dict[str, pd.DataFrame]
    page: int = 700
    refusal: tuple[int, dict[str, Any]] | None = None
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, query: dict[str, str], headers: Any) -> tuple[int, dict[str, Any]]:
        self.asked.append(query)
        if (headers["APCA-API-KEY-ID"], headers["APCA-API-SECRET-KEY"]) != (KEY, SECRET):
            return 401, {"message": "unauthorized."}
        if self.refusal is not None:
            return self.refusal
        symbol = query["symbols"]
        if not symbol.isalpha():
            return 400, {"code": 40010001, "message": f"invalid symbol: {symbol}"}
        bars = self.bars.get(symbol)
        if bars is None:
            return 200, {"bars": {}, "next_page_token": None}
        asked = bars[(bars.index >= query["start"]) & (bars.index <= query["end"])]
        first = int(query.get("page_token", "0"))
        size = min(self.page, int(query["limit"]))
        page = asked.iloc[first : first + size]
        more = str(first + size) if first + size < len(asked) else None
        return 200, {"bars": {symbol: _as_alpaca_writes(page)} if len(page) else {}, "next_page_token": more}


def _as_alpaca_writes(bars: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "t": f"{stamp.tz_convert('UTC'):%Y-%m-%dT%H:%M:%SZ}",
            "o": row["open"],
            "h": row["high"],
            "l": row["low"],
            "c": row["close"],
            "v": int(row["volume"]),
            "n": 12,
            "vw": row["close"],
        }
        for stamp, row in zip(time_index(bars), bars.to_dict("records"), strict=True)
    ]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """The stand-in, with keys in the environment that it accepts."""
    stand_in = StandIn({"SPY": make_bars("2024-10-30", "2024-11-06", extended=True)})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            status, body = stand_in.answer(query, self.headers)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests look for keys in all output."""

    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield stand_in
    running.shutdown()
    running.server_close()
    thread.join()


def fetch(server: StandIn, symbol: str = "SPY", first: str = "2024-10-31", last: str = "2024-11-05") -> pd.DataFrame:
    return DataHandler("alpaca", url_override=server.url).get_stock_bars(symbol, first, last)


def test_all_pages_together_are_the_bars_of_those_days(server: StandIn) -> None:
    bars = fetch(server)
    days = server.bars["SPY"].tz_convert(NEW_YORK).loc["2024-10-31":"2024-11-05"].tz_convert("UTC")
    assert len(bars) == len(days) == 4 * 960
    assert (bars.index == days.index).all()
    assert bars.index.name == "timestamp"
    assert str(time_index(bars).tz) == "UTC"
    for column in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(bars[column], days[column])
    assert sum("page_token" in query for query in server.asked) >= 5


def test_days_are_new_yorks_also_over_a_change_of_clocks(server: StandIn) -> None:
    bars = fetch(server, first="2024-11-01", last="2024-11-04")
    assert bars.index[0] == pd.Timestamp("2024-11-01 08:00", tz="UTC")  # 04:00 in summer time
    assert bars.index[-1] == pd.Timestamp("2024-11-05 00:59", tz="UTC")  # 19:59 in winter time
    labels = [f"{label:%m-%d %H}" for label in get_hourly_rv(bars).index]
    hours = ("10", "11", "12", "13", "14", "15", "16")
    assert labels == [f"{day} {hour}" for day in ("11-01", "11-04") for hour in hours]


def test_what_was_asked_for_is_what_the_configuration_says(server: StandIn) -> None:
    handler = DataHandler("alpaca", feed="iex", adjustment="split", url_override=server.url)
    bars = handler.get_stock_bars("SPY", date(2024, 10, 31), date(2024, 11, 5), timeframe="5Min")
    for query in server.asked:
        assert (query["feed"], query["adjustment"], query["timeframe"]) == ("iex", "split", "5Min")
        assert query["symbols"] == "SPY"
    assert bars.attrs["symbol"] == "SPY"
    assert bars.attrs["source"] == "alpaca"
    assert bars.attrs["simulated"] is False
    assert "iex" in bars.attrs["detail"]
    assert "split" in bars.attrs["detail"]


def test_a_symbol_or_span_without_bars_is_said(server: StandIn) -> None:
    with pytest.raises(NotEnoughDataError, match=r"no bars of NONE .*2024-10-31 to 2024-11-05"):
        fetch(server, "NONE")
    with pytest.raises(NotEnoughDataError, match=r"no bars of SPY .*2024-11-02 to 2024-11-03"):
        fetch(server, first="2024-11-02", last="2024-11-03")


@pytest.mark.parametrize("status", [400, 422])
def test_a_symbol_that_alpaca_does_not_know_is_said(server: StandIn, status: int) -> None:
    server.refusal = (status, {"code": 40010001, "message": "invalid symbol: SPYY"})
    with pytest.raises(DataSourceError, match="SPYY") as caught:
        fetch(server, "SPYY")
    assert not isinstance(caught.value, CredentialsError)


def everything_about(error: BaseException) -> str:
    """What a person, a log or a debugger could see of an error."""
    seen, texts = {id(error)}, ["".join(traceback.format_exception(error))]
    pending = [error]
    while pending:
        one = pending.pop()
        texts += [repr(one), repr(one.args), repr(vars(one))]
        for other in (one.__cause__, one.__context__):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                pending.append(other)
    return "\n".join(texts)


@pytest.mark.parametrize(("status", "message"), [(401, "unauthorized."), (403, "forbidden.")])
def test_wrong_keys_are_named_by_their_variables_and_never_shown(
    server: StandIn, status: int, message: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.refusal = (status, {"message": f"{message} {KEY}"})
    with pytest.raises(CredentialsError, match=r"APCA_API_KEY_ID .*APCA_API_SECRET_KEY") as caught:
        fetch(server)
    out, err = capfd.readouterr()
    for text in (str(caught.value), "".join(traceback.format_exception(caught.value)), out, err, caplog.text):
        assert KEY not in text
        assert SECRET not in text
    assert SECRET not in everything_about(caught.value)


def test_keys_are_in_nothing_that_comes_with_the_bars(server: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    handler = DataHandler("alpaca", url_override=server.url)
    bars = handler.get_stock_bars("SPY", "2024-10-31", "2024-10-31")
    credentials = alpaca_credentials()
    assert credentials is not None
    out, err = capfd.readouterr()
    written = [path.read_bytes().decode(errors="replace") for path in Path.cwd().rglob("*") if path.is_file()]
    for text in (out, err, repr(bars.attrs), repr(vars(handler)), repr(credentials), str(credentials), *written):
        assert KEY not in text
        assert SECRET not in text


def test_keys_come_from_the_environment_or_else_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert alpaca_credentials({}) is None
    assert alpaca_credentials({"APCA_API_KEY_ID": "only one of the two"}) is None
    (tmp_path / ".env").write_text("APCA_API_KEY_ID=from-file\nAPCA_API_SECRET_KEY='also from file'\n")
    found = alpaca_credentials({})
    assert found is not None
    assert (found.key, found.secret) == ("from-file", "also from file")
    found = alpaca_credentials({"APCA_API_KEY_ID": "a", "APCA_API_SECRET_KEY": "b"})
    assert found is not None
    assert (found.key, found.secret) == ("a", "b")


def test_without_keys_the_ways_to_bars_are_named(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APCA_API_KEY_ID")
    with pytest.raises(CredentialsError) as caught:
        fetch(server)
    for way in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY", ".env", "--bars", "--simulate"):
        assert way in str(caught.value)
    assert server.asked == []


@pytest.mark.parametrize(
    ("symbol", "refusal", "said"),
    [
        ("SPY", (401, {"message": "unauthorized."}), "Alpaca refused the keys"),
        ("SPY", (403, {"message": "forbidden."}), "Alpaca refused"),
        ("SPYY", (422, {"message": "invalid symbol"}), "SPYY"),
        ("NONE", None, "no bars of NONE"),
    ],
)
def test_the_command_line_says_it_in_one_sentence_and_writes_nothing(
    server: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    symbol: str,
    refusal: tuple[int, dict[str, Any]] | None,
    said: str,
) -> None:
    server.refusal = refusal
    stand_in = DataHandler("alpaca", url_override=server.url)
    monkeypatch.setattr("volcast.configured.handler_of", lambda *_: stand_in)
    status = training_cli.main(["--symbol", symbol, "--start-date", "2024-10-31", "--end-date", "2024-11-05"])
    out, err = capfd.readouterr()
    assert (status, out) == (1, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("volatility_models").exists()


@pytest.mark.parametrize(
    ("symbol", "first", "last", "timeframe", "said"),
    [
        ("\ud800", "2024-01-02", "2024-01-05", "1Min", "symbol is .* must be a ticker"),
        ("A" * 300, "2024-01-02", "2024-01-05", "1Min", "symbol is .* must be a ticker"),
        ("SPY", "2024-01-02", "2024-01-05", "1Minute", "timeframe is '1Minute', but must be 1Min to 59Min"),
        ("SPY", "soon", "2024-01-05", "1Min", "'soon' is no moment"),
        ("SPY", "2024-01-02", "2999-01-01", "1Min", "'2999-01-01' is no moment"),
        ("SPY", "2024-01-02", "2099-12-30", "1Min", "sessions of XNYS are known from"),
        ("SPY", "2024-02-01", "2024-01-01", "1Min", "no session from"),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_one_sentence(
    symbol: str, first: str, last: str, timeframe: str, said: str
) -> None:
    with pytest.raises(VolatilityError, match=said) as caught:
        DataHandler("simulator").get_stock_bars(symbol, first, last, timeframe)
    assert "\n" not in str(caught.value)


def test_the_simulators_last_known_day_says_how_far_the_sessions_are_known() -> None:
    ahead = pd.Timestamp.now() + pd.Timedelta(days=400)
    with pytest.raises(ConfigError, match="ask for an earlier moment"):
        DataHandler("simulator").get_stock_bars("SPY", "2024-01-02", f"{ahead:%Y-%m-%d}")
