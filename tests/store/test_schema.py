"""Whatever is written into a manifest or a recipe, its hashes right: a sound forecast, or one sentence."""

import copy
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bars import ROOT, make_bars
from volcast.arrays import time_index
from volcast.errors import ConfigError, CorruptModelError, VolatilityError
from volcast.forecasters.horizons import IntervalForecast
from volcast.measures.hourly import get_hourly_measures
from volcast.store.store import ModelBundle, ModelStore

SAMPLES = ROOT / "tests" / "data"
NAMES = ("schema-1", "schema-2", "schema-2-har-lstm")
Place = tuple[str | int, ...]
ABSENT = object()
WRONG: tuple[Any, ...] = (
    ABSENT, None, True, "x", "", [], {}, [1.0], 0, -1, 1, 1e-300, 1e308, -1e308, 10**30, float("nan"), float("inf"),
)  # fmt: skip


@pytest.fixture(scope="module")
def measures() -> pd.DataFrame:
    return get_hourly_measures(make_bars("2024-11-01", "2024-12-20"))


def forecasts(bundle: ModelBundle, measures: pd.DataFrame) -> np.ndarray:
    """Volatilities and bounds of a few buckets."""
    known = np.arange(len(measures) - 8, len(measures) - 4)
    made = bundle.forecast(measures, time_index(measures)[known], known)
    return np.stack([made.volatility, made.lower, made.upper])


def write(directory: Path, file: str, content: Any) -> None:
    """Put `content` into one of a model's files, as somebody would who knows how its hashes are made."""
    manifest_file = directory / "manifest.json"
    if file != "manifest.json":
        encoded = json.dumps(content).encode()
        (directory / file).write_bytes(encoded)
        content = json.loads(manifest_file.read_text())
        content["files"][file] = {"sha256": hashlib.sha256(encoded).hexdigest(), "bytes": len(encoded)}
    encoded = json.dumps(content).encode()
    manifest_file.write_bytes(encoded)
    if (directory / "manifest.sha256").exists():
        (directory / "manifest.sha256").write_text(f"{hashlib.sha256(encoded).hexdigest()}  manifest.json\n")


def places(value: Any, *, every: bool, at: Place = ()) -> Iterator[Place]:
    """Where values are in parsed JSON; of a list the last alone, unless `every`."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, every=every, at=(*at, key))
    elif isinstance(value, list):
        for index in range(len(value))[None if every else -1 :]:
            yield from places(value[index], every=every, at=(*at, index))


def changed(content: Any, place: Place, value: Any) -> Any:
    if not place:
        return {} if value is ABSENT else value
    content = copy.deepcopy(content)
    holder = content
    for part in place[:-1]:
        holder = holder[part]
    if value is ABSENT:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return content


def outcome(store: Path, name: str, file: str, content: Any, measures: pd.DataFrame) -> str:
    """``"sound"``, ``"refused"``, or what was wrong with how the changed model was taken."""
    sample, directory = SAMPLES / name, store / name
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(sample, directory)
    write(directory, file, content)
    try:
        found = forecasts(ModelStore(store).load(name), measures)
    except VolatilityError as error:
        text = str(error)
        one = text.endswith(".") and "\n" not in text and len(text) < 600
        return "refused" if one and ".partial" not in text else f"no sentence: {text}"
    except Exception as error:
        return f"raw {type(error).__name__}: {error}"
    positive = (found[0] > 0) & np.isfinite(found[0]) & ~np.isinf(found[1:]).any(axis=0)
    return "sound" if positive.all() else f"unsound {found}"


def recipe_of(name: str) -> Any:
    return json.loads((SAMPLES / name / "recipe.json").read_text())


def pooled() -> Any:
    """The sample's recipe as that of a pooled model of one symbol."""
    shared = recipe_of("schema-2-har-lstm")
    state = shared["horizons"]["1"]
    regression = {key: state["regression"][key] for key in ("count", "smearing_sum")}
    own = {"profile": shared["features"]["profile"], "tracker": state["tracker"], **regression}
    return {"kind": "pooled_har_lstm", "shared": shared, "symbols": {"SPY": own}}


