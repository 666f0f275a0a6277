"""A stand-in for the public addresses of exchanges of coins: pairs and pages of bars, on loopback."""

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from tests.support.local_server import LocalServer, QuietHandler

REFUSALS = {"429": 429, "503": 503, "451": 451, "418": 418}


class ExchangeStandIn(LocalServer):
    """Serves `bars` by pair (``"BTC/USD"``) as Binance, Coinbase and Kraken do, each at its own addresses.

    Parameters
    ----------
    bars
        Frames by pair, indexed by start.
    script
        What to do with each request for bars in turn: ``ok`` (what follows the script's end, too), ``reset``, ``half``,
        ``body`` and a text to answer, or one of `REFUSALS`.
    now
        Until when Kraken has bars: the last 720.
    """

    def __init__(
        self, bars: Mapping[str, pd.DataFrame], script: Sequence[str] = (), *, now: pd.Timestamp | None = None
    ) -> None:
        self.bars, self.script, self.now = dict(bars), list(script), now
        self.requests: list[dict[str, str]] = []
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def answer(self, path: str, query: dict[str, str]) -> Any:
        parts = path.strip("/").split("/")
        if path.endswith("/exchangeInfo"):
            return {"symbols": [self._of_binance(pair) for pair in self.bars]}
        if path.endswith("/klines"):
            return self._binance_bars(query)
        if path.endswith("/AssetPairs"):
            return {"error": [], "result": {pair.replace("/", ""): self._of_kraken(pair) for pair in self.bars}}
        if path.endswith("/OHLC"):
            return {"error": [], "result": {query["pair"]: self._kraken_bars(query), "last": 0}}
        if path.endswith("/candles"):
            return {"candles": self._coinbase_bars(parts[-2], query)}
        return {"products": [self._of_coinbase(pair) for pair in self.bars], "num_products": len(self.bars)}

    def _rows(self, identity: str, start: int, end: int) -> pd.DataFrame:
        """Bars of a pair by its exchange's name that start from `start` to `end`, in seconds, inclusive."""
        pairs = {pair.replace("/", ""): pair for pair in self.bars}
        bars = self.bars[pairs[identity.replace("-", "")]]
        return bars.loc[pd.Timestamp(start, unit="s", tz="UTC") : pd.Timestamp(end, unit="s", tz="UTC")]

    def _binance_bars(self, query: dict[str, str]) -> list[list[Any]]:
        rows = self._rows(query["symbol"], int(query["startTime"]) // 1000, 4_000_000_000)
        return [
            [1000 * seconds_of(stamp), *map(str, prices), 0, "0", 1, "0", "0", "0"]
            for stamp, *prices in rows.iloc[: int(query["limit"])].itertuples()
        ]

    def _coinbase_bars(self, identity: str, query: dict[str, str]) -> list[dict[str, str]]:
        rows = self._rows(identity, int(query["start"]), int(query["end"]))
        names = ["open", "high", "low", "close", "volume"]
        return [
            {"start": str(seconds_of(stamp)), **dict(zip(names, map(str, prices), strict=True))}
            for stamp, *prices in rows.iloc[::-1].itertuples()
        ]

    def _kraken_bars(self, query: dict[str, str]) -> list[list[Any]]:
        rows = self._rows(query["pair"], 0, 4_000_000_000)
        earliest = max(int(query["since"]) + 1, seconds_of(self.now) - 720 * 60 * int(query["interval"]))
        rows = rows[rows.index >= pd.Timestamp(earliest, unit="s", tz="UTC")]
        return [[seconds_of(stamp), *map(str, [o, h, low, c, c, v]), 1] for stamp, o, h, low, c, v in rows.itertuples()]

    def _of_binance(self, pair: str) -> dict[str, Any]:
        base, quote = pair.split("/")
        return {
            "symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "filters": [],
            "isSpotTradingAllowed": True, "permissions": ["SPOT"], "orderTypes": ["LIMIT"],
        }  # fmt: skip

    def _of_coinbase(self, pair: str) -> dict[str, Any]:
        base, quote = pair.split("/")
        return {
            "product_id": f"{base}-{quote}", "base_currency_id": base, "quote_currency_id": quote, "price": "1",
            "product_type": "SPOT", "status": "online", "base_increment": "0.01", "quote_increment": "0.01",
            "trading_disabled": False,
        }  # fmt: skip

    def _of_kraken(self, pair: str) -> dict[str, Any]:
        base, quote = pair.split("/")
        return {
            "altname": base + quote, "wsname": pair, "base": base, "quote": quote, "pair_decimals": 2,
            "lot_decimals": 8, "lot_multiplier": 1, "fees": [[0, 0.2]], "fees_maker": [[0, 0.1]], "status": "online",
        }  # fmt: skip

    def _next(self, query: dict[str, str]) -> str:
        with self._lock:
            number = len(self.requests)
            self.requests.append(query)
            return self.script[number] if number < len(self.script) else "ok"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                is_page = path.endswith(("/klines", "/candles", "/OHLC"))
                action = server._next(self.query) if is_page else "ok"
                if action == "reset":
                    self.close_connection = True
                    self.connection.close()
                    return
                if action in REFUSALS:
                    self.send(REFUSALS[action], b'{"code": 0, "msg": "no"}')
                elif action.startswith("body "):
                    self.send(200, action.removeprefix("body ").encode())
                else:
                    self.send(200, json.dumps(server.answer(path, self.query)).encode(), half=action == "half")

            def send(self, status: int, body: bytes, *, half: bool = False) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if half else body)
                self.close_connection = half

        return Handler


def seconds_of(stamp: Any) -> int:
    return int(pd.Timestamp(stamp).timestamp())
