"""Pictures of an evaluation, as SVG that stands inside a page: small enough for a telephone, sharp at any width."""

from collections.abc import Iterator
from functools import partial

from volcast.arrays import time_index
from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.figures import NEWEST_DAYS, Picture, drawable
from volcast.markets.clocks import clock_of
from volcast.pictures import page_picture

__all__ = ["evaluation_figures"]

_HEIGHT = 3.1


def evaluation_figures(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Captions and pictures (an ``<svg>`` element each) of what can be shown; none without a model."""
    for picture in drawable(evaluation):
        # A line a symbol.
        height = max(_HEIGHT, 0.16 * len(evaluation.ratios) + 0.6) if picture == "symbols" else _HEIGHT
        drawn = page_picture(picture, partial(evaluation.plot, picture), height)
        yield _caption(evaluation, picture), drawn


def _caption(evaluation: Evaluation, picture: Picture) -> str:
    mean = ", mean of the symbols" if evaluation.symbols else ""
    clock = clock_of(str(time_index(evaluation.by_bucket).tz)).title
    captions: dict[Picture, str] = {
        "symbols": "QLIKE relative to each symbol's own log-HAR; left of the line is better",
        "newest": f"Forecast and realized, the last {NEWEST_DAYS} days, bucket by bucket{mean}",
        "daily": f"Forecast and realized by the day, all days judged{mean}",
        "calibration": "Calibration: what came on average where so much was forecast",
        "hours": f"QLIKE by time of day (label of the bucket, {clock})",
        "cumulative": f"QLIKE saved against the diurnal log-HAR{mean}, summed up; rising is better",
    }
    return captions[picture]
