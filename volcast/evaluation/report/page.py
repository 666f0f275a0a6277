"""An evaluation as one HTML page that needs nothing else: no network, no script, readable on a telephone."""

from collections.abc import Sequence
from html import escape

from volcast.counts import counted
from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.report.document import html_document, html_pictures, html_table
from volcast.evaluation.report.figures import evaluation_figures
from volcast.evaluation.report.tables import (
    GROUPINGS,
    RATIOS,
    FigureTable,
    baselines,
    errors,
    groups,
    symbols,
    totals,
)
from volcast.evaluation.verdict import MODEL
from volcast.markets.registry import market_of

__all__ = ["evaluation_page"]

_STYLE = """
.verdict { font-size: 1.1em; }
.use { border-color: var(--gain); } .either { border-color: var(--either); } .unknown { border-color: var(--quiet); }
.do-not-use { border-color: var(--loss); }
td:first-child { white-space: normal; }
tr.model td { font-weight: 700; background: var(--strong); }
.groups { display: flex; flex-wrap: wrap; gap: 0 44px; }
.groups section { max-width: 100%; min-width: 0; } .groups td:first-child { white-space: nowrap; }
"""


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
    adjective = market_of(evaluation.by_bucket).bucket_adjective
    body = f"""{_head(evaluation, title, [*about, *_span(evaluation)], simulated)}
{_symbols(evaluation)}<h2>Beside the baselines</h2>
{_html(baselines(evaluation))}
<p class="note">QLIKE: lower is better, 0 is perfect. To log-HAR: below 1 is better than the diurnal log-HAR. p: of the
Diebold-Mariano test against it, clustered by day. In set: whether the 90 % confidence set of the best forecast holds
it.</p>
{_totals(evaluation)}{_pictures(evaluation)}{_groups(evaluation)}<h2>Other measures</h2>
{_html(errors(evaluation))}
<p class="note">Errors are of {adjective} volatility; log error: root of the mean squared error of log volatility.
R2 day: against the mean of each time of day. Slope and its p: of realized on forecast variance (Mincer-Zarnowitz); 1
is unbiased.{" Of several symbols: their means." if evaluation.symbols else ""}</p>"""
    return html_document(title, _STYLE, body)


def _head(evaluation: Evaluation, title: str, about: Sequence[str], simulated: bool) -> str:
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in about)
    warning = (
        '<p class="simulated">SIMULATED bars: this shows how things work and says nothing of any market.</p>'
        if simulated
        else ""
    )
    judgment = evaluation.judgment.replace(" ", "-")
    verdict = f'<p class="verdict {judgment}">{escape(evaluation.verdict)}</p>'
    networks = f"<p>{escape(evaluation.networks.sentence)}</p>\n" if evaluation.networks else ""
    return f"<h1>{escape(title)}</h1>\n{warning}{verdict}\n{networks}{said}"


def _symbols(evaluation: Evaluation) -> str:
    """A table of the symbols, where there are several."""
    if not evaluation.symbols:
        return ""
    return f"""<h2>Symbol by symbol</h2>
{_html(symbols(evaluation))}
<p class="note">To log-HAR: the symbol's own. HAR alone: the same of the model's regression without its
networks. In tests all symbols of a day are one observation.</p>
"""


def _totals(evaluation: Evaluation) -> str:
    """A table of total volatility, where it was judged."""
    if not evaluation.totals:
        return ""
    return f"""<h2>Total volatility, from close to close</h2>
{_html(totals(evaluation))}
<p class="note">All else on this page is of buckets of sessions, without nights; this is with them, as an option sees
it. To daily HAR, EWMA and others: QLIKE relative to theirs. p: of the Diebold-Mariano test against the daily HAR. Bias:
root of mean realized over mean forecast variance. Slope: of realized on forecast variance (Mincer-Zarnowitz).</p>
"""


def _span(evaluation: Evaluation) -> list[str]:
    if not evaluation.buckets:
        return []
    metrics = evaluation.metrics.get(MODEL, {})
    left_out = (
        f"; left out {counted(evaluation.left_out, 'bucket')} in which nothing moved" if evaluation.left_out else ""
    )
    adjective = market_of(evaluation.by_bucket).bucket_adjective
    said = (
        f"{counted(evaluation.buckets, f'{adjective} bucket')} from {evaluation.first:%Y-%m-%d} to "
        f"{evaluation.last:%Y-%m-%d}{left_out}."
    )
    if "coverage" in metrics:
        said += (
            f" The {100 * evaluation.level:.0f} % interval covers {100 * metrics['coverage']:.1f} % of them; its mean "
            f"interval score is {100 * metrics['interval_score']:.3f} %."
        )
    return [said]


def _groups(evaluation: Evaluation) -> str:
    tables = {title: groups(evaluation, by) for by, title in GROUPINGS.items()}
    if not any(table.rows for table in tables.values()):
        return ""
    sections = "".join(
        f"<section><h2>{title.capitalize()}</h2>{_html(table)}</section>" for title, table in tables.items()
    )
    note = (
        '<p class="note">Regime: fifths, 1 the calmest, of what the diurnal log-HAR forecast among the buckets of one '
        "time of day.</p>"
    )
    return f'<div class="groups">{sections}</div>{note}'


def _pictures(evaluation: Evaluation) -> str:
    shown = html_pictures(evaluation_figures(evaluation))
    return f"<h2>Pictures</h2>\n{shown}\n" if shown else ""


def _html(table: FigureTable) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    lines = []
    for number, row in enumerate(table.rows):
        cells = "".join(f"<td>{_cell(heading, cell)}</td>" for heading, cell in zip(table.headings, row, strict=True))
        lines.append(f'<tr class="model">{cells}</tr>' if number == table.strong else f"<tr>{cells}</tr>")
    return html_table(head, lines)


def _cell(heading: str, cell: str) -> str:
    if heading not in RATIOS or not cell or float(cell) == 1:
        return escape(cell)
    return f'<span class="{"gain" if float(cell) < 1 else "loss"}">{cell}</span>'
