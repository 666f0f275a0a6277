"""One model judged over many symbols: by plain sums, in words, and as a person in a shell sees it."""

import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import make_bars
from volcast.arrays import time_index
from volcast.cli.evaluate import main
from volcast.evaluation.evaluation import Evaluation, evaluate_forecasts
from volcast.evaluation.losses import qlike_losses
from volcast.evaluation.report.page import evaluation_page
from volcast.evaluation.significance import diebold_mariano_by_day
from volcast.evaluation.verdict import ALONE
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

NAMES = ("AAA", "BBB", "CCC")


def evaluation_of(errors: dict[str, float], *, uninformed: float = 1.0, width: float = 1.0) -> Evaluation:
    """Symbols whose model misses the log of volatility by noise of this size; their log-HAR's is 0.4."""
    symbols = {}
    for number, (name, error) in enumerate(errors.items()):
        random = np.random.default_rng(number)
        labels = pd.date_range("2024-01-02 10:00", periods=60 * 24, freq="h", tz="America/New_York")
        labels = labels[(labels.hour >= 10) & (labels.hour <= 16)]
        realized = pd.Series(0.004 * np.exp(0.3 * random.standard_normal(len(labels))), labels)

        def missing(size: float, realized: pd.Series = realized, random: Any = random) -> Any:
            return realized.to_numpy() * np.exp(size * random.standard_normal(len(realized)))

        model = missing(error)
        forecasts = {
            "model": model, "diurnal_log_har": missing(0.4), ALONE: missing(error + 0.02),
            "hour_of_day_mean": missing(uninformed),
        }  # fmt: skip
        bounds = model * np.exp(-1.65 * error * width), model * np.exp(1.65 * error * width)
        symbols[name] = evaluate_forecasts(realized, forecasts, bounds)
    return Evaluation.of_symbols(symbols)


def test_figures_equal_the_plain_sums() -> None:
    evaluation = evaluation_of({"AAA": 0.38, "BBB": 0.42, "CCC": 0.3})
    ratios, differences = {}, {}
    for name, judged in evaluation.symbols.items():
        frame = judged.by_bucket
        losses = {key: qlike_losses(frame["realized"], frame[key]) for key in ("model", "diurnal_log_har", ALONE)}
        ratios[name] = losses["model"].mean() / losses["diurnal_log_har"].mean()
        differences[name] = pd.DataFrame(losses, frame.index)
        row = evaluation.symbol_table().loc[name]
        assert row["ratio"] == pytest.approx(ratios[name])
        assert row["regression_ratio"] == pytest.approx(losses[ALONE].mean() / losses["diurnal_log_har"].mean())
        inside = (frame["realized"] >= frame["lower"]) & (frame["realized"] <= frame["upper"])
        assert row["coverage"] == pytest.approx(inside.mean())
    assert list(evaluation.symbol_table().index) == ["CCC", "AAA", "BBB"]
    assert evaluation.metrics["model"]["qlike_ratio"] == pytest.approx(np.mean(list(ratios.values())))
    stacked = pd.concat(differences.values())
    by_day = stacked.groupby(time_index(stacked).normalize()).sum()
    # A day of all symbols is one observation, whatever their order.
    once = diebold_mariano_by_day(by_day["model"], by_day[ALONE])
    assert evaluation.networks is not None
    assert evaluation.networks.p_value == pytest.approx(once)
    means = {
        name: np.mean([part.metrics[name]["qlike"] for part in evaluation.symbols.values()])
        for name in ("model", ALONE)
    }
    assert evaluation.networks.qlike == pytest.approx(means["model"])
    assert evaluation.networks.regression_qlike == pytest.approx(means[ALONE])
    assert evaluation.metrics["model"]["p_value"] == pytest.approx(
        diebold_mariano_by_day(by_day["model"], by_day["diurnal_log_har"])
    )


