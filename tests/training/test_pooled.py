"""One model over many symbols: late listings and holes, symbols it has never seen, the market, and the future."""

import json
import shutil
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars, with_noise_after
from volcast.cli.train import main
from volcast.config import TrainingConfig
from volcast.errors import BarsError, ConfigError, DataSourceError, NotEnoughDataError, TrainingError
from volcast.evaluation.losses import qlike_losses
from volcast.features.intraday import STATES, market_columns
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.baselines.har import diurnal_log_har
from volcast.forecasters.har_lstm.pooled import PooledHarLstm, market_states
from volcast.forecasters.recipe import recipe_from_dict
from volcast.measures.hourly import RV_FLOOR, get_hourly_rv
from volcast.networks.architectures import POOLED_NETWORK
from volcast.retraining.gate import has_decayed, judge
from volcast.retraining.policy import RetrainingPolicy
from volcast.serving.served_model import ServedModel
from volcast.store.store import ModelStore
from volcast.training.pooled_trainer import PooledTrainer
from volcast.training.result import PooledResult

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
def trained(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> PooledResult:
    settings = {**SMALL, "model_save_path": str(tmp_path_factory.mktemp("pooled"))}
    return PooledTrainer([*NAMES, "GONE"], settings).run_training_pipeline(bars)


@pytest.fixture(scope="module")
def forecaster(trained: PooledResult) -> VolatilityForecaster:
    assert trained.bundle.path is not None
    return VolatilityForecaster(trained.bundle.path)


def recipe_of(trained: PooledResult) -> PooledHarLstm:
    assert isinstance(trained.bundle.recipe, PooledHarLstm)
    return trained.bundle.recipe


def test_a_late_symbol_is_served_and_a_missing_one_reported(trained: PooledResult) -> None:
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
    metrics = json.loads((trained.bundle.path / "metrics.json").read_text())
    assert set(metrics["symbols"]) == set(trained.evaluation.symbols)
    assert metrics["verdict"] == trained.evaluation.verdict
    assert escape(trained.evaluation.verdict) in (trained.bundle.path / "evaluation.html").read_text()


def test_each_symbol_is_forecast_with_the_market(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    for symbol in ("AAA", "HOLE", "LATE"):
        series = forecaster.forecast_series(bars, symbol=symbol)
        assert (series["asof"] >= pd.Timestamp("2024-11-29", tz="America/New_York")).all()
        assert (series["lower"] < series["volatility"]).all()
        for label in series.index[[0, len(series) // 2, -2]]:
            one = forecaster.forecast(bars, series.loc[label, "asof"], symbol=symbol)
            assert one.volatility == pytest.approx(series.loc[label, "volatility"], rel=1e-9)
    with pytest.raises(NotEnoughDataError, match="154"):
        forecaster.forecast(bars.loc[["LATE"]].iloc[:300])


def test_without_the_market_the_symbol_stands_in_for_it(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    alone, own = bars.xs("AAA"), bars.loc[["AAA"]]
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
    alone = bars.xs("AAA")
    alone.attrs = {"symbol": "AAA"} if request.param == "by its own name" else {}
    return {
        "the market": (bars, "AAA"),
        "one of many": (bars.loc[["AAA"]], None),
        "alone": (alone, "AAA"),
        "by its own name": (alone, None),
    }[request.param]


def test_a_backtest_asks_the_model_as_it_serves(
    trained: PooledResult, forecaster: VolatilityForecaster, asked: tuple[pd.DataFrame, str | None]
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
    trained: PooledResult, forecaster: VolatilityForecaster, bars: pd.DataFrame
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
    own = frame.xs("AAA") if isinstance(frame.index, pd.MultiIndex) else frame
    realized = get_hourly_rv(own).reindex(volatility.index)
    ended = (realized > RV_FLOOR).to_numpy()
    return pd.Series(qlike_losses(realized[ended], volatility[ended]), volatility.index[ended])


def test_the_gate_judges_the_model_as_it_serves(
    trained: PooledResult, forecaster: VolatilityForecaster, asked: tuple[pd.DataFrame, str | None]
) -> None:
    frame, symbol = asked
    pooled, fallback = (ServedModel.of(bundle, TrainingConfig()) for bundle in (trained.bundle, None))
    losses = losses_of(forecaster, frame, symbol)
    for champion, challenger, role in ((fallback, pooled, "challenger"), (pooled, fallback, "champion")):
        decision = judge(champion, challenger, frame, RetrainingPolicy(), symbol)
        assert decision.details["buckets"] == len(losses)
        assert decision.details[f"{role}_qlike"] == losses.mean()


def test_after_a_training_in_the_background_the_gate_sees_the_market(
    trained: PooledResult,
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
    ((_, window, symbol, name, settle, _),) = jobs
    assert symbol == window.attrs["symbol"] == "AAA"
    assert name.startswith("AAA-")
    pd.testing.assert_frame_equal(window, bars.xs("AAA"))
    assert not settle(trained.bundle.name).promoted
    details = ModelStore(place).history()[-1].details
    assert details is not None
    assert details["champion_qlike"] == losses_of(forecaster, bars, "AAA").mean()


def test_decay_is_of_the_model_as_it_serves(
    trained: PooledResult, forecaster: VolatilityForecaster, bars: pd.DataFrame
) -> None:
    alone, model = bars.xs("AAA"), ServedModel.of(trained.bundle, TrainingConfig())
    alone.attrs = {"symbol": "AAA"}
    losses = losses_of(forecaster, alone, None)
    rv = get_hourly_rv(alone).to_frame()
    expected, answers = [], []
    for end in range(30, len(losses), 3):
        recent = losses[:end].iloc[-48:]
        positions = rv.index.get_indexer(recent.index)
        har = pd.Series(diurnal_log_har(rv, recent.index, positions), recent.index)
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
    series = forecaster.forecast_series(new, symbol="NEW").iloc[:-1]
    realized = get_hourly_rv(new)[series.index]
    assert np.log(series["volatility"] / realized).mean() == pytest.approx(0.0, abs=0.1)
    label = series.index[20]
    one = forecaster.forecast(new, series.loc[label, "asof"], symbol="NEW")
    assert one.volatility == pytest.approx(series.loc[label, "volatility"], rel=1e-9)


def test_forecasts_do_not_see_the_future(forecaster: VolatilityForecaster, bars: pd.DataFrame) -> None:
    new = make_bars("2024-10-01", "2024-12-31", seed=99, minutes=5)
    for symbol, frame in (("AAA", bars), ("NEW", pd.concat({"NEW": new, **{n: bars.xs(n) for n in NAMES[:3]}}))):
        series = forecaster.forecast_series(frame, symbol=symbol)
        for moment in np.random.default_rng(1).choice(series["asof"].to_numpy(), 25):
            asof = pd.Timestamp(moment)
            # Five-minute bars: one that starts less than that before the moment has not ended.
            changed = pd.concat(
                {
                    name: with_noise_after(frame.xs(name), asof - pd.Timedelta(minutes=4))
                    for name in frame.index.get_level_values(0).unique()
                }
            )
            assert forecaster.forecast(changed, asof, symbol=symbol) == forecaster.forecast(frame, asof, symbol=symbol)


def test_training_does_not_see_the_test_part(trained: PooledResult, bars: pd.DataFrame, tmp_path: Path) -> None:
    noise = bars.copy()
    later = noise.index.get_level_values(1) >= pd.Timestamp("2024-12-02", tz="America/New_York")
    noise.loc[later] *= np.exp(0.02 * np.random.default_rng(2).standard_normal((int(later.sum()), 1)))
    again = PooledTrainer(NAMES, {**SMALL, "model_save_path": str(tmp_path)}).run_training_pipeline(noise)
    assert json.dumps(recipe_of(again).to_dict()) == json.dumps(recipe_of(trained).to_dict())
    assert again.evaluation.ratios["AAA"] != trained.evaluation.ratios["AAA"]


def test_a_training_that_diverges_is_refused(
    bars: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(POOLED_NETWORK, "lr", 1e38)
    settings = {**SMALL, "networks": 1, "model_save_path": str(tmp_path)}
    with pytest.raises(TrainingError, match="validation loss became infinite or no number"):
        PooledTrainer(NAMES, settings).run_training_pipeline(bars)
    assert ModelStore(tmp_path).list() == []


def test_the_same_after_saving(trained: PooledResult) -> None:
    numbers = recipe_of(trained).to_dict()
    assert json.dumps(recipe_from_dict(json.loads(json.dumps(numbers))).to_dict()) == json.dumps(numbers)


def test_the_market_is_the_mean_where_there_are_three() -> None:
    index = pd.date_range("2024-12-02 10:00", periods=3, freq="h", tz="America/New_York")
    states = {
        name: pd.DataFrame(np.full((count, len(STATES)), value), index[:count])
        for name, count, value in (("A", 3, 1.0), ("B", 3, 2.0), ("C", 2, 6.0))
    }
    market = market_states(states)
    assert list(market.columns) == market_columns()
    assert list(market.index) == list(index[:2])
    assert (market == 3.0).all(axis=None)


def test_wrong_use_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="two at least"):
        PooledTrainer(["spy", "SPY"])
    with pytest.raises(ConfigError, match="har_lstm"):
        PooledTrainer(["SPY", "QQQ"], {"network": "roadmap"})
    few = pd.concat({name: bars_of(name).iloc[:2000] for name in ("AAA", "BBB")})
    with pytest.raises(NotEnoughDataError, match="none of 2 symbols has 204"):
        PooledTrainer(["AAA", "BBB"], {**SMALL, "test_from": "2024-05-20"}).run_training_pipeline(few)
    with pytest.raises(DataSourceError, match="none of 2 symbols"):
        PooledTrainer(["X", "Y"], {"model_save_path": str(tmp_path)}).run_training_pipeline(few)
    assert main(["--pooled"]) == 2
    assert "--symbols A,B,C" in capsys.readouterr().err
