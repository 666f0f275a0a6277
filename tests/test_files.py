"""Files that are there whole or not at all, and the names that symbols have in them."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volcast.bars.symbols import symbols_in
from volcast.config import TrainingConfig
from volcast.errors import ConfigError
from volcast.files import PARTIAL, file_name_of, write_whole
from volcast.store.bundle_files import check_name

SYMBOLS = st.from_regex(r"[./^$]?[A-Za-z0-9][A-Za-z0-9.\-/^=$]{0,38}", fullmatch=True)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    for content in (b"old", b"new and longer"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "figures.json"
    write_whole(path, b"old")

    def fail(source: object, target: object) -> None:
        assert Path(str(source)).name.startswith(PARTIAL)
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_whole(path, b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["figures.json"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("symbol", ["SPY", "BRK.B", "BF-B", "7203.T"])
def test_most_symbols_are_their_own_names(symbol: str) -> None:
    assert file_name_of(symbol) == file_name_of(symbol.lower()) == symbol


@given(SYMBOLS)
def test_the_name_of_a_symbol_can_be_a_models(symbol: str) -> None:
    assert check_name(f"{file_name_of(symbol)}-20240601-120000-000") == f"{file_name_of(symbol)}-20240601-120000-000"
    assert TrainingConfig.from_mapping({"symbol": symbol}).symbol == symbol.upper()


# The first draw of letters makes tables of all of them, which takes a second on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SYMBOLS, min_size=2, max_size=8, unique_by=str.upper))
def test_no_two_symbols_share_a_name(symbols: list[str]) -> None:
    assert len({file_name_of(symbol).lower() for symbol in symbols}) == len(symbols)


def test_pairs_that_differ_in_one_sign_have_names_of_their_own() -> None:
    assert len({file_name_of(f"BTC{sign}USD") for sign in "/^=$-."}) == 6


@pytest.mark.parametrize("symbol", ["", " ", ".", "..", "../../etc", "A B", "A\nB", "A\0", "\ud800", "A" * 200, "Ä"])
def test_what_is_no_symbol_is_refused_before_any_work(symbol: str) -> None:
    with pytest.raises(ValueError, match="must be a ticker"):
        file_name_of(symbol)
    with pytest.raises(ConfigError, match="must be a ticker"):
        TrainingConfig.from_mapping({"symbol": symbol})
    if symbol.strip() and "\n" not in symbol:
        with pytest.raises(ConfigError, match="must be a ticker"):
            symbols_in(f"SPY,{symbol}", "--symbols")
