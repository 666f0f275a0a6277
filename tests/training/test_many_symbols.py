"""One model over many symbols: late listings and holes, symbols it has never seen, the market, and the future."""

import json
import shutil
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bars import make_bars, of_symbol, with_noise_after
from tests.support.edits import edited
from volcast.arrays import time_index
from volcast.cli.train import main
from volcast.config import TrainingConfig
from volcast.errors import BarsError, ConfigError, DataSourceError, NotEnoughDataError, TrainingError
from volcast.evaluation.losses import qlike_losses
from volcast.features.intraday import (
    STATES,
    market_states,
    opens_market,
)
from volcast.features.windows import HAR_LAGS
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.baselines.har import diurnal_log_har
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.regression import RegressionState
from volcast.forecasters.har_lstm.running import RunningForecast
from volcast.forecasters.har_lstm.state import HorizonState
from volcast.forecasters.horizons import HORIZONS, Horizon, horizon_outcomes
from volcast.forecasters.recipe import recipe_from_dict
from volcast.forecasters.tables import HourlyTable
from volcast.measures.hourly import RV_FLOOR, get_hourly_measures, get_hourly_rv
from volcast.networks.architectures import HAR_LSTM_NETWORK
from volcast.retraining.gate import has_decayed, judge
from volcast.retraining.policy import RetrainingPolicy
from volcast.retraining.retraining import RetrainingOutcome
from volcast.serving.served_model import ServedModel
from volcast.store.store import ModelStore
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

pytestmark = pytest.mark.train

SMALL: dict[str, Any] = {"memory": 20, "networks": 2, "epochs": 2, "accept_quality": True, "test_from": "2024-12-02"}
NAMES = ("AAA", "BBB", "CCC", "LATE", "HOLE")


