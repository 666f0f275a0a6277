"""Steps of a split's factor inside sessions: found wherever they are, and none where there is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars, place_of
from tests.support.edits import scale
from volcast.arrays import time_index
from volcast.bars.quality import assess_quality
from volcast.bars.scale import scale_steps
from volcast.bars.sources.simulator import simulate_bars
from volcast.markets.registry import market_named

PRICES = ["open", "high", "low", "close"]
BARS = {minutes: simulate_bars("SPY", "2024-03-04", "2024-03-15", seed=3, minutes=minutes) for minutes in (1, 5)}
INSIDE = [
    "6:5",
    "5:4",
    "4:3",
    "3:2",
    "5:3",
    "2:1",
    "5:2",
    "3:1",
    "4:1",
    "7:1",
    "10:1",
    "12:1",
    "20:1",
    "35:1",
    "1000:1",
]
OVERNIGHT = ["3:2", "2:1", "3:1", "4:1", "7:1", "10:1", "12:1", "20:1", "35:1", "1000:1"]


def factor_of(ratio: str) -> float:
    new, old = map(int, ratio.split(":"))
    return new / old


def day_openings(bars: pd.DataFrame) -> np.ndarray:
    days = time_index(bars).tz_convert("America/New_York").normalize()
    return np.flatnonzero(np.append(True, days[1:] != days[:-1]))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from([1, 5]), st.sampled_from(INSIDE), st.booleans(), st.floats(0.02, 0.98), st.booleans(), st.booleans()
)
def test_a_split_at_any_bar_is_found_with_its_factor_and_moment(
    minutes: int, ratio: str, up: bool, share: float, only_close: bool, through_a_bar: bool
) -> None:
    bars = BARS[minutes].copy()
    place = int(share * len(bars))
    opening = place in day_openings(bars)
    if opening and ratio not in OVERNIGHT:
        place += 1
    factor = factor_of(ratio) if up else 1 / factor_of(ratio)
    bars.loc[bars.index[place:], PRICES] *= factor
    if through_a_bar and factor_of(ratio) >= 2 and not opening:
        scale(bars, place, "open", 1 / factor)
        bars.iloc[place, place_of(bars, "high")] = bars.iloc[place][["open", "close"]].max()
        bars.iloc[place, place_of(bars, "low")] = bars.iloc[place][["open", "close"]].min()
    quality = assess_quality(bars[["close"]] if only_close else bars, "SPY")
    assert quality.is_bad
    (found,) = [finding for finding in quality.of("bad") if finding.kind == "split"]
    assert ratio in found.sentence
    moment = bars.index[place].tz_convert("America/New_York")
    assert found.days == (f"{moment:%Y-%m-%d}",)
    if place not in day_openings(bars):
        assert f"{ratio} at {moment:%Y-%m-%d %H:%M}" in found.sentence


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([1, 5]), st.sampled_from(INSIDE), st.booleans(), st.floats(0.05, 0.9), st.integers(1, 5))
def test_a_few_bars_off_the_scale_are_found(minutes: int, ratio: str, up: bool, share: float, count: int) -> None:
    bars = BARS[minutes].copy()
    openings = day_openings(bars)
    place = int(share * len(bars))
    if ((openings >= place) & (openings <= place + count)).any():
        place += count + 1
    factor = factor_of(ratio) if up else 1 / factor_of(ratio)
    bars.loc[bars.index[place : place + count], PRICES] *= factor
    quality = assess_quality(bars, "SPY")
    (found,) = [finding for finding in quality.of("bad") if finding.kind == "off scale"]
    moment = bars.index[place].tz_convert("America/New_York")
    assert f"{ratio} at {moment:%Y-%m-%d %H:%M}" in found.sentence
    (step,) = scale_steps(bars, market_named("XNYS"))
    assert step.bars == count
    assert step.factor == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("field", ["high", "low", "close"])
def test_one_price_of_one_bar_off_the_scale_is_found(field: str) -> None:
    bars = BARS[1].copy()
    scale(bars, 700, field, 1 / 20 if field == "low" else 20)
    (found,) = [finding for finding in assess_quality(bars, "SPY").of("bad") if finding.kind == "off scale"]
    assert "20:1" in found.sentence


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
def test_clean_bars_have_no_step(seed: int, minutes: int) -> None:
    assert (
        scale_steps(simulate_bars("NVDA", "2023-01-03", "2023-12-29", seed=seed, minutes=minutes), market_named("XNYS"))
        == []
    )
    assert scale_steps(make_bars("2024-06-03", "2024-12-31", seed=seed, minutes=minutes), market_named("XNYS")) == []


def test_real_bars_have_no_step(shared_dir: Path) -> None:
    files = [*(shared_dir / "data").glob("*.parquet"), *(shared_dir / "data" / "panel_5min").glob("*.parquet")]
    assert files
    for path in files:
        bars = pd.read_parquet(path)
        assert scale_steps(bars, market_named("XNYS")) == [], path.name
        assert not {"split", "off scale"} & {finding.kind for finding in assess_quality(bars).findings}, path.name
