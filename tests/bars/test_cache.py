"""The cache of bars: nothing is fetched twice, nothing wrong is kept, whatever happens."""

import hashlib
import io
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.alpaca_stand_in import KEY, SECRET, AlpacaStandIn
from tests.support.bars import ROOT, make_bars
from volcast.arrays import time_index
from volcast.bars.cache import BarCache, cached_symbols, months_of
from volcast.bars.fetching import at_any_time, bars_through_cache
from volcast.bars.handler import DataHandler
from volcast.bars.sources import alpaca_pages
from volcast.bars.sources.http import Patience, RequestLimiter
from volcast.cli import bars as data_cli
from volcast.errors import CredentialsError, DataSourceError
from volcast.markets.registry import market_named
from volcast.progress import SilentProgress

HASTY = Patience(connect_seconds=2, read_seconds=2, attempts=4, first_wait_seconds=0.01, longest_wait_seconds=0.05)
NOW = datetime(2025, 1, 15, 16, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _keys_and_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpaca_pages, "_LIMITER", RequestLimiter(100_000, 60))
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)


@pytest.fixture(scope="module")
def half_hours() -> pd.DataFrame:
    return make_bars("2023-01-03", "2025-01-31", minutes=30).tz_convert("UTC").round(2)


@pytest.fixture
def server(half_hours: pd.DataFrame) -> Iterator[AlpacaStandIn]:
    with AlpacaStandIn({"SPY": half_hours}) as running:
        yield running


def handler(server: AlpacaStandIn, root: Path, now: datetime = NOW, *, offline: bool = False) -> DataHandler:
    return DataHandler(
        "alpaca", cache_dir=root, url_override=server.url, patience=HASTY, clock=lambda: now, offline=offline
    )


def get(server: AlpacaStandIn, root: Path, first: str, last: str, now: datetime = NOW, **options: bool) -> pd.DataFrame:
    return handler(server, root, now, **options).get_stock_bars("SPY", first, last, "30Min")


def expected(bars: pd.DataFrame, first: str, last: str, now: datetime = NOW) -> pd.DataFrame:
    settled = pd.Timestamp(now) - pd.Timedelta(minutes=15)
    new_york = bars.tz_convert("America/New_York").loc[first:last].tz_convert("UTC")
    return new_york[time_index(new_york) + pd.Timedelta(minutes=30) <= settled]


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, wanted, check_freq=False, check_index_type=False)


@pytest.mark.parametrize("minutes", [30, pytest.param(1, marks=pytest.mark.slow)])
def test_two_years_again_need_no_request_and_the_next_day_one(minutes: int, tmp_path: Path) -> None:
    bars = make_bars("2023-01-03", "2025-01-17", minutes=minutes).tz_convert("UTC").round(2)
    timeframe = f"{minutes}Min"
    with AlpacaStandIn({"SPY": bars}) as server:
        first = handler(server, tmp_path).get_stock_bars("SPY", "2023-01-03", "2025-01-15", timeframe)
        assert len(server.requests) >= 24
        server.requests.clear()
        began = time.perf_counter()
        again = handler(server, tmp_path).get_stock_bars("SPY", "2023-01-03", "2025-01-15", timeframe)
        seconds = time.perf_counter() - began
        assert server.requests == []
        assert_same(again, first)
        print(f"again: {seconds:.3f} s for {len(again):,} bars of {timeframe}")
        tomorrow = NOW + timedelta(days=1)
        later = handler(server, tmp_path, tomorrow).get_stock_bars("SPY", "2023-01-03", "2025-01-16", timeframe)
        assert len(server.requests) == 1
    assert later.index[-1] == (pd.Timestamp(tomorrow) - pd.Timedelta(minutes=15 + minutes)).floor(f"{minutes}min")
    wanted = bars[bars.index <= later.index[-1]]
    assert_same(later, wanted)