def bars_of(name: str) -> pd.DataFrame:
    bars = make_bars("2024-05-01", "2024-12-31", seed=sum(map(ord, name)), minutes=5)
    if name == "LATE":
        return bars.loc["2024-11-20":]
    return bars[(bars.index < "2024-07-01") | (bars.index > "2024-08-01")] if name == "HOLE" else bars


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Bars of five symbols, one listed late, one with a hole of a month."""
    return pd.concat({name: bars_of(name) for name in NAMES}, names=["symbol", "timestamp"])


@pytest.fixture(scope="module")
def trained(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    settings = {**SMALL, "model_save_path": str(tmp_path_factory.mktemp("pooled"))}
    return LocalLSTMTrainer({**settings, "symbols": (*NAMES, "GONE")}).run_training_pipeline(bars=bars)


@pytest.fixture(scope="module")
def forecaster(trained: TrainingResult) -> VolatilityForecaster:
    assert trained.bundle.path is not None
    return VolatilityForecaster(trained.bundle.path)


def recipe_of(trained: TrainingResult) -> HarLstm:
    assert isinstance(trained.bundle.recipe, HarLstm)
    return trained.bundle.recipe


def test_a_late_symbol_is_served_and_a_missing_one_reported(trained: TrainingResult) -> None:
    assert set(recipe_of(trained).symbols) == {"AAA", "BBB", "CCC", "HOLE"}
    assert set(trained.failed) == {"GONE"}
    assert "GONE" in trained.failed["GONE"]
    assert set(trained.evaluation.symbols) == {"AAA", "BBB", "CCC", "HOLE"}
    assert len(trained.evaluation.ratios) == 4
    assert trained.evaluation.verdict.endswith(".")
    assert trained.bundle.path is not None
    manifest = json.loads((trained.bundle.path / "manifest.json").read_text())
    assert manifest["symbols"]["LATE"]["trained_on"] is False
    assert manifest["symbols"]["AAA"]["trained_on"] is True
    assert set(manifest["failed"]) == {"GONE"}
    assert pd.Timestamp(manifest["trained_through"]) < pd.Timestamp("2024-12-02", tz="America/New_York")
    assert manifest["symbols"]["AAA"]["quality"]["findings"] == trained.data.provenance["AAA"]["quality"]["findings"]
    assert manifest["symbols"]["HOLE"]["left_out"] == trained.data.measures["HOLE"].attrs["left_out"]
    pictures = {"forecasts.png", "losses.png", "history.json", "evaluation.html"}
    assert pictures <= {path.name for path in trained.bundle.path.iterdir()}
    metrics = json.loads((trained.bundle.path / "metrics.json").read_text())
    assert set(metrics["symbols"]) == set(trained.evaluation.symbols)
    assert metrics["verdict"] == trained.evaluation.verdict
    assert escape(trained.evaluation.verdict) in (trained.bundle.path / "evaluation.html").read_text()


@pytest.mark.parametrize("horizon", HORIZONS)
def test_each_symbol_is_forecast_with_the_market(
    forecaster: VolatilityForecaster, bars: pd.DataFrame, horizon: Horizon
) -> None:
    for symbol in ("AAA", "HOLE", "LATE"):
        series = forecaster.forecast_series(bars, horizon, symbol=symbol)
        assert (series["asof"] >= pd.Timestamp("2024-11-29", tz="America/New_York")).all()
        assert (series["lower"] < series["volatility"]).all()
        assert (series["volatility"] < series["upper"]).all()
        for label in series.index[[0, len(series) // 2, -2]]:
            one = forecaster.forecast(bars, series.loc[label, "asof"], horizon, symbol=symbol)
            assert one.volatility == pytest.approx(series.loc[label, "volatility"], rel=1e-9)


def test_too_short_a_history_of_a_stranger_is_said(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughDataError, match="154"):
        forecaster.forecast(bars.loc[["LATE"]].iloc[:300])


def test_without_the_market_the_symbol_stands_in_for_it(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    alone, own = of_symbol(bars, "AAA"), bars.loc[["AAA"]]
    without = forecaster.forecast_series(alone, symbol="AAA")
    # Two symbols are no market either.
    two = forecaster.forecast_series(bars.loc[["AAA", "BBB"]], symbol="AAA")
    pd.testing.assert_frame_equal(forecaster.forecast_series(own), without)
    pd.testing.assert_frame_equal(two, without)
    whole = forecaster.forecast_series(bars, symbol="AAA")
    assert not np.allclose(whole["volatility"], without["volatility"], rtol=1e-6)


@pytest.fixture(params=["the market", "one of many", "alone", "by its own name"])
def asked(request: pytest.FixtureRequest, bars: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
    """Bars with AAA among them, and the argument that says so."""
    alone = of_symbol(bars, "AAA")
    alone.attrs = {"symbol": "AAA"} if request.param == "by its own name" else {}
    return {
        "the market": (bars, "AAA"),
        "one of many": (bars.loc[["AAA"]], None),
        "alone": (alone, "AAA"),
        "by its own name": (alone, None),
    }[request.param]


def test_a_backtest_asks_the_model_as_it_serves(
    trained: TrainingResult, forecaster: VolatilityForecaster, asked: tuple[pd.DataFrame, str | None]
) -> None:
    frame, symbol = asked
    assert trained.bundle.path is not None
    settings = {"model_save_path": str(trained.bundle.path.parent)}
    backtest = VolatilityForecaster("ewma", settings)
    direct = forecaster.forecast_series(frame, symbol=symbol)
    series = backtest.forecast_series(frame, symbol=symbol, models="as-of")
    pd.testing.assert_frame_equal(series[~series["is_fallback"]], direct, check_exact=True)
    assert series["is_fallback"].any()
    for asof in (direct["asof"].iloc[0], direct["asof"].iloc[40], None):
        one = backtest.forecast(frame, asof, symbol=symbol, models="as-of")
        assert one == forecaster.forecast(frame, asof, symbol=symbol)


def test_a_backtest_of_one_symbol_after_another_keeps_them_apart(
    trained: TrainingResult, forecaster: VolatilityForecaster, bars: pd.DataFrame
) -> None:
    assert trained.bundle.path is not None
    backtest = VolatilityForecaster("ewma", {"model_save_path": str(trained.bundle.path.parent)})
    with pytest.raises(BarsError, match="name it with symbol="):
        backtest.forecast_series(bars, models="as-of")
    for symbol in ("AAA", "LATE", "AAA"):
        series = backtest.forecast_series(bars, symbol=symbol, models="as-of")
        direct = forecaster.forecast_series(bars, symbol=symbol)
        pd.testing.assert_frame_equal(series[~series["is_fallback"]], direct, check_exact=True)


def losses_of(forecaster: VolatilityForecaster, frame: pd.DataFrame, symbol: str | None) -> pd.Series:
    """QLIKE of the model as it serves, a row a bucket that has ended."""
    volatility = forecaster.forecast_series(frame, symbol=symbol)["volatility"]
    own = of_symbol(frame, "AAA") if isinstance(frame.index, pd.MultiIndex) else frame
    realized = get_hourly_rv(own).reindex(volatility.index)
    ended = (realized > RV_FLOOR).to_numpy()
    return pd.Series(qlike_losses(realized[ended], volatility[ended]), volatility.index[ended])


def test_the_gate_judges_the_model_as_it_serves(
    trained: TrainingResult, forecaster: VolatilityForecaster, asked: tuple[pd.DataFrame, str | None]
) -> None:
    frame, symbol = asked
    pooled, fallback = (ServedModel.of(bundle, TrainingConfig()) for bundle in (trained.bundle, None))
    losses = losses_of(forecaster, frame, symbol)
    for champion, challenger, role in ((fallback, pooled, "challenger"), (pooled, fallback, "champion")):
        decision = judge(champion, challenger, frame, RetrainingPolicy(), symbol)
        assert decision.details["buckets"] == len(losses)
        assert decision.details[f"{role}_qlike"] == losses.mean()


def test_after_a_training_in_the_background_the_gate_sees_the_market(
    trained: TrainingResult,
    forecaster: VolatilityForecaster,
    bars: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[tuple[Any, ...]] = []
    monkeypatch.setattr("volcast.forecaster.RetrainingJob", lambda *about: jobs.append(about))
    assert trained.bundle.path is not None
    place = shutil.copytree(trained.bundle.path.parent, tmp_path / "models")
    serving = VolatilityForecaster(trained.bundle.name, {"model_save_path": str(place)})
    serving.retrain_async("AAA", bars)
    ((_, window, symbol, name, settle, *_),) = jobs
    assert symbol == window.attrs["symbol"] == "AAA"
    assert name.startswith("AAA-")
    pd.testing.assert_frame_equal(window, of_symbol(bars, "AAA"))
    assert not settle(trained.bundle.name).promoted
    details = ModelStore(place).history()[-1].details
    assert details is not None
    assert details["champion_qlike"] == losses_of(forecaster, bars, "AAA").mean()


def test_decay_is_of_the_model_as_it_serves(
    trained: TrainingResult, forecaster: VolatilityForecaster, bars: pd.DataFrame
) -> None:
    alone, model = of_symbol(bars, "AAA"), ServedModel.of(trained.bundle, TrainingConfig())
    alone.attrs = {"symbol": "AAA"}
    losses = losses_of(forecaster, alone, None)
    rv = get_hourly_rv(alone).to_frame()
    expected, answers = [], []
    for end in range(30, len(losses), 3):
        recent = losses[:end].iloc[-48:]
        positions = rv.index.get_indexer(recent.index)
        har = pd.Series(diurnal_log_har(rv, time_index(recent), positions), time_index(recent))
        reference = pd.Series(qlike_losses(rv["rv_hourly"].iloc[positions], har), recent.index)
        ratio = (recent.rolling(8).mean() / reference.rolling(8).mean()).dropna()
        before = ratio.iloc[:-8]
        expected.append(bool(ratio.iloc[-1] > before.mean() + 2 * before.std(ddof=0)))
        bars_until_then = alone[alone.index < recent.index[-1]]
        answers.append(has_decayed(model, bars_until_then, RetrainingPolicy(decay_buckets=8)))
    assert answers == expected
    assert len(set(answers)) == 2


def test_a_symbol_that_was_not_in_training_needs_its_short_history_alone(forecaster: VolatilityForecaster) -> None:
    new = make_bars("2024-10-01", "2024-12-31", seed=99, minutes=5)
    # Three times as volatile as those in training: its level is its own.
    new = np.exp(3 * np.log(new / new["close"].iloc[0]))
    measures = get_hourly_measures(new)
    for horizon in HORIZONS:
        outcomes = horizon_outcomes(measures, horizon)
        realized = pd.Series(outcomes.volatility, measures.index)[outcomes.known_with < len(measures)]
        forecasts = forecaster.forecast_series(new, horizon, symbol="NEW")["volatility"]
        errors = np.log(forecasts / realized).dropna()
        assert len(errors) > 50
        # The fewer outcomes share nothing, the further their mean strays.
        assert errors.mean() == pytest.approx(0.0, abs=0.1 if horizon in (1, "session_end") else 0.3)
    series = forecaster.forecast_series(new, symbol="NEW")
    label = series.index[20]
    one = forecaster.forecast(new, series.loc[label, "asof"], symbol="NEW")
    assert one.volatility == pytest.approx(series.loc[label, "volatility"], rel=1e-9)


def test_forecasts_do_not_see_the_future(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    new = make_bars("2024-10-01", "2024-12-31", seed=99, minutes=5)
    random = np.random.default_rng(1)
    with_new = pd.concat({"NEW": new, **{name: of_symbol(bars, name) for name in NAMES[:3]}})
    for symbol, frame in (("AAA", bars), ("NEW", with_new)):
        series = forecaster.forecast_series(frame, symbol=symbol)
        for moment in random.choice(series["asof"].to_numpy(), 25):
            asof = pd.Timestamp(moment)
            changed = pd.concat(
                {
                    name: with_noise_after(of_symbol(frame, name), asof)
                    for name in frame.index.get_level_values(0).unique()
                }
            )
            horizon = list(HORIZONS)[int(random.integers(len(HORIZONS)))]
            before, after = (forecaster.forecast(seen, asof, horizon, symbol=symbol) for seen in (frame, changed))
            assert before == after


def test_training_does_not_see_the_test_part(trained: TrainingResult, bars: pd.DataFrame, tmp_path: Path) -> None:
    noise = bars.copy()
    later = noise.index.get_level_values(1) >= pd.Timestamp("2024-12-02", tz="America/New_York")
    noise.loc[later] *= np.exp(0.02 * np.random.default_rng(2).standard_normal((int(later.sum()), 1)))
    again = LocalLSTMTrainer({**SMALL, "symbols": NAMES, "model_save_path": str(tmp_path)}).run_training_pipeline(
        bars=noise
    )
    assert json.dumps(recipe_of(again).to_dict()) == json.dumps(recipe_of(trained).to_dict())
    assert again.evaluation.ratios["AAA"] != trained.evaluation.ratios["AAA"]


def test_a_training_that_diverges_is_refused(
    bars: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HAR_LSTM_NETWORK, "lr", 1e38)
    settings = {**SMALL, "networks": 1, "model_save_path": str(tmp_path)}
    with pytest.raises(TrainingError, match="validation loss became infinite or no number"):
        LocalLSTMTrainer({**settings, "symbols": NAMES}).run_training_pipeline(bars=bars)
    assert ModelStore(tmp_path).list() == []


def test_one_symbol_is_many_with_one(bars: pd.DataFrame, tmp_path: Path) -> None:
    alone = of_symbol(bars, "AAA")
    named = LocalLSTMTrainer({**SMALL, "symbol": "AAA", "model_save_path": str(tmp_path / "named")})
    listed = LocalLSTMTrainer({**SMALL, "symbols": "AAA", "model_save_path": str(tmp_path / "listed")})
    one, many = named.run_training_pipeline(bars=alone), listed.run_training_pipeline(bars=bars)
    assert json.dumps(many.bundle.recipe.to_dict()) == json.dumps(one.bundle.recipe.to_dict())
    assert many.evaluation.to_dict() == one.evaluation.to_dict()
    assert many.bundle.manifest["symbol"] == one.bundle.manifest["symbol"] == "AAA"
    # Nobody else is forecast otherwise by a model that knows one symbol.
    first, second = (recipe_of(one).for_symbol(name, bars_of("BBB")) for name in ("AAA", "BBB"))
    assert first.horizons[1].profile is second.horizons[1].profile


def test_what_symbols_share_is_fitted_on_the_rows_of_all(trained: TrainingResult) -> None:
    data, recipe = trained.data, recipe_of(trained)
    seen = {name: frame.iloc[: data.splits[name].validation.stop] for name, frame in data.measures.items()}
    frames = recipe.with_market({name: frame for name, frame in seen.items() if name in recipe.symbols})
    for horizon in HORIZONS:
        grams, moments, rows_of = [], [], {}
        for name, frame in frames.items():
            state = recipe.for_symbol(name, frame)
            states, hours = state.features.states(frame), time_index(frame).hour.to_numpy()
            outcomes = horizon_outcomes(frame, horizon)
            labels, opens = time_index(frame).as_unit("us").asi8, opens_market(frame)
            rows = [row for row in range(max(HAR_LAGS), len(frame)) if outcomes.known_with[row] < len(frame)]
            nights = state.features.nights_before(frame)[rows]
            known = np.array(rows) - 1
            design = state.features.design(states, known, labels[rows], hours[rows], opens[rows], nights)
            outcome = np.log(outcomes.volatility[rows]) - state.horizons[horizon].profile[hours[rows]]
            grams.append(design.T @ design)
            moments.append(design.T @ outcome)
            rows_of[name] = design, outcome
        shared = recipe.horizons[horizon].regression
        np.testing.assert_allclose(shared.gram, sum(grams), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(shared.moment, sum(moments), rtol=1e-9, atol=1e-9)
        for name, (design, outcome) in rows_of.items():
            own = recipe.symbols[name].horizons[horizon]
            residual = outcome - design @ shared.coefficients
            assert own.count == len(outcome)
            assert own.smearing_sum == pytest.approx(np.exp(2 * residual).sum(), rel=1e-9)


def test_each_step_can_be_used_alone(bars: pd.DataFrame, tmp_path: Path) -> None:
    trainer = LocalLSTMTrainer({**SMALL, "symbols": NAMES, "model_save_path": str(tmp_path)})
    data = trainer.prepare_data(bars=bars)
    assert set(data.windows) == {"AAA", "BBB", "CCC", "HOLE"}
    assert len(data.X_val) == len(data.y_val) == sum(len(rows) for name, rows in data.positions("validation").items())
    trainer.build_model()
    trainer.train_model(data.X_train, data.y_train, data.X_val, data.y_val)
    on_validation = trainer.evaluate_model(data.X_val, data.y_val)
    assert on_validation.last < data.measures["AAA"].index[data.splits["AAA"].test.start]
    assert trainer.save_model("by-hand").path == tmp_path / "by-hand"


def test_a_schedule_trains_a_model_of_many(bars: pd.DataFrame, tmp_path: Path) -> None:
    settings = {
        **SMALL, "networks": 1, "epochs": 1, "test_from": None, "symbols": NAMES[:3], "every": "month",
        "model_save_path": str(tmp_path),
    }  # fmt: skip
    forecaster = VolatilityForecaster("ewma", settings)
    until = {month: bars[bars.index.get_level_values(1) < pd.Timestamp(f"2024-{month}", tz="America/New_York")]
             for month in ("11-06", "12-05")}  # fmt: skip
    first = forecaster.retrain_if_due(until["11-06"].loc[list(NAMES[:3])], background=False)
    assert isinstance(first, RetrainingOutcome)
    assert first.promoted
    assert str(first.model_version).startswith("pooled-3-20241101-")
    assert forecaster.retrain_if_due(until["11-06"].loc[list(NAMES[:3])], background=False) is None
    second = forecaster.retrain_if_due(until["12-05"].loc[list(NAMES[:3])], background=False)
    assert isinstance(second, RetrainingOutcome)
    details = ModelStore(tmp_path).history()[-1].details
    assert details is not None
    assert details["champion"] == first.model_version
    # Each bucket that neither model has seen counts once for each symbol.
    assert details["buckets"] % 3 == 0
    assert details["buckets"] > 100
    assert "neither has seen" in second.reason


def test_a_backtest_trains_models_of_many(bars: pd.DataFrame, tmp_path: Path) -> None:
    recent = bars.loc[list(NAMES[:3])]
    recent = recent[recent.index.get_level_values(1) >= pd.Timestamp("2024-09-03", tz="America/New_York")]
    settings = {
        **SMALL, "networks": 1, "epochs": 1, "test_from": None, "symbols": NAMES[:3], "every": "month",
        "gate": "always", "model_save_path": str(tmp_path),
    }  # fmt: skip
    backtest = VolatilityForecaster("ewma", settings)
    series = backtest.forecast_series(recent, symbol="AAA", models="as-of")
    by_models = series[~series["is_fallback"]]
    versions = set(by_models["model_version"])
    assert len(versions) > 0
    assert {version[:13] for version in versions} == {"pooled-3-2024", "pooled-3-2025"}
    # The same models forecast the other symbols: nothing is trained again.
    saved = len(ModelStore(tmp_path).list())
    other = backtest.forecast_series(recent, symbol="BBB", models="as-of")
    assert set(other.loc[~other["is_fallback"], "model_version"]) == versions
    row = by_models.iloc[-20]
    one = backtest.forecast(recent, row["asof"], symbol="AAA", models="as-of")
    assert one.volatility == pytest.approx(row["volatility"])
    assert one.model_version == row["model_version"]
    assert len(ModelStore(tmp_path).list()) == saved


def test_the_same_after_saving(trained: TrainingResult) -> None:
    numbers = recipe_of(trained).to_dict()
    assert json.dumps(recipe_from_dict(json.loads(json.dumps(numbers))).to_dict()) == json.dumps(numbers)


def test_a_symbol_averages_the_shared_regression_and_its_own(trained: TrainingResult) -> None:
    recipe, measures = recipe_of(trained).regression_alone(), trained.data.measures["AAA"]
    first = int(measures.index.searchsorted(recipe.trained_through, side="right"))
    table, labels, known = HourlyTable.of(measures), time_index(measures)[[first]].as_unit("us").asi8, np.array([first])
    both = recipe.for_symbol("AAA", measures)
    state = both.horizons[1]
    assert state.of_symbol is not None

    def forecast(regression: RegressionState, own: RegressionState | None) -> float:
        horizons: dict[Horizon, HorizonState] = {1: replace(state, regression=regression, of_symbol=own)}
        one = replace(both, horizons=horizons)
        return float(RunningForecast(one, (), 1, table).forecast(labels, known).volatility[0])

    shared, own = forecast(state.regression, None), forecast(state.of_symbol, None)
    assert forecast(state.regression, state.of_symbol) == pytest.approx(np.sqrt(shared * own), rel=1e-12)
    assert abs(np.log(shared / own)) > 1e-6


def test_the_own_regression_of_a_stranger_grows_in(trained: TrainingResult) -> None:
    recipe, measures = recipe_of(trained).regression_alone(), trained.data.measures["AAA"]
    measures = measures.iloc[:400].copy()
    measures.attrs = {"symbol": "ZZZ"}
    strangers = {name: replace(state, horizons={h: replace(x, of_symbol=None) for h, x in state.horizons.items()})
                 for name, state in recipe.symbols.items()}  # fmt: skip
    shared = replace(recipe, symbols=strangers)
    positions = np.array([recipe.memory, 390])
    mixed, alone = (
        one.forecast((), measures, time_index(measures)[positions], positions).volatility for one in (recipe, shared)
    )
    # Before it has seen a bucket of the symbol, it says what the shared one says.
    assert mixed[0] == pytest.approx(alone[0], rel=1e-9)
    assert abs(np.log(mixed[1] / alone[1])) > 1e-4


def test_the_market_is_the_mean_where_there_are_three() -> None:
    index = pd.date_range("2024-12-02 10:00", periods=3, freq="h", tz="America/New_York")
    states = {
        name: pd.DataFrame(np.full((count, len(STATES)), value), index[:count], columns=list(STATES))
        for name, count, value in (("A", 3, 1.0), ("B", 3, 2.0), ("C", 2, 6.0))
    }
    market = market_states(states)
    assert list(market.columns) == [f"market_{state}" for state in STATES]
    assert list(market.index) == list(index[:2])
    assert (market == 3.0).all(axis=None)


def test_wrong_use_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="har_lstm"):
        LocalLSTMTrainer({"symbols": "SPY,QQQ", "network": "roadmap"})
    few = pd.concat({name: bars_of(name).iloc[:2000] for name in ("AAA", "BBB")})
    settings = {**SMALL, "symbols": "AAA,BBB", "model_save_path": str(tmp_path)}
    with pytest.raises(NotEnoughDataError, match="of 2 symbols none has 204"):
        LocalLSTMTrainer({**settings, "test_from": "2024-05-20"}).run_training_pipeline(bars=few)
    with pytest.raises(DataSourceError, match="of 2 symbols none"):
        LocalLSTMTrainer({**settings, "symbols": "X,Y"}).run_training_pipeline(bars=few)
    with pytest.raises(DataSourceError, match=r"indexed by \(symbol, timestamp\)"):
        LocalLSTMTrainer(settings).prepare_data(bars=bars_of("AAA"))
    assert main(["--pooled"]) == 2
    assert "--symbols A,B,C" in capsys.readouterr().err


@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_any_edit_of_the_market_that_was_seen_gives_what_fresh_eyes_see(
    trained: TrainingResult, bars: pd.DataFrame, data: st.DataObject
) -> None:
    forecaster = VolatilityForecaster(trained.bundle.path)
    frames = {name: of_symbol(bars, name).iloc[: -data.draw(st.integers(1, 400))].copy() for name in NAMES}
    for _ in range(4):
        panel = pd.concat(frames, names=["symbol", "timestamp"])
        # LATE has hardly the history that it needs: an edit may take that away. It is part of the market.
        symbol = data.draw(st.sampled_from(["AAA", "HOLE"]))
        one = forecaster.forecast(panel, symbol=symbol, allow_in_sample=True)
        fresh = VolatilityForecaster(trained.bundle.path).forecast(panel, symbol=symbol, allow_in_sample=True)
        assert repr(one) == repr(fresh)
        changed = data.draw(st.sampled_from(NAMES))
        frames[changed] = edited(frames[changed], data)


def test_a_stream_of_many_symbols_gives_what_all_bars_give(trained: TrainingResult, bars: pd.DataFrame) -> None:
    forecaster, stamps = VolatilityForecaster(trained.bundle.path), bars.index.get_level_values(1)
    begin = bars.loc["AAA"].index[-40]
    stream = forecaster.stream(bars[stamps <= begin], "HOLE")
    for stamp in bars.loc["AAA"].index[-39:]:
        new = bars[stamps == stamp]
        # The symbols' bars come one after the other.
        stream.update(new.iloc[2:])
        stream.update(new.iloc[:2])
        one = stream.forecast(allow_in_sample=True)
        so_far = bars[stamps <= stamp]
        assert repr(one) == repr(forecaster.forecast(so_far, symbol="HOLE", allow_in_sample=True))
    fresh = VolatilityForecaster(trained.bundle.path).forecast(bars, symbol="AAA", allow_in_sample=True)
    assert repr(stream.forecast(symbol="AAA", allow_in_sample=True)) == repr(fresh)
