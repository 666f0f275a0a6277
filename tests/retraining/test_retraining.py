"""Retraining in time: when it is due, what the gate lets in, and that no model serves before what it has seen."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from tests.support.bars import ROOT, make_bars, with_noise_after
from volcast.arrays import time_index
from volcast.config import TrainingConfig
from volcast.errors import BarsError, ConfigError, LookAheadError, TrainingError, VolatilityError
from volcast.features.scaling import DiurnalLogScaler
from volcast.forecaster import VolatilityForecaster
from volcast.forecasters.recipe import ScaledWindows
from volcast.markets.registry import market_named
from volcast.measures.hourly import get_hourly_rv
from volcast.retraining.gate import has_decayed, judge
from volcast.retraining.policy import RetrainingPolicy, candidate_moments
from volcast.retraining.retraining import Retraining, RetrainingOutcome
from volcast.serving.served_model import ServedModel
from volcast.store.bundle import ModelBundle
from volcast.store.serving_log import HistoryEntry
from volcast.store.store import ModelStore

NEW_YORK = "America/New_York"
CONFIG = TrainingConfig.from_mapping({"memory": 5, "symbol": "SPY"})


def at(moment: str) -> pd.Timestamp:
    return pd.Timestamp(moment, tz=NEW_YORK)


def stand_in_model(bars: pd.DataFrame, name: str, networks: tuple[Any, ...] | None = None) -> ModelBundle:
    """A model that costs nothing to train: its scaler and ``trained_through`` are those of a training on `bars`."""
    rv = get_hourly_rv(bars)
    through = rv.index[int(0.85 * len(rv))]
    sample = ModelStore(ROOT / "tests" / "data").load("schema-2")
    about = {"last_bar": bars.index[-1].isoformat()}
    manifest = {"symbol": "SPY", "symbols": {"SPY": about}, "trained_through": through.isoformat()}
    recipe = ScaledWindows(DiurnalLogScaler().fit(rv[rv.index <= through]), 5)
    return ModelBundle(name, networks or sample.networks, recipe, CONFIG, manifest)


class StandInTrainer:
    """Takes the trainer's place; fails in the months that it is told to."""

    failing: tuple[int, ...] = ()

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    def run_training_pipeline(
        self, symbol: str, *, bars: pd.DataFrame, overnight_bars: pd.DataFrame | None, name: str, promote: bool
    ) -> SimpleNamespace:
        assert not promote
        if bars.index[-1].month in self.failing:
            raise TrainingError("the training failed; it must not; try again.")
        store = ModelStore(self.config.model_save_path)
        return SimpleNamespace(bundle=store.save(stand_in_model(bars, name)))


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> type[StandInTrainer]:
    monkeypatch.setattr("volcast.training.trainer.LocalLSTMTrainer", StandInTrainer)
    monkeypatch.setattr(StandInTrainer, "failing", ())
    return StandInTrainer


@pytest.fixture(scope="module")
def half_year() -> pd.DataFrame:
    bars = make_bars("2024-06-03", "2024-12-13")
    bars.attrs = {"symbol": "SPY"}
    return bars


def test_moments_are_the_opens_of_first_sessions() -> None:
    first, last = at("2024-06-03 09:30"), at("2024-09-10 16:00")
    months = candidate_moments("month", first, last, market_named("XNYS"))
    assert list(months) == [at("2024-07-01 09:30"), at("2024-08-01 09:30"), at("2024-09-03 09:30")]
    weeks = candidate_moments("week", at("2024-08-28 12:00"), last, market_named("XNYS"))
    assert list(weeks) == [at("2024-09-03 09:30"), at("2024-09-09 09:30")]  # 2 September is Labor Day
    tenths = candidate_moments(10, first, at("2024-07-02 16:00"), market_named("XNYS"))
    assert list(tenths) == [at("2024-06-17 09:30"), at("2024-07-02 09:30")]  # 19 June is a holiday
    assert len(candidate_moments("decay", first, at("2024-06-10 16:00"), market_named("XNYS"))) == 5
    assert len(candidate_moments(None, first, last, market_named("XNYS"))) == 0


def test_moments_do_not_depend_on_how_far_one_looks() -> None:
    first = at("2024-06-03 09:30")
    for every in ("month", "week", 7, "decay"):
        whole = candidate_moments(every, first, at("2025-06-03 16:00"), market_named("XNYS"))
        for last in (at("2024-07-15 10:00"), at("2024-12-31 16:00")):
            assert list(candidate_moments(every, first, last, market_named("XNYS"))) == list(whole[whole <= last])