def test_the_next_day_is_one_request_over_the_end_of_a_month(server: AlpacaStandIn, tmp_path: Path) -> None:
    get(server, tmp_path, "2024-10-01", "2024-11-29", datetime(2024, 11, 29, 19, tzinfo=UTC))
    server.requests.clear()
    now = datetime(2024, 12, 2, 20, tzinfo=UTC)
    later = get(server, tmp_path, "2024-10-01", "2024-12-02", now)
    assert len(server.requests) == 1
    assert_same(later, expected(server.bars["SPY"], "2024-10-01", "2024-12-02", now))
    assert all(month.is_final for month in cached_symbols(tmp_path)[0].months[:-1])


def test_outside_of_trading_hours_nothing_is_asked(server: AlpacaStandIn, tmp_path: Path) -> None:
    friday, sunday = datetime(2025, 1, 11, 2, tzinfo=UTC), datetime(2025, 1, 12, 20, tzinfo=UTC)
    get(server, tmp_path, "2024-12-01", "2025-01-10", friday)
    server.requests.clear()
    get(server, tmp_path, "2024-12-01", "2025-01-12", sunday)
    assert server.requests == []


def test_a_revised_last_bar_is_taken_as_it_is_now(server: AlpacaStandIn, tmp_path: Path) -> None:
    before = get(server, tmp_path, "2025-01-02", "2025-01-15")
    revised = server.bars["SPY"].copy()
    revised.loc[before.index[-1], ["high", "close", "volume"]] = [200.0, 199.0, 5.0]
    server.bars["SPY"] = revised
    now = NOW + timedelta(hours=1)
    after = get(server, tmp_path, "2025-01-02", "2025-01-15", now)
    assert_same(after, expected(revised, "2025-01-02", "2025-01-15", now))
    assert not any("rescaled" in note for note in after.attrs["notes"])


def test_a_split_is_noticed_and_no_prices_are_mixed(server: AlpacaStandIn, tmp_path: Path) -> None:
    get(server, tmp_path, "2024-01-02", "2025-01-15")
    after_split = server.bars["SPY"] / [4, 4, 4, 4, 0.25]
    server.bars["SPY"] = after_split
    now = NOW + timedelta(days=1)
    bars = get(server, tmp_path, "2024-06-01", "2025-01-16", now)
    assert_same(bars, expected(after_split, "2024-06-01", "2025-01-16", now))
    assert any("rescaled by 0.25" in note for note in bars.attrs["notes"])
    everything = get(server, tmp_path, "2024-01-02", "2025-01-16", now)
    assert_same(everything, expected(after_split, "2024-01-02", "2025-01-16", now))


@pytest.mark.parametrize(
    "span", [("2023-06-01", "2023-12-31"), ("2024-03-01", "2024-12-31"), ("2023-01-03", "2025-01-10")]
)
def test_a_split_between_two_fetches_of_neighbours_is_noticed(
    server: AlpacaStandIn, tmp_path: Path, span: tuple[str, str]
) -> None:
    get(server, tmp_path, "2024-01-02", "2024-02-29")
    after_split = server.bars["SPY"] / [10, 10, 10, 10, 0.1]
    server.bars["SPY"] = after_split
    assert_same(get(server, tmp_path, *span), expected(after_split, *span))
    assert_same(get(server, tmp_path, "2023-06-01", "2024-12-31"), expected(after_split, "2023-06-01", "2024-12-31"))


def test_a_flipped_byte_is_noticed_and_fetched_anew(server: AlpacaStandIn, tmp_path: Path) -> None:
    wanted = get(server, tmp_path, "2024-01-02", "2024-06-28")
    generator = np.random.default_rng(0)
    for month in cached_symbols(tmp_path)[0].months:
        content = bytearray(month.path.read_bytes())
        content[generator.integers(len(content))] ^= 1 << generator.integers(8)
        month.path.write_bytes(content)
        server.requests.clear()
        with pytest.raises(DataSourceError, match=r"damaged .*run without --offline"):
            get(server, tmp_path, "2024-01-02", "2024-06-28", offline=True)
        bars = get(server, tmp_path, "2024-01-02", "2024-06-28")
        assert_same(bars, wanted)
        assert len(server.requests) == 1
        assert any("damaged" in note and "fetched anew" in note for note in bars.attrs["notes"])


def planted_month(root: Path, month: str = "2024-06") -> Path:
    (path,) = root.glob(f"*/*/*/*/SPY/{month}_*.parquet")
    return path


