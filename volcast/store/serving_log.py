"""Which model of a store serves, and who served since when and why: one small file, replaced whole."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from volcast.errors import CorruptModelError
from volcast.files import json_bytes, write_whole

__all__ = ["Event", "HistoryEntry", "ServingHistory", "serving_stack"]

Event = Literal["promoted", "rolled back", "kept out", "failed"]

_FILE = "serving.json"
_SCHEMA_VERSION = 2
_LARGEST = 64 * 2**20


@dataclass(frozen=True)
class HistoryEntry:
    """One decision about which model serves.

    Attributes
    ----------
    name
        The model that it is about.
    event
        ``"promoted"`` and ``"rolled back"``: it serves from then on. ``"kept out"``: it was not let serve.
        ``"failed"``: a retraining failed, and it went on serving.
    since
        When, ISO 8601 in UTC.
    reason
        Why, in words.
    asof
        The simulated moment of a backtest for which it was decided, ISO 8601; None for what happened in real time.
        What a backtest decided never changes which model serves now.
    details
        The figures behind it.
    """

    name: str
    event: Event
    since: str
    reason: str
    asof: str | None = None
    details: dict[str, Any] | None = None

    @classmethod
    def now(
        cls, name: str, event: Event, reason: str, asof: str | None = None, details: dict[str, Any] | None = None
    ) -> "HistoryEntry":
        """What is decided at this moment."""
        return cls(name, event, datetime.now(UTC).isoformat(timespec="microseconds"), reason, asof, details)


_ENTRIES = TypeAdapter(list[HistoryEntry])


class ServingHistory:
    """The file in which a store keeps its history; which model serves follows from it.

    A new version is written aside, flushed, and renamed over the old one, so a reader sees the one or the other,
    whatever happens to the writer. Who writes holds the store's lock.
    """

    def __init__(self, store: Path) -> None:
        self._file = store / _FILE

    def read(self) -> list[HistoryEntry]:
        """All entries, oldest first.

        Raises
        ------
        CorruptModelError
            The file is not what was written.
        """
        try:
            if self._file.stat().st_size > _LARGEST:
                raise ValueError("too large")
            return _entries(json.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptModelError(
                f"{self._file} cannot be read ({type(error).__name__}); it must be as it was written; move it away "
                "and promote a model anew with: volcast models promote NAME."
            ) from error

    def append(self, entry: HistoryEntry) -> None:
        """Add an entry."""
        entries = [asdict(earlier) for earlier in [*self.read(), entry]]
        write_whole(self._file, json_bytes({"schema_version": _SCHEMA_VERSION, "history": entries}))


def serving_stack(entries: Iterable[HistoryEntry], saved: Collection[str]) -> list[str]:
    """Models that serve and served, the one that serves last: a rollback takes the last away. Deleted ones are gone."""
    stack: list[str] = []
    for entry in entries:
        if entry.asof is not None:
            continue
        if entry.event == "promoted" and entry.name not in stack[-1:]:
            stack.append(entry.name)
        elif entry.event == "rolled back" and entry.name in stack:
            while stack[-1] != entry.name:
                stack.pop()
    return [name for name in stack if name in saved]


def _entries(content: Any) -> list[HistoryEntry]:
    if isinstance(content, list):  # Schema 1: promotions alone, and a rollback removed the last.
        return [HistoryEntry(str(old["name"]), "promoted", str(old["since"]), str(old["reason"])) for old in content]
    if content["schema_version"] != _SCHEMA_VERSION:
        raise ValueError("of another release")
    return _ENTRIES.validate_python(content["history"])
