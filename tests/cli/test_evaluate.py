"""What a person in a shell sees: `volcast evaluate`, right and wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from volcast.arrays import time_index
from volcast.cli.evaluate import main
from volcast.config import TrainingConfig
from volcast.features.scaling import DiurnalLogScaler
from volcast.forecasters.recipe import ScaledWindows
from volcast.measures.hourly import get_hourly_rv
from volcast.networks.architectures import build_lstm_from_values
from volcast.networks.keras_files import KerasNetwork
from volcast.store.store import ModelBundle, ModelStore
from volcast.training.trainer import LocalLSTMTrainer

SEEN_THROUGH = "2024-10-31T16:00:00-04:00"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bars, and an untrained model that has seen the first three months of them."""
    import keras

    folder = tmp_path_factory.mktemp("judged")
    bars = make_bars("2024-08-01", "2024-12-31")
    bars.to_parquet(folder / "spy.parquet")
    bars[:"2024-10-31"].to_parquet(folder / "old.parquet")
    config = TrainingConfig.from_mapping(
        {"symbol": "SPY", "memory": 10, "bars_source": "file", "bars_path": str(folder / "spy.parquet")}
    )
    keras.utils.set_random_seed(0)
    network = build_lstm_from_values({"n_layers": 1, "units_0": 16, "dropout_0": 0.0, "lr": 0.005}, 10)
    recipe = ScaledWindows(DiurnalLogScaler().fit(get_hourly_rv(bars[:"2024-10-31"])), 10, (0.4, 2.0))
    manifest = {"symbol": "SPY", "trained_through": SEEN_THROUGH, "simulated": False}
    store = ModelStore(folder / "models")
    store.save(ModelBundle("SPY-untrained", (KerasNetwork(network),), recipe, config, manifest))
    store.promote("SPY-untrained", "for a test")
    return folder


def judge(place: Path, *arguments: str) -> int:
    return main(["--models", str(place / "models"), *arguments])


@pytest.mark.train
def test_a_model_is_judged_on_what_it_has_not_seen(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = place / "verdict.html"
    assert judge(place, "--bars", str(place / "spy.parquet"), "--json", "--html", str(page)) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["model"] == "SPY-untrained"
    assert pd.Timestamp(judged["first"]) == pd.Timestamp("2024-11-01 10:00", tz="America/New_York")
    assert {"model", "diurnal_log_har", "diurnal_garch", "diurnal_egarch"} <= set(judged["metrics"])
    assert 0 < judged["metrics"]["model"]["coverage"] < 1
    # Whatever comes of an untrained network knows nothing.
    assert judged["judgment"] == "do not use"
    assert judged["verdict"] in page.read_text()
    assert {path.name for path in place.iterdir()} == {"models", "spy.parquet", "old.parquet", "verdict.html"}


@pytest.mark.train
def test_what_a_person_reads(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(place, "--model", str(place / "models" / "SPY-untrained"), "--allow-in-sample") == 0
    said = capsys.readouterr().out
    for expected in ("diurnal log-HAR", "by hour of day", "2024-12", "Do not use this model", "IN SAMPLE"):
        assert expected in said


@pytest.mark.train
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--bars", "nowhere.parquet"], 1, "no file nowhere.parquet"),
        (["--model", "unknown"], 1, "unknown"),
        (["--bars", "{place}/old.parquet"], 1, "nothing to judge"),
        (["--html", "{place}/nowhere/page.html"], 1, "cannot be written"),
        (["--symbols", "SPY,QQQ"], 2, "give --symbol."),
    ],
)
def test_what_is_wrong_is_one_sentence(
    place: Path, arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(place, *(argument.format(place=place) for argument in arguments)) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_an_empty_store_is_said_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", str(tmp_path), "--json"]) == 1
    captured = json.loads(capsys.readouterr().out)
    assert captured["exit_status"] == 1
    assert "python local_training.py" in captured["error"]


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    checked = (
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from volcast.cli.evaluate import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "assert not {'tensorflow', 'keras', 'arch', 'matplotlib', 'pandas'} & set(sys.modules), 'heavy'\n"
    )
    done = subprocess.run([sys.executable, "-c", checked], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "exit status" in done.stdout


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "volcast", "evaluate", "--bogus"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "volcast evaluate: error" in done.stderr


@pytest.mark.train
def test_a_training_on_noise_ends_with_a_refusal(tmp_path: Path) -> None:
    # Every bucket's volatility is drawn anew: there is nothing in the past to learn from.
    bars, random = make_bars("2024-06-03", "2024-12-31"), np.random.default_rng(1)
    bucket = pd.factorize((time_index(bars) + pd.Timedelta(minutes=1)).ceil("h"))[0]
    spread = 4e-4 * np.exp(0.5 * random.standard_normal(bucket[-1] + 1))[bucket]
    close = 100 * np.exp(np.cumsum(spread * random.standard_normal(len(bars))))
    open_ = np.concatenate([[100.0], close[:-1]])
    ends = {"open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close), "close": close}
    noise = pd.DataFrame(ends, bars.index)
    trainer = LocalLSTMTrainer({"symbol": "SPY", "epochs": 2, "model_save_path": str(tmp_path)})
    result = trainer.run_training_pipeline(bars=noise)
    assert result.evaluation.judgment == "do not use"
    assert result.evaluation.verdict.startswith("Do not use this model")
    assert result.evaluation.verdict in (Path(str(result.bundle.path)) / "evaluation.html").read_text()


def test_bad_bars_are_judged_on_only_where_that_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bars = make_bars("2024-12-02", "2024-12-20")
    bars.loc[bars.index > "2024-12-11 16:00Z", ["open", "high", "low", "close"]] /= 20
    bars.to_parquet(tmp_path / "split.parquet")
    model = ["--models", str(ROOT / "tests" / "data"), "--model", "schema-2", "--allow-in-sample"]
    arguments = [*model, "--bars", str(tmp_path / "split.parquet"), "--json"]
    assert main(arguments) == 1
    refused = json.loads(capsys.readouterr().out)["error"]
    assert "20:1 at 2024-12-11" in refused
    assert "--accept-quality" in refused
    assert main([*arguments, "--accept-quality"]) == 0
    assert "ACCEPTED although bad: Prices step inside" in " ".join(json.loads(capsys.readouterr().out)["about"])


def test_bars_without_a_whole_hour_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("date,open,high,low,close,volume\n2025-03-06,1240.0,1260.9,1239.6,1255,100\n")
    where = ["--models", str(ROOT / "tests" / "data"), "--model", "schema-2", "--bars", str(path)]
    where += ["--bars-timezone", "America/New_York"]
    assert main(where) == 1
    assert "are bad (No bar lies inside a session" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
    assert main([*where, "--accept-quality"]) == 1
    assert "1 of them, cover no bucket of XNYS" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
