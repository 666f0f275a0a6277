"""The interactive backtest, as a person meets it: through a pseudo-terminal, and with answers piped in."""

import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from tests.support.bars import ROOT, make_bars
from volcast.cli.backtest import main
from volcast.store.store import ModelStore

_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENTER = ""


@dataclass(frozen=True)
class Dialogue:
    """What stood on the screen, the exit status, and where models and pictures went."""

    screen: str
    status: int
    models: Path
    pictures: Path


class Terminal:
    """`main.py` in a pseudo-terminal, in an empty directory, without keys."""

    def __init__(self, directory: Path) -> None:
        self.models, self.pictures = directory / "models", directory / "pictures"
        self._screen = io.StringIO()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("APCA_", "VOLATILITY_"))}
        self.process = pexpect.spawn(
            sys.executable,
            [str(ROOT / "main.py"), "--models", str(self.models), "--pictures", str(self.pictures)],
            cwd=str(directory),
            env={**kept, "TERM": "xterm", "COLUMNS": "200"},
            dimensions=(50, 200),
            encoding="utf-8",
            timeout=180,
        )
        self.process.logfile_read = self._screen

    def answer(self, question: str, *answers: str) -> None:
        """Wait for `question`, then give each answer to it and to the questions that follow."""
        self.process.expect_exact(question)
        for answer in answers:
            self.process.expect(r"\]: |h5.*: ")
            self.process.sendline(answer)

    def bars(self, first: str, last: str) -> None:
        """Ask for simulated bars of TSLA."""
        self.answer("Ticker", "TSLA")
        self.answer("Number", "3")
        self.answer("First day", first)
        self.answer("Last day", last)

    def end(self) -> Dialogue:
        self.process.expect(pexpect.EOF)
        self.process.close()
        status = self.process.exitstatus
        assert status is not None
        return Dialogue(_STYLES.sub("", self._screen.getvalue()), status, self.models, self.pictures)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Dialogue:
    """The dialogue with option 4 on five months of simulated bars, some of its answers nonsense."""
    terminal = Terminal(tmp_path_factory.mktemp("trained"))
    terminal.answer("Ticker", "no such thing!", "tsla")
    terminal.answer("Bars", "5", "three", "3")
    terminal.answer("First day", "2024-02-30", "2024-06-03")
    terminal.answer("Last day", "2024-05-01", "2024-10-31")
    terminal.answer("Volatility forecasts", "0", "4")
    terminal.answer("What is trained", "lstm", "roadmap", "many", "0", "1", "1", "20", _ENTER, _ENTER, "7")
    return terminal.end()


def version_of(models: Path) -> str:
    (manifest,) = ModelStore(models).list()
    return str(manifest["name"])


def piped(monkeypatch: pytest.MonkeyPatch, directory: Path, *answers: str) -> int:
    """The exit status of the dialogue in this process, with `answers` as its whole input."""
    monkeypatch.chdir(directory)
    for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
    return main(["--models", str(directory / "models"), "--pictures", str(directory / "pictures")])


@pytest.mark.train
def test_option_4_trains_swaps_and_backtests_with_the_new_version(trained: Dialogue) -> None:
    version = version_of(trained.models)
    assert trained.status == 0
    assert "none saved yet, so EWMA" in trained.screen
    assert "of 1 trials" in trained.screen
    assert "training network 1 of 1" in trained.screen
    assert f"{version} serves from now on, in place of ewma." in trained.screen
    after = trained.screen.split("serves from now on")[1]
    assert f"SIMULATED TSLA, forecasts by {version}, after costs" in after
    assert re.search(rf"forecast as of 2024-10-31 16:00 New York .* annualized \d.*, by {version}\.", after)
    assert "by ewma" not in after
    assert re.search(r"Left out: \d+ hourly buckets because the model has seen them in training", after)


@pytest.mark.train
def test_old_and_new_figures_stand_side_by_side(trained: Dialogue) -> None:
    table = trained.screen.split("Figures on the test part of each model")[1].split("serves from now on")[0]
    assert re.search(r"version\W+ewma\W+" + re.escape(version_of(trained.models)), table)
    assert re.search(r"QLIKE\W+\d\.\d+\W+\d\.\d+", table)
    assert re.search(r"to log-HAR\W+\d\.\d+\W+\d\.\d+", table)


@pytest.mark.train
def test_nonsense_is_answered_with_the_rule_and_asked_again(trained: Dialogue) -> None:
    for sentence in (
        "symbol is 'no such thing!'",
        "'5' is no choice; the rule is a number from 1 to 4",
        "'three' is no choice; the rule is a number from 1 to 4",
        "'2024-02-30' is no day; the rule is YYYY-MM-DD",
        "2024-05-01 is before 2024-06-03; the rule is a last day on or after the first",
        "'0' is no choice; the rule is a number from 1 to 4",
        "network is 'lstm'",
        "max_trials is 'many', but should be a valid integer",
        "max_trials is '0'",
    ):
        assert trained.screen.count(sentence) == 1, sentence
    assert "Traceback" not in trained.screen


