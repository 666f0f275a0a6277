"""Pictures of an evaluation, as SVG that stands inside a page: small enough for a telephone, sharp at any width."""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.verdict import MODEL, REFERENCE, title_of
from volcast.markets.clocks import clock_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["by_label", "evaluation_figures", "mark_holes"]

_REALIZED, _MODEL, _REFERENCE = "#6b7280", "#c2410c", "#1d4ed8"
_BLACK = "#000000"
# Of the page's sheet, which has a light and a dark scheme.
_SCHEME = {_REALIZED: "var(--c2)", _MODEL: "var(--c0)", _REFERENCE: "var(--c1)", _BLACK: "currentColor"}
_SIZE = (4.6, 3.1)
_NEWEST_DAYS = 10
_HOLE = pd.Timedelta(days=7)
"""More than any weekend with holidays."""
_BINS = 10
# What Matplotlib would write about itself: a date, which makes every page another, and addresses.
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def evaluation_figures(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Captions and pictures (an ``<svg>`` element each) of what can be shown; none without a model."""
    if MODEL not in evaluation.metrics:
        return
    mean = ", mean of the symbols" if evaluation.symbols else ""
    if evaluation.symbols:
        said = "QLIKE relative to each symbol's own log-HAR; left of the line is better"
        yield said, _svg(_ratios(evaluation), "ratios")
    yield f"Forecast and realized, the last {_NEWEST_DAYS} days by the hour{mean}", _svg(_newest(evaluation), "newest")
    yield f"Forecast and realized by the day, all days judged{mean}", _svg(_daily(evaluation), "daily")
    yield "Calibration: what came on average where so much was forecast", _svg(_calibration(evaluation), "calibration")
    if REFERENCE in evaluation.metrics:
        place = clock_of(str(time_index(evaluation.by_bucket).tz)).place
        yield f"QLIKE by hour of day (label of the bucket, {place} time)", _svg(_by_hour(evaluation), "hours")
        said = f"QLIKE saved against the diurnal log-HAR{mean}, summed up; rising is better"
        yield said, _svg(_cumulative(evaluation), "cumulative")


def by_label(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a bucket of time: of several symbols, the mean of those that have it."""
    return frame if frame.index.is_unique else frame.groupby(level=0).mean()


def mark_holes(axes: "Axes", labels: pd.DatetimeIndex) -> None:
    """Mark where `labels`, drawn at 0, 1, 2 ..., leave out more than a week, and break the lines there.

    Parameters
    ----------
    axes
        With lines of one point a label.
    labels
        Moments, in time order.
    """
    after = np.flatnonzero(np.diff(labels) > _HOLE) + 1
    for line in axes.get_lines():
        at, values = (np.asarray(part, dtype=float) for part in line.get_data())
        if len(at) == len(labels):
            line.set_data(np.insert(at, after, after - 0.5), np.insert(values, after, np.nan))
    for number, place in enumerate(after):
        label = None if number else "days missing"
        axes.axvline(float(place) - 0.5, color=_REALIZED, linewidth=1.0, linestyle="--", label=label)


def _newest(evaluation: Evaluation) -> "Figure":
    figure, axes = _axes()
    buckets = by_label(evaluation.by_bucket)
    dates = time_index(buckets).normalize()
    shown = buckets[dates >= dates.unique()[-_NEWEST_DAYS:][0]]
    # By position, not by time: nights and weekends would take three quarters of the width.
    at = np.arange(len(shown))
    if "lower" in shown:
        label = f"{100 * evaluation.level:.0f} % interval"
        axes.fill_between(at, 100 * shown["lower"], 100 * shown["upper"], color=_MODEL, alpha=0.15, lw=0, label=label)
    axes.plot(at, 100 * shown["realized"], color=_REALIZED, linewidth=1.0, label="realized")
    axes.plot(at, 100 * shown[MODEL], color=_MODEL, linewidth=1.3, label="forecast")
    _dates(axes, time_index(shown))
    axes.set_ylabel("hourly volatility, %")
    axes.legend(frameon=False)
    return figure


def _daily(evaluation: Evaluation) -> "Figure":
    figure, axes = _axes()
    variance = evaluation.by_bucket[["realized", MODEL]] ** 2
    daily = 100 * _root(variance.groupby(time_index(variance).normalize()).mean())
    axes.plot(daily["realized"].to_numpy(), color=_REALIZED, linewidth=1.0, label="realized")
    axes.plot(daily[MODEL].to_numpy(), color=_MODEL, linewidth=1.3, label="forecast")
    _dates(axes, time_index(daily))
    mark_holes(axes, time_index(daily))
    axes.set_ylabel("hourly volatility, %, mean of a day")
    axes.legend(frameon=False)
    return figure


def _root(variance: pd.DataFrame) -> pd.DataFrame:
    return cast(pd.DataFrame, np.sqrt(variance))


def _calibration(evaluation: Evaluation) -> "Figure":
    figure, axes = _axes()
    ends = []
    for name, color in ((REFERENCE, _REFERENCE), (MODEL, _MODEL)):
        if name not in evaluation.metrics:
            continue
        judged = evaluation.by_bucket[[name, "realized"]] ** 2
        tenth = np.ceil(_BINS * judged[name].rank(method="first", pct=True))
        means = 100 * _root(judged.groupby(tenth).mean())
        axes.plot(means[name], means["realized"], color=color, marker="o", markersize=4, label=title_of(name))
        ends += [means.to_numpy().min(), means.to_numpy().max()]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=_REALIZED, linestyle="--", label="as forecast")
    axes.set_xlabel("forecast hourly volatility, %, in tenths")
    axes.set_ylabel("realized, %")
    axes.legend(frameon=False)
    return figure


