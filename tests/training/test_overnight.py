"""A symbol that is trained with the nights of another: where these come from, what is saved, and what is served."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars, with_noise_after
from volcast.backtest.forecasts import model_forecasts
from volcast.bars.sources.simulator import simulate_bars
from volcast.cli import backtest, evaluate, train
from volcast.config import TrainingConfig
from volcast.configured import overnight_bars_of
from volcast.errors import BarsError, ConfigError, VolatilityError
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.measures.nights import NIGHT_NAMES
from volcast.retraining.gate import has_decayed, judge
from volcast.retraining.policy import RetrainingPolicy
from volcast.retraining.retraining import RetrainingOutcome
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

pytestmark = pytest.mark.train

SMALL: dict[str, Any] = {"symbol": "QQQ", "networks": 1, "epochs": 1, "accept_quality": True, "accept_verdict": True}
STEP = pd.Timedelta(minutes=5)


def new_york(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="America/New_York")


@pytest.fixture(scope="module")
def future() -> pd.DataFrame:
    whole = simulate_bars("QQQ", "2024-06-03", "2024-12-13", minutes=5, nights=True) * 40
    whole.attrs = {"symbol": "NQ"}
    return whole


@pytest.fixture(scope="module")
def bars(future: pd.DataFrame) -> pd.DataFrame:
    regular = (future / 40).tz_convert("America/New_York").between_time("09:30", "15:59").tz_convert("UTC")
    regular.attrs = {"symbol": "QQQ"}
    return regular


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def trained(bars: pd.DataFrame, future: pd.DataFrame, place: Path) -> TrainingResult:
    forecaster = VolatilityForecaster("ewma", {**SMALL, "model_save_path": str(place)})
    return forecaster.train_locally(bars=bars[:"2024-11-15"], overnight_bars=future)


@pytest.fixture(scope="module")
def forecaster(trained: TrainingResult) -> VolatilityForecaster:
    """From the files that were saved."""
    assert trained.bundle.path is not None
    return VolatilityForecaster(trained.bundle.path)


def test_a_model_remembers_whose_nights_it_has_seen(
    trained: TrainingResult, forecaster: VolatilityForecaster, future: pd.DataFrame
) -> None:
    recipe = trained.bundle.recipe
    assert isinstance(recipe, HarLstm)
    assert recipe.features.with_nights
    assert forecaster.model_info()["overnight_symbol"] == "NQ"
    assert trained.bundle.path is not None
    manifest = json.loads((trained.bundle.path / "manifest.json").read_text())
    assert (manifest["symbol"], manifest["overnight"]["symbol"]) == ("QQQ", "NQ")
    assert manifest["overnight"]["bars"] == len(future)


def test_it_forecasts_with_them_alone(
    forecaster: VolatilityForecaster, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    series = forecaster.forecast_series(bars, overnight_bars=future)
    for row in (-9, -8, -2):
        asof = series["asof"].iloc[row]
        one = forecaster.forecast(bars, asof, overnight_bars=future)
        assert (one.volatility, one.lower) == (series["volatility"].iloc[row], series["lower"].iloc[row])
        number = forecaster.forecast_volatility(bars, asof, overnight_bars=future)
        assert number == one.annualized_volatility
        panel = forecaster.forecast_panel(pd.concat({"QQQ": bars}), asof, overnight_bars=future)
        assert panel.loc["QQQ", "volatility"] == one.volatility
    stream = forecaster.stream(bars.iloc[:-78], overnight_bars=future[future.index < bars.index[-78]])
    stream.update(bars.iloc[-78:], overnight_bars=future[future.index >= bars.index[-78]])
    assert stream.forecast() == forecaster.forecast(bars, overnight_bars=future)
    total = forecaster.forecast(bars, horizon="5 sessions", kind="total", overnight_bars=future)
    assert 0 < total.annualized_volatility < 1
    for call in (forecaster.forecast, forecaster.forecast_series, forecaster.stream, forecaster.retrain_if_due):
        with pytest.raises(BarsError, match="trained with the nights of NQ"):
            call(bars)


def test_bars_of_another_library_tell_of_nights_too(
    forecaster: VolatilityForecaster, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    polars = pytest.importorskip("polars")
    frame, nights = (polars.from_pandas(one.rename_axis("timestamp").reset_index()) for one in (bars, future))
    series = forecaster.forecast_series(frame, overnight_bars=nights)
    expected = forecaster.forecast_series(bars, overnight_bars=future)
    np.testing.assert_array_equal(series["volatility"].to_numpy(), expected["volatility"].to_numpy())


def test_noise_after_a_training_changes_nothing_of_it(bars: pd.DataFrame, future: pd.DataFrame) -> None:
    past, settings = bars[:"2024-11-15"], {**SMALL, "nights": "auto"}
    data = LocalLSTMTrainer(settings).prepare_data(bars=past, overnight_bars=future)
    noise = with_noise_after(future, new_york("2024-11-15 16:00"))
    again = LocalLSTMTrainer(settings).prepare_data(bars=past, overnight_bars=noise)
    assert isinstance(data.recipe, HarLstm)
    assert isinstance(again.recipe, HarLstm)
    assert again.recipe.to_dict() == data.recipe.to_dict()
    np.testing.assert_array_equal(again.windows["QQQ"], data.windows["QQQ"])
    pd.testing.assert_frame_equal(again.measures["QQQ"].iloc[:-1], data.measures["QQQ"].iloc[:-1], check_exact=True)


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"nights": "never"}, ConfigError, "overnight_symbol is 'NQ' and nights is 'never'"),
        ({"network": "roadmap"}, ConfigError, "only a 'har_lstm' sees nights"),
        ({"preset": "colab"}, ConfigError, "only a 'har_lstm' sees nights"),
        ({"symbol": "NQ"}, ConfigError, "whose own bars tell of its nights"),
        ({"market": "24/7"}, BarsError, "overnight_bars: those of NQ lie in fewer than half of the nights"),
    ],
)
def test_overnight_bars_that_would_change_nothing_are_refused(
    bars: pd.DataFrame, future: pd.DataFrame, settings: dict[str, Any], kind: type[VolatilityError], said: str
) -> None:
    trainer = LocalLSTMTrainer({**SMALL, **settings})
    with pytest.raises(kind, match=said):
        trainer.prepare_data(bars=bars, overnight_bars=future)


def test_overnight_bars_of_nobody_or_of_another_time_are_refused(bars: pd.DataFrame, future: pd.DataFrame) -> None:
    nameless = future.copy()
    nameless.attrs = {}
    with pytest.raises(ConfigError, match=r"do not say whose they are.*attrs\['symbol'\]"):
        LocalLSTMTrainer(SMALL).prepare_data(bars=bars, overnight_bars=nameless)
    named = LocalLSTMTrainer({**SMALL, "overnight_symbol": "ES"})
    named.prepare_data(bars=bars, overnight_bars=nameless)
    assert named.config.overnight_symbol == "ES"
    with pytest.raises(BarsError, match="fewer than half of the nights of the training part of QQQ"):
        LocalLSTMTrainer(SMALL).prepare_data(bars=bars, overnight_bars=future["2024-10-01":])
    with pytest.raises(ConfigError, match=r"overnight_path is .nq.csv. and overnight_symbol is missing"):
        LocalLSTMTrainer({**SMALL, "overnight_path": "nq.csv"}).prepare_data(bars=bars)


def test_companions_and_many_symbols_see_the_same_nights(
    bars: pd.DataFrame, future: pd.DataFrame, tmp_path: Path
) -> None:
    other = make_bars("2024-06-03", "2024-12-13", minutes=5)
    many = pd.concat({"QQQ": bars, "SPY": other}, names=["symbol", "timestamp"])
    pooled = LocalLSTMTrainer({**SMALL, "symbols": "QQQ,SPY"}).prepare_data(bars=many, overnight_bars=future)
    other.to_parquet(tmp_path / "SPY_5min.parquet")
    beside = LocalLSTMTrainer({**SMALL, "companions": "SPY", "bars_path": str(tmp_path)})
    data = beside.prepare_data(bars=bars, overnight_bars=future)
    for one in (pooled, data):
        nights = [one.measures[name][list(NIGHT_NAMES)].dropna(how="all").iloc[:-1] for name in ("QQQ", "SPY")]
        both = nights[0].index.intersection(nights[1].index)
        assert len(both) > 100
        pd.testing.assert_frame_equal(nights[0].loc[both], nights[1].loc[both], check_exact=True)


def test_the_configured_symbols_bars_come_from_its_own_file_or_the_source(
    bars: pd.DataFrame, future: pd.DataFrame, tmp_path: Path
) -> None:
    bars.to_parquet(tmp_path / "QQQ_5min.parquet")
    future.to_parquet(tmp_path / "NQ_5min.parquet")
    beside = {"bars_path": str(tmp_path), "overnight_symbol": "nq"}
    apart = {
        "bars_path": str(tmp_path / "QQQ_5min.parquet"),
        "overnight_path": str(tmp_path / "NQ_5min.parquet"),
        "overnight_symbol": "NQ",
    }
    for settings in (beside, apart):
        fetched = overnight_bars_of(TrainingConfig.from_mapping({**SMALL, **settings}), "NQ")
        assert fetched is not None
        assert fetched.attrs["symbol"] == "NQ"
        pd.testing.assert_frame_equal(fetched[future.columns], future, check_freq=False, check_names=False)
    simulated = overnight_bars_of(
        TrainingConfig.from_mapping({**SMALL, "bars_source": "simulator", "overnight_symbol": "NQ"}), "NQ"
    )
    assert simulated is not None
    assert simulated.between_time("06:00", "08:00").size > 0
    assert overnight_bars_of(TrainingConfig.from_mapping(SMALL), None) is None


def test_the_gate_hands_each_model_what_it_was_trained_with(
    trained: TrainingResult, forecaster: VolatilityForecaster, bars: pd.DataFrame, future: pd.DataFrame
) -> None:
    fallback, policy = VolatilityForecaster("ewma")._serving, RetrainingPolicy()
    for pair in ((fallback, forecaster._serving), (forecaster._serving, fallback)):
        decision = judge(*pair, bars, policy, accept_verdict=True, overnight_bars=future)
        assert decision.details["buckets"] > 100
    assert not has_decayed(forecaster._serving, bars, policy, future)


def test_a_schedule_trains_and_serves_with_the_nights_of_its_time(
    bars: pd.DataFrame, future: pd.DataFrame, tmp_path: Path
) -> None:
    outcomes: list[RetrainingOutcome] = []
    settings = {**SMALL, "every": 50, "gate": "always", "model_save_path": str(tmp_path)}
    backtested = VolatilityForecaster("ewma", settings, on_retraining=outcomes.append)
    series = backtested.forecast_series(bars, models="as-of", overnight_bars=future)
    moments = [outcome.moment for outcome in outcomes if outcome.promoted]
    assert len(moments) == 2
    assert set(series["model_version"][~series["is_fallback"]]) == {
        one.model_version for one in outcomes if one.promoted
    }
    again = VolatilityForecaster("ewma", settings)
    # Each row as a loop gets it that knows no more than had ended, of the models in the store; noise comes after.
    for row in (-150, -40, -8):
        asof = series["asof"].iloc[row]
        nights = with_noise_after(future, asof)
        one = again.forecast(bars[bars.index < asof], asof, models="as-of", overnight_bars=nights)
        assert one.model_version == series["model_version"].iloc[row]
        assert one.volatility == series["volatility"].iloc[row]
    tables = model_forecasts(again, bars, "as-of", overnight_bars=future)
    assert tables["QQQ"]["model_version"].isin(series["model_version"]).all()
    plain = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path / "empty")})
    for call in (plain.forecast, plain.forecast_series):
        with pytest.raises(ConfigError, match="trained without another symbol's nights"):
            call(bars, models="as-of", overnight_bars=future)


def test_a_training_in_the_background_gets_them(bars: pd.DataFrame, future: pd.DataFrame, tmp_path: Path) -> None:
    forecaster = VolatilityForecaster("ewma", {**SMALL, "gate": "always", "model_save_path": str(tmp_path)})
    outcome = forecaster.retrain_async(bars=bars, overnight_bars=future).wait(300)
    assert outcome.promoted, outcome.error
    assert forecaster.model_info()["overnight_symbol"] == "NQ"
    assert forecaster.forecast(bars, overnight_bars=future).model_version == outcome.model_version
    configured = VolatilityForecaster("ewma", {**SMALL, "overnight_symbol": "NQ", "model_save_path": str(tmp_path)})
    with pytest.raises(BarsError, match="overnight_symbol is 'NQ' and overnight_bars are missing"):
        configured.retrain_if_due(bars)


def test_commands_train_judge_and_backtest_with_them(
    bars: pd.DataFrame, future: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars.to_parquet(tmp_path / "QQQ_5min.parquet")
    future.to_parquet(tmp_path / "NQ_5min.parquet")
    store = str(tmp_path / "models")
    config = tmp_path / "small.json"
    config.write_text(json.dumps({"networks": 1}))
    own = ["--symbol", "QQQ", "--bars", str(tmp_path / "QQQ_5min.parquet")]
    nights = ["--overnight-symbol", "NQ", "--overnight-bars", str(tmp_path / "NQ_5min.parquet")]
    small = ["--config", str(config), "--epochs", "1", "--accept-quality", "--accept-verdict", "--output", store]

    def said(main: Any, arguments: Sequence[str]) -> dict[str, Any]:
        assert main([*arguments, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    trained = said(train.main, [*own, *nights, *small])
    assert VolatilityForecaster(trained["path"]).model_info()["overnight_symbol"] == "NQ"
    judged = said(evaluate.main, ["--models", store, *own, "--allow-in-sample"])
    other = said(evaluate.main, ["--models", store, *own, nights[2], nights[3], "--allow-in-sample"])
    assert judged["metrics"] == other["metrics"]
    traded = [*own, "--strategy", "vol-target", "--models", store]
    with_nights = said(backtest.main, [*traded, "--forecasts", "model", *nights])
    assert with_nights == said(backtest.main, [*traded, "--forecasts", "model", nights[2], nights[3]])
    assert backtest.main([*traded, "--forecasts", "har", *nights]) == 2
    assert "only models see nights" in " ".join(capsys.readouterr().err.split())
