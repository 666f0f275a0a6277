"""A backtest as one HTML page that needs nothing else: no network, no script; light and dark."""

import calendar
import math
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from volcast.arrays import time_index
from volcast.backtest.engine import Backtest, Run
from volcast.backtest.figures import PICTURES
from volcast.backtest.market import Market
from volcast.backtest.report import FIGURES, describe_backtest, describe_hole, number, verdict
from volcast.counts import counted
from volcast.evaluation.report.document import html_document, html_pictures, html_table
from volcast.files import write_whole
from volcast.pictures import page_picture

__all__ = ["backtest_page", "save_page"]

_STYLE = """
td.says { text-align: left; white-space: normal; min-width: 22ch; color: var(--quiet); font-size: 0.92em; }
td.own { font-weight: 700; }
summary { cursor: pointer; color: var(--quiet); }
"""

_MOST_TRADES = 1000


def save_page(backtest: Backtest, path: Path, *, about: Sequence[str] = ()) -> None:
    """Write `backtest_page` to `path`, whole or not at all, in a directory that is made where there is none.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, backtest_page(backtest, about=about).encode())


def backtest_page(backtest: Backtest, *, about: Sequence[str] = ()) -> str:
    """The page: what came out in a sentence, figures with what they mean, pictures, months, retrainings, trades.

    Parameters
    ----------
    about
        Sentences on model and bars.
    """
    title = f"{backtest.strategy.name}, {', '.join(backtest.market.symbols)}"
    title = title[:1].upper() + title[1:]
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in [*about, *describe_backtest(backtest)])
    mark = '<p class="simulated">SIMULATED bars: this shows how things work and says nothing of any market.</p>'
    body = f"""<h1>{escape(title)}</h1>
{mark if backtest.market.simulated else ""}<p class="verdict">{escape(verdict(backtest))}</p>
{said}<h2>Figures</h2>
{_figures(backtest)}
<h2>Pictures</h2>
{html_pictures(_pictures(backtest))}
<h2>Month by month</h2>
{_months(backtest.strategy, backtest.market)}
{_events(backtest)}{_trades(backtest.strategy)}"""
    return html_document(title, _STYLE, body)


def _figures(backtest: Backtest) -> str:
    lines = []
    for name, figure in FIGURES.items():
        values = [run.statistics.get(name, math.nan) for run in backtest.runs]
        if not any(map(math.isfinite, values)):
            continue
        cells = [f'<td class="own">{number(figure.form, values[0])}</td>']
        cells += [f"<td>{number(figure.form, value)}</td>" for value in values[1:]]
        lines.append(
            f'<tr><td>{escape(figure.title)}</td>{"".join(cells)}<td class="says spare">{figure.says}</td></tr>'
        )
    heads = "".join(f"<th>{escape(run.name)}</th>" for run in backtest.runs)
    return html_table(f'<th></th>{heads}<th class="says spare"></th>', lines)


def _pictures(backtest: Backtest) -> Iterator[tuple[str, str]]:
    for picture, look in PICTURES.items():
        of = f", {backtest.market.symbols[0]}" if picture == "volatility" else ""
        drawn = page_picture(picture, partial(backtest.plot, picture))
        yield f"{look.caption}{of}", drawn


def _months(run: Run, market: Market) -> str:
    returns = run.sessions["return"]
    periods = market.sessions_of(time_index(returns)).to_period("M")
    monthly = (1.0 + returns).groupby(periods).prod() - 1.0
    years = sorted({period.year for period in monthly.index})
    lines = []
    for month in range(1, 13):
        cells = [_change(monthly.get(pd.Period(f"{year}-{month:02d}", "M"))) for year in years]
        lines.append(f"<tr><td>{calendar.month_name[month]}</td>{''.join(cells)}</tr>")
    totals = [float((1.0 + monthly[time_index(monthly).year == year]).prod() - 1.0) for year in years]
    lines.append(f"<tr><td>year</td>{''.join(map(_change, totals))}</tr>")
    return html_table("<th>%</th>" + "".join(f"<th>{year}</th>" for year in years), lines)


def _change(value: float | None) -> str:
    if value is None:
        return "<td></td>"
    percent = round(100 * value, 1) + 0.0
    return f'<td class="{"gain" if percent >= 0 else "loss"}">{percent:+.1f}</td>'


def _events(backtest: Backtest) -> str:
    entries = [
        describe_hole(backtest, f"{last:%Y-%m-%d %H:%M}", f"{first:%Y-%m-%d %H:%M}")
        for last, first in backtest.market.holes.itertuples(index=False)
    ]
    decisions = backtest.strategy.plan.decisions
    if "model_version" in decisions:
        changed = decisions[decisions["model_version"].ne(decisions["model_version"].shift())]
        entries += [f"{moment:%Y-%m-%d}: forecasts by {name}." for moment, name in changed["model_version"].items()]
    items = "".join(f"<li>{escape(entry)}</li>" for entry in entries)
    return f"<h2>Models and holes</h2>\n<ul>{items}</ul>\n" if entries else ""


def _trades(run: Run) -> str:
    trades = run.trades
    shown = trades.tail(_MOST_TRADES)
    lines = []
    for moment, row in shown.iterrows():
        cells = (
            f"{moment:%Y-%m-%d %H:%M}",
            escape(str(row["instrument"])),
            f"{row['value'] * np.sign(row['units']):+.2%}",
            f"{1e4 * row['cost']:.2f}",
        )
        spare = f"{row['price']:,.2f}", escape(str(row.get("model_version", "")))
        lines.append(f"<tr>{_cells('td', cells, spare)}</tr>")
    heads = _cells("th", ("moment", "traded", "of the first capital", "cost, bp"), ("price", "model"))
    said = counted(len(trades), "trade") + (f", the last {_MOST_TRADES:,} shown" if len(trades) > _MOST_TRADES else "")
    return f"<h2>Trades</h2>\n<details><summary>{said}</summary>{html_table(heads, lines)}</details>\n"


def _cells(tag: str, cells: Sequence[str], spare: Sequence[str]) -> str:
    shown = "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
    return shown + "".join(f'<{tag} class="spare">{cell}</{tag}>' for cell in spare)
