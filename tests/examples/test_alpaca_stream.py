"""The live loop's forecasts are those of all bars as they are in the end, whatever happened on the way."""

import asyncio
import runpy
import threading
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from alpaca.data.live import StockDataStream

from tests.support.alpaca_stand_in import KEY, SECRET, AlpacaStandIn
from tests.support.alpaca_stream import AlpacaStreamStandIn, StreamedBar
from tests.support.bars import ROOT
from volcast import DataHandler, Forecast, VolatilityForecaster

MINUTE = pd.Timedelta(minutes=1)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")


@pytest.fixture(scope="module")
def follow() -> Any:
    return runpy.run_path(str(ROOT / "examples" / "with_alpaca_stream.py"), run_name="example")["follow"]


def streamed(bars: pd.DataFrame) -> list[StreamedBar]:
    return [("b", start, tuple(row)) for start, row in zip(bars.index, bars.to_numpy().tolist(), strict=True)]


def off_by(bar: StreamedBar, factor: float) -> StreamedBar:
    """That bar with another close, within its own high and low no more."""
    _, start, (open_, high, low, close, volume) = bar
    wrong = close * factor
    return "b", start, (open_, max(high, wrong), min(low, wrong), wrong, volume)


def revised(bar: StreamedBar) -> StreamedBar:
    return "u", bar[1], bar[2]


def test_corrections_a_lost_connection_and_a_close(
    bars: pd.DataFrame, follow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    history, day = bars[:"2025-03-12"], streamed(bars["2025-03-13":"2025-03-13"])
    following = streamed(bars["2025-03-14":"2025-03-14"])[:5]
    script: list[StreamedBar | Literal["drop"]] = [
        *day[:100],
        off_by(day[100], 1.01),
        day[101],
        revised(day[100]),  # revised, half a minute after the next one came
        *day[102:200],
        "drop",  # and 31 bars never come
        *day[231:-1],
        off_by(day[-1], 0.98),
        revised(day[-1]),  # revised after the close
        *following,
    ]
    starts = iter([step[1] for step in script if step != "drop"])
    moment, turns = [(next(starts) + 2 * MINUTE).to_pydatetime()], threading.Semaphore()
    start_of_last = following[-1][1]
    decisions: list[tuple[Forecast, float]] = []

    def decide(forecast: Forecast, position: float) -> None:
        decisions.append((forecast, position))
        moment[0] = (next(starts, start_of_last) + 2 * MINUTE).to_pydatetime()
        turns.release()
        if len(decisions) == len(script) - 1:
            asyncio.get_running_loop().create_task(live.stop_ws())

    with AlpacaStandIn({"SPY": bars}) as server, AlpacaStreamStandIn("SPY", script, turns) as stream:
        handler = DataHandler(feed="iex", cache_dir=tmp_path, url_override=server.url, clock=lambda: moment[0])
        live = StockDataStream(KEY, SECRET, url_override=stream.url)
        live._reconnect_min_backoff = 0.01
        deadline = threading.Timer(60, live.stop)
        deadline.start()
        follow("SPY", history, handler, live, decide)
        deadline.cancel()

    assert len(stream.subscriptions) == 2
    assert stream.subscriptions[0]["bars"] == stream.subscriptions[0]["updatedBars"] == ["SPY"]
    known = bars[: following[-1][1]]
    plain = VolatilityForecaster("ewma").forecast_series(known, "1 session", kind="total").iloc[-3:]
    last = {forecast.bucket: (forecast, position) for forecast, position in decisions}
    for bucket, (forecast, position) in last.items():
        assert forecast.annualized_volatility == plain["annualized_volatility"][bucket]
        assert position == min(0.15 / forecast.annualized_volatility, 1.0)
    closes = [pd.Timestamp(f"2025-03-{day} 16:00", tz="America/New_York") for day in (13, 14)]
    assert [*last] == closes
    # The close decided at once, and again when its last bar was revised.
    at_close = [forecast.annualized_volatility for forecast, _ in decisions if forecast.bucket == closes[1]]
    assert at_close[0] != at_close[1]
    assert set(at_close[1:]) == {plain["annualized_volatility"][closes[1]]}