def test_a_wrong_policy_names_all_that_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"every is 'day'.*window is 0.*gate is 'maybe'"):
        VolatilityForecaster("ewma", {"every": "day", "window": 0, "gate": "maybe"})
    with pytest.raises(ConfigError, match="evry"):
        VolatilityForecaster("ewma", {"evry": "month"})


def noise(windows: np.ndarray, side: np.ndarray | None = None) -> np.ndarray:
    """Trained on noise: a forecast that has nothing to do with its window."""
    return np.asarray(3 * np.sin(1e6 * windows[:, -1, 0].astype(float)))


def sensible(windows: np.ndarray, side: np.ndarray | None = None) -> np.ndarray:
    return np.asarray(0.9 * windows[:, :, 0].astype(float).mean(axis=1))


def served(bars: pd.DataFrame, name: str, network: Callable[..., np.ndarray]) -> ServedModel:
    return ServedModel.of(stand_in_model(bars, name, (network,)), CONFIG)


def test_the_gate_keeps_noise_out_and_replaces_it(half_year: pd.DataFrame) -> None:
    good, bad = served(half_year, "good", sensible), served(half_year, "bad", noise)
    policy = RetrainingPolicy(gate_p_value=0.05)
    kept_out = judge(good, bad, half_year, policy)
    assert not kept_out.promote
    let_in = judge(bad, good, half_year, policy)
    assert let_in.promote
    assert let_in.details["challenger_qlike"] < let_in.details["champion_qlike"]
    assert let_in.details["p_value"] < 0.05
    # Only buckets that neither saw.
    seen = [model.trained_through for model in (good, bad) if model.trained_through is not None]
    assert len(seen) == 2
    assert max(seen) < pd.Timestamp(let_in.details["from"])


def test_the_gate_is_always_open_or_always_shut_where_asked(half_year: pd.DataFrame) -> None:
    good, bad = served(half_year, "good", sensible), served(half_year, "bad", noise)
    assert judge(good, bad, half_year, RetrainingPolicy(gate="always")).promote
    assert not judge(bad, good, half_year, RetrainingPolicy(gate="never")).promote
    assert judge(None, bad, half_year, RetrainingPolicy()).promote
    few = judge(bad, good, half_year, RetrainingPolicy(gate_buckets=100_000))
    assert not few.promote
    assert "100000 at least" in few.reason


def test_the_gate_and_the_window_of_decay_are_weeks_of_the_market() -> None:
    weeks = {
        key: (RetrainingPolicy().fewest_judged(market), RetrainingPolicy().decay_window(market))
        for key, market in ((key, market_named(key)) for key in ("XNYS", "XNYS 5min", "XNYS session", "24/7", "CMES"))
    }
    assert weeks == {
        "XNYS": (35, 70),
        "XNYS 5min": (390, 780),
        # The mean loss of five sessions says nothing.
        "XNYS session": (35, 70),
        "24/7": (168, 336),
        "CMES": (115, 230),
    }
    policy = RetrainingPolicy(gate_buckets=12, decay_buckets=24)
    assert (policy.fewest_judged(market_named("CMES")), policy.decay_window(market_named("CMES"))) == (12, 24)


def test_a_challenger_whose_verdict_is_not_to_use_it_is_kept_out(half_year: pd.DataFrame) -> None:
    bad, good = served(half_year, "bad", noise), served(half_year, "good", sensible)
    assert good.bundle is not None
    manifest = {**good.bundle.manifest, "evaluation": {"judgment": "do not use"}}
    condemned = ServedModel.of(replace(good.bundle, manifest=manifest), CONFIG)
    for champion in (bad, None):
        decision = judge(champion, condemned, half_year, RetrainingPolicy())
        assert (decision.promote, decision.reason) == (False, "its verdict is not to use it")
        assert judge(champion, condemned, half_year, RetrainingPolicy(), accept_verdict=True).promote
        assert judge(champion, condemned, half_year, RetrainingPolicy(gate="always")).promote
        assert not judge(champion, condemned, half_year, RetrainingPolicy(gate="never"), accept_verdict=True).promote
        assert judge(champion, good, half_year, RetrainingPolicy()).promote


