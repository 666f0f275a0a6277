"""The commands with words of every kind: done, or one sentence; `train` goes as far as TensorFlow."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bars import ROOT, make_bars
from tests.support.outcomes import Said, assert_one_sentence, command, outcome
from tests.support.strategies import MARKETS, SYMBOLS, TEXT, bars_texts, examples, mostly
from volcast.backtest.implied import read_implied
from volcast.bars.handler import DataHandler
from volcast.bars.symbols import read_symbols
from volcast.errors import TrainingError

WORDS = TEXT.filter(lambda text: "\ud800" not in text)
BARS = make_bars("2024-11-18", "2024-12-20", minutes=5)
DAYS = mostly(st.sampled_from(["2024-11-18", "2024-12-06", "2024-12-20"]), WORDS)
FLAGS: dict[str, st.SearchStrategy[str] | None] = {
    "--symbol": SYMBOLS.filter(lambda text: "\ud800" not in text),
    "--start-date": DAYS,
    "--end-date": DAYS,
    "--bars-timezone": mostly(st.sampled_from(["UTC", "America/New_York"]), WORDS),
    "--market": mostly(MARKETS, WORDS),
    "--bars-stamps": mostly(st.sampled_from(["start", "end"]), WORDS),
    "--clean": mostly(st.sampled_from(["all", "ticks"]), WORDS),
    "--timeframe": mostly(st.sampled_from(["1Min", "5Min"]), WORDS),
    "--json": None,
}
TRAINING = {
    "--network": mostly(st.sampled_from(["roadmap", "har_lstm"]), WORDS),
    "--preset": mostly(st.sampled_from(["session", "colab"]), WORDS),
    "--max-trials": mostly(st.sampled_from(["1", "3"]), WORDS),
    "--test-from": DAYS,
    "--overnight-symbol": mostly(st.just("NQ"), WORDS),
    "--overnight-bars": mostly(st.just("nq.parquet"), WORDS),
    "--rv-estimator": mostly(st.sampled_from(["close", "two_scale"]), WORDS),
    "--symbols": WORDS,
    "--pooled": None,
    "--jobs": WORDS,
    "--show-config": None,
    "--quiet": None,
}
TRADING = {
    "--strategy": mostly(st.sampled_from(["vol-target", "vol-managed", "straddle", "risk-parity"]), WORDS),
    "--target": mostly(st.sampled_from(["0.1", "15"]), WORDS),
    "--band": mostly(st.sampled_from(["auto", "0.1"]), WORDS),
    "--costs": mostly(st.sampled_from(["1", "0"]), WORDS),
    "--max-leverage": mostly(st.sampled_from(["1", "2.5"]), WORDS),
}


@contextlib.contextmanager
def folder_with_bars(content: bytes | None) -> Iterator[tuple[Path, Path]]:
    """A folder and a file of bars in it: `content`, or good ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / ("bars.csv" if content is not None else "bars.parquet")
        if content is None:
            BARS.to_parquet(path)
        else:
            path.write_bytes(content)
        yield folder, path


def flags(pool: dict[str, st.SearchStrategy[str] | None]) -> st.SearchStrategy[list[str]]:
    """Some flags of `pool`, each with a value where it takes one."""
    one = st.sampled_from(sorted(pool)).flatmap(
        lambda flag: st.just([flag]) if (value := pool[flag]) is None else value.map(lambda word: [flag, word])
    )
    return st.lists(one, max_size=3).map(lambda pairs: [word for pair in pairs for word in pair])


def assert_json(said: Said, words: list[str]) -> None:
    if "--json" in words and said.status == 0:
        json.loads(said.out)


@examples(40)
@given(mostly(st.none(), bars_texts()), st.sampled_from(["fetch", "quality"]), flags(FLAGS))
def test_bars(content: bytes | None, name: str, words: list[str]) -> None:
    with folder_with_bars(content) as (folder, path):
        said = command(["bars", name, "--bars", str(path), *words], folder)
        assert_json(said, words)
        for line in said.err.splitlines():
            if not line.startswith(("usage:", "volcast", "  ")):
                assert_one_sentence(line, folder)


