"""An evaluation as one HTML page that needs nothing else: no network, no script, readable on a telephone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import pandas as pd

from volcast.evaluation.evaluation import Evaluation, Grouping
from volcast.evaluation.report.figures import evaluation_figures
from volcast.evaluation.verdict import MODEL, SET_LEVEL, title_of

__all__ = ["evaluation_page"]

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 1160px; padding: 16px; background: #fff; color: #1f2933;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5em; line-height: 1.25; margin: 0.3em 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin: 1.8em 0 0.5em; }
p { max-width: 75ch; }
.verdict { border-left: 5px solid; padding: 10px 14px; font-size: 1.1em; font-weight: 600; background: #f5f7fa; }
.use { border-color: #067647; } .either { border-color: #b54708; } .unknown { border-color: #667085; }
.do-not-use { border-color: #b42318; }
.simulated { background: #fef3c7; padding: 8px 14px; font-weight: 600; }
.note { color: #52606d; font-size: 0.9em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.93em; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #e4e7eb; white-space: nowrap; }
th { color: #52606d; font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td:first-child { white-space: normal; }
tr.model td { font-weight: 700; background: #fff7ed; }
.better { color: #067647; } .worse { color: #b42318; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 18px 28px; }
.groups { display: flex; flex-wrap: wrap; gap: 0 44px; }
.groups section { max-width: 100%; min-width: 0; } .groups td:first-child { white-space: nowrap; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit !important; }
@media (max-width: 480px) { th, td { padding: 4px 4px; } table { font-size: 0.8em; } }
"""

_GROUPINGS: tuple[tuple[Grouping, str], ...] = (
    ("hour", "By hour of day"),
    ("regime", "By regime"),
    ("month", "By month"),
)


def evaluation_page(evaluation: Evaluation, *, title: str, about: Sequence[str] = (), simulated: bool = False) -> str:
    """The page: the verdict, the tables and the pictures of `evaluation`.

    Parameters
    ----------
    title
        What was judged: its first heading.
    about
        Sentences on model and bars.
    simulated
        Whether model or bars are simulated; the page then says so at its top.
    """
    body = f"""{_head(evaluation, title, [*about, *_span(evaluation)], simulated)}
{_symbols(evaluation)}<h2>Beside the baselines</h2>
{_comparison(evaluation)}
<p class="note">QLIKE: lower is better, 0 is perfect. To log-HAR: below 1 is better than the diurnal log-HAR. p: of the
Diebold-Mariano test against it, clustered by day. In set: whether the 90 % confidence set of the best forecast holds
it.</p>
{_pictures(evaluation_figures(evaluation))}{_groups(evaluation)}<h2>Other measures</h2>
{_measures(evaluation)}
<p class="note">Errors in percent of hourly volatility; log error: root of the mean squared error of log volatility.
R2 day: against the mean of each hour of day. Slope and its p: of realized on forecast variance (Mincer-Zarnowitz); 1
is unbiased.{" Of several symbols: their means." if evaluation.symbols else ""}</p>"""
    return _document(title, body)


def _head(evaluation: Evaluation, title: str, about: Sequence[str], simulated: bool) -> str:
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in about)
    warning = (
        '<p class="simulated">SIMULATED bars: this shows how things work and says nothing of any market.</p>'
        if simulated
        else ""
    )
    judgment = evaluation.judgment.replace(" ", "-")
    verdict = f'<p class="verdict {judgment}">{escape(evaluation.verdict)}</p>'
    return f"<h1>{escape(title)}</h1>\n{warning}{verdict}\n{said}"