def test_a_model_that_its_verdict_lets_not_serve_is_not_the_newest(half_year: pd.DataFrame, tmp_path: Path) -> None:
    """Whoever killed the training between its save and its decision."""
    store, good = ModelStore(tmp_path), stand_in_model(half_year, "good")
    condemned = replace(good, name="bad", manifest={**good.manifest, "evaluation": {"judgment": "do not use"}})
    store.save(condemned)
    assert store.serving() is None
    assert VolatilityForecaster(None, {"model_save_path": str(tmp_path)}).model_info()["is_fallback"]
    forecaster = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path), "symbol": "SPY"})
    assert forecaster.forecast(half_year, models="as-of").is_fallback
    store.promote("bad", "by hand")
    assert store.serving() == "bad"
    assert not store.admit(store.save(replace(condemned, name="worse")), "newest", accept_verdict=False)
    assert store.serving() == "bad"
    assert store.admit(store.save(replace(condemned, name="taken")), "newest", accept_verdict=True)
    assert store.history()[-1].reason == "newest, although its verdict is not to use it"
    assert store.admit(store.save(good), "newest", accept_verdict=False)
    assert store.serving() == "good"


def test_decay_is_a_ratio_out_of_its_own_band(half_year: pd.DataFrame) -> None:
    policy = RetrainingPolicy(every="decay", decay_buckets=35)
    days = time_index(half_year).normalize()
    returns = np.log(half_year["close"]).diff().fillna(0.0)
    steady = 4e-4 * returns / returns.groupby(days).transform("std")

    def bars(factor: float) -> pd.DataFrame:
        """Every day as wild as the next, but the last eight `factor` times as much."""
        wild = np.where(days >= days.unique()[-8], factor, 1.0)
        return pd.DataFrame({"close": 100 * np.exp((steady * wild).cumsum())}, index=half_year.index)

    bundle = stand_in_model(bars(1.0), "bounded", (lambda windows, side=None: np.clip(sensible(windows), -2.5, 2.5),))
    seen = get_hourly_rv(bars(1.0)).index[400].isoformat()
    model = ServedModel.of(replace(bundle, manifest={**bundle.manifest, "trained_through": seen}), CONFIG)
    assert not has_decayed(model, bars(1.0), policy)
    # The HAR learns that six times as much moves; the model has never gone so far.
    assert has_decayed(model, bars(6.0), policy)


def test_each_forecast_is_by_a_model_that_could_have_been_there(
    half_year: pd.DataFrame, tmp_path: Path, trainer: type[StandInTrainer]
) -> None:
    settings = {"model_save_path": str(tmp_path), "memory": 5, "every": "month", "gate": "always"}
    forecaster = VolatilityForecaster("ewma", settings)
    series = forecaster.forecast_series(half_year, models="as-of")
    manifests = {manifest["name"]: manifest for manifest in ModelStore(tmp_path).list()}
    assert len(manifests) == 6
    used = series[~series["is_fallback"]]
    assert set(used["model_version"]) == set(manifests)
    for version, asof in zip(used["model_version"], used["asof"], strict=True):
        assert pd.Timestamp(manifests[version]["trained_through"]) <= asof
        assert pd.Timestamp(manifests[version]["symbols"]["SPY"]["last_bar"]) < asof
    assert used.index[0] == at("2024-07-01 10:00")
    assert series.index.is_monotonic_increasing
    assert series.index.is_unique

    # The same by an event loop that asks bar by bar, in another process' place: nothing is trained again.
    trainer.failing = tuple(range(1, 13))
    asking = VolatilityForecaster("ewma", settings)
    for label, row in series.iloc[::11].iterrows():
        alone = asking.forecast(
            half_year.iloc[: half_year.index.searchsorted(row["asof"])], row["asof"], models="as-of"
        )
        assert (alone.bucket, alone.volatility, alone.model_version) == (label, row["volatility"], row["model_version"])
    # And backwards.
    earlier = series.iloc[500]
    assert asking.forecast(half_year, earlier["asof"], models="as-of").model_version == earlier["model_version"]


def test_total_volatility_is_by_the_model_of_its_time_too(
    half_year: pd.DataFrame, tmp_path: Path, trainer: type[StandInTrainer]
) -> None:
    settings = {"model_save_path": str(tmp_path), "memory": 5, "every": "month", "gate": "always"}
    series = VolatilityForecaster("ewma", settings).forecast_series(half_year, 5, models="as-of", kind="total")
    assert (series.attrs["kind"], series.attrs["horizon"]) == ("total", "5 sessions")
    assert series["model_version"].nunique() == 6
    assert series.index.is_monotonic_increasing
    assert series.index.is_unique
    trainer.failing = tuple(range(1, 13))
    asking = VolatilityForecaster("ewma", settings)
    for label, row in series.iloc[::9].iterrows():
        alone = asking.forecast(half_year, row["asof"], 5, models="as-of", kind="total")
        assert (alone.bucket, alone.volatility, alone.model_version) == (label, row["volatility"], row["model_version"])


