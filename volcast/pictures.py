"""Pictures by Matplotlib: on axes of the user's, in a notebook's figure, or as SVG inside a page.

Rows are drawn by their position, not by time: nights and weekends would take three quarters of the width.
"""

import io
import re
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.errors import ConfigError
from volcast.packages import required_module

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COMPARED",
    "FORECAST",
    "MARK",
    "REALIZED",
    "axes_or_new",
    "draw_forecasts",
    "figure_of",
    "label_dates",
    "mark_holes",
    "mark_rows",
    "page_picture",
    "png",
    "require_picture",
]

REALIZED, FORECAST, COMPARED, MARK = "#6b7280", "#c2410c", "#1d4ed8", "#7c3aed"
"""Colours: of what came, of the forecast, of what it is compared with, and of marks."""

_BLACK = "#000000"
# Of the pages' sheet, which has a light and a dark scheme.
_SCHEME = {
    REALIZED: "var(--c2)", FORECAST: "var(--c0)", COMPARED: "var(--c1)", MARK: "var(--c3)", _BLACK: "currentColor",
}  # fmt: skip
_HOLE = pd.Timedelta(days=7)
"""More than any weekend with holidays."""
# What Matplotlib would write about itself: a date, which makes every page another, and addresses.
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_DATES = 4
_PAGE_WIDTH = 4.6


def figure_of(width: float, height: float) -> "tuple[Figure, Axes]":
    """A new figure, its size in inches, that no window and no list of figures knows, and its axes."""
    # Not pyplot: it would choose a window system and keep every figure for the life of the process.
    figures = required_module("matplotlib.figure", "pictures", "backtest")
    figure: Figure = figures.Figure(figsize=(width, height), layout="constrained")
    return figure, _tidied(figure.add_subplot())


def axes_or_new(ax: "Axes | None") -> "Axes":
    """`ax`, or where it is None the axes of a new figure, which a notebook shows.

    Raises
    ------
    ConfigError
        `ax` is no axes.
    MissingPackageError
        Matplotlib is not installed.
    """
    if ax is None:
        pyplot = required_module("matplotlib.pyplot", "pictures", "backtest")
        return _tidied(pyplot.subplots(figsize=(8, 4), layout="constrained")[1])
    kind: type = required_module("matplotlib.axes", "pictures", "backtest").Axes
    if not isinstance(ax, kind):
        raise ConfigError(f"ax is a {type(ax).__name__}; it must be axes of Matplotlib's; leave it out for new ones.")
    return ax


def require_picture(picture: object, names: Iterable[str]) -> None:
    """Refuse what is none of the `names` of pictures.

    Raises
    ------
    ConfigError
        There is no such picture.
    """
    every = list(names)
    if not isinstance(picture, str) or picture not in every:
        raise ConfigError(
            f"there is no picture {reprlib.repr(picture)}; it must be one of {', '.join(every)}; take {every[0]!r}."
        )


def _tidied(axes: "Axes") -> "Axes":
    """The axes without lines above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_forecasts(axes: "Axes", table: pd.DataFrame, unit: str, level: float = 0.9) -> None:
    """Draw a forecast over what came.

    Parameters
    ----------
    axes
        To draw on.
    table
        Indexed by label, in time order; columns ``forecast``, where it is known ``realized``, and ``lower`` and
        ``upper`` where there is an interval: volatilities, decimal.
    unit
        Of which volatility, for the axis: it is drawn in percent.
    level
        What the interval is meant to cover.
    """
    percent, at = 100 * table, np.arange(len(table))
    if "lower" in percent and percent["lower"].notna().any():
        label = f"{100 * level:.0f} % interval"
        axes.fill_between(at, percent["lower"], percent["upper"], color=FORECAST, alpha=0.15, lw=0, label=label)
    if "realized" in percent:
        axes.plot(at, percent["realized"].to_numpy(), color=REALIZED, linewidth=1.0, label="realized")
    axes.plot(at, percent["forecast"].to_numpy(), color=FORECAST, linewidth=1.3, label="forecast")
    label_dates(axes, time_index(table))
    mark_holes(axes, time_index(table))
    axes.set_ylabel(f"{unit}, %")
    axes.legend(frameon=False)


def label_dates(axes: "Axes", labels: pd.DatetimeIndex) -> None:
    """Write the days of some of `labels`, drawn at 0, 1, 2 ..., below the axes, as their own clock shows them."""
    ticks = np.unique(np.linspace(0, len(labels) - 1, min(_DATES, len(labels))).astype(int))
    axes.set_xticks(ticks, [f"{labels[tick]:%Y-%m-%d}" for tick in ticks])


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
    mark_rows(axes, after.tolist(), "days missing", REALIZED)


def mark_rows(axes: "Axes", rows: Sequence[int], label: str, colour: str) -> None:
    """Draw a dashed line before each of these rows; `label` stands in the legend once."""
    for number, row in enumerate(rows):
        axes.axvline(row - 0.5, color=colour, linewidth=1.0, linestyle="--", label=None if number else label)


def page_picture(name: str, plot: "Callable[..., Axes]", height: float = 3.1) -> str:
    """An ``<svg>`` element for a page: in the page's colours and letters, its ids beginning with `name`.

    Parameters
    ----------
    name
        A word that no other picture of the page has.
    plot
        Called with the keyword ``ax``, draws on these axes.
    height
        In inches, beside a width of 4.6.
    """
    from matplotlib import rc_context

    content = io.StringIO()
    sizes: dict[Any, float] = {"font.size": 9, "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8}
    with rc_context({**sizes, "svg.fonttype": "none", "svg.hashsalt": name}):
        figure, axes = figure_of(_PAGE_WIDTH, height)
        plot(ax=axes)
        figure.savefig(content, format="svg", metadata=_NO_METADATA, transparent=True)
    element = content.getvalue()
    element = element[element.index("<svg") :]
    for colour, variable in _SCHEME.items():
        element = element.replace(f": {colour}", f": {variable}")
    # Several pictures stand in one page, where an id must be one element's.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", element)


def png(figure: "Figure") -> bytes:
    """A figure as a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
