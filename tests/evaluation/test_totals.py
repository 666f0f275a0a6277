"""Total volatility judged by plain sums over its sessions, and shown beside the hourly forecasts."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.support.counted import CountingNetwork
from volcast.arrays import Int64Array1D
from volcast.bars.sources.simulator import simulate_bars
from volcast.config import TrainingConfig
from volcast.evaluation.evaluation import Evaluation, evaluate_bundle
from volcast.evaluation.report.page import evaluation_page
from volcast.evaluation.report.tables import totals
from volcast.evaluation.significance import diebold_mariano_by_day, mincer_zarnowitz
from volcast.evaluation.totals import TotalEvaluation, evaluate_totals
from volcast.features.scaling import make_scaler
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.recipe import ScaledWindows
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total.baselines import ALL_TOTAL_BASELINES
from volcast.forecasters.total.session_table import SessionTable
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.store.bundle import ModelBundle

NAMES = ("AAA", "BBB")


@pytest.fixture(scope="module")
def measures() -> dict[str, pd.DataFrame]:
    return {name: get_hourly_measures(simulate_bars(name, "2023-06-01", "2024-03-28", minutes=5)) for name in NAMES}


@pytest.fixture(scope="module")
def positions(measures: dict[str, pd.DataFrame]) -> dict[str, Int64Array1D]:
    return {name: np.arange(900, len(frame)) for name, frame in measures.items()}


@pytest.fixture(scope="module")
def bundle(measures: dict[str, pd.DataFrame]) -> ModelBundle:
    scaler = make_scaler("diurnal_log").fit(measures["AAA"]["rv_hourly"])
    return ModelBundle("windows", (CountingNetwork(),), ScaledWindows(scaler, 20, (0.5, 2.0)), TrainingConfig())


@pytest.fixture(scope="module")
def judged(
    bundle: ModelBundle, measures: dict[str, pd.DataFrame], positions: dict[str, Int64Array1D]
) -> dict[str, TotalEvaluation]:
    return evaluate_totals(bundle, measures, positions, ALL_TOTAL_BASELINES)


def qlike_of(by_session: pd.DataFrame, name: str) -> float:
    ratio = (by_session["realized"] / by_session[name]) ** 2
    return float((ratio - np.log(ratio) - 1).mean())


@pytest.mark.parametrize("horizon", TOTAL_HORIZONS)
def test_figures_equal_the_plain_sums(judged: dict[str, TotalEvaluation], horizon: str) -> None:
    part = judged[horizon]
    assert set(part.metrics) == {"model", *ALL_TOTAL_BASELINES}
    rows = part.by_session
    symbols = {name: rows[rows["symbol"] == name] for name in NAMES}
    for name, row in part.metrics.items():
        losses = {symbol: qlike_of(of, name) for symbol, of in symbols.items()}
        reference = {symbol: qlike_of(of, "daily_har") for symbol, of in symbols.items()}
        assert row["qlike"] == pytest.approx(np.mean(list(losses.values())))
        assert row["qlike_ratio"] == pytest.approx(np.mean([losses[one] / reference[one] for one in NAMES]))
        bias = np.sqrt((rows["realized"] ** 2).mean() / (rows[name] ** 2).mean())
        assert row["bias"] == pytest.approx(bias)
    inside = (rows["realized"] >= rows["lower"]) & (rows["realized"] <= rows["upper"])
    assert part.metrics["model"]["coverage"] == pytest.approx(inside.mean())


def test_what_came_is_the_variance_and_the_squared_nights_of_the_sessions_ahead(
    judged: dict[str, TotalEvaluation], measures: dict[str, pd.DataFrame], positions: dict[str, Int64Array1D]
) -> None:
    frame = measures["AAA"]
    dates = pd.DatetimeIndex(frame.index).normalize()
    days = (frame["rv_hourly"] ** 2 + frame["overnight_return"] ** 2).groupby(dates).sum()
    part = judged["5 sessions"].by_session
    part = part[part["symbol"] == "AAA"]
    for close, realized in part["realized"].items():
        after = days[days.index > close]
        assert realized == pytest.approx(np.sqrt(after.iloc[:5].sum()))
    first = pd.DatetimeIndex(frame.index)[positions["AAA"][0]]
    assert part.index.min() >= first - pd.Timedelta(hours=1)
    assert len(days[days.index > part.index.max()]) == 5


def test_of_one_symbol_the_test_of_mincer_and_zarnowitz_is_there(
    bundle: ModelBundle, measures: dict[str, pd.DataFrame], positions: dict[str, Int64Array1D]
) -> None:
    alone = evaluate_totals(bundle, {"AAA": measures["AAA"]}, positions)["10 sessions"]
    expected = mincer_zarnowitz(alone.by_session["realized"], alone.by_session["model"], overlap=10)
    assert alone.metrics["model"]["mz_slope"] == pytest.approx(expected.slope)
    assert alone.metrics["model"]["mz_p_value"] == pytest.approx(expected.p_value)


def test_horizons_that_overlap_make_tests_more_careful(judged: dict[str, TotalEvaluation]) -> None:
    part = judged["22 sessions"].by_session
    part = part[part["symbol"] == "AAA"]
    losses = {
        name: (part["realized"] / part[name]) ** 2 - 2 * np.log(part["realized"] / part[name])
        for name in ("model", "daily_ewma")
    }
    naive, careful = (diebold_mariano_by_day(losses["model"], losses["daily_ewma"], overlap=days) for days in (1, 22))
    assert naive < careful


def test_too_few_sessions_and_measures_without_nights_are_not_judged(
    bundle: ModelBundle, measures: dict[str, pd.DataFrame]
) -> None:
    frame = measures["AAA"]
    short = evaluate_totals(bundle, {"AAA": frame}, {"AAA": np.arange(len(frame) - 7 * 16, len(frame))})
    assert list(short) == ["1 session", "5 sessions"]
    assert evaluate_totals(bundle, {"AAA": frame[["rv_hourly"]]}, {"AAA": np.arange(900, len(frame))}) == {}
    assert evaluate_totals(bundle, {"AAA": frame}, {"AAA": np.arange(0)}) == {}


def test_forecasts_are_made_without_what_comes_after_the_rows_that_are_judged(
    bundle: ModelBundle, measures: dict[str, pd.DataFrame]
) -> None:
    frame, rows = measures["AAA"], {"AAA": np.arange(900, 1200)}
    cut = evaluate_totals(bundle, {"AAA": frame.iloc[:1200]}, rows)
    whole = evaluate_totals(bundle, {"AAA": frame}, rows)
    for horizon, part in whole.items():
        pd.testing.assert_frame_equal(part.by_session, cut[horizon].by_session, check_exact=True)


def evaluation_of(
    bundle: ModelBundle, measures: dict[str, pd.DataFrame], positions: dict[str, Int64Array1D]
) -> Evaluation:
    alone = {"AAA": measures["AAA"]}
    return evaluate_bundle(bundle, alone, positions, {}, ALL_TOTAL_BASELINES)


def test_it_stands_beside_the_hourly_figures_and_says_which_it_is(
    bundle: ModelBundle, measures: dict[str, pd.DataFrame], positions: dict[str, Int64Array1D]
) -> None:
    evaluation = evaluation_of(bundle, measures, {"AAA": positions["AAA"]})
    content = json.loads(json.dumps(evaluation.to_dict()))
    assert content["kind"] == "hourly"
    assert list(content["total"]) == list(TOTAL_HORIZONS)
    assert content["total"]["22 sessions"]["metrics"]["daily_har"]["qlike_ratio"] == 1
    table = totals(evaluation)
    assert table.headings[0] == "total volatility over"
    assert [row[0] for row in table.rows] == list(TOTAL_HORIZONS)
    assert {"to daily HAR", "to EWMA", "to GARCH", "to GJR", "covered"} <= set(table.headings)
    page = evaluation_page(evaluation, title="a model")
    assert "Total volatility, from close to close" in page
    assert ">22 sessions<" in page


def test_the_sessions_of_the_table_are_those_of_the_bars(measures: dict[str, pd.DataFrame]) -> None:
    sessions = SessionTable.of(HourlyTable.of(measures["AAA"]), 4_102_444_800_000_000, market_named("XNYS"))
    assert len(sessions) == len(pd.DatetimeIndex(measures["AAA"].index).normalize().unique())
