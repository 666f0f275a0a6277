"""The configuration: the roadmap's keys and defaults, and what is said about everything that is wrong."""

import json
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from volcast.bars.sources.registry import minutes_of
from volcast.config import TRAINING_CONFIG, Role, TrainingConfig
from volcast.errors import ConfigError
from volcast.retraining.policy import RetrainingPolicy
from volcast.retraining.retraining import Retraining
from volcast.search.search import search_directory
from volcast.store.store import ModelStore

ROADMAP: dict[str, Any] = {
    "symbol": "TSLA",
    "start_date": "2023-01-01",
    "end_date": "2024-12-31",
    "data_frequency": "1Min",
    "timezone": "America/New_York",
    "memory": 60,
    "n_layers_range": (1, 2),
    "units_range": (16, 64),
    "dropout_range": (0.0, 0.3),
    "learning_rate_range": (1e-3, 1e-2),
    "batch_size": 16,
    "epochs": 50,
    "validation_split": 0.2,
    "early_stopping_patience": 5,
    "max_trials": 20,
    "executions_per_trial": 1,
    "model_save_path": "volatility_models/",
    "save_config": True,
    "save_history": True,
}


OTHER: dict[str, Any] = {
    "symbol": "SPY",
    "start_date": "2023-02-01",
    "end_date": "2024-11-30",
    "data_frequency": "5Min",
    "timezone": "America/Chicago",
    "memory": 30,
    "n_layers_range": (1, 3),
    "units_range": (16, 32),
    "dropout_range": (0.0, 0.2),
    "learning_rate_range": (1e-4, 1e-2),
    "batch_size": 32,
    "epochs": 10,
    "validation_split": 0.1,
    "early_stopping_patience": 3,
    "max_trials": 5,
    "executions_per_trial": 2,
    "model_save_path": "elsewhere/",
    "save_config": False,
    "save_history": False,
    "seed": 7,
    "engine": "keras",
    "symbols": ("SPY", "QQQ"),
    "companions": ("QQQ", "IWM"),
    "preset": "colab",
    "network": "roadmap",
    "networks": 3,
    "cell": "gru",
    "nights": "never",
    "overnight_symbol": "NQ",
    "overnight_path": "nq.csv",
    "known_days": ("cpi", "days.csv"),
    "scaling": "minmax",
    "tuner": "bayesian",
    "workers": 2,
    "chief": "localhost:8000",
    "test_split": 0.1,
    "test_from": "2024-06-03",
    "max_search_minutes": 5.0,
    "resume": False,
    "bars_source": "yahoo",
    "bars_path": "spy.csv",
    "bars_timezone": "UTC",
    "bars_stamps": "end",
    "bars_epoch": "ms",
    "bars_dates": "dmy",
    "feed": "iex",
    "adjustment": "raw",
    "cache_dir": "cache/",
    "offline": True,
    "cleaning": ("zero",),
    "roll_days": ("none",),
    "accept_quality": True,
    "accept_verdict": True,
    "rv_estimator": "bipower",
    "market": "XLON",
    "bucket": "15min",
    "min_bucket_coverage": 0.5,
}
"""For each setting a value that is not its default."""