def _overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _renamed_month(path: Path) -> None:
    path.rename(path.with_name(path.name.replace("2024-06", "2024-07")))
    for other in path.parent.glob("2024-07_*"):
        if path.name[8:] not in other.name:
            other.unlink()


def _another_symbols(path: Path) -> None:
    bars = pd.read_parquet(path).set_index("timestamp") * 2
    source, feed, adjustment, timeframe = path.parts[-6:-2]
    other = BarCache.of_symbol(path.parents[5], source, feed, adjustment, timeframe, "QQQ")
    month = pd.Period("2024-06")
    with other.locked():
        stored = other.store(month, bars, pd.Timestamp("2024-07-01 04:00", tz="UTC"))
    path.unlink()
    stored.path.rename(path.with_name(stored.path.name))


def _planted(content: bytes) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        path.unlink()
        digest = hashlib.sha256(content).hexdigest()
        path.with_name(f"{path.name[:25]}{digest}.parquet").write_bytes(content)

    return plant


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("in it")


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


WRONG_FILES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: _overwrite(path, b""),
    "garbage": lambda path: _overwrite(path, b"garbage" * 99),
    "cut": lambda path: _overwrite(path, path.read_bytes()[:-9]),
    "a month's under another's name": _renamed_month,
    "another symbol's": _another_symbols,
    "planted garbage": _planted(b"no parquet"),
    "planted nothing": _planted(b""),
    "a planted table": _planted(_parquet(pd.DataFrame({"timestamp": [1], "close": ["dear"]}))),
    "a directory": _directory,
}


@pytest.mark.parametrize("how", WRONG_FILES)
def test_a_file_that_is_not_what_it_should_be_is_fetched_anew_or_said(
    how: str, server: AlpacaStandIn, half_hours: pd.DataFrame, tmp_path: Path
) -> None:
    span = ("2024-05-01", "2024-08-31")
    get(server, tmp_path, *span)
    WRONG_FILES[how](planted_month(tmp_path))
    with pytest.raises(DataSourceError, match="without --offline") as caught:
        get(server, tmp_path, *span, offline=True)
    assert "\n" not in str(caught.value)
    asked = len(server.requests)
    assert_same(get(server, tmp_path, *span), expected(half_hours, *span))
    assert len(server.requests) > asked
    assert_same(get(server, tmp_path, *span, offline=True), expected(half_hours, *span))


def test_names_that_were_never_given_are_passed_over(server: AlpacaStandIn, tmp_path: Path) -> None:
    get(server, tmp_path, "2024-06-01", "2024-06-30")
    folder = planted_month(tmp_path).parent
    for name in ("2024-13_20240701T040000Z", "2024-05_20249999T999999Z", "0000-00_20240701T040000Z"):
        (folder / f"{name}_{'0' * 64}.parquet").write_bytes(b"")
    asked = len(server.requests)
    get(server, tmp_path, "2024-06-01", "2024-06-30")
    assert len(server.requests) == asked


def test_offline_asks_nobody(server: AlpacaStandIn, tmp_path: Path) -> None:
    wanted = get(server, tmp_path, "2024-01-02", "2025-01-15")
    server.requests.clear()
    later = NOW + timedelta(days=40)
    bars = get(server, tmp_path, "2024-01-02", "2025-02-20", later, offline=True)
    assert_same(bars, wanted)
    assert any(note.startswith("Offline") for note in bars.attrs["notes"])
    with pytest.raises(DataSourceError, match="no bars of SPY for 2023-06, 2023-07"):
        get(server, tmp_path, "2023-06-01", "2024-06-30", offline=True)
    assert server.requests == []