CONTENTS = [
    *(
        (name, file, json.loads((SAMPLES / name / file).read_text()))
        for name in ("schema-2", "schema-2-har-lstm")
        for file in ("manifest.json", "config.json", "recipe.json")
    ),
    ("schema-2-har-lstm", "recipe.json", pooled()),
]
PLACES = [list(places(content, every=True)) for _, _, content in CONTENTS]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=30,
)


def test_models_as_they_were_saved_pass(tmp_path: Path, measures: pd.DataFrame) -> None:
    for name, file, content in CONTENTS:
        assert outcome(tmp_path, name, file, content, measures) == "sound"


@pytest.mark.parametrize("number", range(len(CONTENTS)))
def test_every_field_with_every_wrong_value(number: int, tmp_path: Path, measures: pd.DataFrame) -> None:
    name, file, content = CONTENTS[number]
    wrong = []
    for place in places(content, every=False):
        for value in WRONG:
            result = outcome(tmp_path, name, file, changed(content, place, value), measures)
            if result not in ("sound", "refused"):
                wrong.append((place, value, result))
    assert not wrong, f"{len(wrong)}: {wrong[:5]}"


@given(data=st.data())
@settings(max_examples=120, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_change_of_any_field(tmp_path: Path, measures: pd.DataFrame, data: st.DataObject) -> None:
    """Numbers near the true ones and far from them, other kinds of values, several at a time."""
    number = data.draw(st.integers(0, len(CONTENTS) - 1))
    name, file, content = CONTENTS[number]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(PLACES[number]))
        try:
            value = content
            for part in place:
                value = value[part]
        except (KeyError, IndexError, TypeError):
            continue  # An earlier change took it away.
        near = st.floats(-3 * abs(value), 3 * abs(value)) if isinstance(value, float) else JSON
        content = changed(content, place, data.draw(near | JSON))
    assert outcome(tmp_path, name, file, content, measures) in ("sound", "refused")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("weight",), float("nan"), "recipe.json.* has weight = nan; the rule is: a finite number"),
        (("features", "profile"), [[0.0] * 6] * 23, "features.profile = a list; the rule is: .* 24 items"),
        (("features", "state_spread", 0), 0.0, "features.state_spread.0 = 0.0; the rule is: greater than 0"),
        (("horizons", "1", "regression", "gram", 0, 1), 7.0, "horizons.1.regression = .* a gram that is symmetric"),
        (("horizons", "1", "tracker", "hour_spread"), [0.2] * 3, "horizons.1.tracker.hour_spread"),
        (("window",), 7, r"takes windows of \(5, 9\) and its recipe makes such of \(7, 9\)"),
        (("trained_through",), "2024-12-11T13:00:00-05:00", "has seen data through 2024-12-11"),
        (("kind",), "oracle", "kind of no kind|no kind"),
        (("horizons",), ABSENT, "has no horizons"),
    ],
)
def test_the_field_is_named_with_its_rule(tmp_path: Path, place: Place, value: Any, said: str) -> None:
    shutil.copytree(SAMPLES / "schema-2-har-lstm", tmp_path / "schema-2-har-lstm")
    write(tmp_path / "schema-2-har-lstm", "recipe.json", changed(recipe_of("schema-2-har-lstm"), place, value))
    with pytest.raises(CorruptModelError, match=said):
        ModelStore(tmp_path).load("schema-2-har-lstm")


def test_a_recipe_of_hours_is_none_of_a_model_of_shorter_buckets(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "schema-2-har-lstm", tmp_path / "schema-2-har-lstm")
    config = json.loads((tmp_path / "schema-2-har-lstm" / "config.json").read_text())
    write(tmp_path / "schema-2-har-lstm", "config.json", {**config, "bucket": "15min"})
    with pytest.raises(CorruptModelError, match="profile = a list; the rule is: a list of 96 items"):
        ModelStore(tmp_path).load("schema-2-har-lstm")


