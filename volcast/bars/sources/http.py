"""HTTP requests that wait their turn, do not hang, and are tried again where that can help."""

import contextlib
import email.utils
import io
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import requests
import urllib3
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)

from volcast.errors import DataSourceError

__all__ = ["Patience", "PatientSession", "RequestLimiter", "UnavailableError"]

_PIECE = 65_536
_TOO_MANY_REQUESTS, _TIMEOUT_OF_GATEWAY = 429, 408


class UnavailableError(DataSourceError):
    """The service did not give a whole answer, however often it was asked; the message says what it did instead."""


@dataclass(frozen=True)
class Patience:
    """How long a service is waited for.

    Attributes
    ----------
    connect_seconds, read_seconds
        Longest wait for a connection, and for the next piece of an answer.
    answer_seconds
        Longest wait for a whole answer, header and body, that comes piece by piece.
    attempts
        Most times that one request is sent.
    total_seconds
        No further attempt begins later than this after the first.
    first_wait_seconds, longest_wait_seconds
        Wait before the second attempt, doubled before each further one up to the longest, with jitter. A service
        that says how long to wait (``Retry-After``) is believed, up to the longest wait.
    """

    connect_seconds: float = 10
    read_seconds: float = 30
    answer_seconds: float = 120
    attempts: int = 6
    total_seconds: float = 180
    first_wait_seconds: float = 1
    longest_wait_seconds: float = 65