def test_one_month_that_fails_ends_the_fetch_soon_and_the_others_are_kept(
    server: AlpacaStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = lambda number, query: "unauthorized" if query["start"] > "2024-09" else "503"
    patient = Patience(first_wait_seconds=20, longest_wait_seconds=60)
    source = DataHandler("alpaca", cache_dir=tmp_path, url_override=server.url, patience=patient, clock=lambda: NOW)
    began = time.monotonic()
    with pytest.raises(CredentialsError):
        source.get_stock_bars("SPY", "2024-07-01", "2024-10-31", "30Min")
    assert time.monotonic() - began < 10


def test_feed_adjustment_and_timeframe_do_not_mix(server: AlpacaStandIn, tmp_path: Path) -> None:
    for feed, adjustment in (("sip", "all"), ("iex", "all"), ("sip", "raw")):
        source = DataHandler(
            "alpaca", feed=feed, adjustment=adjustment, cache_dir=tmp_path, url_override=server.url, clock=lambda: NOW
        )
        source.get_stock_bars("SPY", "2024-06-03", "2024-06-07", "30Min")
        source.get_stock_bars("SPY", "2024-06-03", "2024-06-07", "15Min")
    assert len(server.requests) == 6
    assert len(cached_symbols(tmp_path)) == 6


def test_months_before_a_listing_are_not_asked_again(server: AlpacaStandIn, tmp_path: Path) -> None:
    wanted = get(server, tmp_path, "2022-06-01", "2023-03-31")
    server.requests.clear()
    assert_same(get(server, tmp_path, "2022-06-01", "2023-03-31"), wanted)
    assert server.requests == []


class RoundTheClock:
    """A source of bars at all hours, all of them final, that counts how often it is asked."""

    def __init__(self, bars: pd.DataFrame) -> None:
        self.bars, self.asked = bars, 0

    def settled_until(self, timeframe: str) -> pd.Timestamp:
        return pd.Timestamp("2024-06-01", tz="UTC")

    def stop(self) -> None:
        """Nothing is under way."""

    def fetch(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, timeframe: str) -> pd.DataFrame:
        self.asked += 1
        return self.bars[(self.bars.index >= start) & (self.bars.index < end)]


@pytest.mark.parametrize("market", ["24/7", "XTKS", "XASX", "CMES"])
def test_days_of_any_market_come_whole_over_the_ends_of_months(market: str, tmp_path: Path) -> None:
    index = pd.date_range("2024-01-20", "2024-04-10", freq="30min", tz="UTC", name="timestamp")
    prices = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 100.0 + np.arange(len(index))), index)
    source, trading = RoundTheClock(prices.assign(volume=1.0)), market_named(market)
    cache = BarCache.of_symbol(tmp_path, "elsewhere", "spot", "raw", "30Min", "BTC/USD")
    for first, last in (("2024-02-29", "2024-02-29"), ("2024-03-01", "2024-03-01"), ("2024-01-31", "2024-03-31")):
        span = trading.day_begin(first), trading.day_end(last)
        bars = bars_through_cache(
            source, cache, "BTC/USD", *span, "30Min", SilentProgress(), may_have_traded=at_any_time
        )
        expected = source.bars[(index >= span[0]) & (index < span[1])]
        pd.testing.assert_frame_equal(bars, expected, check_freq=False)
    asked = source.asked
    again = bars_through_cache(source, cache, "BTC/USD", *span, "30Min", SilentProgress(), may_have_traded=at_any_time)
    pd.testing.assert_frame_equal(again, expected, check_freq=False)
    assert source.asked == asked


def test_months_are_new_yorks() -> None:
    start, end = pd.Timestamp("2024-02-01 04:59", tz="UTC"), pd.Timestamp("2024-04-01 04:00", tz="UTC")
    assert [str(month) for month in months_of(start, end)] == ["2024-01", "2024-02", "2024-03"]


@pytest.mark.parametrize("symbol", ["..", "../../etc", "", ".", "a b", "x\0y"])
def test_a_symbol_cannot_leave_the_cache(symbol: str, tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match="no symbol"):
        BarCache.of_symbol(tmp_path, "alpaca", "sip", "all", "1Min", symbol)


def test_a_cache_that_cannot_be_written_is_said(server: AlpacaStandIn, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataSourceError, match="set cache_dir"):
        get(server, tmp_path / "file", "2024-06-03", "2024-06-07")