def _by_hour(evaluation: Evaluation) -> "Figure":
    figure, axes = _axes()
    hours = evaluation.breakdown("hour")
    at = np.arange(len(hours))
    axes.bar(at - 0.2, hours["reference_qlike"], 0.38, color=_REFERENCE, label=title_of(REFERENCE))
    axes.bar(at + 0.2, hours["qlike"], 0.38, color=_MODEL, label=title_of(MODEL))
    axes.set_xticks(at, [f"{hour}:00" for hour in hours.index])
    axes.set_ylabel("QLIKE")
    # Above the bars there is room for a legend, whatever their heights.
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(frameon=False, ncols=2, loc="upper left")
    return figure


def _cumulative(evaluation: Evaluation) -> "Figure":
    figure, axes = _axes()
    losses = evaluation.losses()
    saved = by_label((losses[REFERENCE] - losses[MODEL]).to_frame())[0].cumsum()
    axes.axhline(0, color=_REALIZED, linewidth=0.8)
    axes.plot(saved.to_numpy(), color=_MODEL, linewidth=1.3)
    _dates(axes, time_index(saved))
    mark_holes(axes, time_index(saved))
    axes.set_ylabel("QLIKE saved so far")
    return figure


def _ratios(evaluation: Evaluation) -> "Figure":
    ratios = evaluation.ratios[::-1]
    figure, axes = _axes(max(_SIZE[1], 0.16 * len(ratios) + 0.6))
    axes.plot(ratios.to_numpy(), np.arange(len(ratios)), color=_MODEL, marker="o", markersize=4, linestyle="")
    axes.axvline(1, color=_REFERENCE, linewidth=1.0)
    axes.set_yticks(np.arange(len(ratios)), [str(name) for name in ratios.index], parse_math=False)
    axes.set_xlabel("QLIKE to log-HAR")
    return figure


def _axes(height: float = _SIZE[1]) -> "tuple[Figure, Axes]":
    # Not pyplot: it would choose a window system and keep every figure for the life of the process.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _dates(axes: "Axes", labels: pd.DatetimeIndex) -> None:
    ticks = np.linspace(0, len(labels) - 1, min(4, len(labels))).astype(int)
    axes.set_xticks(ticks, [f"{labels[tick]:%Y-%m-%d}" for tick in ticks])


def _svg(figure: "Figure", name: str) -> str:
    from matplotlib import rc_context

    content = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        figure.savefig(content, format="svg", metadata=_NO_METADATA, transparent=True)
    element = content.getvalue()
    element = element[element.index("<svg") :]
    for colour, variable in _SCHEME.items():
        element = element.replace(f": {colour}", f": {variable}")
    # Several pictures stand in one page, where an id must be one element's.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", element)
