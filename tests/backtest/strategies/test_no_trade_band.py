"""The no-trade band: where it is widest, and what it keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volcast.backtest.strategies.no_trade_band import band_widths, held_within

positions = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=40)


@given(positions, st.floats(0.0, 0.5))
def test_a_position_stays_within_the_band_and_moves_no_further_than_its_edge(wanted: list[float], width: float) -> None:
    held = held_within(np.array(wanted), np.full(len(wanted), width))
    before = wanted[0]
    for now, position in zip(wanted, held, strict=True):
        assert abs(position - now) <= width + 1e-12
        expected = before if abs(before - now) <= width else now + np.sign(before - now) * width
        assert position == pytest.approx(expected)
        before = position


@given(positions, st.integers(1, 40))
def test_a_band_rests_on_no_later_position(wanted: list[float], count: int) -> None:
    volatility = np.full(len(wanted), 0.01)
    changes = np.diff(wanted, prepend=wanted[:1])
    whole, cut = (band_widths(part, volatility[: len(part)], 1e-4, 2.0) for part in (changes, changes[:count]))
    assert whole[:count].tolist() == cut.tolist()


def test_the_width_is_the_best_one() -> None:
    # Straying uniformly in a band of half-width d costs d^2 / 6 times gamma sigma^2, trading c s^2 / 2 d.
    cost, aversion, volatility, changes = 1e-4, 2.7, 0.01, np.append(0.0, np.full(399, 0.1))
    width = band_widths(changes, np.full(400, volatility), cost, aversion)[-1]
    spread = (10 * 0.05**2 + 399 * 0.1**2) / 409
    widths = np.linspace(0.01, 1.0, 10_000)
    loss = aversion * volatility**2 * widths**2 / 6 + cost * spread / (2 * widths)
    assert width == pytest.approx(widths[int(loss.argmin())], abs=2e-4)


def test_nothing_paid_means_no_band() -> None:
    assert band_widths(np.array([0.0, 0.2]), np.array([0.01, 0.01]), 0.0, 2.0).tolist() == [0.0, 0.0]
