"""A verdict that can say no, what it is made of, and the same buckets for every forecast."""

import json
import math
import re
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from volcast.arrays import Float64Array1D, Int64Array1D, time_index
from volcast.errors import NotEnoughDataError
from volcast.evaluation.evaluation import Evaluation, compare_with_baselines, evaluate_forecasts, qlike_losses
from volcast.evaluation.report.page import evaluation_page
from volcast.evaluation.report.terminal import evaluation_tables
from volcast.evaluation.verdict import ALONE
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.horizons import IntervalForecast
from volcast.measures.hourly import get_hourly_measures

FIRST = 600


def labels(days: int) -> pd.DatetimeIndex:
    dates = pd.bdate_range("2024-01-01", periods=days)
    return pd.DatetimeIndex([f"{day:%Y-%m-%d} {hour}:00" for day in dates for hour in range(10, 17)]).tz_localize(
        "America/New_York"
    )


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_measures(bars)


class Oracle:
    """A model that knows the truth up to noise."""

    def __init__(self, noise: float, bias: float = 1.0) -> None:
        self.noise, self.bias = noise, bias

    def forecast(self, measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
        truth = measures["rv_hourly"][targets].to_numpy()
        noise = self.noise * np.random.default_rng(0).standard_normal(len(truth))
        return np.asarray(truth * np.exp(noise) * self.bias)

    def interval(self, measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> IntervalForecast:
        middle, half = self.forecast(measures, targets, known), np.exp(1.645 * self.noise)
        return IntervalForecast(middle, middle / half, middle * half)


@pytest.fixture(scope="module")
def evaluation(measures: pd.DataFrame) -> Evaluation:
    positions = np.arange(FIRST, len(measures))
    parts = {"half of it": Oracle(0.3).forecast}
    return compare_with_baselines(measures, positions, Oracle(0.05).interval, parts=parts)


def judged(measures: pd.DataFrame, oracle: Oracle) -> Evaluation:
    return compare_with_baselines(measures, np.arange(FIRST, len(measures)), oracle.forecast)


def test_buckets_in_which_nothing_moved_are_left_out_for_all_alike() -> None:
    index = labels(5)
    realized = pd.Series(0.01, index=index)
    realized.iloc[[3, 4]] = 0.0
    evaluation = evaluate_forecasts(realized, {"diurnal_log_har": np.full(35, 0.01), "model": np.full(35, 0.02)})
    assert (evaluation.buckets, evaluation.left_out) == (33, 2)
    assert evaluation.metrics["diurnal_log_har"]["qlike"] == 0
    assert (evaluation.first, evaluation.last) == (index[0], index[-1])
    with pytest.raises(NotEnoughDataError, match="of 35 buckets to judge prices moved in none"):
        evaluate_forecasts(realized * 0, {"model": np.full(35, 0.02)})


def test_what_never_moved_is_neither_forecast_nor_learnt_from(measures: pd.DataFrame) -> None:
    nights = pd.DataFrame(
        0.0, time_index(measures)[time_index(measures).hour == 16] + pd.Timedelta(hours=3), measures.columns
    )
    with_nights = pd.concat([measures, nights]).sort_index()
    (first,) = with_nights.index.get_indexer(measures.index[[FIRST]])
    positions = np.arange(first, len(with_nights))
    plain = compare_with_baselines(measures, np.arange(FIRST, len(measures)))
    assert compare_with_baselines(with_nights, positions).metrics == plain.metrics


def test_the_verdict_can_say_yes_and_no(measures: pd.DataFrame) -> None:
    good, bad = judged(measures, Oracle(0.01)), judged(measures, Oracle(0.1, bias=2.0))
    assert (good.judgment, bad.judgment) == ("use", "do not use")
    assert "use it" in good.verdict
    assert "beyond what chance explains" in good.verdict
    assert bad.verdict.startswith("Do not use this model")


@pytest.mark.parametrize("better", [0.5, 0.9, 0.97, 0.985, 0.995, 1.0])
def test_what_may_be_chance_is_no_reason_to_use_a_model(measures: pd.DataFrame, better: float) -> None:
    """The word and the sentence say the same at every p-value."""

    def nearly(frame: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
        truth = frame["rv_hourly"][targets].to_numpy()
        noise = np.exp(0.02 * np.random.default_rng(1).standard_normal(len(truth)))
        return np.asarray(truth ** (1 - better) * BASELINES["diurnal_log_har"](frame, targets, known) ** better * noise)

    for days in (10, 40):
        row = compare_with_baselines(measures, np.arange(FIRST, FIRST + 7 * days), nearly)
        own, verdict = row.metrics["model"], row.verdict
        sure = own["qlike_ratio"] < 1 and own["p_value"] < 0.05
        assert ("use it" in verdict) == sure == (row.judgment == "use"), verdict
        assert ("either will do" in verdict) == (row.judgment == "either"), verdict
        assert verdict.startswith("Do not use") == (row.judgment == "do not use"), verdict
        assert not ("may be chance" in verdict and "use it" in verdict), verdict


@pytest.mark.parametrize(
    ("regression", "said"),
    [
        (0.05, r"The networks add nothing here: the regression serves alone \(QLIKE 0\.\d{4}\)\."),
        (0.3, r"The networks: QLIKE 0\.\d{4} with them and 0\.\d{4} of the regression alone, .* % lower, beyond what"),
        (0.01, r"The networks add nothing here: QLIKE 0\.\d{4} with them and 0\.\d{4} of .* alone, .* % higher, bey"),
    ],
)
def test_what_networks_add_is_said_with_both_figures(measures: pd.DataFrame, regression: float, said: str) -> None:
    positions, parts = np.arange(FIRST, len(measures)), {ALONE: Oracle(regression).forecast}
    evaluation = compare_with_baselines(measures, positions, Oracle(0.05).forecast, parts=parts)
    networks, realized = evaluation.networks, measures["rv_hourly"].iloc[positions]
    assert networks is not None
    assert re.match(said, networks.sentence), networks.sentence
    alone = Oracle(regression).forecast(measures, time_index(realized), positions)
    assert networks.regression_qlike == pytest.approx(qlike_losses(realized, alone).mean())
    written = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))["networks"]
    assert written["sentence"] == networks.sentence
    assert (written["p_value"] is None) == (regression == 0.05)
    assert escape(networks.sentence) in evaluation_page(evaluation, title="networks")
    console = Console(width=300)
    with console.capture() as shown:
        console.print(evaluation_tables(evaluation))
    assert networks.sentence in shown.get()


def test_what_has_no_regression_has_nothing_to_add_to(evaluation: Evaluation) -> None:
    assert evaluation.networks is None
    assert evaluation.to_dict()["networks"] is None


def test_as_good_as_the_log_har_is_either(measures: pd.DataFrame) -> None:
    def close(frame: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
        forecast = BASELINES["diurnal_log_har"](frame, targets, known)
        return np.asarray(forecast * np.where(np.arange(len(targets)) % 2, 1.03, 0.97))

    evaluation = compare_with_baselines(measures, np.arange(FIRST, len(measures)), close)
    assert evaluation.metrics["model"]["qlike_ratio"] == pytest.approx(1.0, abs=0.02)
    assert evaluation.judgment in ("use", "either")


@pytest.mark.parametrize("model", ["diurnal_log_har", "log_har", "har", "diurnal_ewma", "diurnal_harq"])
def test_what_learnt_from_noise_is_refused_in_words(measures: pd.DataFrame, model: str) -> None:
    # There is nothing to learn where every hour's volatilities are shuffled; a log-HAR fits nothing as well as others.
    for seed in range(4):
        random, order = np.random.default_rng(seed), np.arange(len(measures))
        for hour in range(10, 17):
            rows = np.flatnonzero(time_index(measures).hour == hour)
            order[rows] = random.permutation(rows)
        shuffled = pd.DataFrame(measures.to_numpy()[order], measures.index, measures.columns)
        evaluation = compare_with_baselines(shuffled, np.arange(FIRST, len(measures)), BASELINES[model])
        assert evaluation.judgment == "do not use"
        assert evaluation.verdict.startswith("Do not use this model")
        assert "does not look at the market" in evaluation.verdict


def test_too_little_history_for_the_log_har_is_said(measures: pd.DataFrame) -> None:
    evaluation = compare_with_baselines(measures, np.arange(200, 240), Oracle(0.1).forecast)
    assert "diurnal_log_har" not in evaluation.metrics
    assert evaluation.judgment == "unknown"
    assert "Too little history" in evaluation.verdict
    assert evaluation.breakdown("hour").empty


@pytest.mark.parametrize(
    ("oracle", "clause"),
    [
        (Oracle(0.05), "use it rather than the log-HAR, though the best here is the diurnal HARQ (QLIKE "),
        (Oracle(0.2, 1.5), "may do better; the best here is the diurnal HARQ (QLIKE "),
    ],
)
def test_a_better_baseline_is_named_and_contradicts_nothing(
    measures: pd.DataFrame, oracle: Oracle, clause: str
) -> None:
    positions = np.arange(FIRST, len(measures))
    realized = measures["rv_hourly"].iloc[positions]
    arguments = measures, time_index(realized), positions
    forecasts = {
        "diurnal_log_har": BASELINES["diurnal_log_har"](*arguments),
        "diurnal_harq": Oracle(0.02).forecast(*arguments),
        "model": oracle.forecast(*arguments),
    }
    assert clause in evaluate_forecasts(realized, forecasts).verdict


def test_an_interval_that_does_not_hold_is_said(measures: pd.DataFrame) -> None:
    positions, oracle = np.arange(FIRST, len(measures)), Oracle(0.05)
    realized = measures["rv_hourly"].iloc[positions]
    forecast = oracle.forecast(measures, time_index(realized), positions)
    har = BASELINES["diurnal_log_har"](measures, time_index(realized), positions)
    narrow = evaluate_forecasts(realized, {"model": forecast, "diurnal_log_har": har}, (forecast, forecast))
    assert narrow.metrics["model"]["coverage"] == 0
    assert "its 90 % interval covers 0 %" in narrow.verdict


def test_bounds_that_nobody_knows_are_no_interval(measures: pd.DataFrame) -> None:
    def unsure(*given: Any) -> IntervalForecast:
        forecast = Oracle(0.05).forecast(*given)
        return IntervalForecast(forecast, forecast * np.nan, forecast * np.nan)

    evaluation = compare_with_baselines(measures, np.arange(FIRST, len(measures)), unsure)
    assert "lower" not in evaluation.by_bucket
    assert "coverage" not in evaluation.metrics["model"]


def test_the_interval_is_measured(evaluation: Evaluation) -> None:
    own = evaluation.metrics["model"]
    assert own["coverage"] == pytest.approx(0.9, abs=0.05)
    width = (evaluation.by_bucket["upper"] - evaluation.by_bucket["lower"]).mean()
    # Half the loss of both quantiles times two over 1 - level is the score (Gneiting and Raftery 2007).
    assert own["interval_score"] == pytest.approx((own["pinball_lower"] + own["pinball_upper"]) / 0.05, rel=1e-9)
    assert own["interval_score"] > width
    assert "coverage" not in evaluation.metrics["diurnal_log_har"]


def test_groups_are_parts_of_the_whole(evaluation: Evaluation) -> None:
    whole = evaluation.metrics["model"]["qlike"]
    for by, count in (
        ("hour", 7),
        ("regime", 5),
        ("month", time_index(evaluation.by_bucket).strftime("%Y-%m").nunique()),
    ):
        groups = evaluation.breakdown(by)  # type: ignore[arg-type]
        assert len(groups) == count
        assert groups["buckets"].sum() == evaluation.buckets
        assert np.average(groups["qlike"], weights=groups["buckets"]) == pytest.approx(whole)
        np.testing.assert_allclose(groups["qlike"] / groups["reference_qlike"], groups["qlike_ratio"])
        assert groups["coverage"].between(0.7, 1).all()


def test_a_regime_is_no_hour_of_day(evaluation: Evaluation) -> None:
    sizes = evaluation.breakdown("regime")["buckets"]
    assert sizes.max() - sizes.min() <= 7
    forecast = evaluation.by_bucket["diurnal_log_har"]
    at_ten = forecast[time_index(forecast).hour == 10]
    calmest = evaluate_forecasts(at_ten, {"model": at_ten, "diurnal_log_har": at_ten}).breakdown("regime")
    assert len(calmest) == 5


def test_parts_of_the_model_stand_beside_it(evaluation: Evaluation) -> None:
    assert {"model", "half of it", *BASELINES} == set(evaluation.metrics)
    assert evaluation.table().index[0] == "model"
    assert "diurnal log-HAR" in evaluation.table().index


def test_the_reference_is_compared_with_itself(evaluation: Evaluation) -> None:
    assert evaluation.metrics["diurnal_log_har"]["qlike_ratio"] == 1
    assert math.isnan(evaluation.metrics["diurnal_log_har"]["p_value"])
    assert evaluation.metrics["model"]["set_p_value"] == 1
    assert evaluation.metrics["persistence"]["set_p_value"] < 0.1
    assert evaluation.metrics["hour_of_day_mean"]["r2_diurnal"] == 0


def test_an_evaluation_is_json(evaluation: Evaluation, measures: pd.DataFrame) -> None:
    again = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert again["metrics"]["diurnal_log_har"]["qlike_ratio"] == 1
    assert again["metrics"]["diurnal_log_har"]["p_value"] is None
    assert set(again["by_hour"]) == {str(hour) for hour in range(10, 17)}
    assert again["judgment"] == "use"
    without = compare_with_baselines(measures, np.arange(FIRST, len(measures)))
    assert json.loads(json.dumps(without.to_dict(), allow_nan=False))["verdict"] == "No model was judged."