def test_a_month_without_a_new_bar_trains_nothing(
    half_year: pd.DataFrame, tmp_path: Path, trainer: type[StandInTrainer]
) -> None:
    holed = half_year[(half_year.index < "2024-08-15") | (half_year.index >= "2024-11-12")]
    holed.attrs = half_year.attrs
    settings = {"model_save_path": str(tmp_path), "memory": 5, "every": "month", "gate": "always"}
    VolatilityForecaster("ewma", settings).forecast_series(holed, models="as-of")
    trained = sorted(manifest["name"].split("-")[1] for manifest in ModelStore(tmp_path).list())
    assert trained == ["20240701", "20240801", "20240903", "20241202"]


def test_noise_in_the_future_changes_nothing_before(
    half_year: pd.DataFrame, tmp_path: Path, trainer: type[StandInTrainer]
) -> None:
    settings = {"model_save_path": str(tmp_path), "memory": 5, "every": "month"}
    series = VolatilityForecaster("ewma", settings).forecast_series(half_year, models="as-of")
    forecaster = VolatilityForecaster("ewma", settings)
    for moment in pd.date_range(at("2024-07-10 11:15"), at("2024-12-01 11:15"), periods=10):
        changed = forecaster.forecast_series(with_noise_after(half_year, moment), models="as-of")
        known = (series["asof"] <= moment).to_numpy()
        before = changed[(changed["asof"] <= moment).to_numpy()]
        pd.testing.assert_frame_equal(before, series[known], check_exact=True)


def test_a_retraining_that_fails_keeps_the_champion_and_is_told(
    half_year: pd.DataFrame, tmp_path: Path, trainer: type[StandInTrainer]
) -> None:
    trainer.failing = (8, 9)  # On bars that end in these months: due at the start of September and of October.
    told: list[RetrainingOutcome] = []
    settings = {"model_save_path": str(tmp_path), "memory": 5, "every": "month", "gate": "always"}
    forecaster = VolatilityForecaster("ewma", settings, on_retraining=told.append)
    series = forecaster.forecast_series(half_year, models="as-of")
    assert [outcome.promoted for outcome in told] == [True, True, False, False, True, True]
    assert "the training failed" in str(told[2].error)
    serving = series.loc["2024-09-16":"2024-10-28", "model_version"].unique()
    assert list(serving) == [told[1].model_version]
    failed = [entry for entry in ModelStore(tmp_path).history() if entry.event == "failed"]
    assert [entry.name for entry in failed] == [told[1].model_version] * 2


def test_without_a_schedule_the_models_of_the_store_serve_in_their_time(
    half_year: pd.DataFrame, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    for month in (8, 10):
        store.save(stand_in_model(half_year[half_year.index < at(f"2024-{month:02}-01")], f"through-{month}"))
    through = {manifest["name"]: pd.Timestamp(manifest["trained_through"]) for manifest in store.list()}
    forecaster = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path), "memory": 5})
    series = forecaster.forecast_series(half_year, models="as-of")
    expected = np.select(
        [series["asof"] >= through["through-10"], series["asof"] >= through["through-8"]],
        ["through-10", "through-8"],
        "ewma",
    )
    assert (series["model_version"] == expected).all()
    # What the history says goes first: from 15 October on, the older one was let serve.
    entry = HistoryEntry("through-8", "promoted", at("2024-10-15 12:00").isoformat(), "by hand")
    store.record(entry)
    later = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path), "memory": 5})
    series = later.forecast_series(half_year, models="as-of")
    assert (series.loc[series["asof"] >= at("2024-10-15 12:00"), "model_version"] == "through-8").all()
    assert (
        series.loc[series["asof"] < at("2024-10-15 12:00"), "model_version"]
        == expected[: (series["asof"] < at("2024-10-15 12:00")).sum()]
    ).all()


