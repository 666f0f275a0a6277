"""What all commands share: one sentence, an exit status, help made of the settings."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from volcast.cli.command import Work, run_command
from volcast.cli.main import main as volcast
from volcast.cli.train import main as train
from volcast.config import TRAINING_CONFIG, TrainingConfig
from volcast.errors import BarsError, ConfigError

OTHER = {
    "market": "XLON",
    "bucket": "15min",
    "symbol": "SPY",
    "start_date": "2024-01-02",
    "end_date": "2024-06-28",
    "data_frequency": "5Min",
    "epochs": "7",
    "max_trials": "3",
    "model_save_path": "elsewhere",
    "seed": "9",
    "engine": "keras",
    "preset": "colab",
    "network": "roadmap",
    "tuner": "bayesian",
    "workers": "2",
    "chief": "localhost:8000",
    "test_from": "2024-06-03",
    "max_search_minutes": "1.5",
    "bars_source": "yahoo",
    "bars_path": "spy.csv",
    "bars_timezone": "UTC",
    "bars_stamps": "end",
    "bars_epoch": "ms",
    "bars_dates": "dmy",
    "feed": "iex",
    "adjustment": "raw",
    "cache_dir": "cache",
    "cleaning": "zero,order",
    "roll_days": "2024-03-14",
    "rv_estimator": "medrv",
    "companions": "QQQ",
    "cell": "gru",
    "nights": "never",
    "overnight_symbol": "NQ",
    "overnight_path": "nq.csv",
    "known_days": "month_end",
}
"""For each setting whose option takes a value, one that is not its default."""


def outcome_of(work: Work, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    return run_command(parser, work, arguments, interrupted="Interrupted; nothing is lost.")


def raising(error: BaseException) -> Work:
    def work(options: argparse.Namespace, out: Console, err: Console) -> int:
        raise error

    return work


def signalling(number: signal.Signals) -> Work:
    def work(options: argparse.Namespace, out: Console, err: Console) -> int:
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 5)
        return 0

    return work


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [
        (raising(BarsError("the bars [bold]are[/] empty; one is needed.")), 1, "error: the bars [bold]are[/] empty"),
        (raising(ConfigError("epochs is 0.")), 2, "error: epochs is 0."),
        (raising(PermissionError(13, "Permission denied", "/x")), 1, "error: /x cannot be used (Permission denied)"),
        (signalling(signal.SIGINT), 130, "Interrupted; nothing is lost."),
        (signalling(signal.SIGTERM), 143, "Interrupted; nothing is lost."),
    ],
)
def test_whatever_ends_a_command_is_a_sentence_and_a_status(
    work: Work, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    assert outcome_of(work) == status
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert shown.err.startswith(said)
    assert outcome_of(work, "--json") == status
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"error": shown.err.strip().removeprefix("error: "), "exit_status": status}
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_reader_who_leaves_gets_no_complaint(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "volcast", "train", "--show-config"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize("name", OTHER)
def test_an_option_gives_its_setting(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train([TrainingConfig.flags()[name].name, OTHER[name], "--show-config"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == [name])
    assert row.rstrip().endswith("command line")
    assert OTHER[name] in row or OTHER[name].replace(",", "', '") in row


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--simulate"], {"bars_source": "simulator"}),
        (["--bars", "spy.csv"], {"bars_source": "file", "bars_path": "spy.csv"}),
        (["--clean"], {"cleaning": "['all']"}),
        (["--offline", "--accept-quality"], {"offline": "True", "accept_quality": "True"}),
        (["--accept-verdict"], {"accept_verdict": "True"}),
        (["--fresh"], {"resume": "False"}),
        (["--resume"], {"resume": "True"}),
    ],
)
def test_a_switch_gives_its_settings(
    arguments: list[str], settings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*arguments, "--show-config"]) == 0
    rows = capsys.readouterr().out.splitlines()
    given = {line.split()[0]: line.split()[1] for line in rows if line.rstrip().endswith("command line")}
    assert given == settings


def help_of(command: Callable[[list[str]], Any], capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        command([*arguments, "--help"])
    assert ended.value.code == 0
    return " ".join(re.sub(r"-\s+", "-", capsys.readouterr().out).split())


def test_help_has_the_sentence_and_the_default_of_every_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    said = help_of(train, capsys)
    assert set(OTHER) | {"resume", "offline", "accept_quality", "accept_verdict"} == set(TrainingConfig.flags())
    for name, flag in TrainingConfig.flags().items():
        sentence = TrainingConfig.sentence_of(name).replace("``", "")
        assert f"{flag.name} " in said
        assert sentence[1:] in said, sentence
        if isinstance(TRAINING_CONFIG[name], str | int) and not isinstance(TRAINING_CONFIG[name], bool):
            assert f"{sentence[1:]} (default: {TRAINING_CONFIG[name]})" in said


def test_the_one_command_lists_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(volcast, capsys)
    for name in ("train", "bars", "evaluate", "models", "backtest"):
        assert f"volcast {name}" in help_of(volcast, capsys, name)
        assert f" {name} " in said
    with pytest.raises(SystemExit) as ended:
        volcast(["trian"])
    assert ended.value.code == 2
    assert "'trian'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models", "--store", "STORE", "ls"], "No model in STORE yet"),
        (["models", "ls", "--store", "STORE"], "No model in STORE yet"),
        (["models", "--store", "elsewhere", "ls", "--store", "STORE"], "No model in STORE yet"),
        (["bars", "--cache-dir", "STORE", "ls"], "The cache STORE is empty"),
        (["models", "--json", "ls", "--store", "STORE"], "[]"),
    ],
)
def test_what_all_subcommands_take_may_stand_before_them(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "store")
    assert volcast([word.replace("STORE", store) for word in words]) == 0
    assert capsys.readouterr().out.startswith(said.replace("STORE", store))
