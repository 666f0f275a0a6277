"""One table of figures for all who show it: terminal, page, training, menu."""

import re
from html import unescape
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console, RenderableType

from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.evaluation.report.page import evaluation_page
from volcast.evaluation.report.tables import baselines, errors, groups, model_row, models_table
from volcast.evaluation.report.terminal import evaluation_tables
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.horizons import IntervalForecast
from volcast.measures.hourly import get_hourly_measures


@pytest.fixture(scope="module")
def evaluation(bars: pd.DataFrame) -> Evaluation:
    def model(frame: pd.DataFrame, targets: pd.DatetimeIndex, known: np.ndarray) -> IntervalForecast:
        forecast = BASELINES["diurnal_har"](frame, targets, known)
        return IntervalForecast(forecast, 0.5 * forecast, 1.7 * forecast)

    measures = get_hourly_measures(bars)
    return compare_with_baselines(measures, np.arange(700, len(measures)), model)


def shown(content: RenderableType, width: int = 200) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(content)
    return capture.get()


def test_the_best_forecast_comes_first_and_the_model_is_strong(evaluation: Evaluation) -> None:
    table = baselines(evaluation)
    assert len(table.rows) == len(evaluation.metrics)
    losses = [float(row[table.headings.index("QLIKE")]) for row in table.rows]
    assert losses == sorted(losses)
    assert table.strong is not None
    assert table.rows[table.strong][0] == "model"
    own = evaluation.metrics["model"]
    cells = dict(zip(table.headings, table.rows[table.strong], strict=True))
    assert cells["QLIKE"] == f"{own['qlike']:.4f}"
    assert cells["to log-HAR"] == f"{own['qlike_ratio']:.3f}"
    assert cells["RMSE, %"] == f"{100 * own['mse'] ** 0.5:.4f}"
    assert cells["covered"] == f"{100 * own['coverage']:.0f} %"
    assert [row[0] for row in errors(evaluation).rows] == [row[0] for row in table.rows]


def test_buckets_of_another_length_are_called_by_it(bars: pd.DataFrame) -> None:
    measures = get_hourly_measures(bars, market="XNYS 30min")
    judged = compare_with_baselines(measures, np.arange(len(measures) - 260, len(measures)), BASELINES["diurnal_har"])
    times = [row[0] for row in groups(judged, "hour").rows]
    assert times == [f"{hour}:{minute}" for hour in range(10, 17) for minute in ("00", "30")][:-1]
    page = evaluation_page(judged, title="SPY")
    assert "30-minute buckets from" in page
    assert "Errors are of 30-minute volatility" in page
    assert "hourly" not in page
    assert judged.plot("all").get_ylabel() == "30-minute volatility, %"
    ticks = [tick.get_text() for tick in judged.plot("hours").get_xticklabels()]
    assert ticks == times


def test_terminal_and_page_show_the_same_figures(evaluation: Evaluation) -> None:
    page = evaluation_page(evaluation, title="SPY")
    rows = re.findall(r"<tr[^>]*>(?:<td>.*?</td>)+</tr>", page)
    on_page = [[unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall("<td>(.*?)</td>", row)] for row in rows]
    terminal = [line.split() for line in shown(evaluation_tables(evaluation)).splitlines()]
    for table in (baselines(evaluation), groups(evaluation, "hour"), groups(evaluation, "regime")):
        assert table.rows
        for row in table.rows:
            assert list(row) in on_page
            assert " ".join(row).split() in terminal


def test_the_table_of_baselines_fits_a_terminal(evaluation: Evaluation) -> None:
    lines = shown(baselines(evaluation).drawn(), 80).splitlines()
    # The longest name alone takes two lines.
    assert len([line for line in lines if line.strip()]) <= len(evaluation.metrics) + 3
    assert "to log-HAR" in lines[1]


def test_a_list_of_models_marks_who_serves_and_may_number() -> None:
    evaluation = {"metrics": {"model": {"qlike_ratio": 0.9713}}, "judgment": "do not use"}
    manifests: list[dict[str, Any]] = [
        {"name": "SPY-2", "symbol": "SPY", "created": "2024-12-02T10:15:00", "evaluation": evaluation},
        {
            "name": "pooled-24-1",
            "symbol": None,
            "created": "2024-12-01T10:15:00",
            "trained_through": "2024-11-01T16:00:00-04:00",
            "symbols": {"A": {"first_bar": "2024-01-02T14:30"}, "B": {"first_bar": "2023-02-01T14:30"}},
        },
    ]
    rows = [model_row(manifest, "SPY-2") for manifest in manifests]
    assert [row["serving"] for row in rows] == [True, False]
    table = models_table(rows, today=pd.Timestamp("2024-12-03", tz="UTC"))
    first, second = (line.split() for line in shown(table).splitlines()[1:])
    assert first == [
        "*",
        "SPY-2",
        "SPY",
        "unknown",
        "to",
        "unknown",
        "-",
        "0.971",
        *["do", "not", "use", "2024-12-02", "10:15"],
    ]
    assert second == ["pooled-24-1", "-", "2023-02-01", "to", "2024-11-01", "31", "-", "-", "2024-12-01", "10:15"]
    numbered = shown(models_table(rows, numbered=True)).splitlines()[1:]
    assert [line.split()[0] for line in numbered] == ["1*", "2"]
