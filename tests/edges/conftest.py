"""What the edges were tried with, told at the end."""

from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.support.alpaca_stand_in import KEY, SECRET
from tests.support.outcomes import COUNTS


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that no error may show."""
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the test of what the others tried behind them."""
    items.sort(key=lambda item: item.name == "test_no_public_door_is_left_out")


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> Iterator[None]:
    """Print how many calls at each door ended in what."""
    yield
    doors: dict[str, list[str]] = defaultdict(list)
    for (door, kind), count in sorted(COUNTS.items()):
        doors[door].append(f"{count:,} {kind}")
    if doors:
        terminalreporter.write_sep("=", f"{sum(COUNTS.values()):,} calls at the edges")
        for door, kinds in doors.items():
            terminalreporter.write_line(f"{door}: {', '.join(kinds)}")