def test_sums_that_cannot_be_forecast_with_are_refused(tmp_path: Path) -> None:
    """Each number alone is in its range; together they have no solution."""
    recipe = recipe_of("schema-2-har-lstm")
    width = len(recipe["horizons"]["1"]["regression"]["moment"])
    recipe["horizons"]["1"]["regression"]["gram"] = (-np.eye(width)).tolist()
    shutil.copytree(SAMPLES / "schema-2-har-lstm", tmp_path / "schema-2-har-lstm")
    write(tmp_path / "schema-2-har-lstm", "recipe.json", recipe)
    with pytest.raises(CorruptModelError, match="positive definite with its penalty"):
        ModelStore(tmp_path).load("schema-2-har-lstm")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.001, 0.0])
def test_a_forecast_that_is_no_volatility_is_not_handed_out(value: float, measures: pd.DataFrame) -> None:
    bundle = ModelStore(SAMPLES).load("schema-2")

    class Broken(type(bundle.recipe)):  # type: ignore[misc]
        def forecast(self, *arguments: Any) -> IntervalForecast:
            volatility = np.array([0.001, value])
            return IntervalForecast(volatility, volatility, volatility)

    broken = replace(bundle, recipe=Broken(bundle.recipe.scaler, bundle.recipe.memory))  # type: ignore[attr-defined]
    known = np.array([20, 21])
    with pytest.raises(CorruptModelError, match=f"schema-2 gives the forecast {value} .* not handed out"):
        broken.forecast(measures, time_index(measures)[known], known)


def test_a_horizon_that_an_old_model_was_not_trained_for_is_refused(measures: pd.DataFrame) -> None:
    bundle = ModelStore(SAMPLES).load("schema-2-har-lstm")
    known = np.array([len(measures) - 1])
    with pytest.raises(ConfigError, match="horizon is 7; this model was trained for 1,"):
        bundle.forecast(measures, time_index(measures)[known], known, 7)


def test_a_model_under_another_models_name_is_refused(tmp_path: Path) -> None:
    for name, directory in (("schema-2", "schema-2-har-lstm"), ("schema-2-har-lstm", "schema-2"), ("schema-2", "x")):
        shutil.copytree(SAMPLES / name, tmp_path / directory)
    store = ModelStore(tmp_path)
    for directory in ("schema-2", "schema-2-har-lstm", "x"):
        with pytest.raises(CorruptModelError, match=rf"{directory} holds the model schema-2.*give it that name again"):
            store.load(directory)
        assert "holds the model" in (store.verify_all()[directory] or "")
        with pytest.raises(CorruptModelError):
            store.promote(directory, "x")
    assert store.list() == []


@pytest.mark.train
@pytest.mark.parametrize("name", NAMES)
def test_a_model_copied_under_its_name_loads_from_any_place(name: str, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / name, tmp_path / "other" / "place" / name)
    (tmp_path / "link").symlink_to(tmp_path / "other" / "place" / name)
    assert ModelStore(tmp_path / "other" / "place").load(name).name == name
    assert ModelStore(tmp_path).load(tmp_path / "link").name == name


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [({}, True), ({"symbol": "TSLA"}, False), ({"simulated": True}, False), ({"symbol": None}, True)],
)
def test_a_version_and_what_it_was_trained_on_agree(tmp_path: Path, changes: dict[str, Any], accepted: bool) -> None:
    name = "SPY-20250102-030405-678"
    shutil.copytree(SAMPLES / "schema-2", tmp_path / name)
    manifest = json.loads((tmp_path / name / "manifest.json").read_text())
    write(tmp_path / name, "manifest.json", manifest | {"name": name} | changes)
    if accepted:
        assert ModelStore(tmp_path).load(name).name == name
    else:
        with pytest.raises(CorruptModelError, match="the symbol and the kind of bars that are in the name SPY"):
            ModelStore(tmp_path).load(name)
