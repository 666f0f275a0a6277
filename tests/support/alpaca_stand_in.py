"""A stand-in for Alpaca's historical bars: pages, answers and failures by a script, on loopback."""

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

import pandas as pd

from tests.support.local_server import LocalServer, QuietHandler

KEY, SECRET = "PKSTANDINKEY0123456789", "standInSecret/abcdefghijklmnopqrstuvwxyz0123"

Script = Sequence[str] | Callable[[int, dict[str, str]], str]


class AlpacaStandIn(LocalServer):
    """Serves `bars` by symbol as Alpaca does.

    Parameters
    ----------
    bars
        Frames by symbol, indexed by start.
    script
        What to do with each request in turn, or a function of its number and parameters: ``ok`` (what follows the
        script's end, too), ``reset``, ``stall``, ``trickle``, ``half``, ``cut json``, ``null``, ``empty page``,
        ``twice``, ``shuffled``, ``loop``, ``endless``, ``drip`` (a header that never ends), ``body`` and a text to
        answer, or one of `REFUSALS`.
    page
        Most bars in a page.
    stall
        Seconds that ``stall`` takes.
    """

    def __init__(
        self, bars: Mapping[str, pd.DataFrame], script: Script = (), *, page: int = 10_000, stall: float = 60
    ) -> None:
        self.bars, self.script, self.page, self.stall = dict(bars), script, page, stall
        self.requests: list[dict[str, str]] = []
        self.delay = 0.0
        self._lock = threading.Lock()
        self.released = threading.Event()
        super().__init__(self._handler())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        super().__exit__(kind, error, trace)

    def action(self, query: dict[str, str]) -> str:
        with self._lock:
            number = len(self.requests)
            self.requests.append(query)
            if callable(self.script):
                return self.script(number, query)
            return self.script[number] if number < len(self.script) else "ok"

    def answer(self, query: dict[str, str], action: str) -> dict[str, Any]:
        if "," in query["symbols"]:
            return self._answer_many(query)
        symbol = query["symbols"]
        bars = self.bars.get(symbol, pd.DataFrame(columns=["open", "high", "low", "close", "volume"]))
        start, end = (pd.Timestamp(query[name]) for name in ("start", "end"))
        if not bars.empty:
            bars = bars[(bars.index >= start) & (bars.index <= end)]
        token = query.get("page_token", "")
        first = int(token.split(":")[0] or 0) if token else 0
        rows = bars.iloc[first : first + self.page]
        more = first + self.page < len(bars)
        following = f"{first + self.page}:" if more else None
        if action == "null" or (rows.empty and not token):
            return {"bars": None if action == "null" else {}, "next_page_token": None}
        if action == "empty page":
            return {"bars": {}, "next_page_token": f"{first}:again{len(self.requests)}"}
        if action == "twice":
            following = f"{first}:twice"
        if action == "loop":
            following = "0:loop"
        if action == "endless":
            following = f"0:endless{len(self.requests)}"
        if action == "shuffled":
            rows = rows.sample(frac=1, random_state=0)
        items = [
            {"t": f"{stamp:%Y-%m-%dT%H:%M:%SZ}", "o": o, "h": h, "l": low, "c": c, "v": v, "n": 1, "vw": c}
            for stamp, o, h, low, c, v in rows[["open", "high", "low", "close", "volume"]].itertuples()
        ]
        return {"bars": {symbol: items}, "next_page_token": following}

    def _answer_many(self, query: dict[str, str]) -> dict[str, Any]:
        """Bars of several symbols, one after the other, in pages that may end within one."""
        start, end = (pd.Timestamp(query[name]) for name in ("start", "end"))
        rows = [
            (symbol, row)
            for symbol in sorted(set(query["symbols"].split(",")) & self.bars.keys())
            for row in self.bars[symbol].loc[start:end].itertuples()
        ]
        first = int(query.get("page_token", "0"))
        items: dict[str, list[dict[str, Any]]] = {}
        for symbol, (stamp, o, h, low, c, v) in rows[first : first + self.page]:
            bar = {"t": f"{stamp:%Y-%m-%dT%H:%M:%SZ}", "o": o, "h": h, "l": low, "c": c, "v": v, "n": 1, "vw": c}
            items.setdefault(symbol, []).append(bar)
        following = str(first + self.page) if first + self.page < len(rows) else None
        return {"bars": items, "next_page_token": following}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                query = self.query
                keys = (self.headers.get("APCA-API-KEY-ID"), self.headers.get("APCA-API-SECRET-KEY"))
                action = server.action(query)
                time.sleep(server.delay)
                if keys != (KEY, SECRET) and not (self.path.startswith("/v1beta3/crypto/us/") and keys == (None, None)):
                    action = "forbidden"
                if action == "stall":
                    server.released.wait(server.stall)
                    self.close_connection = True
                elif action == "reset":
                    # Linger of zero seconds: the connection is reset, not closed.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                elif action == "drip":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not server.released.wait(0.05):
                        try:
                            self.wfile.write(b"a")
                        except OSError:
                            break
                    self.close_connection = True
                elif action.startswith("body "):
                    self.send(200, action.removeprefix("body ").encode(), {})
                elif action in REFUSALS:
                    status, body, headers = REFUSALS[action]
                    self.send(status, json.dumps({"message": body}).encode(), headers)
                else:
                    body_bytes = json.dumps(server.answer(query, action)).encode()
                    zipped = "gzip" in self.headers.get("Accept-Encoding", "") and action == "ok"
                    body_bytes = gzip.compress(body_bytes) if zipped else body_bytes
                    self.send(200, body_bytes, {"Content-Encoding": "gzip"} if zipped else {}, action)

            def send(self, status: int, body: bytes, headers: Mapping[str, str], action: str = "ok") -> None:
                sent = body[: len(body) // 2] if action in ("half", "cut json") else body
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent if action == "cut json" else body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if action == "trickle":
                    for i in range(len(sent)):
                        self.wfile.write(sent[i : i + 1])
                        if server.released.wait(0.05):
                            break
                    return
                self.wfile.write(sent)
                if action == "half":
                    self.close_connection = True

        return Handler


REFUSALS: dict[str, tuple[int, str, dict[str, str]]] = {
    "429": (429, "too many requests.", {}),
    "429 after 0": (429, "too many requests.", {"Retry-After": "0"}),
    "429 after 1": (429, "too many requests.", {"Retry-After": "1"}),
    "500": (500, "internal server error occurred", {}),
    "503": (503, "unavailable", {}),
    "forbidden": (403, "forbidden.", {}),
    "unauthorized": (401, "unauthorized.", {}),
    "no plan": (403, "subscription does not permit querying recent SIP data", {}),
    "unknown symbol": (400, "invalid symbol: NOSUCH", {}),
}