def _document(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _symbols(evaluation: Evaluation) -> str:
    """A table of the symbols, where there are several."""
    rows = evaluation.symbol_table()
    if rows.empty:
        return ""
    means = {**rows.mean(), "p_value": evaluation.metrics[MODEL]["p_value"]}
    cells = [[escape(str(name)), f"{row['buckets']:.0f}", *_symbol_cells(row)] for name, row in rows.iterrows()]
    lines = [*map(_line, cells), _line(["mean", "", *_symbol_cells(means)], "model")]
    table = _whole_table(["symbol", "n", "QLIKE", "to log-HAR", "p", "HAR alone", "covered"], lines)
    networks = _p_value(evaluation.p_value_of_networks)
    added = f" The networks against it: p {networks}, all symbols of a day one observation." if networks else ""
    return f"""<h2>Symbol by symbol</h2>
{table}
<p class="note">To log-HAR: the symbol's own. HAR alone: the same of the model's regression without its
networks.{added}</p>
"""


def _symbol_cells(row: Mapping[str, float]) -> list[str]:
    figures = [_number(row["qlike"], 4), _ratio(row["ratio"]), _p_value(row["p_value"])]
    return [*figures, _ratio(row["regression_ratio"]), f"{100 * row['coverage']:.0f} %"]


def _span(evaluation: Evaluation) -> list[str]:
    if not evaluation.buckets:
        return []
    metrics = evaluation.metrics.get(MODEL, {})
    left_out = f"; {evaluation.left_out:,} in which nothing moved are left out" if evaluation.left_out else ""
    said = (
        f"{evaluation.buckets:,} hourly buckets from {evaluation.first:%Y-%m-%d} to {evaluation.last:%Y-%m-%d}"
        f"{left_out}."
    )
    if "coverage" in metrics:
        said += (
            f" The {100 * evaluation.level:.0f} % interval covers {100 * metrics['coverage']:.1f} % of them; its mean "
            f"interval score is {100 * metrics['interval_score']:.3f} %."
        )
    return [said]


def _comparison(evaluation: Evaluation) -> str:
    rows = [
        [
            _number(row["qlike"], 4),
            _ratio(row.get("qlike_ratio", math.nan)),
            _p_value(row.get("p_value", math.nan)),
            _in_set(row.get("set_p_value", math.nan)),
        ]
        for _, row in _ordered(evaluation)
    ]
    return _table(evaluation, ("QLIKE", "to log-HAR", "p", "in set"), rows)


def _measures(evaluation: Evaluation) -> str:
    rows = [
        [
            _number(100 * row["mse"] ** 0.5, 4),
            _number(100 * row["mae"], 4),
            _number(row["mse_log"] ** 0.5, 3),
            _number(row["r2"], 3),
            _number(row.get("r2_diurnal", math.nan), 3),
            _number(row["mz_slope"], 2),
            _p_value(row.get("mz_p_value", math.nan)),
        ]
        for _, row in _ordered(evaluation)
    ]
    return _table(evaluation, ("RMSE", "MAE", "log error", "R2", "R2 day", "slope", "p"), rows)


def _ordered(evaluation: Evaluation) -> list[tuple[str, dict[str, float]]]:
    return sorted(evaluation.metrics.items(), key=lambda item: item[1]["qlike"])


def _table(evaluation: Evaluation, headings: Sequence[str], rows: Iterable[list[str]]) -> str:
    lines = [
        _line([escape(title_of(name)), *cells], "model" if name == MODEL else "")
        for (name, _), cells in zip(_ordered(evaluation), rows, strict=True)
    ]
    return _whole_table(["forecast", *headings], lines)


def _groups(evaluation: Evaluation) -> str:
    if evaluation.breakdown("hour").empty:
        return ""
    tables = "".join(
        f"<section><h2>{title}</h2>{_group_table(evaluation.breakdown(by), by)}</section>" for by, title in _GROUPINGS
    )
    note = (
        '<p class="note">Regime: fifths, 1 the calmest, of what the diurnal log-HAR forecast among the buckets of one '
        "hour.</p>"
    )
    return f'<div class="groups">{tables}</div>{note}'


def _group_table(groups: pd.DataFrame, by: Grouping) -> str:
    headings = [by, "n", "QLIKE", "log-HAR", "ratio", "p"]
    lines = []
    for group, row in groups.iterrows():
        cells = [
            f"{group}:00" if by == "hour" else str(group),
            f"{row['buckets']:.0f}",
            _number(row["qlike"], 3),
            _number(row["reference_qlike"], 3),
            _ratio(row["qlike_ratio"]),
            _p_value(row["p_value"]),
        ]
        lines.append(_line(cells + ([f"{100 * row['coverage']:.0f} %"] if "coverage" in row else [])))
    return _whole_table(headings + (["covered"] if "coverage" in groups else []), lines)


def _pictures(figures: Iterable[tuple[str, str]]) -> str:
    shown = "".join(
        f'<figure role="img" aria-label="{escape(caption)}"><figcaption>{escape(caption)}</figcaption>{svg}</figure>\n'
        for caption, svg in figures
    )
    return f'<h2>Pictures</h2>\n<div class="pictures">\n{shown}</div>\n' if shown else ""


def _whole_table(headings: Sequence[str], lines: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _line(cells: Sequence[str], style: str = "") -> str:
    opened = f'<tr class="{style}">' if style else "<tr>"
    return opened + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else ""


def _ratio(value: float) -> str:
    if not math.isfinite(value):
        return ""
    style = "better" if value < 1 else "worse" if value > 1 else ""
    return f'<span class="{style}">{value:.3f}</span>' if style else f"{value:.3f}"


def _p_value(value: float) -> str:
    return "" if not math.isfinite(value) else "&lt;0.001" if value < 0.001 else f"{value:.3f}"


def _in_set(value: float) -> str:
    return "" if not math.isfinite(value) else "yes" if value >= SET_LEVEL else "no"
