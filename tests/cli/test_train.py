"""What a person in a shell sees: `python local_training.py`, right and wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.support.bars import ROOT, make_bars
from volcast.cli.models import main as models
from volcast.store.store import ModelStore

FAST = ["--epochs", "1"]
KEPT_OUT = (
    "It does not serve, since its verdict is not to use it; to let it serve all the same: volcast models promote "
)


def run(arguments: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("APCA_", "VOLATILITY_"))}
    return subprocess.run(
        [sys.executable, str(ROOT / "local_training.py"), *arguments],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bars") / "spy.parquet"
    make_bars("2024-08-01", "2024-12-31").to_parquet(path)
    return path


@pytest.fixture(scope="module")
def small_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    settings = ["network = 'roadmap'", "memory = 20", "n_layers_range = [1, 1]", "units_range = [16, 32]"]
    path.write_text("\n".join([*settings, "max_trials = 4", "epochs = 2"]))
    return path


@pytest.mark.train
def test_a_training_ends_with_figures_and_the_next_command(bars_file: Path, small_config: Path, tmp_path: Path) -> None:
    done = run(
        ["--config", str(small_config), "--symbol", "SPY", "--bars", str(bars_file), "--max-trials", "1"], tmp_path
    )
    assert done.returncode == 0, done.stderr
    for expected in ("model", "persistence", "diurnal log-HAR", "QLIKE", "volatility_models/SPY-", "main.py"):
        assert expected in done.stdout
    # Once the person says so, it serves.
    (name,) = (line.removeprefix(KEPT_OUT) for line in done.stdout.splitlines() if line.startswith(KEPT_OUT))
    store = ModelStore(tmp_path / "volatility_models")
    assert store.serving() is None
    assert models(["promote", name, "--store", str(store.path)]) == 0
    assert store.serving() == name
    said = done.stderr.splitlines()
    assert said[0].startswith("SPY: ")
    assert said[1].startswith("Computing on the ")
    assert said[2] == "Searching: 1 trial of up to 2 epochs."
    assert re.fullmatch(r"Trial 1 of 1: validation loss \d\S* after 2 epochs; best \d\S*\.", said[3])
    assert said[4:] == ["Training network 1 of 1, up to 2 epochs."]


@pytest.mark.train
@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_nothing_is_said_where_nobody_wants_it(
    bars_file: Path, small_config: Path, tmp_path: Path, option: str
) -> None:
    done = run(["--config", str(small_config), "--bars", str(bars_file), "--max-trials", "1", option], tmp_path)
    (model,) = (tmp_path / "volatility_models").glob("TSLA-*")
    if option == "--json":
        result = json.loads(done.stdout)
        assert (tmp_path / result["path"], result["serves"]) == (model, False)
    else:
        assert tmp_path / done.stdout.strip() == model
    # Two epochs make no model that its verdict would let serve; a script reads that, and a person is told.
    warning = "" if option == "--json" else f"warning: {KEPT_OUT}{model.name}\n"
    assert done.returncode == 0
    assert done.stderr.endswith(warning)
    assert done.stderr.count("\n") == warning.count("\n")


@pytest.mark.train
def test_a_condemned_model_serves_where_the_verdict_is_accepted(
    bars_file: Path, small_config: Path, tmp_path: Path
) -> None:
    arguments = ["--config", str(small_config), "--bars", str(bars_file), "--max-trials", "1", "--json"]
    done = run([*arguments, "--accept-verdict", "--output", "elsewhere"], tmp_path)
    result = json.loads(done.stdout)
    assert Path(result["path"]).parent.name == "elsewhere"
    assert result["evaluation"]["metrics"]["model"]["qlike"] > 0
    store = ModelStore(tmp_path / "elsewhere")
    assert store.serving() == result["model"]
    assert [entry.event for entry in store.history()] == ["promoted"]


def test_a_failure_is_json_where_json_is_asked_for(tmp_path: Path) -> None:
    failed = run(["--bars", "missing.csv", "--json"], tmp_path)
    assert json.loads(failed.stdout)["exit_status"] == failed.returncode == 1


@pytest.mark.train
def test_simulated_bars_are_called_so_everywhere(small_config: Path, tmp_path: Path) -> None:
    arguments = ["--config", str(small_config), "--simulate", "--start-date", "2024-06-03", "--max-trials", "1"]
    done = run(arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SIMULATED" in done.stdout
    (model,) = (tmp_path / "volatility_models").glob("SIMULATED-TSLA-*")
    assert json.loads((model / "manifest.json").read_text())["simulated"] is True


@pytest.mark.train
def test_two_processes_with_one_seed_give_the_same(bars_file: Path, small_config: Path, tmp_path: Path) -> None:
    arguments = ["--config", str(small_config), "--bars", str(bars_file), "--max-trials", "1", "--json", "--seed"]
    results = []
    for folder in "ab":
        (tmp_path / folder).mkdir()
        results.append(json.loads(run([*arguments, "7"], tmp_path / folder).stdout))
    for result in results:
        result["weights"] = weights_of(Path(result["path"]), tmp_path)
    same = ("trials", "evaluation", "weights", "best_hyperparameters")
    assert all(results[0][key] == results[1][key] for key in same)


def weights_of(model: Path, root: Path) -> list[list[float]]:
    import keras

    (file,) = root.glob(f"*/{model}/network_0.keras")
    return [weight.ravel().tolist() for weight in keras.models.load_model(file, compile=False).get_weights()]


@pytest.mark.train
def test_a_killed_search_goes_on_where_it_was(bars_file: Path, small_config: Path, tmp_path: Path) -> None:
    arguments = ["--config", str(small_config), "--bars", str(bars_file), "--json"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = json.loads(run(arguments, tmp_path / "whole").stdout)

    running = subprocess.Popen(
        [sys.executable, str(ROOT / "local_training.py"), *arguments],
        cwd=tmp_path / "broken",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    models = tmp_path / "broken" / "volatility_models"
    deadline = time.monotonic() + 120
    while not list(models.glob(".searches/*/trial_1")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    (first,) = models.glob(".searches/*/trial_0/trial.json")
    finished_at = first.stat().st_mtime_ns
    assert not list(models.glob("*/manifest.json"))

    resumed = run([*arguments, "--resume"], tmp_path / "broken")
    result = json.loads(resumed.stdout)
    assert not first.exists() or first.stat().st_mtime_ns == finished_at
    assert result["trials"] == whole["trials"]
    assert result["evaluation"] == whole["evaluation"]
    assert [path.name for path in models.iterdir() if path.is_dir()] == [result["model"]]


@pytest.mark.train
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(
    number: signal.Signals, status: int, bars_file: Path, small_config: Path, tmp_path: Path
) -> None:
    running = subprocess.Popen(
        [sys.executable, str(ROOT / "local_training.py"), "--config", str(small_config), "--bars", str(bars_file)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("volatility_models/.searches/*/trial_*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == status
    *progress, last = err.splitlines()
    assert last == "Interrupted; trials that had finished are kept: the same command goes on after them."
    assert progress[-1] == "Searching: 4 trials of up to 2 epochs."
    assert not list(tmp_path.glob("volatility_models/*/manifest.json"))


def write(path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path)


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """By what is wrong: a file with it, and a part of the sentence that must be said."""
    day = make_bars("2024-08-01", "2024-08-01")
    negative = day.copy()
    negative.iloc[5, 3] = -1.0
    still = make_bars("2024-08-01", "2024-12-31", minutes=5)
    still[["open", "high", "low", "close"]] = 100.0
    frames = {
        "no close": (day.drop(columns="close"), "no 'close'"),
        "naive": (day.tz_localize(None), "--bars-timezone"),
        "unsorted": (pd.concat([day.iloc[200:], day.iloc[:200]]), "not in time order"),
        "duplicates": (pd.concat([day, day]).sort_index(), "duplicated"),
        "negative": (negative, "zero or less"),
        "one day": (day, "windows"),
        "no rows": (day.iloc[:0], "no bars"),
        "standing still": (still, "Prices never move"),
        "numbers for stamps": (day.reset_index(drop=True), "no time stamps"),
    }
    made = {}
    for i, (what, (frame, said)) in enumerate(frames.items()):
        path = folder / f"bars_{i}.parquet"
        write(path, frame)
        made[what] = (path, said)
    (folder / "empty.csv").write_text("")
    (folder / "text.parquet").write_text("no parquet")
    made |= {
        "missing": (folder / "missing.csv", "no file"),
        "empty": (folder / "empty.csv", "is empty"),
        "no table": (folder / "text.parquet", "cannot be read"),
        "other kind": (folder / "bars.docx", "must end in"),
    }
    return made


WRONG_BARS = [
    "no close", "naive", "unsorted", "duplicates", "negative", "one day", "standing still", "no rows",
    "numbers for stamps", "missing", "empty", "no table", "other kind",
]  # fmt: skip


def assert_one_sentence(done: subprocess.CompletedProcess[str], said: str, statuses: tuple[int, ...]) -> None:
    assert done.returncode in statuses, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert said in done.stderr


@pytest.mark.train
@pytest.mark.parametrize("what", WRONG_BARS)
def test_bad_bars_get_one_sentence_and_leave_nothing(
    what: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, said = broken_files(tmp_path_factory.mktemp("broken"))[what]
    done = run(["--bars", str(path)], tmp_path)
    assert_one_sentence(done, said, (1,))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--simulate", "--start-date", "2024-06-01", "--end-date", "2024-01-01"], "before start_date"),
        (["--simulate", "--preset", "collab"], "preset is 'collab'"),
        (["--simulate", "--tuner", "grid"], "tuner is 'grid'"),
        (["--simulate", "--max-trials", "0"], "max_trials is '0'"),
        (["--simulate", "--start-date", "June"], "start_date is 'June'"),
        (["--config", "unknown_key.json"], "did you mean 'max_trials'"),
        (["--config", "broken.py"], "line 2"),
        (["--config", "broken.json"], "syntax error"),
        (["--config", "broken.toml"], "syntax error"),
        (["--config", "broken.yaml"], "syntax error"),
        (["--config", "missing.toml"], "no configuration file"),
        (["--config", "config.ini"], "must end in"),
    ],
)
def test_wrong_settings_get_one_sentence_and_leave_nothing(arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "unknown_key.json").write_text('{"max_trails": 3}')
    (tmp_path / "broken.py").write_text("TRAINING_CONFIG = {\n    'symbol' 'SPY'::\n}\n")
    for suffix in ("json", "toml", "yaml"):
        (tmp_path / f"broken.{suffix}").write_text("{[")
    before = sorted(tmp_path.iterdir())
    assert_one_sentence(run(arguments, tmp_path), said, (2,))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.train
def test_a_place_that_cannot_be_written_gets_one_sentence(bars_file: Path, small_config: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    settings = ["--config", str(small_config), "--bars", str(bars_file), "--quiet"]
    done = run([*settings, "--output", "a file"], tmp_path)
    assert_one_sentence(done, "cannot be used (Not a directory)", (1,))
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_no_keys_and_no_file_says_how_to_give_either(tmp_path: Path) -> None:
    done = run([], tmp_path)
    assert_one_sentence(done, "--simulate", (1,))
    for way_out in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY", "--bars"):
        assert way_out in done.stderr


def test_settings_and_their_origins_are_shown(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("epochs = 7\nmax_trials = 7\nbatch_size = 7\n")
    done = run(["--config", "my.toml", "--max-trials", "9", "--show-config"], tmp_path, VOLATILITY_BATCH_SIZE="8")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["epochs"] == ["7", "file", "my.toml"]
    assert rows["batch_size"] == ["8", "environment"]
    assert rows["max_trials"] == ["9", "command", "line"]
    assert rows["memory"] == ["60", "default"]


def test_help_does_not_load_tensorflow() -> None:
    code = (
        "import sys, runpy\nsys.argv = ['local_training.py', '--help']\n"
        "try:\n    runpy.run_path('local_training.py', run_name='__main__')\nexcept SystemExit as end:\n"
        "    print(end.code, 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False False"
