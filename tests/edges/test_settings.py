"""The doors that take settings: a configuration that holds to its rules, or one sentence."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import JSON, SCALARS, SETTINGS, TEXT, examples, mostly
from volcast import TRAINING_CONFIG, LocalLSTMTrainer, TrainingConfig, VolatilityForecaster
from volcast.backtest.settings import BacktestSettings
from volcast.bars.handler import alpaca_credentials
from volcast.config_sources import load_config_file, resolve_config
from volcast.retraining.policy import RetrainingPolicy

POLICY = ["every", "window", "gate", "gate_p_value", "gate_buckets", "decay_buckets"]
RETRAINING = mostly(
    st.fixed_dictionaries(
        {},
        optional={
            "every": st.sampled_from(["month", "week", "decay", 3, None]),
            "window": st.sampled_from(["expanding", 365]),
            "gate": st.sampled_from(["better", "always", "never"]),
            "gate_p_value": st.floats(0, 1),
        },
    ),
    st.dictionaries(st.sampled_from(POLICY), JSON | SCALARS, max_size=3),
)
BACKTEST = mostly(
    st.fixed_dictionaries(
        {},
        optional={
            "strategy": st.sampled_from(["vol-target", "vol-managed", "risk-parity", "straddle"]),
            "retrain": st.sampled_from(["none", "weekly", "month", "decay"]),
            "band": st.floats(0, 1) | st.just("auto"),
            "target_volatility": st.floats(),
            "max_leverage": st.floats(0.1, 4),
        },
    ),
    st.dictionaries(st.sampled_from([*BacktestSettings.model_fields, "x"]), JSON | SCALARS, max_size=4),
)


@examples(80)
@given(SETTINGS)
def test_settings_are_whole_or_refused(settings: dict[str, Any]) -> None:
    config = outcome("TrainingConfig.from_mapping", lambda: TrainingConfig.from_mapping(settings))
    if isinstance(config, Refusal):
        return
    written = outcome("TrainingConfig.as_dict", config.as_dict)
    assert not isinstance(written, Refusal)
    assert TrainingConfig.from_mapping(written) == config
    changed = outcome("TrainingConfig.with_overrides", lambda: TrainingConfig().with_overrides(**settings))
    assert changed == config
    for name in TRAINING_CONFIG.keys() - settings.keys():
        assert getattr(config, name) == getattr(TrainingConfig(), name)


@examples(40)
@given(SETTINGS, RETRAINING, mostly(st.sampled_from([None, "ewma"]), TEXT))
def test_a_forecaster_is_made_or_refused(settings: dict[str, Any], policy: dict[str, Any], model: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        given_settings = {**settings, **policy, "model_save_path": f"{folder}/models"}
        path = Path(folder)
        forecaster = outcome("VolatilityForecaster", lambda: VolatilityForecaster(model, given_settings), path)
        if not isinstance(forecaster, Refusal):
            assert forecaster.model_info()["is_fallback"]
        trainer = outcome("LocalLSTMTrainer", lambda: LocalLSTMTrainer({**settings, "model_save_path": folder}), path)
        assert isinstance(trainer, Refusal) or trainer.config.model_save_path == folder


@examples(60)
@given(RETRAINING)
def test_a_policy_is_whole_or_refused(settings: dict[str, Any]) -> None:
    found = outcome("RetrainingPolicy", lambda: RetrainingPolicy.split(settings))
    if not isinstance(found, Refusal):
        policy, rest = found
        assert not rest
        assert {name: getattr(policy, name) for name in settings} == settings


@examples(60)
@given(BACKTEST)
def test_settings_of_a_backtest_make_a_strategy(settings: dict[str, Any]) -> None:
    found = outcome("BacktestSettings", lambda: BacktestSettings.from_mapping(settings))
    if not isinstance(found, Refusal):
        outcome("BacktestSettings.make_strategy", found.make_strategy)
        outcome("BacktestSettings.make_costs", found.make_costs)


@examples(60)
@given(
    st.sampled_from([".json", ".toml", ".yaml", ".ini"]),
    st.one_of(
        SETTINGS.map(lambda settings: json.dumps(settings, default=str).encode()),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.dictionaries(st.sampled_from(list(TRAINING_CONFIG)), st.integers(0, 99), max_size=3).map(
            lambda settings: "\n".join(f"{name} = {value}" for name, value in settings.items()).encode()
        ),
        st.binary(max_size=60),
        TEXT.map(lambda text: text.encode(errors="replace")),
        st.just(b"a: &a [x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n"),
    ),
)
def test_a_file_of_settings_is_read_or_refused(suffix: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"settings{suffix}"
        path.write_bytes(content)
        settings = outcome("load_config_file", lambda: load_config_file(path), Path(folder))
        assert isinstance(settings, Refusal | dict)
        resolved = outcome("resolve_config", lambda: resolve_config(path, {}, {}), Path(folder))
        if not isinstance(resolved, Refusal):
            assert isinstance(settings, dict)
            assert resolved.config == TrainingConfig.from_mapping(settings)


@examples(40)
@given(st.dictionaries(st.sampled_from([f"VOLATILITY_{name.upper()}" for name in TRAINING_CONFIG]), TEXT, max_size=3))
def test_the_environment_is_read_or_refused(environment: dict[str, str]) -> None:
    outcome("resolve_config environment", lambda: resolve_config(None, environment, {}))


@examples(10)
@given(*(st.none() | TEXT.filter(lambda text: "\0" not in text and "\ud800" not in text) for _ in range(2)))
def test_keys_are_a_pair_or_none(key: str | None, secret: str | None) -> None:
    keys = {"APCA_API_KEY_ID": key, "APCA_API_SECRET_KEY": secret}
    with mock.patch.dict(os.environ, {name: value for name, value in keys.items() if value is not None}, clear=True):
        pair = outcome("alpaca_credentials", alpaca_credentials)
    assert isinstance(pair, Refusal) or pair is None or (pair.key, pair.secret) == (key, secret)
