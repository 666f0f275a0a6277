"""A stand-in for Alpaca's stream of bars: what a script says, on loopback, over as many connections as it takes."""

import asyncio
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self

import msgpack
import pandas as pd
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["AlpacaStreamStandIn", "StreamedBar"]

StreamedBar = tuple[Literal["b", "u"], pd.Timestamp, Sequence[float]]
"""A new bar (``"b"``) or a revised one (``"u"``): start, and open, high, low, close, volume."""


class AlpacaStreamStandIn:
    """Sends bars of one symbol to whoever subscribes; ends a connection where the script says ``"drop"``.

    Parameters
    ----------
    symbol
        Whose bars.
    script
        What to send, in order. After a ``"drop"`` the next connection goes on behind it; after the last it is silent.
    turns
        One is taken before each bar: who releases one after each bar that came sees them one by one.
    """

    def __init__(
        self, symbol: str, script: Sequence[StreamedBar | Literal["drop"]], turns: threading.Semaphore
    ) -> None:
        self.symbol, self._rest, self._turns = symbol, iter(script), turns
        self.subscriptions: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.release()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        async with serve(self._connection, "127.0.0.1", 0) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            self._started.set()
            await self._ended.wait()

    async def _connection(self, connection: ServerConnection) -> None:
        async def say(*messages: dict[str, Any]) -> None:
            await connection.send(msgpack.packb(messages, datetime=True))

        try:
            await say({"T": "success", "msg": "connected"})
            await connection.recv()
            await say({"T": "success", "msg": "authenticated"})
            self.subscriptions.append(msgpack.unpackb(await connection.recv()))
            for step in self._rest:
                if step == "drop":
                    connection.transport.abort()
                    return
                kind, start, (open_, high, low, close, volume) = step
                await self._loop.run_in_executor(None, self._turns.acquire)
                prices = {"o": open_, "h": high, "l": low, "c": close, "v": volume, "n": 1, "vw": close}
                await say({"T": kind, "S": self.symbol, "t": start.to_pydatetime(), **prices})
            await self._ended.wait()
        except ConnectionClosed:
            pass
