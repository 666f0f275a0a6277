"""What can be drawn of a backtest: curves over its sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.backtest.market import Market
from volcast.backtest.plan import Plan
from volcast.pictures import COMPARED, FORECAST, MARK, REALIZED, label_dates, mark_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PICTURES", "Marks", "Picture", "curves_of_runs", "curves_of_volatility", "draw_curves", "marks_of"]

Picture = Literal["capital", "drawdown", "exposure", "volatility", "costs"]

Sessions = Mapping[str, pd.DataFrame]
"""Of each run, by its name, `Run.sessions`; the first is the strategy's, the last the benchmark's."""

_SMOOTHED = 5


@dataclass(frozen=True)
class Look:
    """How a picture is drawn.

    Attributes
    ----------
    caption, axis
        What it shows, over the picture and beside its axis.
    form
        Of the numbers on its axis.
    from_zero
        Whether the axis begins (or ends) at 0.
    """

    caption: str
    axis: str
    form: str
    from_zero: bool = True


PICTURES: Mapping[Picture, Look] = {
    "capital": Look("Capital after costs, 1 at the start", "capital", "{x:.2f}", from_zero=False),
    "drawdown": Look("Loss from the peak before", "loss", "{x:.0%}"),
    "exposure": Look("Exposure, share of capital", "exposure", "{x:.0%}"),
    "volatility": Look("Volatility from close to close, annualized", "annualized volatility", "{x:.0%}"),
    "costs": Look("Costs so far, share of capital", "costs so far", "{x:.2%}"),
}
"""The pictures, in the order of the report."""


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


def curves_of_runs(sessions: Sessions, market: Market, picture: Picture) -> pd.DataFrame:
    """Indexed by the strategy's closes, a column a run: what a picture of the runs shows."""
    strategy = next(iter(sessions.values()))
    if picture == "exposure":
        return strategy[["exposure"]]
    # What else is held may close earlier, or miss a session.
    days = market.sessions_of(time_index(strategy))
    by_session = {
        name: table.set_axis(market.sessions_of(time_index(table))).reindex(days) for name, table in sessions.items()
    }
    if picture == "costs":
        costs = {name: table["costs"].fillna(0.0).cumsum() for name, table in by_session.items()}
        return pd.DataFrame(costs).set_axis(strategy.index)
    equity = {name: table["equity"].ffill() for name, table in by_session.items()}
    capital = pd.DataFrame(equity).set_axis(strategy.index)
    return capital if picture == "capital" else capital / capital.cummax().clip(lower=1.0) - 1.0


def curves_of_volatility(market: Market, plan: Plan, target: float | None, closes: pd.DatetimeIndex) -> pd.DataFrame:
    """Volatility of the first symbol from close to close, annualized: what came, what was forecast, what was aimed at.

    Indexed by the `closes`.
    """
    days, symbol = market.sessions_of(closes), market.symbols[0]
    prices, outlook = market.prices[symbol], market.outlook[symbol]
    variance = market.trading.sessions_per_year * (prices["variance"] + prices["night"].fillna(0.0) ** 2)
    curves = {
        "forecast, as of the open": outlook["annualized_volatility"].reindex(days),
        f"realized, {_SMOOTHED} sessions": variance.rolling(_SMOOTHED).mean().reindex(days) ** 0.5,
    }
    implied = plan.decisions.get("implied")
    if implied is not None:
        daily = implied.groupby(market.sessions_of(time_index(implied))).first()
        curves["implied"] = daily.reindex(days).astype(float)
    if target is not None and len(market.symbols) == 1:
        curves["target"] = pd.Series(target, days)
    return pd.DataFrame(curves).set_axis(closes)


def marks_of(market: Market, plan: Plan, closes: pd.DatetimeIndex) -> Marks:
    """Which of the sessions that end with `closes` come after a hole, or are the first of a new model."""
    holes = closes.searchsorted(pd.DatetimeIndex(market.holes["first"]))
    trainings: set[int] = set()
    if "model_version" in plan.decisions:
        versions = plan.decisions["model_version"]
        changed = versions.ne(versions.shift()).to_numpy()[1:]
        trainings = set(closes.searchsorted(plan.decisions.index[1:][changed]).tolist())
    return Marks([int(row) for row in holes if 0 < row < len(closes)], sorted(trainings - {len(closes)}))


def draw_curves(axes: "Axes", curves: pd.DataFrame, picture: Picture, marks: Marks) -> None:
    """Draw each column of `curves`, the first one above the others."""
    for place, (name, colour) in enumerate(zip(curves, _colours(curves, picture), strict=True)):
        axes.plot(curves[name].to_numpy(), color=colour, linewidth=1.2, label=str(name), zorder=3 - place / 10)
    look = PICTURES[picture]
    axes.set_ylabel(look.axis)
    axes.yaxis.set_major_formatter(look.form)
    label_dates(axes, time_index(curves))
    mark_rows(axes, marks.holes, "sessions missing", REALIZED)
    mark_rows(axes, marks.trainings, "new model", MARK)
    has_legend = curves.shape[1] > 1 or bool(marks.holes or marks.trainings)
    if look.from_zero:
        low, high = axes.get_ylim()
        # Above what rises from zero there is room for a legend.
        falls = np.nanmin(curves) < 0
        axes.set_ylim((low, 0.0) if falls else (0.0, high * (1.25 if has_legend else 1.0)))
    if has_legend:
        axes.legend(frameon=False)


def _colours(curves: pd.DataFrame, picture: Picture) -> list[str]:
    if picture == "volatility":
        return [FORECAST, REALIZED, COMPARED, COMPARED][: curves.shape[1]]
    # The benchmark, which stands last, has the colour of what is.
    between = [COMPARED] * (curves.shape[1] - 2)
    return [FORECAST, *between, REALIZED][: curves.shape[1]]
