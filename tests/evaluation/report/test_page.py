"""The page stands alone, says what the evaluation says, and is HTML that closes what it opens."""

import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.browser import views
from volcast.evaluation.evaluation import Evaluation, compare_with_baselines
from volcast.evaluation.figures import drawable
from volcast.evaluation.report.page import evaluation_page
from volcast.forecasters.baselines.registry import BASELINES
from volcast.pictures import page_picture

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


def test_its_pictures_are_those_that_a_user_draws(evaluation: Evaluation) -> None:
    page = evaluation_page(evaluation, title="SPY")
    for picture in drawable(evaluation):
        assert page_picture(picture, partial(evaluation.plot, picture)) in page


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


@pytest.fixture(scope="module")
def of_many(evaluation: Evaluation) -> Evaluation:
    return Evaluation.of_symbols({"AAA": evaluation, "BBB<>": evaluation})


@pytest.mark.parametrize("symbols", ["one", "many"])
def test_a_browser_shows_it_in_both_schemes_without_a_sideways_scroll(
    evaluation: Evaluation, of_many: Evaluation, tmp_path: Path, symbols: str
) -> None:
    judged = evaluation if symbols == "one" else of_many
    (tmp_path / "page.html").write_text(evaluation_page(judged, title="SPY"))
    for view in views(tmp_path / "page.html"):
        view.check()
        ink = view.page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        assert ink == ("rgb(31, 41, 51)" if view.scheme == "light" else "rgb(228, 231, 235)")
        outside = view.page.evaluate(
            "[...document.querySelectorAll('svg')].flatMap(svg => { const box = svg.getBoundingClientRect();"
            " return [...svg.querySelectorAll('text')].filter(text => { const r = text.getBoundingClientRect();"
            " return r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 ||"
            " r.bottom > box.bottom + 1; }).map(text => text.textContent); })"
        )
        assert outside == [], "labels beyond the edge of their picture"


def test_of_many_symbols_calibration_hours_and_months_are_shown_too(of_many: Evaluation) -> None:
    page = evaluation_page(of_many, title="pool")
    said = " ".join(parsed(page).text)
    for expected in ("Calibration", "By hour of day", "By month", "2024-12", "Symbol by symbol", "BBB<>"):
        assert expected in said
    assert page.count("<svg") == 6
