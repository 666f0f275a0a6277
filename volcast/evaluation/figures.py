"""What can be drawn of an evaluation."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.evaluation.verdict import MODEL, REFERENCE, title_of
from volcast.markets.registry import market_of
from volcast.pictures import COMPARED, FORECAST, REALIZED, draw_forecasts, label_dates, mark_holes, require_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NEWEST_DAYS", "Judged", "Picture", "draw", "drawable", "require_drawable"]

Picture = Literal["newest", "all", "daily", "calibration", "hours", "cumulative", "symbols"]

NEWEST_DAYS = 10
"""Days that ``"newest"`` shows."""

_BINS = 10
_MOST_TICKS = 24
_AGAINST_REFERENCE = ("hours", "cumulative")


class Judged(Protocol):
    """What is drawn: an `Evaluation`, whose members these are."""

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]:
        """Losses by forecast."""

    @property
    def by_bucket(self) -> pd.DataFrame:
        """Realized and forecast volatilities."""

    @property
    def level(self) -> float:
        """What the interval is meant to cover."""

    @property
    def ratios(self) -> pd.Series:
        """QLIKE to the log-HAR's by symbol."""

    @property
    def symbols(self) -> Mapping[str, object]:
        """The evaluation on each symbol, where there are several."""

    def breakdown(self, by: Literal["hour"]) -> pd.DataFrame:
        """The model beside the log-HAR by hour."""

    def losses(self) -> pd.DataFrame:
        """QLIKE of each bucket and forecast."""


def drawable(judged: Judged) -> list[Picture]:
    """What there is to draw of it, all but ``"all"``; nothing without a model."""
    if MODEL not in judged.metrics:
        return []
    first: list[Picture] = ["symbols"] if judged.symbols else []
    last: list[Picture] = ["hours", "cumulative"] if REFERENCE in judged.metrics else []
    return [*first, "newest", "daily", "calibration", *last]


def draw(axes: "Axes", judged: Judged, picture: Picture) -> None:
    """Draw one of the pictures, which `require_drawable` let pass; see `Evaluation.plot`."""
    _DRAWN[picture](axes, judged)


def require_drawable(judged: Judged, picture: Picture) -> None:
    """Refuse a picture that there is not, or not of this; see `Evaluation.plot`."""
    require_picture(picture, _DRAWN)
    if MODEL not in judged.metrics:
        raise ConfigError("no model was judged, only baselines; a picture is of a model; evaluate one beside them.")
    if picture in _AGAINST_REFERENCE and REFERENCE not in judged.metrics:
        raise NotEnoughDataError(
            f"there was too little history for the diurnal log-HAR, with which {picture!r} compares; it needs three "
            "months; draw 'newest', 'daily' or 'calibration'."
        )
    if picture == "symbols" and not judged.symbols:
        raise ConfigError("the evaluation is of one symbol; 'symbols' compares several; draw 'newest'.")


def _by_label(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a bucket of time: of several symbols, the mean of those that have it."""
    return frame if frame.index.is_unique else frame.groupby(level=0).mean()


def _draw_newest(axes: "Axes", judged: Judged) -> None:
    buckets = _by_label(judged.by_bucket)
    dates = time_index(buckets).normalize()
    _draw_buckets(axes, judged, buckets[dates >= dates.unique()[-NEWEST_DAYS:][0]])


def _draw_all(axes: "Axes", judged: Judged) -> None:
    # Over a whole test part a band hides the lines.
    _draw_buckets(axes, judged, _by_label(judged.by_bucket).drop(columns=["lower", "upper"], errors="ignore"))


def _draw_buckets(axes: "Axes", judged: Judged, buckets: pd.DataFrame) -> None:
    draw_forecasts(axes, buckets.rename(columns={MODEL: "forecast"}), f"{_adjective(judged)} volatility", judged.level)


def _draw_daily(axes: "Axes", judged: Judged) -> None:
    variance = judged.by_bucket[["realized", MODEL]] ** 2
    daily = _root(variance.groupby(time_index(variance).normalize()).mean())
    draw_forecasts(axes, daily.rename(columns={MODEL: "forecast"}), f"{_adjective(judged)} volatility, mean of a day")


def _adjective(judged: Judged) -> str:
    return market_of(judged.by_bucket).bucket_adjective


def _root(variance: pd.DataFrame) -> pd.DataFrame:
    return cast(pd.DataFrame, np.sqrt(variance))


def _draw_calibration(axes: "Axes", judged: Judged) -> None:
    ends = []
    for name, color in ((REFERENCE, COMPARED), (MODEL, FORECAST)):
        if name not in judged.metrics:
            continue
        variance = judged.by_bucket[[name, "realized"]] ** 2
        tenth = np.ceil(_BINS * variance[name].rank(method="first", pct=True))
        means = 100 * _root(variance.groupby(tenth).mean())
        axes.plot(means[name], means["realized"], color=color, marker="o", markersize=4, label=title_of(name))
        ends += [means.to_numpy().min(), means.to_numpy().max()]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=REALIZED, linestyle="--", label="as forecast")
    axes.set_xlabel(f"forecast {_adjective(judged)} volatility, %, in tenths")
    axes.set_ylabel("realized, %")
    axes.legend(frameon=False)


def _draw_hours(axes: "Axes", judged: Judged) -> None:
    hours, market = judged.breakdown("hour"), market_of(judged.by_bucket)
    at = np.arange(len(hours))
    axes.bar(at - 0.2, hours["reference_qlike"], 0.38, color=COMPARED, label=title_of(REFERENCE))
    axes.bar(at + 0.2, hours["qlike"], 0.38, color=FORECAST, label=title_of(MODEL))
    step = -(-len(hours) // _MOST_TICKS)
    axes.set_xticks(at[::step], [market.time_of_slot(int(hour)) for hour in hours.index[::step]])
    axes.set_ylabel("QLIKE")
    # Above the bars there is room for a legend, whatever their heights.
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(frameon=False, ncols=2, loc="upper left")


def _draw_cumulative(axes: "Axes", judged: Judged) -> None:
    losses = judged.losses()
    saved = _by_label((losses[REFERENCE] - losses[MODEL]).to_frame())[0].cumsum()
    axes.axhline(0, color=REALIZED, linewidth=0.8)
    axes.plot(saved.to_numpy(), color=FORECAST, linewidth=1.3)
    label_dates(axes, time_index(saved))
    mark_holes(axes, time_index(saved))
    axes.set_ylabel("QLIKE saved so far")


def _draw_symbols(axes: "Axes", judged: Judged) -> None:
    ratios = judged.ratios[::-1]
    axes.plot(ratios.to_numpy(), np.arange(len(ratios)), color=FORECAST, marker="o", markersize=4, linestyle="")
    axes.axvline(1, color=COMPARED, linewidth=1.0)
    axes.set_yticks(np.arange(len(ratios)), [str(name) for name in ratios.index], parse_math=False)
    axes.set_xlabel("QLIKE to log-HAR")


_DRAWN: "Mapping[Picture, Callable[[Axes, Judged], None]]" = {
    "newest": _draw_newest,
    "all": _draw_all,
    "daily": _draw_daily,
    "calibration": _draw_calibration,
    "hours": _draw_hours,
    "cumulative": _draw_cumulative,
    "symbols": _draw_symbols,
}