@examples(15)
@given(flags({name: FLAGS[name] for name in ("--symbol", "--json")}))
def test_days_that_are_known_ahead(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        assert_json(command(["bars", "days", *words], Path(name)), words)


@examples(25)
@given(bars_texts(), st.none() | SYMBOLS)
def test_a_file_of_bars_is_read_or_refused(content: bytes, symbol: str | None) -> None:
    with folder_with_bars(content) as (folder, path):
        handler = DataHandler("file", bars_path=str(path))
        bars = outcome("DataHandler.get_stock_bars of a file", lambda: handler.get_stock_bars(symbol or "ABC"), folder)
        if isinstance(bars, pd.DataFrame):
            assert bars.index.is_unique
            assert (bars["close"] > 0).all()
        implied = outcome("read_implied", lambda: read_implied(path), folder)
        assert not isinstance(implied, pd.Series) or implied.between(0, 5).all()
        symbols = outcome("read_symbols", lambda: read_symbols(path), folder)
        assert symbols


@examples(15)
@given(
    mostly(st.just([]), st.lists(WORDS, max_size=4)),
    st.sampled_from([["ls"], ["verify"], ["clear"], ["clear", "--all"], ["ls", "--json"], []]),
    st.sampled_from(["empty", "junk", "file"]),
)
def test_the_cache(more: list[str], words: list[str], kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name) / "cache"
        if kind == "file":
            cache.write_bytes(b"junk")
        elif kind == "junk":
            place = cache / "alpaca" / "sip" / "all" / "1Min" / "SPY"
            place.mkdir(parents=True)
            (place / f"2024-06_20240701T040000Z_{'0' * 64}.parquet").write_bytes(b"junk")
            (place / "x.parquet").mkdir()
        command(["bars", *words, *more, "--cache-dir", str(cache)], Path(name))


@pytest.fixture(scope="module")
def no_tensorflow() -> Iterator[None]:
    """A training that ends where TensorFlow would be loaded."""
    error = TrainingError("everything is ready, and TensorFlow is left out; run it from the shell.")
    with mock.patch("volcast.networks.tensorflow.load_tensorflow_quietly", side_effect=error):
        yield


@examples(40)
@pytest.mark.usefixtures("no_tensorflow")
@given(mostly(st.none(), bars_texts()), flags({**FLAGS, **TRAINING}))
def test_train_as_far_as_tensorflow(content: bytes | None, words: list[str]) -> None:
    # Several symbols are trained in processes of their own, which no mock stops.
    if "--symbols" in words and "--pooled" not in words:
        words = [*words, "--show-config"]
    with folder_with_bars(content) as (folder, path):
        models = folder / "models"
        said = command(["train", "--bars", str(path), "--output", str(models), *words], folder)
        assert said.status != 0 or "--show-config" in words
        assert not models.exists()


@examples(15)
@given(
    mostly(st.none(), bars_texts()),
    mostly(st.sampled_from(["schema-2", "schema-2-har-lstm"]), WORDS.filter(lambda word: "/" not in word)),
    flags({"--json": None, "--symbol": FLAGS["--symbol"], "--allow-in-sample": None, "--symbols": WORDS}),
)
def test_evaluate(content: bytes | None, model: str, words: list[str]) -> None:
    with folder_with_bars(content) as (folder, path):
        for sample in ("schema-2", "schema-2-har-lstm"):
            shutil.copytree(ROOT / "tests" / "data" / sample, folder / "models" / sample)
        where = ["--model", model, "--models", str(folder / "models"), "--bars", str(path)]
        assert_json(command(["evaluate", *where, *words], folder), words)


@examples(12)
@given(
    mostly(st.none(), bars_texts()),
    mostly(st.just("ewma"), st.sampled_from(["model", "har", "x"])),
    flags({**TRADING, "--json": None, "--symbol": FLAGS["--symbol"], "--start-date": DAYS}),
)
def test_backtest(content: bytes | None, forecasts: str, words: list[str]) -> None:
    with folder_with_bars(content) as (folder, path):
        where = ["--bars", str(path), "--models", str(folder / "models"), "--trades", str(folder / "trades.csv")]
        assert_json(command(["backtest", *where, "--forecasts", forecasts, *words], folder), words)


@examples(8)
@given(flags({"--json": None}))
def test_doctor(words: list[str]) -> None:
    with folder_with_bars(None) as (folder, _):
        assert_json(command(["doctor", *words], folder), words)


@examples(40)
@given(
    st.lists(
        mostly(st.sampled_from(["train", "bars", "models", "evaluate", "--help", "--version", "ls"]), WORDS), max_size=3
    )
)
def test_words_of_any_kind(words: list[str]) -> None:
    # Without options, `backtest` asks, and `train` and `evaluate` begin.
    if words[:1] in (["train"], ["evaluate"], ["backtest"]):
        words = [words[0], *words[1:], "--no-such-flag"]
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        command(words, Path(name))