class RequestLimiter:
    """At most `calls` requests in any `seconds`, whichever threads send them.

    Parameters
    ----------
    calls, seconds
        The service's limit.
    clock, sleep
        For tests.
    """

    def __init__(
        self,
        calls: int,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._calls, self._seconds = calls, seconds
        self._clock, self._sleep = clock, sleep
        self._sent: deque[float] = deque()
        self._paused_until = 0.0
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Wait for a turn and take it."""
        while (wait := self._try()) > 0:
            self._sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let no thread send anything for so long: the service said that it was too much."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _try(self) -> float:
        """Take a turn and return 0, or return how long to wait before the next try."""
        with self._lock:
            now = self._clock()
            while self._sent and self._sent[0] <= now - self._seconds:
                self._sent.popleft()
            if now < self._paused_until:
                return self._paused_until - now
            if len(self._sent) >= self._calls:
                return self._sent[0] + self._seconds - now
            self._sent.append(now)
            return 0.0


class _WorthAnotherTryError(Exception):
    """What the service did, in words that hold nothing of the request; how long it asks to be left alone."""

    def __init__(self, what: str, wait_seconds: float | None = None) -> None:
        super().__init__(what)
        self.wait_seconds = wait_seconds


class _Deadline:
    """Ends a request by hanging up: a header that drips keeps every timeout of a single read, and never ends."""

    _current = threading.local()

    def __init__(self, seconds: float) -> None:
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._hang_up)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> Self:
        self._current.deadline = self
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._current.deadline = None

    @classmethod
    def applies_to(cls, connected: socket.socket | None) -> None:
        """Let the deadline of this thread's request end what `connected` receives."""
        deadline: _Deadline | None = getattr(cls._current, "deadline", None)
        if deadline is not None:
            deadline._socket = connected

    def _hang_up(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Of the plain socket, as an encrypted one may not be closed while another thread reads it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _PromptConnection(urllib3.connection.HTTPConnection):
    """Heeds the deadline of the thread that asks."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        _Deadline.applies_to(self.sock)
        return super().getresponse()


class _PromptSecureConnection(urllib3.connection.HTTPSConnection):
    """Heeds the deadline of the thread that asks."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        _Deadline.applies_to(self.sock)
        return super().getresponse()


class _PromptPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PromptConnection


class _PromptSecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PromptSecureConnection


_PROMPT_POOLS = {"http": _PromptPool, "https": _PromptSecurePool}


class _PromptAdapter(requests.adapters.HTTPAdapter):
    """Connections that heed deadlines, as many at once as fetch at once."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=16)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _PROMPT_POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _PROMPT_POOLS
        return manager


class PatientSession(requests.Session):
    """A session of `requests` whose every request has timeouts, keeps to a limit, and is repeated where that can help.

    Worth repeating are a connection that fails or breaks, an answer that stalls or comes in half, any status of 500
    and more, and 429. What it raises has no cause and no context: those would hold the request, and with it the keys.

    Parameters
    ----------
    limiter
        Shared between all sessions of one account.
    patience
        Timeouts and waits.
    """

    def __init__(self, limiter: RequestLimiter, patience: Patience) -> None:
        super().__init__()
        self._limiter, self._patience = limiter, patience
        self._stopped = threading.Event()
        self.mount("http://", _PromptAdapter())
        self.mount("https://", _PromptAdapter())

    def stop(self) -> None:
        """Repeat nothing any more: what is under way in other threads ends with its running attempt."""
        self._stopped.set()

    def request(self, method: str | bytes, url: str | bytes, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request as `requests` does; returns a whole answer, with a status that is not worth repeating.

        Raises
        ------
        UnavailableError
            There was none within the attempts and the time that `Patience` allows.
        """
        patience = self._patience
        options["timeout"] = (patience.connect_seconds, patience.read_seconds)
        retrying = Retrying(
            retry=retry_if_exception_type(_WorthAnotherTryError),
            stop=stop_any(
                stop_after_attempt(patience.attempts),
                stop_after_delay(patience.total_seconds),
                stop_when_event_set(self._stopped),
            ),
            sleep=sleep_using_event(self._stopped),
            wait=self._wait_before_next,
            reraise=True,
        )
        began, failed = time.monotonic(), ""
        try:
            return retrying(self._once, method, url, options)
        except _WorthAnotherTryError as error:
            failed = str(error)
        attempts, seconds = retrying.statistics["attempt_number"], time.monotonic() - began
        raise UnavailableError(f"{failed}, at {attempts} attempts in {seconds:.0f} s")

    def _once(self, method: str | bytes, url: str | bytes, options: dict[str, Any]) -> requests.Response:
        self._limiter.acquire()
        trouble = ""
        deadline = _Deadline(self._patience.answer_seconds)
        try:
            with deadline:
                response = super().request(str(method), str(url), stream=True, **options)
                self._receive(response)
        except requests.exceptions.ConnectTimeout:
            trouble = "no connection in time"
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
            trouble = "the answer stalled"
        except urllib3.exceptions.HTTPError:
            trouble = "the answer broke off"
        except requests.exceptions.ConnectionError:
            trouble = "the connection failed"
        if deadline.is_over:
            trouble = "the answer stalled"
        if trouble:
            raise _WorthAnotherTryError(trouble)
        self._require_whole(response)
        return response

    def _receive(self, response: requests.Response) -> None:
        """Put the whole body, decoded, in place of the connection that it comes by."""
        body = io.BytesIO()
        try:
            while piece := response.raw.read1(_PIECE, decode_content=True):
                body.write(piece)
        finally:
            response.close()
        body.seek(0)
        response.raw = body

    def _require_whole(self, response: requests.Response) -> None:
        status = response.status_code
        if status == _TOO_MANY_REQUESTS:
            wait = _retry_after(response)
            wait = None if wait is None else min(wait, self._patience.longest_wait_seconds)
            if wait:
                self._limiter.pause(wait)
            raise _WorthAnotherTryError("it limits the number of requests (status 429)", wait)
        if status >= 500 or status == _TIMEOUT_OF_GATEWAY:
            raise _WorthAnotherTryError(f"it failed (status {status})", _retry_after(response))
        if response.ok and not _is_json(response):
            raise _WorthAnotherTryError("the answer broke off")

    def _wait_before_next(self, state: RetryCallState) -> float:
        patience = self._patience
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.wait_seconds if isinstance(error, _WorthAnotherTryError) else None
        doubled = wait_exponential(multiplier=patience.first_wait_seconds, max=patience.longest_wait_seconds)
        backoff = doubled + wait_random(0, patience.first_wait_seconds)
        return backoff(state) if asked is None else min(asked, patience.longest_wait_seconds)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the answer asks to wait, given as a number or as a date; None where it does not."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _is_json(response: requests.Response) -> bool:
    try:
        response.json()
    except ValueError:
        return False
    return True
