"""The page stands alone, says what the evaluation says, and is HTML that closes what it opens."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.evaluation.report.page import evaluation_page
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.horizons import IntervalForecast
from volcast.measures.hourly import get_hourly_measures

VOID = {"meta", "link", "br", "img"}


class WellFormed(HTMLParser):
    """Fails on a tag that closes what is not open; collects ids and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> WellFormed:
    parser = WellFormed()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_measures(bars)


@pytest.fixture(scope="module")
def evaluation(measures: pd.DataFrame) -> Evaluation:
    def model(frame: pd.DataFrame, targets: pd.DatetimeIndex, known: np.ndarray) -> IntervalForecast:
        forecast = BASELINES["diurnal_har"](frame, targets, known)
        return IntervalForecast(forecast, 0.5 * forecast, 1.7 * forecast)

    return compare_with_baselines(measures, np.arange(700, len(measures)), model)


def test_the_page_says_what_the_evaluation_says(evaluation: Evaluation) -> None:
    page = evaluation_page(evaluation, title="SPY & <co>", about=["Trained through 2024-11-01."])
    said = " ".join(parsed(page).text)
    for expected in (
        "SPY & <co>",
        "Trained through 2024-11-01.",
        evaluation.verdict,
        "diurnal semivariance HAR",
        f"{evaluation.metrics['model']['qlike']:.4f}",
        f"{100 * evaluation.metrics['model']['coverage']:.1f} %",
        "By hour of day",
        "2024-12",
    ):
        assert expected in said
    assert "SIMULATED" not in said
    assert "SIMULATED" in evaluation_page(evaluation, title="SPY", simulated=True)


def test_the_page_needs_nothing_else(evaluation: Evaluation) -> None:
    page = evaluation_page(evaluation, title="SPY")
    found = parsed(page)
    assert "script" not in found.tags
    assert page.count("<svg") == 5
    assert len(found.ids) == len(set(found.ids))
    # Names of XML vocabularies are no addresses that a browser would open.
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"(src|href)=\"(?!#|data:)|@import|url\((?!#)|https?://", without_names)
    assert evaluation_page(evaluation, title="SPY") == page


def test_without_a_model_or_a_reference_there_is_still_a_page(measures: pd.DataFrame) -> None:
    baselines_alone = compare_with_baselines(measures, np.arange(700, len(measures)))
    page = evaluation_page(baselines_alone, title="SPY")
    assert "No model was judged." in page
    assert "<svg" not in page
    short = compare_with_baselines(measures, np.arange(200, 240), BASELINES["persistence"])
    page = evaluation_page(short, title="SPY")
    parsed(page)
    assert page.count("<svg") == 3
    assert "Too little history" in page