def complaint(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig.from_mapping(settings)
    return str(caught.value)


@pytest.mark.parametrize("key", ROADMAP)
def test_the_roadmaps_keys_have_its_defaults(key: str) -> None:
    assert TRAINING_CONFIG[key] == ROADMAP[key]
    assert type(TRAINING_CONFIG[key]) is type(ROADMAP[key])
    value = getattr(TrainingConfig.from_mapping(), key)
    assert value == (date.fromisoformat(ROADMAP[key]) if key.endswith("_date") else ROADMAP[key])


def test_the_roadmaps_keys_come_first_and_in_its_order() -> None:
    assert list(TRAINING_CONFIG)[: len(ROADMAP)] == list(ROADMAP)


def test_each_setting_has_a_default_and_a_description() -> None:
    assert list(TrainingConfig.model_fields) == list(TRAINING_CONFIG)
    for name in TRAINING_CONFIG:
        sentence = TrainingConfig.sentence_of(name)
        assert len(sentence) > 5, name
        assert not sentence.endswith("."), name


def test_each_setting_has_one_role() -> None:
    names = [name for role in Role for name in TrainingConfig.names_of(role)]
    assert sorted(names) == sorted(TrainingConfig.model_fields) == sorted(OTHER)
    assert TrainingConfig.names_of(*Role) == list(TrainingConfig.model_fields)


@pytest.mark.parametrize("key", OTHER)
def test_an_identity_changes_with_the_settings_of_its_roles_alone(key: str) -> None:
    default, other = TrainingConfig(), TrainingConfig.from_mapping({key: OTHER[key]})
    (role,) = (role for role in Role if key in TrainingConfig.names_of(role))
    assert default.identity(role) != other.identity(role)
    # Written out, these are what a choice left open comes to, so they change with the one that it hangs on.
    changed = {"preset": {Role.SEARCH}}.get(key, set())
    assert {one for one in Role if default.identity(one) != other.identity(one)} == {role, *changed}
    assert json.loads(json.dumps(other.identity(*Role))).keys() == OTHER.keys()


def test_a_choice_left_open_is_the_one_that_it_comes_to() -> None:
    written = {"network": "har_lstm", "tuner": "median", "scaling": "diurnal_log", "bars_source": "alpaca"}
    assert TrainingConfig.from_mapping(written).identity(*Role) == TrainingConfig().identity(*Role)


def names_of_the_work(config: TrainingConfig) -> tuple[str, str]:
    """What a retraining calls its model, and where a search keeps its state."""

    def train(bars: pd.DataFrame, symbol: str | None, name: str, overnight_bars: pd.DataFrame | None) -> Any:
        raise NotImplementedError

    index = pd.date_range("2024-12-02 09:30", periods=30, freq="min", tz="America/New_York")
    bars = pd.DataFrame({name: np.linspace(100, 101, 30) for name in ("open", "high", "low", "close", "volume")}, index)
    store = ModelStore(config.model_save_path)
    retraining = Retraining(store, config, RetrainingPolicy(), train, lambda outcome: None)
    arrays = np.zeros((4, 60, 1), np.float32), np.zeros(4, np.float32)
    return retraining.name_of(bars, index[-1], "SPY"), search_directory(config, arrays, arrays).name


@pytest.mark.parametrize("key", OTHER)
def test_what_is_the_same_work_has_the_same_name(key: str) -> None:
    model, search = names_of_the_work(TrainingConfig())
    other_model, other_search = names_of_the_work(TrainingConfig.from_mapping({key: OTHER[key]}))
    of_model = TrainingConfig.names_of(Role.FORECAST, Role.SEARCH, Role.TRAINING)
    assert (other_model != model) == (key in of_model)
    assert (other_search != search) == (key in TrainingConfig.names_of(Role.SEARCH) or key == "preset")


def test_nothing_and_the_defaults_are_the_same_configuration() -> None:
    assert TrainingConfig.from_mapping() == TrainingConfig.from_mapping({}) == TrainingConfig.from_mapping(ROADMAP)
    config = TrainingConfig.from_mapping({"symbol": "spy"})
    assert TrainingConfig.from_mapping(config) is config
    assert config.symbol == "SPY"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig.from_mapping().epochs = 3


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("max_trails", "max_trials"),
        ("learning_rate", "learning_rate_range"),
        ("unit_range", "units_range"),
        ("Symbol", "symbol"),
        ("early_stoping_patience", "early_stopping_patience"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(key: str, nearest: str) -> None:
    assert f"'{key}' is no setting, did you mean '{nearest}'?" in complaint(**{key: 1})


def test_a_key_like_no_other_is_answered_without_a_guess() -> None:
    assert complaint(xyzzy=1) == "the configuration is not usable: 'xyzzy' is no setting."


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("symbol", "", "must be a ticker of up to 40 letters, digits and any of . - / ^ = $"),
        ("symbol", "no such thing!", "must be a ticker of up to 40 letters, digits and any of . - / ^ = $"),
        ("symbol", "SPY\n", "must be a ticker"),
        ("start_date", "June", "must be a date such as 2024-12-31"),
        ("end_date", "2024-02-30", "must be a date such as 2024-12-31"),
        ("end_date", 17, "date"),
        ("data_frequency", "2Hour", "must be 1Min to 59Min, or 1Hour"),
        ("data_frequency", "0Min", "must be 1Min to 59Min, or 1Hour"),
        ("data_frequency", "1 minute", "must be 1Min to 59Min, or 1Hour"),
        ("timezone", "America/New_Yorc", "must be a time zone such as America/New_York"),
        ("bars_timezone", "Mars", "must be a time zone such as"),
        ("memory", 1, "greater than or equal to 2"),
        ("memory", 60.5, "integer"),
        ("memory", "sixty", "integer"),
        ("n_layers_range", 2, "tuple"),
        ("n_layers_range", (1, 2, 3), "at most 2 items"),
        ("units_range", ("few", 64), "integer"),
        ("batch_size", 0, "greater than or equal to 1"),
        ("epochs", 0, "greater than or equal to 1"),
        ("validation_split", 0.0, "greater than 0"),
        ("validation_split", 1.0, "less than 1"),
        ("validation_split", float("nan"), "finite"),
        ("test_split", 1.5, "less than 1"),
        ("early_stopping_patience", 0, "greater than or equal to 1"),
        ("max_trials", 0, "greater than or equal to 1"),
        ("executions_per_trial", -1, "greater than or equal to 1"),
        ("model_save_path", "", "must be a path"),
        ("save_config", "perhaps", "boolean"),
        ("seed", 0, "greater than or equal to 1"),
        ("preset", "collab", "'session' or 'colab'"),
        ("scaling", "robust", "'diurnal_log' or 'minmax'"),
        ("tuner", "grid", "'random', 'bayesian', 'hyperband' or 'median'"),
        ("max_search_minutes", 0, "greater than 0"),
        ("bars_source", "yahoo!", "'alpaca'"),
        ("market", "XNYSE", "or an exchange of exchange_calendars such as XNYS"),
        ("min_bucket_coverage", 1.1, "less than or equal to 1"),
        ("learning_rate_range", (float("nan"), 0.01), "finite"),
    ],
)
def test_a_wrong_value_is_answered_with_its_rule(key: str, value: Any, rule: str) -> None:
    sentence = complaint(**{key: value})
    assert sentence.startswith(f"the configuration is not usable: {key} is ")
    assert rule in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"start_date": "2024-06-01", "end_date": "2024-01-01"},
            "end_date 2024-01-01 is before start_date 2024-06-01; it must not be earlier",
        ),
        ({"units_range": (64, 16)}, "units_range is (64, 16), which is empty; the first must not exceed the second"),
        ({"n_layers_range": (0, 2)}, "n_layers_range is (0, 2); both must lie between 1 and 8"),
        ({"dropout_range": (0.0, 1.0)}, "dropout_range is (0.0, 1.0); both must lie between 0 and 0.95"),
        ({"learning_rate_range": (0.0, 0.01)}, "learning_rate_range is (0.0, 0.01); both must lie between"),
        ({"validation_split": 0.5, "test_split": 0.4}, "leave too little to train on; their sum must be under 0.9"),
        ({"bars_source": "file"}, "bars_source is 'file' and bars_path is missing; give the file's path"),
        ({"bars_source": "simulator", "bars_path": "spy.csv"}, "leave one of them out"),
        ({"preset": "colab", "scaling": "diurnal_log"}, "the notebook's preset is 'minmax' only"),
        ({"preset": "colab", "cell": "gru"}, "cell is 'gru'; the notebook's is 'lstm'"),
        ({"nights": "never", "overnight_symbol": "NQ"}, "overnight_symbol is 'NQ' and nights is 'never'"),
        ({"symbols": "SPY,NQ", "overnight_symbol": "nq"}, "whose own bars tell of its nights"),
    ],
)
def test_contradictions_are_named(settings: dict[str, Any], said: str) -> None:
    assert said in complaint(**settings)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    sentence = complaint(
        max_trails=3, epochs=0, tuner="grid", units_range=(64, 16), start_date="2024-06-01", end_date="2024-01-01"
    )
    for part in ("'max_trails' is no setting", "epochs is 0", "tuner is 'grid'", "units_range is", "before start_date"):
        assert sentence.count(part) == 1, part
    assert sentence.startswith("the configuration is not usable: ")
    assert "\n" not in sentence