@pytest.mark.train
def test_the_picture_is_where_the_screen_says_and_is_marked_as_simulated(trained: Dialogue) -> None:
    (picture,) = trained.pictures.iterdir()
    assert f"Picture: {picture}" in trained.screen
    assert picture.name.startswith(f"{version_of(trained.models)}-")
    assert "SIMULATED" in picture.name
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.train
def test_nothing_but_the_dialogue_is_on_the_screen(trained: Dialogue) -> None:
    for noise in ("oneDNN", "absl", "Trial complete", "epoch/step"):
        assert noise not in trained.screen


@pytest.mark.train
def test_where_training_fails_the_old_model_serves_the_backtest(trained: Dialogue, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.models.symlink_to(trained.models, target_is_directory=True)
    terminal.bars("2024-11-04", "2024-11-22")
    terminal.answer("Volatility forecasts", "4")
    terminal.answer("What is trained", *[_ENTER] * 6)
    failed, version = terminal.end(), version_of(trained.models)
    assert failed.status == 0
    assert failed.screen.count("There is no new model: ") == 1
    assert re.search(r"no new model: \d+ hourly values leave \d+ training windows.*; the rule is", failed.screen)
    after = failed.screen.split(f"{version} goes on serving.")[1]
    assert f"forecasts by {version}, after costs" in after
    assert f", by {version}." in after
    assert "Left out: 0" not in after


@pytest.mark.train
def test_where_training_fails_and_there_is_no_old_model_the_fallback_serves(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.bars("2024-11-04", "2024-11-15")
    terminal.answer("Volatility forecasts", "4")
    terminal.answer("What is trained", *[_ENTER] * 6)
    failed = terminal.end()
    assert failed.status == 0
    assert "ewma goes on serving." in failed.screen
    assert ", by ewma." in failed.screen.split("ewma goes on serving.")[1]
    assert not ModelStore(failed.models).list()


@pytest.mark.train
def test_a_model_that_has_seen_all_bars_is_refused_and_the_menu_asked_again(trained: Dialogue, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.models.symlink_to(trained.models, target_is_directory=True)
    terminal.bars("2024-06-03", "2024-08-30")
    terminal.answer("Volatility forecasts", "2")
    terminal.answer("Saved models", "99", "1")
    terminal.answer("Volatility forecasts", "3")
    refused = terminal.end()
    assert refused.status == 0
    assert "there is no model '99'" in refused.screen
    assert re.search(r"0 session\(s\) left to trade \(\d+ hourly buckets are left out because", refused.screen)
    assert ", by ewma." in refused.screen


def test_ctrl_c_leaves_with_one_sentence(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.process.expect_exact("Ticker")
    terminal.process.sendintr()
    left = terminal.end()
    assert left.status == 130
    assert left.screen.rstrip().endswith("Interrupted; models that were saved before are kept.")
    assert "Traceback" not in left.screen


@pytest.mark.train
def test_ctrl_c_in_a_training_leaves_with_one_sentence_and_no_half_model(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.bars("2024-06-03", "2024-10-31")
    terminal.answer("Volatility forecasts", "4")
    terminal.answer("What is trained", *[_ENTER] * 6)
    terminal.process.expect("training network 1 of 5")
    terminal.process.expect(r"epoch \d+  loss")
    terminal.process.sendintr()
    left = terminal.end()
    assert left.status == 130
    assert left.screen.rstrip().endswith("Interrupted; models that were saved before are kept.")
    assert "Traceback" not in left.screen
    assert not ModelStore(left.models).list()


def test_input_that_ends_early_leaves_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert piped(monkeypatch, tmp_path, "SPY", "3") == 1
    shown = capsys.readouterr()
    said = "error: the input ended before the backtest was done; start again and answer all questions.\n"
    assert shown.err == said
    assert not list(tmp_path.iterdir())


def test_an_own_file_is_backtested_whole_and_without_the_mark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bars("2024-09-03", "2024-10-04").to_csv(tmp_path / "xyz.csv")
    answers = ("XYZ", "2", "absent.csv", "xyz.csv", _ENTER, _ENTER, _ENTER, "3")
    assert piped(monkeypatch, tmp_path, *answers) == 0
    shown = capsys.readouterr().out
    assert "there is no file 'absent.csv'" in shown
    assert "XYZ: 9,360 bars from 2024-09-03 to 2024-10-04 (file)." in shown
    assert "XYZ, forecasts by ewma, after costs" in shown
    assert "SIMULATED" not in shown
    assert [picture.name for picture in (tmp_path / "pictures").iterdir()] == ["XYZ-ewma-2024-09-04-to-2024-10-04.png"]


def test_what_is_wrong_with_the_bars_is_said_and_bars_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.csv").write_text("")
    simulated = ("XYZ", "3", "2024-09-03", "2024-09-20", "3")
    assert piped(monkeypatch, tmp_path, "XYZ", "1", "XYZ", "2", "empty.csv", *[_ENTER] * 3, *simulated) == 0
    shown = capsys.readouterr().out
    assert "there are no keys for Alpaca" in shown
    assert shown.count("Ticker, in capitals [") == 3
    assert "SIMULATED XYZ, forecasts by ewma, after costs" in shown


def test_a_wrong_environment_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOLATILITY_EPOCHS", "few")
    assert piped(monkeypatch, tmp_path) == 2
    assert "epochs is 'few'" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, main\n"
        "try: main.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'bt', 'keras', 'matplotlib', 'pandas', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--models DIR" in done.stdout