FETCH = """
import sys
sys.path.insert(0, {root!r})
from datetime import UTC, datetime
from pathlib import Path
from volcast.bars.fetching import at_any_time, bars_through_cache
from volcast.bars.handler import DataHandler
from volcast.bars.sources.http import Patience, RequestLimiter
bars = DataHandler(
    "alpaca", cache_dir={cache!r}, url_override={url!r}, clock=lambda: datetime(2025, 1, 15, 16, tzinfo=UTC)
).get_stock_bars("SPY", "2023-01-03", "2025-01-15", "30Min")
print(len(bars), bars["close"].sum())
"""


def fetch_in_process(server: AlpacaStandIn, root: Path) -> "subprocess.Popen[str]":
    code = FETCH.format(root=str(ROOT), cache=str(root), url=server.url)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_two_processes_that_ask_for_the_same_fetch_it_once(server: AlpacaStandIn, tmp_path: Path) -> None:
    server.delay = 0.05
    processes = [fetch_in_process(server, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs[0] == outputs[1] != ""
    assert len(server.requests) == 25
    assert len({(request["start"], request["end"]) for request in server.requests}) == 25


def killed_fetches(server: AlpacaStandIn, root: Path, moments: int) -> None:
    """Kill a fetch at random moments, and check the cache after each; then let one end."""
    wanted = expected(server.bars["SPY"], "2023-01-03", "2025-01-15")
    generator = random.Random(1)
    server.delay = 0.02
    for _ in range(moments):
        process = fetch_in_process(server, root)
        asked = len(server.requests)
        deadline = time.monotonic() + 30
        while len(server.requests) == asked and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(generator.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = [month for symbol in cached_symbols(root) for month in symbol.months]
        for month in kept:
            month.read()
        if len(kept) == 25:
            for month in generator.sample(kept, 12):
                month.path.unlink()
    kept_months = {month.month for symbol in cached_symbols(root) for month in symbol.months}
    server.requests.clear()
    assert_same(get(server, root, "2023-01-03", "2025-01-15"), wanted)
    assert len(server.requests) == 25 - len(kept_months)
    assert not list(root.rglob(".partial-*"))


def test_a_killed_fetch_goes_on_where_it_was(server: AlpacaStandIn, tmp_path: Path) -> None:
    killed_fetches(server, tmp_path, 2)


@pytest.mark.slow
def test_a_fetch_killed_at_twenty_moments_goes_on_where_it_was(server: AlpacaStandIn, tmp_path: Path) -> None:
    killed_fetches(server, tmp_path, 20)


def test_the_command_line_lists_verifies_and_clears(
    server: AlpacaStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> tuple[int, str]:
        status = data_cli.main([*arguments, "--cache-dir", str(tmp_path)])
        return status, capsys.readouterr().out

    get(server, tmp_path, "2024-01-02", "2024-03-28")
    (row,) = json.loads(command("ls", "--json")[1])
    assert (row["symbol"], row["feed"], row["months"], row["first"]) == ("SPY", "sip", 3, "2024-01")
    assert "SPY" in command("ls")[1]
    assert command("verify") == (0, "3 files, none damaged.\n")
    month = cached_symbols(tmp_path)[0].months[1]
    month.path.write_bytes(month.path.read_bytes()[:-1])
    status, report = command("verify", "--json")
    assert status == 1
    assert [row["month"] for row in json.loads(report) if row["problem"]] == ["2024-02"]
    assert command("clear")[0] == 1
    assert command("clear", "--symbol", "SPY")[0] == 0
    assert json.loads(command("ls", "--json")[1]) == []


def test_the_command_line_fetches_and_says_what_failed(
    server: AlpacaStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = handler(server, tmp_path)
    monkeypatch.setattr(data_cli, "handler_of", lambda *_: source)
    span = ["--start-date", "2024-06-03", "--end-date", "2024-06-07", "--timeframe", "30Min", "--json"]
    assert data_cli.main(["fetch", "--symbol", "SPY,NOSUCH", *span]) == 1
    good, bad = json.loads(capsys.readouterr().out)
    assert (good["symbol"], good["bars"]) == ("SPY", 5 * 13)
    assert "no bars of NOSUCH" in bad["notes"]


def test_the_command_line_starts_as_a_script(tmp_path: Path) -> None:
    arguments = [sys.executable, str(ROOT / "data_handler.py"), "ls", "--cache-dir", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is empty" in done.stdout
