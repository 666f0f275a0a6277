"""What is drawn of an evaluation is what it holds."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from volcast.errors import ConfigError, NotEnoughDataError
from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.evaluation.figures import Picture, drawable
from volcast.forecasters.baselines.registry import BASELINES


def drawn(evaluation: Evaluation, picture: Picture) -> Axes:
    axes = Figure().add_subplot()
    assert evaluation.plot(picture, ax=axes) is axes
    return axes


def line(axes: Axes, label: str) -> np.ndarray:
    (curve,) = (one for one in axes.get_lines() if one.get_label() == label)
    return np.asarray(curve.get_ydata(), dtype=float)


def test_all_buckets_or_the_newest_ten_days(evaluation: Evaluation) -> None:
    table = evaluation.by_bucket
    everything = drawn(evaluation, "all")
    np.testing.assert_array_equal(line(everything, "forecast"), 100 * table["model"])
    np.testing.assert_array_equal(line(everything, "realized"), 100 * table["realized"])
    assert not everything.collections
    newest = drawn(evaluation, "newest")
    days = sorted({label.date() for label in table.index})[-10:]
    expected = [100 * row["model"] for label, row in table.iterrows() if label.date() in days]  # type: ignore[attr-defined]
    np.testing.assert_allclose(line(newest, "forecast"), expected)
    assert [band.get_label() for band in newest.collections] == ["90 % interval"]


def test_a_days_volatility_is_the_root_of_its_mean_variance(evaluation: Evaluation) -> None:
    by_day: dict[object, list[float]] = {}
    for label, row in evaluation.by_bucket.iterrows():
        by_day.setdefault(label.date(), []).append(row["realized"] ** 2)  # type: ignore[attr-defined]
    expected = [100 * (sum(values) / len(values)) ** 0.5 for values in by_day.values()]
    np.testing.assert_allclose(line(drawn(evaluation, "daily"), "realized"), expected)


def test_losses_are_summed_up_and_shown_by_hour(evaluation: Evaluation) -> None:
    losses = evaluation.losses()
    total, sums = 0.0, []
    for ours, theirs in zip(losses["model"], losses["diurnal_log_har"], strict=True):
        total += theirs - ours
        sums.append(total)
    lines = drawn(evaluation, "cumulative").get_lines()
    np.testing.assert_allclose(np.asarray(lines[1].get_ydata(), dtype=float), sums)
    bars = drawn(evaluation, "hours").patches
    hours = evaluation.breakdown("hour")
    heights = [bar.get_height() for bar in bars]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(heights, [*hours["reference_qlike"], *hours["qlike"]])


def test_a_perfect_forecast_is_calibrated(evaluation: Evaluation) -> None:
    perfect = evaluation.by_bucket.assign(model=evaluation.by_bucket["realized"])
    axes = drawn(Evaluation(evaluation.metrics, perfect, 0), "calibration")
    (curve,) = (one for one in axes.get_lines() if one.get_label() == "model")
    np.testing.assert_array_equal(curve.get_xdata(), curve.get_ydata())
    assert len(np.asarray(curve.get_xdata())) == 10


def test_symbols_are_shown_by_their_ratio(evaluation: Evaluation) -> None:
    of_many = Evaluation.of_symbols({"A$A": evaluation, "BBB": evaluation})
    assert drawable(of_many)[0] == "symbols"
    axes = drawn(of_many, "symbols")
    np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), of_many.ratios[::-1])
    assert {label.get_text() for label in axes.get_yticklabels()} == {"A$A", "BBB"}


def test_what_cannot_be_drawn_is_refused(evaluation: Evaluation, measures: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="no picture 'x'"):
        evaluation.plot("x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="of one symbol"):
        evaluation.plot("symbols")
    baselines_alone = compare_with_baselines(measures, np.arange(700, len(measures)))
    assert drawable(baselines_alone) == []
    with pytest.raises(ConfigError, match="no model was judged"):
        baselines_alone.plot()
    short = compare_with_baselines(measures, np.arange(200, 240), BASELINES["persistence"])
    assert drawable(short) == ["newest", "daily", "calibration"]
    with pytest.raises(NotEnoughDataError, match="too little history"):
        short.plot("cumulative")