def test_other_values_are_checked_as_the_first_were() -> None:
    config = TrainingConfig.from_mapping({"symbol": "SPY"}).with_overrides(epochs=3)
    assert (config.symbol, config.epochs) == ("SPY", 3)
    with pytest.raises(ConfigError, match="epochs is -1"):
        config.with_overrides(epochs=-1)


ranges = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda pair: tuple(sorted(pair)))
rates = st.tuples(st.floats(1e-8, 10), st.floats(1e-8, 10)).map(lambda pair: tuple(sorted(pair)))
days = st.dates(date(2000, 1, 1), date(2030, 1, 1))


@given(layers=ranges, rate=rates, span=st.tuples(days, days), seed=st.integers(1, 2**31 - 1))
def test_a_configuration_survives_json(
    layers: tuple[int, int], rate: tuple[float, float], span: tuple[date, date], seed: int
) -> None:
    settings = {
        "n_layers_range": layers,
        "learning_rate_range": rate,
        "start_date": min(span),
        "end_date": max(span),
        "seed": seed,
    }
    config = TrainingConfig.from_mapping(settings)
    assert TrainingConfig.from_mapping(json.loads(json.dumps(config.as_dict()))) == config


def test_a_model_without_its_whole_configuration_keeps_what_its_forecasts_need() -> None:
    config = TrainingConfig.from_mapping({"symbol": "SPY", "memory": 20, "preset": "colab", "epochs": 3, "seed": 9})
    kept = config.for_forecasting()
    assert (kept.symbol, kept.memory, kept.preset, kept.effective_scaling) == ("SPY", 20, "colab", "minmax")
    assert (kept.epochs, kept.seed) == (50, 42)


