"""Line charts as HTML: an SVG that stretches to any width, and labels beside it that do not."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D

__all__ = ["CHART_STYLE", "Line", "Marks", "chart"]

CHART_STYLE = """
.chart { margin: 0 0 26px; }
.chart figcaption { font-weight: 600; margin-bottom: 2px; }
.plot { position: relative; height: var(--height); margin: 4px 0 22px 52px; border-bottom: 1px solid var(--rule); }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: hidden; }
.plot path, .plot line { fill: none; vector-effect: non-scaling-stroke; }
.plot span { position: absolute; font-size: 12px; line-height: 1; color: var(--quiet); white-space: nowrap; }
.plot .y { right: 100%; padding-right: 7px; transform: translateY(-50%); }
.plot .x { top: 100%; padding-top: 6px; transform: translateX(-50%); }
.plot .x.first { transform: none; } .plot .x.last { transform: translateX(-100%); }
.grid { stroke: var(--rule); stroke-width: 1; }
.c0 { stroke: var(--c0); stroke-width: 1.8; } .c1 { stroke: var(--c1); stroke-width: 1.3; }
.c2 { stroke: var(--c2); stroke-width: 1.3; } .c3 { stroke: var(--c3); stroke-width: 1.3; }
.faint { opacity: 0.55; stroke-width: 0.9; }
.hole { stroke: var(--quiet); stroke-width: 1.4; stroke-dasharray: 5 4; }
.training { stroke: var(--c3); stroke-width: 1.6; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 0.87em; color: var(--quiet); }
.legend i { display: inline-block; width: 18px; height: 0; border-top: 2.5px solid; margin-right: 6px;
  vertical-align: middle; }
.legend .k0 { border-color: var(--c0); } .legend .k1 { border-color: var(--c1); }
.legend .k2 { border-color: var(--c2); } .legend .k3 { border-color: var(--c3); }
.legend .kh { border-top: 2px dashed var(--quiet); }
"""

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS = 4
_DATES = 5
_WIDTH, _HEIGHT = 1000.0, 200.0


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes
    ----------
    name
        In the legend.
    values
        One a session, shape (n,); NaN breaks the line.
    colour
        0 to 3, of the page's palette.
    faint
        Whether it stands behind the others.
    """

    name: str
    values: Float64Array1D
    colour: int
    faint: bool = False


@dataclass(frozen=True)
class Marks:
    """Sessions that are marked, by their positions.

    Attributes
    ----------
    holes
        Before which sessions are missing.
    trainings
        At which a new model began to serve.
    """

    holes: Sequence[int] = ()
    trainings: Sequence[int] = ()


def chart(
    caption: str,
    days: pd.DatetimeIndex,
    lines: Sequence[Line],
    *,
    form: str = "{:.0%}",
    height: int = 200,
    from_zero: bool = False,
    marks: Marks | None = None,
) -> str:
    """A figure: `lines` over sessions, with the first value axis that fits and dates below.

    Parameters
    ----------
    caption
        Title, and what a screen reader says.
    days
        Of the values, one a session, shape (n,).
    form
        Of the numbers on the axis.
    height
        In pixels.
    from_zero
        Whether the axis begins (or ends) at 0.
    marks
        What is marked along the days; None marks nothing.
    """
    low, high = _range(lines, from_zero)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    count = len(days)

    def across(position: float) -> float:
        return _WIDTH * position / max(count - 1, 1)

    def down(value: float) -> float:
        return _HEIGHT * (high - value) / (high - low)

    drawn = [f'<line class="grid" x1="0" x2="{_WIDTH:g}" y1="{down(t):.1f}" y2="{down(t):.1f}"/>' for t in ticks]
    marks = marks or Marks()
    drawn += [_upright("hole", across(row - 0.5)) for row in marks.holes]
    drawn += [_upright("training", across(row), _HEIGHT * 0.93) for row in marks.trainings]
    drawn += [_path(line, across, down) for line in sorted(lines, key=lambda line: not line.faint)]
    labels = [f'<span class="y" style="top:{down(t) / _HEIGHT:.2%}">{form.format(t)}</span>' for t in ticks]
    labels += _dates(days)
    return (
        f'<figure class="chart" role="img" aria-label="{escape(caption)}"><figcaption>{escape(caption)}</figcaption>'
        f"{_legend(lines, marks)}"
        f'<div class="plot" style="--height:{height}px"><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'preserveAspectRatio="none" aria-hidden="true">{"".join(drawn)}</svg>{"".join(labels)}</div></figure>\n'
    )


def _range(lines: Sequence[Line], from_zero: bool) -> tuple[float, float]:
    values = np.concatenate([line.values for line in lines])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-12:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(factor for factor in _STEPS if factor * size >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _upright(style: str, x: float, top: float = 0.0) -> str:
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{_HEIGHT:g}"/>'


def _path(line: Line, across: Callable[[float], float], down: Callable[[float], float]) -> str:
    steps, pen = [], "M"
    for position, value in enumerate(line.values):
        if not math.isfinite(value):
            pen = "M"
            continue
        steps.append(f"{pen}{across(position):.1f} {down(value):.1f}")
        pen = "L"
    style = f"c{line.colour} faint" if line.faint else f"c{line.colour}"
    return f'<path class="{style}" d="{"".join(steps)}"/>'


def _dates(days: pd.DatetimeIndex) -> list[str]:
    rows = np.unique(np.linspace(0, len(days) - 1, min(_DATES, len(days))).astype(int))
    styles = ["x first", *["x"] * (len(rows) - 2), "x last"][: len(rows)]
    # On a telephone there is room for every other date alone.
    styles = [style + (" spare" if place % 2 else "") for place, style in enumerate(styles)]
    span = max(len(days) - 1, 1)
    return [
        f'<span class="{style}" style="left:{row / span:.2%}">{days[row]:%Y-%m-%d}</span>'
        for row, style in zip(rows, styles, strict=True)
    ]


def _legend(lines: Sequence[Line], marks: Marks) -> str:
    entries = [f'<span><i class="k{line.colour}"></i>{escape(line.name)}</span>' for line in lines]
    entries += ['<span><i class="kh"></i>sessions missing</span>'] if marks.holes else []
    entries += ['<span><i class="k3"></i>new model (at the foot)</span>'] if marks.trainings else []
    return f'<div class="legend">{"".join(entries)}</div>'
