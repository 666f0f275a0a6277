"""The quality report: every flaw that is there, none that is not, and a training that refuses bad bars."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.bars.quality import DataQuality, assess_quality, require_acceptable
from volcast.bars.sources.simulator import simulate_bars
from volcast.cli import bars as data_cli
from volcast.config import TrainingConfig
from volcast.errors import BarsError
from volcast.markets.registry import market_named
from volcast.training.trainer import LocalLSTMTrainer


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    return simulate_bars("SPY", "2024-01-02", "2024-12-31", seed=5)


def kinds(quality: DataQuality) -> dict[str, tuple[str, ...]]:
    return {found.kind: found.days for found in quality.findings if found.level != "fact"}


def on(bars: pd.DataFrame, first: str, last: str | None = None) -> "np.ndarray":
    local = time_index(bars).tz_convert("America/New_York")
    return np.asarray(
        (local >= pd.Timestamp(first, tz=local.tz)) & (local < pd.Timestamp(last or "2100-01-01", tz=local.tz))
    )


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("minutes", [1, 5])
def test_clean_bars_raise_no_alarm(seed: int, minutes: int) -> None:
    quality = assess_quality(simulate_bars("TSLA", "2022-01-03", "2024-12-31", seed=seed, minutes=minutes))
    assert kinds(quality) == {}
    assert not quality.is_bad
    assert (quality.months["coverage"] > 0.98).all()
    assert [found.kind for found in quality.findings] == ["half-day"]


def test_whole_sessions_of_before_a_market_traded_longer_are_no_half_days() -> None:
    quality = assess_quality(
        simulate_bars("7203.T", "2024-10-21", "2025-06-30", minutes=5, market="XTKS"), market="XTKS"
    )
    assert quality.findings == ()


def test_a_hole_is_found_with_its_days_and_a_holiday_is_none(clean: pd.DataFrame) -> None:
    quality = assess_quality(clean[~on(clean, "2024-03-04", "2024-03-09")])
    assert kinds(quality) == {"hole": ("2024-03-04", "2024-03-08")}
    march = quality.months[quality.months.index == pd.Period("2024-03")].iloc[0]
    assert (march["sessions"], march["missing"]) == (20, 5)
    assert march["coverage"] == pytest.approx(0.75, abs=0.01)


def test_a_cut_day_and_a_gap_are_found(clean: pd.DataFrame) -> None:
    cut, gap = on(clean, "2024-05-07 14:30", "2024-05-08"), on(clean, "2024-06-11 11:00", "2024-06-11 11:20")
    quality = assess_quality(clean[~cut & ~gap])
    assert kinds(quality) == {"cut day": ("2024-05-07",), "gaps": ("2024-06-11",)}
    assert quality.months["longest_gap"][quality.months.index == pd.Period("2024-05")].item() >= 90


def test_a_change_of_feed_is_found_on_its_day(clean: pd.DataFrame) -> None:
    bars = clean.copy()
    bars.loc[on(bars, "2024-04-15", "2024-08-01"), "volume"] *= 30
    quality = assess_quality(bars)
    assert kinds(quality) == {"feed change": ("2024-04-15", "2024-08-01")}
    assert quality.months["volume_breaks"].sum() == 2


def test_what_is_wrong_makes_bars_bad_and_says_how_to_go_on(clean: pd.DataFrame) -> None:
    split = clean.copy()
    split.loc[on(split, "2024-06-10"), ["open", "high", "low", "close"]] /= 10
    quality = assess_quality(split, "SPY")
    assert kinds(quality) == {"split": ("2024-06-10",)}
    with pytest.raises(BarsError, match=r"10:1.*--clean.*--accept-quality"):
        require_acceptable(quality, accept=False)
    require_acceptable(quality, accept=True)
    thin = assess_quality(clean[np.random.default_rng(0).random(len(clean)) < 0.5])
    assert [found.kind for found in thin.of("bad")] == ["coverage"]
    ticks = clean.copy()
    ticks.iloc[50::1000, :4] *= 1.03
    assert [found.kind for found in assess_quality(ticks).of("bad")] == ["ticks"]


def test_a_training_refuses_bad_bars_unless_they_are_accepted_and_remembers_what_they_were(clean: pd.DataFrame) -> None:
    bars = clean.copy()
    bars.loc[on(bars, "2024-06-10"), ["open", "high", "low", "close"]] /= 10
    config = TrainingConfig.from_mapping({"symbol": "SPY", "memory": 20})
    with pytest.raises(BarsError, match="bad"):
        LocalLSTMTrainer(config).prepare_data(bars=bars)
    data = LocalLSTMTrainer(config.with_overrides(accept_quality=True)).prepare_data(bars=bars)
    remembered = data.provenance["SPY"]["quality"]
    assert remembered["is_bad"]
    assert json.loads(json.dumps(remembered)) == remembered
    unspoilt = LocalLSTMTrainer(config).prepare_data(bars=clean)
    assert not unspoilt.provenance["SPY"]["quality"]["is_bad"]


def test_missing_volume_and_bars_outside_sessions_are_said() -> None:
    bars = make_bars("2024-06-03", "2024-06-14", extended=True)
    quality = assess_quality(bars.assign(volume=np.nan))
    assert kinds(quality) == {"no volume": ()}
    assert quality.months["outside"].sum() == 10 * (960 - 390)
    assert quality.months["without_volume"].sum() == len(bars)
    assert kinds(assess_quality(bars[["close"]])) == {"no volume": ()}


def test_unusable_bars_are_assessed_all_the_same(clean: pd.DataFrame) -> None:
    bars = pd.concat([clean, clean.iloc[:5]]).sample(frac=1, random_state=0)
    bars.iloc[3, 3] = np.nan
    quality = assess_quality(bars)
    assert {"duplicates", "order", "missing"} <= set(kinds(quality))
    assert quality.months["dropped"].sum() >= 6


def test_the_command_line_gives_a_table_json_and_a_picture(
    clean: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clean[~on(clean, "2024-03-04", "2024-03-09")].to_parquet("spy.parquet")
    assert data_cli.main(["quality", "--symbol", "SPY", "--bars", "spy.parquet", "--picture", "spy.png"]) == 0
    assert "A hole: no bars on 5 sessions, 2024-03-04 to 2024-03-08." in capsys.readouterr().out
    assert (tmp_path / "spy.png").read_bytes().startswith(b"\x89PNG")
    assert data_cli.main(["quality", "--symbol", "SPY", "--bars", "spy.parquet", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["findings"][0]["kind"] == "hole"
    assert len(report["months"]) == 12
    assert data_cli.main(["quality", "--bars", "nothing.parquet"]) == 1
    assert "no file" in capsys.readouterr().err


REAL: dict[str, dict[str, tuple[str, ...]]] = {
    "SPY_1min": {"hole": ("2025-04-03", "2025-09-12"), "cut day": ("2025-04-02",)},
    "NVDA_1min": {"feed change": ("2026-01-22", "2026-03-09", "2026-03-12")},
    "NQ_1min": {"no volume": ()},
    "panel_5min/TSLA_5min": {"hole": ("2023-01-06", "2025-05-09"), "cut day": ("2022-11-23",)},
    "panel_5min/NVDA_5min": {"hole": ("2023-05-18", "2025-05-09"), "cut day": ("2022-11-23",)},
    "panel_5min/ADBE_5min": {"hole": ("2023-01-06", "2023-09-26"), "gaps": ("2022-11-23",)},
    "panel_5min/AMD_5min": {},
}


@pytest.mark.parametrize("name", REAL)
def test_what_is_known_of_real_bars_is_found_and_none_of_them_is_bad(name: str, shared_dir: Path) -> None:
    quality = assess_quality(pd.read_parquet(shared_dir / "data" / f"{name}.parquet"), name)
    found = kinds(quality)
    assert REAL[name].items() <= found.items()
    assert not quality.is_bad
    assert "half-day" in {finding.kind for finding in quality.of("fact")}
    if name == "NQ_1min":
        assert "outside" in {finding.kind for finding in quality.of("fact")}


def test_coarse_bars_are_said_by_the_length_of_the_buckets() -> None:
    bars = make_bars("2024-06-03", "2024-06-07", minutes=10)
    for market, said in (("XNYS", "an hour holds 6 returns"), ("XNYS 30min", "a bucket of 30 min holds 3 returns")):
        (coarse,) = (one for one in assess_quality(bars, market=market).findings if one.kind == "coarse")
        assert said in coarse.sentence


@pytest.mark.parametrize(
    ("market", "closed"), [("24/5", "2024-03"), ("CMES", "2024-03-05 16:"), ("XHKG", "2024-03-05 12:")]
)
def test_a_price_that_stands_while_nothing_trades_makes_no_bars_bad(market: str, closed: str) -> None:
    bars = simulate_bars("CHECK", "2024-03-04", "2024-03-15", minutes=5, market=market)
    close = bars["close"].resample("5min").last().ffill()
    standing = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close)).assign(volume=0.0)
    shown = time_index(standing).tz_convert(market_named(market).zone).strftime("%Y-%m-%d %H:%M")
    standing = standing[~standing.index.isin(bars.index) & shown.str.startswith(closed)]
    assert len(standing) >= 12
    flat = pd.concat([bars, standing]).sort_index()
    assert "stale" not in kinds(assess_quality(flat, market=market))
    coarse = flat.resample("15min").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    assert not assess_quality(coarse.dropna(), market=market).is_bad
    # In a session it is one.
    inside = bars.index[200:230]
    flat.loc[inside, ["open", "high", "low", "close"]] = flat.loc[inside[0], "close"]
    flat.loc[inside, "volume"] = 0.0
    assert "stale" in kinds(assess_quality(flat, market=market))


def test_prices_of_too_few_digits_are_said() -> None:
    bars = simulate_bars("BTC/USD", "2024-01-01", "2024-02-15", minutes=5)
    prices = ["open", "high", "low", "close"]
    coin = bars.assign(**(bars[prices] * 1e-6 / bars["close"].iloc[0]))
    for digits, level in ((8, "flaw"), (11, None)):
        findings = assess_quality(coin.assign(**coin[prices].round(digits)), market="24/7").findings
        assert [one.level for one in findings if one.kind == "steps"] == ([level] if level else [])
    still = assess_quality(bars.assign(**dict.fromkeys(prices, 3e-8)), market="24/7")
    assert "steps" in {one.kind for one in still.of("bad")}


@pytest.mark.parametrize(("late", "minutes"), [("59s", 5), ("1min", 5), ("3s", 1)])
def test_bars_over_the_end_of_a_bucket_are_remarked_on(late: str, minutes: int) -> None:
    bars = make_bars("2024-06-03", "2024-06-07", minutes=minutes)
    later = bars.set_axis(bars.index + pd.Timedelta(late))
    (reaching,) = (one for one in assess_quality(later, market="XNYS").findings if one.kind == "reaching")
    assert reaching.level == "flaw"
    # In seven buckets of five days.
    assert reaching.sentence.startswith("35 bars over the end of a bucket")
    assert "reaching" not in kinds(assess_quality(bars, market="XNYS"))


def test_bars_of_the_future_are_remarked_on_unless_they_are_simulated() -> None:
    day = pd.Timestamp.now("UTC").normalize() + pd.Timedelta(days=30)
    bars = simulate_bars("SPY", f"{day:%Y-%m-%d}", f"{day + pd.Timedelta(days=7):%Y-%m-%d}", minutes=5)
    assert "future" not in kinds(assess_quality(bars))
    bars.attrs["simulated"] = False
    assert f"{len(bars)} bars of the future" in " ".join(
        finding.sentence for finding in assess_quality(bars).of("flaw")
    )
    past = make_bars("2024-06-03", "2024-06-28", minutes=5)
    past.index = past.index[:-1].append(bars.index[:1])
    assert "1 bar of the future" in " ".join(finding.sentence for finding in assess_quality(past).of("flaw"))


def test_bars_of_a_day_that_begin_at_midnight_in_utc_are_judged() -> None:
    daily = make_bars("2024-06-03", "2024-06-28", minutes=5).resample("1D").last()
    assert "coarse" in kinds(assess_quality(daily.dropna(), market="XNYS"))


def test_findings_of_one_bar_are_said_of_one() -> None:
    bars = make_bars("2024-06-03", "2024-06-28", minutes=5)
    bars.iloc[100, 3] = np.inf
    bars.iloc[200, 4] = -1.0
    sentences = [finding.sentence for finding in assess_quality(bars, market="XNYS").findings]
    assert "1 bar with a price of zero, less, or without end (2024-06-04)." in sentences
    assert "1 bar without volume, or below zero." in sentences