def test_a_model_may_not_serve_before_what_it_has_seen(half_year: pd.DataFrame, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    bundle = store.save(stand_in_model(half_year, "late"))

    def train(bars: pd.DataFrame, symbol: str | None, name: str, overnight_bars: pd.DataFrame | None) -> ModelBundle:
        return bundle

    retraining = Retraining(store, CONFIG, RetrainingPolicy(), train, lambda outcome: None)
    with pytest.raises(LookAheadError, match="was to serve from 2024-08-01"):
        retraining.run(half_year, at("2024-08-01 09:30"), None, simulated_time=True)


def test_in_real_time_what_is_due_is_done_once(
    half_year: pd.DataFrame, tmp_path: Path, trainer: type[StandInTrainer]
) -> None:
    settings = {"model_save_path": str(tmp_path), "memory": 5, "every": "month", "gate": "always"}
    forecaster = VolatilityForecaster("ewma", settings)
    promoted: list[tuple[pd.Timestamp, str]] = []
    for day in pd.date_range(at("2024-08-20 12:00"), at("2024-11-05 12:00"), freq="2D"):
        outcome = forecaster.retrain_if_due(half_year[half_year.index < day], day, background=False)
        if outcome is not None:
            assert isinstance(outcome, RetrainingOutcome)
            promoted.append((outcome.moment, str(outcome.model_version)))
            assert forecaster.model_info()["version"] == outcome.model_version == ModelStore(tmp_path).serving()
    months = ["2024-08-01 09:30", "2024-09-03 09:30", "2024-10-01 09:30", "2024-11-01 09:30"]
    assert [moment for moment, _ in promoted] == [at(month) for month in months]
    # The same moments, bars and settings in simulated time are the same models.
    trainer.failing = tuple(range(1, 13))
    series = VolatilityForecaster("ewma", settings).forecast_series(half_year, models="as-of")
    assert {name for _, name in promoted} <= set(series["model_version"])
    # Whoever starts anew knows what was done.
    again = VolatilityForecaster(None, settings)
    assert again.model_info()["version"] == promoted[-1][1]
    assert again.retrain_if_due(half_year[half_year.index < day], day, background=False) is None


SMALL = {
    "network": "roadmap",
    "memory": 20,
    "max_trials": 3,
    "epochs": 1,
    "n_layers_range": (1, 1),
    "units_range": (16, 16),
}


@pytest.mark.train
def test_a_training_in_a_process_of_its_own_is_cancelled_goes_on_and_swaps(
    half_year: pd.DataFrame, tmp_path: Path
) -> None:
    told: list[RetrainingOutcome] = []
    settings = {**SMALL, "model_save_path": str(tmp_path / "models"), "gate": "always"}
    forecaster = VolatilityForecaster("ewma", settings, on_retraining=told.append)
    before = forecaster.forecast(half_year)

    job = forecaster.retrain_async(bars=half_year)
    process = psutil.Process(job.process_id)
    while not (job.progress["event"] == "trial began" and job.progress["trial"] == 2):
        assert forecaster.forecast(half_year) is not None
        assert not job.done
        time.sleep(0.01)
    assert process.nice() == 19
    family = [process, *process.children(recursive=True)]
    job.cancel()
    assert job.done
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)
    assert repr(forecaster.forecast(half_year)) == repr(before)
    with pytest.raises(VolatilityError, match="cancelled"):
        job.wait()

    steps: list[dict[str, Any]] = []
    outcome = forecaster.retrain_async(bars=half_year, on_progress=steps.append).wait(300)
    assert outcome.promoted
    assert next(step["done"] for step in steps if step["event"] == "search began") == 1
    assert told == [outcome]
    assert (
        forecaster.forecast(half_year).model_version
        == outcome.model_version
        == ModelStore(tmp_path / "models").serving()
    )
    forecaster.rollback()
    assert repr(forecaster.forecast(half_year)) == repr(before)


def test_a_training_process_that_fails_says_why(half_year: pd.DataFrame, tmp_path: Path) -> None:
    forecaster = VolatilityForecaster("ewma", {**SMALL, "model_save_path": str(tmp_path / "models")})
    outcome = forecaster.retrain_async(bars=half_year.iloc[: 3 * 390]).wait(300)
    assert not outcome.promoted
    assert "training windows" in str(outcome.error)
    assert forecaster.model_info()["is_fallback"]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda bars: bars.tz_localize(None), "without a time zone"),
        (lambda bars: bars.iloc[:0], "are empty"),
        (lambda bars: pd.DataFrame(), "are empty"),
        (lambda bars: bars.reset_index(drop=True), "no time stamps that can be read"),
    ],
)
def test_bars_that_cannot_be_trained_on_are_refused_in_one_sentence(
    half_year: pd.DataFrame, tmp_path: Path, spoilt: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    forecaster = VolatilityForecaster(None, {"every": "month", "model_save_path": str(tmp_path)})
    bars = spoilt(half_year)
    with pytest.raises(BarsError, match=said):
        forecaster.retrain_if_due(bars)
    with pytest.raises(BarsError, match=said):
        forecaster.retrain_if_due(bars, "2024-07-20", background=False)
    for symbol in (None, "SPY"):
        with pytest.raises(BarsError, match=said):
            forecaster.retrain_async(symbol, bars)
    assert not list(tmp_path.iterdir())
