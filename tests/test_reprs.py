"""Results show themselves in one short line, in a terminal and in a notebook."""

import html
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.support.bars import ROOT
from volcast.evaluation.evaluation import Evaluation
from volcast.forecaster import VolatilityForecaster
from volcast.reprs import OneLineRepr
from volcast.search.search import SearchResult
from volcast.store.store import ModelStore
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer


@pytest.fixture(scope="module")
def results(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, OneLineRepr]:
    """One of each, by the name of its class."""
    bundle = ModelStore(ROOT / "tests" / "data").load("schema-2-har-lstm")
    data = LocalLSTMTrainer().prepare_data("SPY", bars=bars)
    labels = data.measures["SPY"].index[:200]
    evaluation = Evaluation({"model": {"qlike_ratio": 0.91234}}, pd.DataFrame({"realized": 0.01}, labels), 0)
    trials = pd.DataFrame({"trial": range(1, 21)})
    search = SearchResult({"n_layers": 2, "units_0": 64}, 0.123456, None, trials, 3)
    history = [{"loss": [0.5] * 50, "val_loss": [0.4] * 50}] * 5
    forecaster = VolatilityForecaster("ewma", {"model_save_path": str(tmp_path_factory.mktemp("store"))})
    shown = [
        bundle, data, evaluation, search, forecaster, forecaster.forecast(bars),
        TrainingResult(bundle, evaluation, search, data, history, 12.34567, True),
    ]  # fmt: skip
    return {type(one).__name__: one for one in shown}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ModelBundle", ["name='schema-2-har-lstm'", "symbol='SPY'", "networks=1", "2024-11-11 13:00"]),
        ("TrainingData", ["symbols='SPY'", "buckets=", "windows="]),
        ("Evaluation", ["buckets=200", "qlike_ratio=0.9123"]),
        ("SearchResult", ["trials=20", "best_val_loss=0.1235", "units_0"]),
        ("VolatilityForecaster", ["model='ewma'", "store="]),
        ("Forecast", ["bucket='2025-01-02", "volatility=0.0", "model_version='ewma'"]),
        ("TrainingResult", ["model='schema-2-har-lstm'", "qlike_ratio=0.9123", "seconds=12.3"]),
    ],
)
def test_a_result_is_one_short_line(name: str, said: list[str], results: dict[str, OneLineRepr]) -> None:
    text = repr(results[name])
    assert text.startswith(f"{name}(")
    assert len(text) < 400
    assert "\n" not in text
    for part in said:
        assert part in text
    assert results[name]._repr_html_() == f"<code>{html.escape(text)}</code>"


def test_what_a_notebook_shows_is_text(results: dict[str, OneLineRepr]) -> None:
    bundle = results["ModelBundle"]
    named = replace(bundle, name="<script>alert(1)</script>", path=Path("a&b"))  # type: ignore[type-var]
    assert "<script>" not in named._repr_html_()
    assert "&lt;script&gt;" in named._repr_html_()
