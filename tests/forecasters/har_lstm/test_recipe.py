"""The default forecast: against slow plain versions, against the future, and on what it must know of itself."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars, with_noise_after
from volcast.arrays import Float32Array3D, Float64Array1D, Float64Array2D, time_index
from volcast.errors import ConfigError, NotEnoughDataError
from volcast.features.intraday import IntradayFeatures, opens_market
from volcast.features.windows import HAR_LAGS, split_in_time
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.weight import NetworkWeight
from volcast.forecasters.horizons import HORIZONS, Horizon, horizon_minutes, horizon_outcomes
from volcast.forecasters.recipe import recipe_from_dict
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_measures
from volcast.training.har_lstm import har_lstm_targets, with_networks
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

WINDOW = 20
SMALL: dict[str, Any] = {"symbol": "SPY", "memory": WINDOW, "networks": 2, "epochs": 2, "accept_quality": True}


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Eight months of bars whose volatility clusters."""
    return make_bars("2024-05-01", "2024-12-31", seed=5)


@pytest.fixture(scope="module")
def measures(bars: pd.DataFrame) -> pd.DataFrame:
    return get_hourly_measures(bars)


@pytest.fixture(scope="module")
def trained(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    settings = {**SMALL, "model_save_path": str(tmp_path_factory.mktemp("models"))}
    return LocalLSTMTrainer(settings).run_training_pipeline(bars=bars)


@pytest.fixture(scope="module")
def forecaster(trained: TrainingResult) -> VolatilityForecaster:
    assert trained.bundle.path is not None
    return VolatilityForecaster(trained.bundle.path)


def recipe_of(trained: TrainingResult) -> HarLstm:
    assert isinstance(trained.bundle.recipe, HarLstm)
    return trained.bundle.recipe


DECIDED = ("2024-05-01", "2024-06-12", "2024-07-31", "2024-09-18", "2024-11-07", "2024-12-18")
MINUTES = ("2024-05-22", "2024-07-03", "2024-08-21", "2024-10-09", "2024-11-26")


def plain_design_row(features: IntradayFeatures, states: Float64Array2D, last: int, label: pd.Timestamp,
                     opens: bool) -> list[float]:  # fmt: skip
    """Terms of one row by their definitions."""
    hour, date = label.hour, f"{label:%Y-%m-%d}"

    def mean(column: int, lag: int) -> float:
        return float(np.mean([states[i, column] for i in range(last - lag + 1, last + 1)]))

    slow = [mean(0, 35), mean(0, 154), mean(1, 35)]
    quick = [mean(0, 1), mean(0, 7), mean(1, 1), mean(1, 7), *states[last, 2:6]]
    terms = [quick[0], quick[1], slow[0], slow[1], quick[2], quick[3], slow[2], *quick[4:]]
    terms += [value * opens for value in quick]
    for lag in (7, 35):
        lost = min(sum(states[i, 6] for i in range(first, last + 1)) for first in range(last - lag + 1, last + 2))
        terms.append(max(lost / np.sqrt(lag) / np.exp(slow[1]), -8.0))
    standardized = (np.array(terms) - features.term_mean) / features.term_spread
    decided = date in DECIDED
    decisions = [decided and hour < 15, decided and hour == 15, decided and hour > 15, date in MINUTES and hour == 15]
    return [*standardized, *[float(hour == known) for known in features.hours], *map(float, decisions)]


@pytest.mark.train
@pytest.mark.parametrize("horizon", HORIZONS)
def test_forecasts_equal_the_plain_version(trained: TrainingResult, measures: pd.DataFrame, horizon: Horizon) -> None:
    """Everything that had ended before a day began is refitted from scratch, one row after the other."""
    recipe = recipe_of(trained)
    first = int(measures.index.searchsorted(recipe.trained_through, side="right"))
    position = first + 40
    known = measures.iloc[:position]
    states, outcomes = recipe.features.states(known), horizon_outcomes(known, horizon)
    hours, opens = time_index(measures).hour, opens_market(measures)
    today = int(np.flatnonzero(time_index(measures).date == time_index(measures)[position].date())[0])
    profile = recipe.horizons[horizon].profile
    rows = [i for i in range(max(HAR_LAGS), today) if outcomes.known_with[i] < today]
    design = np.array([plain_design_row(recipe.features, states, i - 1, measures.index[i], opens[i]) for i in rows])
    outcome = np.array([np.log(outcomes.volatility[i]) - profile[hours[i]] for i in rows])
    penalty = np.diag([30.0] * len(recipe.features.term_mean) + [1e-6] * (len(recipe.features.hours) + 4))
    coefficients = np.linalg.solve(design.T @ design + penalty, design.T @ outcome)
    row = plain_design_row(recipe.features, states, position - 1, measures.index[position], opens[position])
    log_forecast = float(np.dot(row, coefficients)) + profile[hours[position]]

    alone = replace(recipe, weight=NetworkWeight.fixed(0.0))
    labels, positions = time_index(measures)[position : position + 1], np.array([position])
    found = alone.forecast((), measures, labels, positions, horizon)
    # Rows of the training part keep the errors of its own fit in the smearing; the others have today's.
    old = [i for i, row in enumerate(rows) if outcomes.known_with[row] < first]
    new = [i for i, row in enumerate(rows) if outcomes.known_with[row] >= first]
    own = np.linalg.solve(design[old].T @ design[old] + penalty, design[old].T @ outcome[old])
    squares = [
        *np.exp(2 * (outcome[old] - design[old] @ own)),
        *np.exp(2 * (outcome[new] - design[new] @ coefficients)),
    ]
    smearing = np.sqrt(np.mean(squares))
    if horizon == 1:
        assert found.volatility[0] == pytest.approx(np.exp(log_forecast) * smearing, rel=1e-9)
    assert (found.lower < found.volatility).all()
    assert (found.volatility < found.upper).all()


@pytest.mark.train
def test_the_networks_correct_the_regression(trained: TrainingResult, measures: pd.DataFrame) -> None:
    recipe = replace(recipe_of(trained), weight=NetworkWeight.fixed(0.5))
    positions = trained.data.positions("test")["SPY"]
    labels = time_index(measures)[positions]
    alone = replace(recipe, weight=NetworkWeight.fixed(0.0)).forecast((), measures, labels, positions).volatility
    found = recipe.forecast(trained.bundle.networks, measures, labels, positions).volatility
    outputs = np.mean([network(trained.data.X_test) for network in trained.bundle.networks], axis=0)
    expected = np.log(alone) + 0.5 * outputs * recipe.correction_spread + recipe.smearing_shift
    np.testing.assert_allclose(np.log(found), expected, atol=1e-9)


@pytest.mark.train
def test_one_forecast_is_a_row_of_the_series(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    for horizon in HORIZONS:
        series = forecaster.forecast_series(bars, horizon)
        for label in series.index[[0, 5, len(series) // 2, -2]]:
            one = forecaster.forecast(bars, series.loc[label, "asof"], horizon)
            assert one.bucket == label
            for name in ("volatility", "lower", "upper", "annualized_volatility"):
                assert getattr(one, name) == pytest.approx(series.loc[label, name], rel=1e-9)


@pytest.mark.train
def test_forecasts_do_not_see_the_future(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    series = forecaster.forecast_series(bars)
    random = np.random.default_rng(0)
    for moment in random.choice(series["asof"].to_numpy(), 50):
        asof = pd.Timestamp(moment)
        changed = with_noise_after(bars, asof)
        for horizon in (1, list(HORIZONS)[1 + int(random.integers(3))]):
            before, after = (forecaster.forecast(frame, asof, horizon) for frame in (bars, changed))
            assert before == after
    changed_series = forecaster.forecast_series(with_noise_after(bars, asof))
    known = series["asof"] <= asof
    pd.testing.assert_frame_equal(changed_series[changed_series["asof"] <= asof], series[known], check_exact=True)


def test_what_is_fitted_sees_the_training_part_alone(measures: pd.DataFrame) -> None:
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.15)
    noise = measures.copy()
    noise.iloc[split.train.stop :] *= np.exp(
        np.random.default_rng(0).standard_normal((len(noise) - split.train.stop, 1))
    )
    made, changed = (har_lstm_targets({"SPY": frame}, {"SPY": split}) for frame in (measures, noise))
    assert json.dumps(made.regression.to_dict()) == json.dumps(changed.regression.to_dict())
    rows = split.train.stop - max(HAR_LAGS)
    assert (made.windows["SPY"][:rows] == changed.windows["SPY"][:rows]).all()
    assert (made.targets["SPY"][:rows] == changed.targets["SPY"][:rows]).all()
    assert not (made.targets["SPY"][rows:] == changed.targets["SPY"][rows:]).all()


def test_weight_and_bounds_do_not_see_the_test_part(measures: pd.DataFrame) -> None:
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.15)
    made = har_lstm_targets({"SPY": measures}, {"SPY": split})

    def network(windows: Float32Array3D, side: Any = None) -> Float64Array1D:
        return windows[:, -1, 0].astype(float)

    noise = measures.copy()
    noise.iloc[split.test.start :] *= 3.0
    finished = [
        with_networks(made.regression, (network,), {"SPY": frame}, {"SPY": split}).to_dict()
        for frame in (measures, noise)
    ]
    assert json.dumps(finished[0]) == json.dumps(finished[1])


def test_networks_that_know_nothing_get_no_weight(measures: pd.DataFrame) -> None:
    split = split_in_time(len(measures), validation_split=0.2, test_split=0.15)
    made = har_lstm_targets({"SPY": measures}, {"SPY": split})
    rows = zip(made.windows["SPY"], made.targets["SPY"], strict=True)
    truth = {window.tobytes(): float(target) for window, target in rows}

    def knowing(sign: float) -> HarLstm:
        def network(windows: Float32Array3D, side: Any = None) -> Float64Array1D:
            return np.array([sign * truth[window.tobytes()] for window in windows])

        return with_networks(made.regression, (network,), {"SPY": measures}, {"SPY": split})

    assert knowing(1.0).weight.supported > 0.9
    assert knowing(-1.0).weight == NetworkWeight.fixed(0.0)


@pytest.mark.train
def test_the_same_after_saving(trained: TrainingResult, measures: pd.DataFrame) -> None:
    recipe = recipe_of(trained)
    again = recipe_from_dict(json.loads(json.dumps(recipe.to_dict())))
    positions = np.arange(len(measures) - 30, len(measures))
    for horizon in HORIZONS:
        arguments = (trained.bundle.networks, measures, time_index(measures)[positions], positions, horizon)
        before, after = recipe.forecast(*arguments), again.forecast(*arguments)
        assert (before.volatility == after.volatility).all()
        assert (before.upper == after.upper).all()


@pytest.mark.train
def test_a_seed_gives_one_model(trained: TrainingResult, bars: pd.DataFrame, tmp_path: Path) -> None:
    again = LocalLSTMTrainer({**SMALL, "model_save_path": str(tmp_path)}).run_training_pipeline(bars=bars)
    assert again.evaluation.to_dict() == trained.evaluation.to_dict()
    assert again.histories == trained.histories
    other = LocalLSTMTrainer({**SMALL, "seed": 1, "model_save_path": str(tmp_path)}).run_training_pipeline(bars=bars)
    assert other.histories != trained.histories


@pytest.mark.train
def test_a_directory_says_what_was_trained(trained: TrainingResult) -> None:
    assert trained.bundle.path is not None
    manifest = json.loads((trained.bundle.path / "manifest.json").read_text())
    assert manifest["network"] == "har_lstm"
    assert manifest["hyperparameters"] is None
    assert {"network_0.onnx", "network_1.onnx", "recipe.json", "history.json", "losses.png"} <= set(manifest["files"])
    assert len(json.loads((trained.bundle.path / "history.json").read_text())) == 2


@pytest.mark.train
def test_horizons_are_asked_for_by_name(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    for wrong in (2, "week", True):
        with pytest.raises(ConfigError, match="session_end"):
            forecaster.forecast(bars, horizon=wrong)
    assert VolatilityForecaster("ewma").forecast(bars, horizon=7).horizon == 7


@pytest.mark.train
def test_too_few_buckets_are_said(forecaster: VolatilityForecaster, bars: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDataError, match=r"needs 154"):
        forecaster.forecast(bars.loc["2024-12-20":])
    few = LocalLSTMTrainer({**SMALL, "model_save_path": str(tmp_path)})
    with pytest.raises(NotEnoughDataError, match="looks back 154"):
        few.prepare_data(bars=bars.loc["2024-11-15":])


def test_outcomes_of_horizons_by_their_definition(measures: pd.DataFrame) -> None:
    variance = measures["rv_hourly"].to_numpy() ** 2
    dates = [label.date() for label in measures.index]
    for horizon in HORIZONS:
        outcomes = horizon_outcomes(measures, horizon)
        for i in (0, 3, 50, len(variance) - 40, len(variance) - 5, len(variance) - 1):
            if horizon == "session_end":
                rows = [j for j in range(i, len(variance)) if dates[j] == dates[i]]
                ended = dates[-1] != dates[i]
                known_with = rows[-1] + 1 if ended else len(variance)
            else:
                rows = list(range(i, i + int(horizon)))
                ended = rows[-1] < len(variance)
                known_with = rows[-1] if ended else len(variance)
            assert outcomes.known_with[i] == known_with
            if ended:
                assert outcomes.volatility[i] == pytest.approx(np.sqrt(sum(variance[j] for j in rows)), rel=1e-9)


def test_minutes_of_horizons_follow_the_calendar() -> None:
    labels = pd.DatetimeIndex(["2024-11-27 16:00", "2024-11-29 10:00"]).tz_localize("America/New_York")
    assert list(horizon_minutes(labels, 1, market_named("XNYS"))) == [60, 30]
    # Thanksgiving is closed, the day after ends at 13:00.
    assert list(horizon_minutes(labels, "session_end", market_named("XNYS"))) == [60, 210]
    assert list(horizon_minutes(labels, 7, market_named("XNYS"))) == [60 + 210 + 90, 210 + 150]
