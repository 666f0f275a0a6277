"""Minutes without a trade: the price before stands in them for a while, and what is measured is what it should be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars
from tests.support.coins import coin_bars
from tests.support.exchange_stand_in import ExchangeStandIn
from volcast.arrays import BoolArray1D, time_index
from volcast.bars.cleaning import clean_bars
from volcast.bars.handler import DataHandler
from volcast.bars.quality import DataQuality, assess_quality
from volcast.bars.sources.exchanges import ExchangeBars
from volcast.bars.untraded import LONGEST_STAND, standing_bars, untraded
from volcast.config import TrainingConfig
from volcast.configured import measures_of
from volcast.errors import NotEnoughDataError
from volcast.markets.market import TradingMarket
from volcast.markets.registry import market_named
from volcast.measures.estimators import ESTIMATORS
from volcast.measures.hourly import get_hourly_measures, get_hourly_rv

COINS = market_named("24/7")
MINUTE = pd.Timedelta(minutes=1)
PRICES = ["open", "high", "low", "close"]
WHOLE = coin_bars("2024-06-03", days=3)
OUTAGE = (WHOLE.index >= "2024-06-04 13:20") & (WHOLE.index < "2024-06-04 16:10")


def thinned(bars: pd.DataFrame, share: float = 0.4, seed: int = 0) -> BoolArray1D:
    """Which minutes have a trade, the first and the last among them."""
    traded = np.random.default_rng(seed).random(len(bars)) < share
    traded[[0, -1]] = True
    return traded


THIN = WHOLE[thinned(WHOLE) & ~OUTAGE].assign(volume=1.0)


def plainly_standing(bars: pd.DataFrame, market: TradingMarket) -> dict[pd.Timestamp, float]:
    """The price of each minute without a bar, minute by minute."""
    prices = {}
    stamps, ends = list(bars.index), time_index(bars) + MINUTE
    stretches = market.stretch_of(time_index(bars).as_unit("us").asi8 + 60_000_000)
    for i in range(len(stamps) - 1):
        moment = stamps[i] + MINUTE
        while moment < stamps[i + 1] and moment + MINUTE <= ends[i] + LONGEST_STAND:
            (stretch,) = market.stretch_of(np.array([(moment + MINUTE).value // 1000]))
            if stretch >= 0 and stretch == stretches[i]:
                prices[moment] = float(bars["close"].iloc[i])
            moment += MINUTE
    return prices


@pytest.mark.parametrize(
    ("whole", "market"), [(WHOLE.iloc[:900], "24/7"), (make_bars("2024-06-03", "2024-06-05"), "XNYS")]
)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_price_before_stands_in_each_minute_as_a_loop_has_it(
    whole: pd.DataFrame, market: str, data: st.DataObject
) -> None:
    share, seed = data.draw(st.sampled_from([0.05, 0.3, 0.9])), data.draw(st.integers(0, 1000))
    bars, trading = whole[thinned(whole, share, seed)], market_named(market)
    assume((time_index(bars)[1:] - time_index(bars)[:-1]).min() == MINUTE)
    standing = standing_bars(bars, trading)
    assert standing["close"].to_dict() == plainly_standing(bars, trading)
    assert (standing[PRICES].to_numpy() == standing[["close"]].to_numpy()).all()
    assert (standing["volume"] == 0).all()


def test_what_comes_later_changes_no_minute_before() -> None:
    whole, _ = clean_bars(THIN, ["untraded"], market=COINS)
    for moment in THIN.index[50::157]:
        until, _ = clean_bars(THIN[:moment], ["untraded"], market=COINS)
        pd.testing.assert_frame_equal(until, whole[:moment], check_freq=False)


def test_an_outage_stays_a_hole_but_for_a_quarter_of_an_hour() -> None:
    whole, cleaning = clean_bars(THIN, ["untraded"], market=COINS)
    assert cleaning.counts["untraded"] == len(whole) - len(THIN)
    last = THIN[: pd.Timestamp("2024-06-04 13:20", tz="UTC")].index[-1]
    during = whole[last + MINUTE : pd.Timestamp("2024-06-04 16:09", tz="UTC")]
    assert len(during) == 15
    assert (during["close"] == THIN.loc[last, "close"]).all()
    hours = get_hourly_rv(whole, market=COINS).index
    assert pd.Timestamp("2024-06-04 15:00", tz="UTC") not in hours
    assert len(hours) == 72 - 3


def test_bars_that_are_out_of_order_are_left_to_other_rules() -> None:
    for bars in (THIN.iloc[::-1], pd.concat([THIN, THIN.iloc[-1:]]), THIN.iloc[:1]):
        assert clean_bars(bars, ["untraded"], market=COINS)[1].counts == {"untraded": 0}


def test_only_who_names_it_has_it() -> None:
    assert "untraded" not in clean_bars(THIN, market=COINS)[1].counts
    before = THIN[: pd.Timestamp("2024-06-04 12:00", tz="UTC")]
    whole, cleaning = clean_bars(before, ["all", "untraded"], market=COINS)
    assert cleaning.counts["untraded"] > 0
    assert clean_bars(whole, ["stale", "untraded"], market=COINS)[1].sentence() == ""


SAME = ("close", "down_semivariance", "up_semivariance", "bipower", "medrv", "two_scale", "parkinson", "garman_klass")
"""Zero adds nothing to their sums, or they leave it out."""


@pytest.mark.parametrize("name", SAME)
def test_minutes_without_a_trade_change_no_such_variance(name: str) -> None:
    bars = WHOLE[thinned(WHOLE, 0.6)].assign(volume=1.0)
    whole, _ = clean_bars(bars, ["untraded"], market=COINS)
    of_trades = get_hourly_rv(bars, market=COINS, min_bucket_coverage=0.0, estimator=name)
    of_minutes = get_hourly_rv(whole, market=COINS, estimator=name)
    np.testing.assert_allclose(of_minutes, of_trades[of_minutes.index], rtol=1e-12)


def test_variance_is_that_of_the_price_whichever_minutes_had_a_trade() -> None:
    """Of a known process, of which four of ten minutes are seen: means over 480 hours."""
    process = coin_bars("2024-01-01", days=20, seed=5).assign(volume=1.0)
    whole, _ = clean_bars(process[thinned(process)], ["untraded"], market=COINS)
    truth = 60 * 5e-4**2
    ratios = {
        name: float((get_hourly_rv(whole, market=COINS, estimator=name) ** 2).mean()) / truth
        for name in ("close", "subsampled", "two_scale", "bipower", "medrv")
    }
    assert ratios["close"] == pytest.approx(1.0, abs=0.05)
    assert ratios["subsampled"] == pytest.approx(1.0, abs=0.07)
    assert ratios["two_scale"] == pytest.approx(1.0, abs=0.12)
    # Between trades a minute apart and five the price moves unequally, which neighbours' products mind.
    assert 0.8 < ratios["bipower"] < 1.0
    assert 0.7 < ratios["medrv"] < 1.0


def test_the_error_of_variance_that_quarticity_tells_is_right_whichever_minutes_had_a_trade() -> None:
    process = coin_bars("2024-01-01", days=20, seed=5).assign(volume=1.0)
    whole, _ = clean_bars(process[thinned(process)], ["untraded"], market=COINS)
    measures = get_hourly_measures(whole, market=COINS)
    told = float((2 * measures["quarticity"] / 60).mean())
    assert told == pytest.approx(float((measures["rv_hourly"] ** 2).var()), rel=0.25)


def test_bipower_variance_as_measure_and_as_estimator_agree_on_thin_bars() -> None:
    whole, _ = clean_bars(THIN, ["untraded"], market=COINS)
    measures = get_hourly_measures(whole, market=COINS)
    traded = whole[~untraded(whole)]
    returns = np.log(traded["close"]).diff().abs()
    products = (returns * returns.shift()).groupby((time_index(traded) + MINUTE).ceil("h")).sum() * np.pi / 2
    # The first of an hour meets the last of the hour before, and nothing that of the day before.
    np.testing.assert_allclose(measures["bipower_variance"].iloc[1:23], products.loc[measures.index[1:23]], rtol=1e-9)


def of_kraken(bars: pd.DataFrame, path: Path) -> DataHandler:
    seconds = pd.Index(time_index(bars).as_unit("s").asi8)
    bars.assign(trades=range(len(bars))).set_axis(seconds).to_csv(path, header=False)
    return DataHandler("file", bars_path=str(path))


def finding(quality: DataQuality, kind: str) -> str:
    return next((one.sentence for one in quality.findings if one.kind == kind), "")


def test_a_file_of_kraken_s_needs_no_setting_and_its_quality_is_told_as_it_is(tmp_path: Path) -> None:
    bars = of_kraken(THIN, tmp_path / "coin.csv").get_stock_bars("BTC/USD")
    assert "which leaves out minutes without a trade" in bars.attrs["notes"][0]
    pd.testing.assert_frame_equal(bars[~untraded(bars)], THIN, check_freq=False, check_index_type=False, rtol=1e-15)
    quality = assess_quality(bars)
    assert not quality.is_bad
    share = untraded(bars).mean()
    assert f"In {share:.1%} of the bars nobody traded, and they were left out" in finding(quality, "untraded")
    assert "2024-06-04" in finding(quality, "cut day")
    assert quality.months["longest_gap"].max() == pytest.approx(170 - 15, abs=5)
    assert quality.months["coverage"].item() > 0.95
    hours = measures_of(TrainingConfig(symbol="BTC/USD", market="24/7"), bars)
    assert len(hours) == 72 - 3


def test_a_table_of_nobody_s_in_particular_is_as_before_and_the_way_out_is_named(tmp_path: Path) -> None:
    THIN.to_csv(tmp_path / "coin.csv")
    plain = DataHandler("file", bars_path=str(tmp_path / "coin.csv")).get_stock_bars("BTC/USD")
    assert len(plain) == len(THIN)
    assert "if minutes without a trade are left out, --clean untraded adds them" in finding(
        assess_quality(plain), "coverage"
    )
    config = TrainingConfig(symbol="BTC/USD", market="24/7")
    with pytest.raises(NotEnoughDataError, match="--clean untraded if they leave out minutes without a trade"):
        measures_of(config, plain[: pd.Timestamp("2024-06-03 12:00", tz="UTC")])
    cleaned = DataHandler("file", bars_path=str(tmp_path / "coin.csv"), cleaning=["untraded"]).get_stock_bars("BTC/USD")
    assert not assess_quality(cleaned).is_bad
    assert len(measures_of(config, cleaned)) == 72 - 3


def test_minutes_without_volume_are_no_stale_bars_of_an_exchange_that_writes_them() -> None:
    flat = WHOLE.iloc[:1440].copy()
    flat.iloc[300:315, :4] = flat["close"].iloc[299]
    flat.iloc[300:315, 4] = 0.0
    assert "nothing but a repeated price" in finding(assess_quality(flat, market=COINS), "stale")
    flat.attrs["untraded"] = "flat"
    quality = assess_quality(flat, market=COINS)
    assert not finding(quality, "stale")
    assert "nobody traded: the price before stands" in finding(quality, "untraded")


def test_high_prices_of_one_large_order_are_no_error_of_an_exchange(tmp_path: Path) -> None:
    swept = THIN.copy()
    near = np.flatnonzero(np.diff(time_index(swept).asi8) == 60_000_000)[60::40][:12]
    swept.loc[swept.index[near], "high"] *= 1.03
    plain = assess_quality(swept, market=COINS)
    assert "beyond anything around." in finding(plain, "wicks")
    assert plain.is_bad
    quality = assess_quality(of_kraken(swept, tmp_path / "coin.csv").get_stock_bars("BTC/USD"))
    assert "which the exchange made of its own trades" in finding(quality, "wicks")
    assert not quality.is_bad


def test_what_an_exchange_answers_is_read_as_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ccxt")
    with ExchangeStandIn({"BTC/USD": THIN}) as server:
        source = ExchangeBars("coinbase", url_override=server.url)
        monkeypatch.setattr("volcast.bars.handler.load_source", lambda name: source)
        handler = DataHandler("coinbase", cache_dir=tmp_path)
        for _ in range(2):
            bars = handler.get_stock_bars("BTC/USD", "2024-06-03", "2024-06-05")
            assert bars.attrs["cleaning"]["untraded"] == len(standing_bars(THIN, COINS))
            assert not assess_quality(bars).is_bad


def test_every_estimator_is_spoken_of() -> None:
    assert set(ESTIMATORS) == {*SAME, "subsampled", "rogers_satchell", "yang_zhang"}
