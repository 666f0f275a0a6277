"""What only parts need is asked for in one sentence, which says how to install it."""

import sys
from pathlib import Path

import pandas as pd
import pytest

import volcast
from tests.support.bars import make_bars
from volcast.bars.cache import BarCache
from volcast.bars.sources.files import read_bars_file
from volcast.errors import MissingPackageError
from volcast.packages import installed_versions, required_module


def test_a_package_that_is_absent_is_asked_for_by_its_extra() -> None:
    assert required_module("json", "nobodys") is sys.modules["json"]
    with pytest.raises(MissingPackageError, match=r"^bars need the package nosuch, .* pip install nosuch\.$"):
        required_module("nosuch.part", "bars")
    with pytest.raises(MissingPackageError, match=r"pip install 'local-volatility-training\[yahoo\]'\.$"):
        required_module("nosuch", "bars", "yahoo")


def test_without_arrow_text_is_read_and_parquet_and_the_cache_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = make_bars("2024-11-25", "2024-11-26")
    bars.to_parquet(tmp_path / "bars.parquet")
    bars.to_csv(tmp_path / "bars.csv")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    pd.testing.assert_frame_equal(read_bars_file(tmp_path / "bars.csv"), bars, check_freq=False, check_dtype=False)
    with pytest.raises(MissingPackageError, match=r"Parquet and Feather files need .* pip install pyarrow\.$"):
        read_bars_file(tmp_path / "bars.parquet")
    cache = BarCache.of_symbol(tmp_path / "cache", "alpaca", "sip", "all", "1Min", "SPY")
    with pytest.raises(MissingPackageError, match=r"cached bars need"), cache.locked():
        pass


def test_versions_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    volcast.show_versions()
    said = capsys.readouterr().out
    assert all(name in said for name in installed_versions())
    assert pd.__version__ in said