def test_the_default_span_does_not_cut_the_users_own_file() -> None:
    own = TrainingConfig.from_mapping({"bars_path": "spy.csv"})
    assert (own.effective_source, own.requested_span) == ("file", (None, None))
    cut = own.with_overrides(end_date="2024-06-28")
    assert cut.requested_span == (None, date(2024, 6, 28))
    late = own.with_overrides(start_date="2025-05-01")
    assert late.requested_span == (date(2025, 5, 1), None)
    asked = TrainingConfig.from_mapping()
    assert (asked.effective_source, asked.requested_span) == ("alpaca", (date(2023, 1, 1), date(2024, 12, 31)))


@pytest.mark.parametrize(("text", "minutes"), [("1Min", 1), ("5Min", 5), ("59Min", 59), ("1Hour", 60)])
def test_lengths_of_bars_as_alpaca_writes_them(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("settings", ["colab", ["symbol"], 3])
def test_what_is_no_settings_is_refused(settings: Any) -> None:
    with pytest.raises(ConfigError, match="must be settings by name"):
        TrainingConfig.from_mapping(settings)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("end_date", "2999-01-01", "must lie between 1995-01-03 and 2099-12-31"),
        ("start_date", "1600-01-01", "must lie between 1995-01-03 and 2099-12-31"),
        ("model_save_path", "x" * 300, "200 a name"),
        ("bars_path", "x/" * 2000, "a path of up to 3,000 letters"),
        ("cache_dir", "a\0b", "must be a path"),
        ("bars_path", "\ud800", "must be a path"),
        ("symbol", "A" * 200, "up to 40 letters"),
        ("symbol", "\ud800", "must be a ticker"),
        ("rv_estimator", "garch", "'close', 'subsampled', 'bipower'"),
        ("cleaning", "ticks,wigs", "'ticks', 'wicks'"),
    ],
)
def test_what_no_name_or_day_can_be_is_answered_shortly(key: str, value: str, rule: str) -> None:
    sentence = complaint(**{key: value})
    assert rule in sentence
    assert len(sentence) < 400