@pytest.mark.parametrize(
    ("errors", "others", "judgment", "said"),
    [
        ({"AAA": 0.3, "BBB": 0.3, "CCC": 0.35}, {}, "use", "lower on 3 of them, beyond what chance explains: use it."),
        ({"AAA": 0.1, "BBB": 0.42, "CCC": 0.42}, {}, "either", "lower on 1 of them"),
        ({"AAA": 0.5, "BBB": 0.5, "CCC": 0.35}, {}, "do not use", "higher than each symbol's own log-HAR's"),
        ({"AAA": 0.3, "BBB": 0.3}, {"uninformed": 0.2}, "do not use", "does not look at the market at all"),
        ({"AAA": 0.3, "BBB": 0.3}, {"width": 0.4}, "use", "so do not rely on that"),
        ({}, {}, "unknown", "No symbol has enough history"),
    ],
)
def test_the_verdict_can_say_no(errors: dict[str, float], others: dict[str, float], judgment: str, said: str) -> None:
    evaluation = evaluation_of(errors, **others)
    assert evaluation.judgment == judgment
    assert said in evaluation.verdict
    page = evaluation_page(evaluation, title="many")
    assert escape(evaluation.verdict) in page
    assert page.count("<svg") == (6 if errors else 0)
    written = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert written["judgment"] == judgment
    assert set(written.get("symbols", {})) == set(errors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of bars for each symbol."""
    place = tmp_path_factory.mktemp("panel")
    for number, name in enumerate(NAMES):
        make_bars("2024-06-03", "2024-12-31", seed=number, minutes=5).to_parquet(place / f"{name}_5min.parquet")
    return place


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    settings = {
        "memory": 20, "networks": 1, "epochs": 1, "accept_quality": True, "test_from": "2024-12-02",
        "bars_source": "file", "bars_path": str(folder), "model_save_path": str(tmp_path_factory.mktemp("models")),
    }  # fmt: skip
    return LocalLSTMTrainer({**settings, "symbols": NAMES}).run_training_pipeline()


def judge(trained: TrainingResult, *arguments: str) -> int:
    assert trained.bundle.path is not None
    return main(["--models", str(trained.bundle.path.parent), *arguments])


@pytest.mark.train
def test_a_pooled_model_is_judged_on_what_it_has_not_seen(
    trained: TrainingResult, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "verdict.html"
    assert judge(trained, "--bars", str(folder), "--json", "--html", str(page)) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["model"] == trained.bundle.name
    assert judged["symbol"] == "3 symbols"
    # What it has not seen is the test part of its training.
    assert judged["verdict"] == trained.evaluation.verdict
    for name, ratio in trained.evaluation.ratios.items():
        metrics = judged["symbols"][str(name)]["metrics"]
        assert metrics["model"]["qlike_ratio"] == pytest.approx(ratio, rel=1e-4)
        assert "its HAR alone" in metrics
        assert str(name) in page.read_text()
    mean = trained.evaluation.metrics["model"]["qlike_ratio"]
    assert judged["metrics"]["model"]["qlike_ratio"] == pytest.approx(mean, rel=1e-4)
    assert escape(judged["verdict"]) in page.read_text()
    assert trained.evaluation.networks is not None
    assert judged["networks"]["sentence"] == trained.evaluation.networks.sentence
    assert escape(judged["networks"]["sentence"]) in page.read_text()


@pytest.mark.train
def test_what_a_person_reads(trained: TrainingResult, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(trained, "--bars", str(folder), "--symbols", "aaa,bbb,ccc,GONE", "--allow-in-sample") == 0
    said = capsys.readouterr().out
    for expected in ("AAA", "to log-HAR", "mean", "IN SAMPLE", "Not judged: GONE", "In the mean of 3 symbols"):
        assert expected in said


@pytest.mark.train
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--symbol", "AAA"], 2, "give --symbols"),
        (["--symbols", "X,Y", "--bars", "{folder}"], 1, "of 2 symbols none"),
        (
            ["--bars", "{folder}/AAA_5min.parquet", "--symbols", "AAA", "--html", "{folder}/nowhere/a.html"],
            1,
            "written",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(
    trained: TrainingResult, folder: Path, arguments: list[str], status: int, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert judge(trained, *(argument.format(folder=folder) for argument in arguments)) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


@pytest.mark.train
def test_bars_that_end_too_early_are_said(
    trained: TrainingResult, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        bars = pd.read_parquet(folder / f"{name}_5min.parquet")
        bars[:"2024-12-03"].to_parquet(tmp_path / f"{name}_5min.parquet")
    assert judge(trained, "--bars", str(tmp_path)) == 1
    assert "nothing to judge" in capsys.readouterr().err
