"""What all pictures share: whose axes they are drawn on, days below them, and holes."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from volcast.errors import ConfigError, MissingPackageError
from volcast.pictures import axes_or_new, draw_forecasts, label_dates, mark_holes, page_picture, png

DAYS = pd.DatetimeIndex([*pd.bdate_range("2024-01-02", periods=5), *pd.bdate_range("2024-03-01", periods=5)])


def test_days_that_are_missing_are_marked_and_no_line_leads_over_them() -> None:
    axes = Figure().add_subplot()
    axes.plot(np.arange(10.0))
    mark_holes(axes, DAYS)
    values, hole = axes.get_lines()
    assert np.isnan(values.get_ydata()).tolist() == [False] * 5 + [True] + [False] * 5
    assert hole.get_xdata() == [4.5, 4.5]
    assert hole.get_label() == "days missing"


def test_a_forecast_is_drawn_in_percent_over_what_came() -> None:
    axes = Figure().add_subplot()
    table = pd.DataFrame({"forecast": [0.01, 0.02], "realized": [0.03, np.nan]}, index=DAYS[:2])
    draw_forecasts(axes, table, "hourly volatility")
    lines = {str(line.get_label()): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["forecast"], [1.0, 2.0])
    np.testing.assert_array_equal(lines["realized"], [3.0, np.nan])
    assert not axes.collections
    draw_forecasts(axes, table.assign(lower=0.0, upper=1.0), "hourly volatility", 0.8)
    assert [band.get_label() for band in axes.collections] == ["80 % interval"]


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (2, 2), (10, 4)])
def test_some_days_are_written_below(count: int, shown: int) -> None:
    axes = Figure().add_subplot()
    label_dates(axes, DAYS[:count])
    texts = [label.get_text() for label in axes.get_xticklabels()]
    assert len(texts) == shown
    assert (texts[0], texts[-1]) == (f"{DAYS[0]:%Y-%m-%d}", f"{DAYS[count - 1]:%Y-%m-%d}")


def test_axes_are_the_users_or_those_of_a_new_figure() -> None:
    mine = Figure().add_subplot()
    assert axes_or_new(mine) is mine
    before = plt.get_fignums()
    new = axes_or_new(None)
    assert len(plt.get_fignums()) == len(before) + 1
    assert new.figure is plt.gcf()
    plt.close(plt.gcf())
    with pytest.raises(ConfigError, match="ax is a Figure"):
        axes_or_new(Figure())  # type: ignore[arg-type]


def test_a_pages_picture_is_the_same_each_time_and_no_window_knows_it() -> None:
    before = plt.get_fignums()

    def plot(ax: Axes) -> Axes:
        ax.plot([1, 2], color="#c2410c")
        return ax

    element = page_picture("first", plot)
    assert element == page_picture("first", plot)
    assert element.startswith("<svg")
    assert "var(--c0)" in element
    assert plt.get_fignums() == before
    assert png(Figure()).startswith(b"\x89PNG")


def test_without_matplotlib_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingPackageError, match="pictures need the package matplotlib"):
        axes_or_new(None)
