"""The backtest as a person meets it: through a pseudo-terminal, with answers piped in, and as a command."""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pexpect
import pytest

from tests.support.bars import ROOT, make_bars
from volcast.backtest.interview import Memory
from volcast.cli.backtest import main
from volcast.store.bundle import CONDEMNED
from volcast.store.store import ModelStore

_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENTER = ""
_STRATEGY = [_ENTER] * 6
"""Enter for a volatility target's settings by a baseline: which, target, leverage, band, costs, benchmark."""
_STRATEGY_BY_MODEL = [_ENTER] * 7
"""The same by a model: when it is retrained, too."""


@dataclass(frozen=True)
class Dialogue:
    """What stood on the screen, the exit status, and where models, reports and answers went."""

    screen: str
    status: int
    models: Path
    reports: Path
    answers: Path


class Terminal:
    """`main.py` in a pseudo-terminal, in an empty directory, without keys."""

    def __init__(self, directory: Path, models: Path | None = None) -> None:
        self.models, self.reports = models or directory / "models", directory / "reports"
        self.settings = directory / "settings"
        self._screen = io.StringIO()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("APCA_", "VOLATILITY_"))}
        self.process = pexpect.spawn(
            sys.executable,
            [str(ROOT / "main.py"), "--models", str(self.models), "--reports", str(self.reports)],
            cwd=str(directory),
            env={
                **kept,
                "TERM": "xterm",
                "COLUMNS": "200",
                "PROMPT_TOOLKIT_NO_CPR": "1",
                "XDG_CONFIG_HOME": str(self.settings),
                "PYTHONPATH": str(ROOT),
            },
            dimensions=(50, 200),
            encoding="utf-8",
            timeout=240,
        )
        self.process.logfile_read = self._screen

    def answer(self, question: str, *answers: str) -> None:
        """Wait for `question`, then give each answer to it and to the questions that follow."""
        self.process.expect_exact(question)
        for answer in answers:
            self.process.expect(r"\]:|h5.*:")
            self.process.sendline(answer)
            # Taken: what is typed is drawn again with its question until then.
            self.process.expect_exact("\x1b[?2004l")

    def bars(self, first: str, last: str, symbol: str = "TSLA") -> None:
        """Ask for simulated bars of a symbol, of the market that it tells."""
        self.answer("Ticker", symbol)
        self.answer("From", "3")
        self.answer("Market", _ENTER)
        self.answer("First day", first)
        self.answer("Last day", last)

    def training(self, *answers: str) -> None:
        """Ask for a new model of hours, with these answers from the network on."""
        self.answer("Volatility forecasts", "4")
        self.answer("Length of the buckets", _ENTER)
        self.answer("What is trained", *answers)

    def end(self) -> Dialogue:
        self.process.expect(pexpect.EOF)
        self.process.close()
        status = self.process.exitstatus
        assert status is not None
        screen = _STYLES.sub("", self._screen.getvalue())
        return Dialogue(screen, status, self.models, self.reports, self.settings / "volcast")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Dialogue:
    """The dialogue with option 4 on ten months of simulated bars, some of its answers nonsense."""
    terminal = Terminal(tmp_path_factory.mktemp("trained"))
    terminal.answer("Ticker", "no such thing!", "tsla")
    terminal.answer("From", "99", "three", "3")
    terminal.answer("Market", "Mars", _ENTER)
    terminal.answer("First day", "2024-02-30", "2024-01-02")
    terminal.answer("Last day", "2023-05-01", "2024-10-31")
    terminal.answer("Volatility forecasts", "0", "4")
    terminal.answer("Length of the buckets", "1min", "1h")
    terminal.answer("What is trained", "lstm", "har_lstm", "many", "0", "1", "1", "20", "0.3", "7")
    terminal.process.expect(r"serves from now on|Use it all the same")
    if terminal.process.after == "Use it all the same":
        terminal.process.expect_exact("]:")
        terminal.process.sendline("yes")
    terminal.answer("What trades", "martingale", *_STRATEGY_BY_MODEL)
    return terminal.end()


def version_of(models: Path) -> str:
    (manifest,) = ModelStore(models).list()
    return str(manifest["name"])


def piped(monkeypatch: pytest.MonkeyPatch, directory: Path, *answers: str) -> int:
    """The exit status of the dialogue in this process, with `answers` as its whole input."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "settings"))
    for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
    return main(["--models", str(directory / "models"), "--reports", str(directory / "reports")])


@pytest.fixture
def spy_file(tmp_path: Path) -> Path:
    """Five months of five-minute bars."""
    path = tmp_path / "xyz.parquet"
    make_bars("2024-06-03", "2024-10-31", minutes=5).to_parquet(path)
    return path


@pytest.mark.train
def test_option_4_trains_swaps_and_backtests_with_the_new_version(trained: Dialogue) -> None:
    version = version_of(trained.models)
    assert trained.status == 0
    assert "none saved yet, so EWMA" in trained.screen
    assert "training network 1 of 1" in trained.screen
    assert f"{version} serves from now on, in place of ewma" in trained.screen
    after = trained.screen.split("serves from now on")[1]
    assert "SIMULATED TSLA, volatility target, after costs" in after
    assert "volatility target by EWMA" in after
    assert re.search(rf"forecast as of 2024-10-31 16:00 New York .* annualized \d.*, by {version}\.", after)


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
        "'99' is no choice; the rule is a number from 1 to 7",
        "'three' is no choice; the rule is a number from 1 to 7",
        "'2024-02-30' is no day; the rule is YYYY-MM-DD",
        "2023-05-01 is before 2024-01-02; the rule is a last day on or after the first",
        "'0' is no choice; the rule is a number from 1 to 5",
        "market is 'Mars', but must be one of XNYS",
        "bucket is '1min'",
        "network is 'lstm'",
        "networks is 'many', but should be a valid integer",
        "networks is '0'",
        "strategy is 'martingale', but must be one of vol-target",
    ):
        assert sentence in trained.screen, sentence
    assert "Traceback" not in trained.screen


@pytest.mark.train
def test_the_report_is_where_the_screen_says_and_is_marked_as_simulated(trained: Dialogue) -> None:
    (report,) = trained.reports.glob("*.html")
    assert f"Report: {report}" in trained.screen
    assert report.name.startswith("SIMULATED-TSLA-vol-target-")
    assert f"Forecasts by {version_of(trained.models)}." in report.read_text()
    trades = pd.read_csv(report.with_suffix(".csv"))
    assert set(trades["model_version"]) == {version_of(trained.models)}


@pytest.mark.train
def test_nothing_but_the_dialogue_is_on_the_screen(trained: Dialogue) -> None:
    for noise in ("oneDNN", "absl", "Trial complete", "epoch/step"):
        assert noise not in trained.screen


@pytest.mark.train
def test_a_second_start_offers_the_last_answers(trained: Dialogue) -> None:
    memory = Memory(trained.answers)
    assert memory.recall("symbol") == "tsla"
    assert memory.recall("last day to fetch") == "2024-10-31"
    assert memory.recall("networks") == "1"
    assert memory.recall("backtest strategy") == "vol-target"
    terminal = Terminal(trained.answers.parents[1], trained.models)
    terminal.process.expect_exact("Ticker, in capitals [tsla]:")
    # What was typed last, in any session: Ctrl-P as the arrow up, but one byte, which a busy machine cannot tear apart.
    terminal.process.send("\x10")
    terminal.process.sendline("")
    terminal.process.expect_exact("From")
    # Only a question that has been drawn takes an end of input: before it the terminal would swallow it.
    terminal.process.expect(r"\]:")
    terminal.process.sendeof()
    assert terminal.end().status == 1


def test_back_leads_to_the_question_before_and_help_says_what_is_asked(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.answer("Ticker", "?", "tsla")
    terminal.answer("From", "b")
    terminal.answer("Ticker", "AAPL")
    terminal.answer("From", "?", "3")
    terminal.answer("Market", "?", _ENTER)
    terminal.answer("First day", "2024-06-03")
    terminal.answer("Last day", "b")
    terminal.answer("First day", "2024-07-01")
    terminal.answer("Last day", "2024-10-31")
    terminal.answer("Volatility forecasts", "3", "b")
    terminal.answer("By", "3", "1")
    terminal.answer("What trades", "vol-managed", _ENTER, "b", "1.5", _ENTER, "cash")
    done = terminal.end()
    assert done.status == 0
    assert "Where the bars come from that are traded" in done.screen
    assert re.search(r"AAPL: [\d,]+ SIMULATED bars from 2024-07-01 to 2024-10-31", done.screen)
    assert done.screen.count("SIMULATED bars from") == 1
    assert "SIMULATED AAPL, volatility-managed, after costs" in done.screen


@pytest.mark.train
@pytest.mark.parametrize("answer", [_ENTER, "perhaps", "yes"])
def test_a_condemned_model_serves_only_if_the_person_says_so(tmp_path: Path, answer: str) -> None:
    terminal = Terminal(tmp_path)
    terminal.bars("2024-01-02", "2024-10-31")
    # One trial of one epoch at most: it can have learnt nothing.
    terminal.training("roadmap", "1", "1", "5", "256", "0.3", "7")
    terminal.process.expect_exact("Use it all the same")
    for typed in (answer, _ENTER) if answer == "perhaps" else (answer,):
        terminal.process.expect_exact("[no]:")
        terminal.process.sendline(typed)
        terminal.process.expect_exact("\x1b[?2004l")
    terminal.answer("What trades", *_STRATEGY_BY_MODEL)
    done = terminal.end()
    assert done.status == 0
    version = version_of(done.models)
    if answer == "yes":
        assert f"{version} serves from now on, in place of ewma (chosen, although {CONDEMNED})." in " ".join(
            done.screen.split()
        )
        assert ModelStore(done.models).serving() == version
        return
    assert ("'perhaps' is neither; the rule is yes or no" in done.screen) == (answer == "perhaps")
    assert f"{version} does not serve: its verdict is not to use it." in done.screen
    assert "ewma goes on serving." in done.screen
    assert ModelStore(done.models).serving() is None


@pytest.mark.train
def test_a_model_is_validated_on_other_dates_and_the_menu_asked_again(trained: Dialogue, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, trained.models)
    terminal.bars("2024-06-03", "2024-10-31")
    terminal.answer("Volatility forecasts", "5")
    terminal.answer("Its number", "1")
    terminal.answer("First day", "2024-06-03")
    terminal.answer("Last day", "2024-12-31")
    terminal.answer("By", "3", "1")
    terminal.answer("What trades", *_STRATEGY)
    done = terminal.end()
    assert done.status == 0
    assert re.search(r"forecast .*QLIKE", done.screen), done.screen


@pytest.mark.train
def test_where_training_fails_the_fallback_serves(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.bars("2024-09-03", "2024-10-31")
    terminal.training(*[_ENTER] * 6)
    terminal.answer("What trades", *_STRATEGY_BY_MODEL)
    failed = terminal.end()
    assert failed.status == 0
    assert failed.screen.count("There is no new model: ") == 1
    assert ", by ewma." in failed.screen.split("ewma goes on serving.")[1]
    assert not ModelStore(failed.models).list()


@pytest.mark.train
def test_a_model_that_has_seen_all_bars_is_refused_and_the_menu_asked_again(trained: Dialogue, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, trained.models)
    terminal.bars("2024-01-02", "2024-05-31")
    terminal.answer("Volatility forecasts", "2")
    terminal.answer("Saved models", "99", "1")
    terminal.answer("What trades", *_STRATEGY_BY_MODEL)
    terminal.answer("Volatility forecasts", "3", "1")
    terminal.answer("What trades", *_STRATEGY)
    refused = terminal.end()
    assert refused.status == 0
    assert "there is no model '99'" in refused.screen
    assert "session(s) left to trade" in refused.screen


@pytest.mark.parametrize(
    "question",
    [
        "Ticker",
        "From",
        "Market",
        "First day",
        "Last day",
        "Volatility forecasts",
        "Which",
        "What trades",
        "Volatility a year",
        "Most that is held",
        "How far a position may stray",
        "Cost of a trade",
        "What it is held against",
    ],
)
def test_ctrl_c_leaves_with_one_sentence_at_every_step(tmp_path: Path, question: str) -> None:
    terminal = Terminal(tmp_path)
    answers = [
        ("Ticker", "TSLA"),
        ("From", "3"),
        ("Market", _ENTER),
        ("First day", "2024-09-03"),
        ("Last day", "2024-10-31"),
    ]
    answers += [("Volatility forecasts", "3"), ("Which", "1"), ("What trades", ""), ("Volatility a year", "")]
    answers += [("Most that is held", ""), ("How far a position may stray", ""), ("Cost of a trade", "")]
    for asked, answer in answers:
        if asked == question:
            break
        terminal.answer(asked, answer)
    terminal.process.expect_exact(question)
    terminal.process.expect_exact("]:")
    terminal.process.sendintr()
    left = terminal.end()
    assert left.status == 130
    assert left.screen.rstrip().endswith("Interrupted; models that were saved before are kept, and so are the answers.")
    assert "Traceback" not in left.screen
    if question != "Ticker":
        assert Memory(left.answers).recall("symbol") == "TSLA"


@pytest.mark.train
def test_ctrl_c_in_a_training_leaves_with_one_sentence_and_no_half_model(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.bars("2024-01-02", "2024-10-31")
    terminal.training(*[_ENTER] * 6)
    terminal.process.expect("training network 1 of 5")
    terminal.process.expect(r"epoch \d+  loss")
    terminal.process.sendintr()
    left = terminal.end()
    assert left.status == 130
    assert "Interrupted; models that were saved before are kept" in left.screen
    assert "Traceback" not in left.screen
    assert not ModelStore(left.models).list()


def test_input_that_ends_early_leaves_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert piped(monkeypatch, tmp_path, "SPY", "3") == 1
    shown = capsys.readouterr()
    said = "error: the input ended before the backtest was done; start again and answer all questions.\n"
    assert shown.err == said
    assert [path.name for path in tmp_path.iterdir()] == ["settings"]


def test_input_may_end_before_every_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], spy_file: Path
) -> None:
    answers = ("XYZ", "2", str(spy_file), _ENTER, _ENTER, _ENTER, _ENTER, "3", "1", *_STRATEGY)
    for count in range(len(answers)):
        assert piped(monkeypatch, tmp_path, *answers[:count]) == 1
        assert capsys.readouterr().err.startswith("error: the input ended before the backtest was done; ")
    assert piped(monkeypatch, tmp_path, *answers) == 0


def test_nonsense_at_each_question_of_a_strategy_is_answered_with_its_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], spy_file: Path
) -> None:
    bars = ("XYZ", "2", str(spy_file), "Mars/Olympus", _ENTER, _ENTER, "yesterday", _ENTER, "tomorrow", _ENTER)
    # Which, target, leverage, band, costs, benchmark; a benchmark that has no bars leads back to the strategy.
    strategy = ("lottery", _ENTER, "much", "-0.1", _ENTER, "0", _ENTER, "wide", "auto", "free", _ENTER)
    answers = (*bars, "7", "3", "hundred", "1", *strategy, "cash")
    assert piped(monkeypatch, tmp_path, *answers) == 0
    shown = capsys.readouterr().out
    for said in (
        "bars_timezone is 'Mars/Olympus'",
        "'yesterday' is no day",
        "'tomorrow' is no day",
        "'7' is no choice; the rule is a number from 1 to 5",
        "'hundred' is no choice; the rule is a number from 1 to 3",
        "strategy is 'lottery', but must be one of vol-target",
        "target_volatility is 'much', but should be a valid number",
        "target_volatility is '-0.1', but should be greater than 0",
        "max_leverage is '0', but should be greater than 0",
        "band is 'wide', but should be a valid number",
        "trade_bps is 'free', but should be a valid number",
    ):
        assert said in shown, said
    assert "cash" in shown.split("after costs")[1]


def test_an_own_file_is_backtested_whole_and_without_the_mark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], spy_file: Path
) -> None:
    answers = ("XYZ", "2", "absent.csv", spy_file.name, _ENTER, _ENTER, _ENTER, _ENTER, "3", "2", *_STRATEGY)
    assert piped(monkeypatch, tmp_path, *answers) == 0
    shown = capsys.readouterr().out
    assert "there is no file 'absent.csv'" in shown
    assert "XYZ: 8,502 bars from 2024-06-03 to 2024-10-31 (file)." in shown
    assert "XYZ, volatility target, after costs" in shown
    assert "SIMULATED" not in shown
    (report,) = (tmp_path / "reports").glob("*.html")
    assert re.fullmatch(r"XYZ-vol-target-2024-\d\d-\d\d-to-2024-10-31\.html", report.name)


def test_what_is_wrong_with_the_bars_is_said_and_bars_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.csv").write_text("")
    simulated = ("XYZ", "3", _ENTER, "2024-06-03", "2024-09-20", "3", "1", *_STRATEGY)
    assert piped(monkeypatch, tmp_path, "XYZ", "1", "XYZ", "2", "empty.csv", *[_ENTER] * 4, *simulated) == 0
    shown = capsys.readouterr().out
    assert "there are no keys for Alpaca" in shown
    assert shown.count("Ticker, in capitals [") == 3
    assert "SIMULATED XYZ, volatility target, after costs" in shown


def test_a_coin_is_traded_round_the_clock_by_enter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = ("2024-06-03", "2024-07-31", "3", "1", *_STRATEGY)
    assert piped(monkeypatch, tmp_path, "btc/usd", "3", _ENTER, *days) == 0
    shown = capsys.readouterr().out
    assert "Market whose sessions and days count [24/7]:" in shown
    assert "24/7: coins, UTC." in shown
    assert "SIMULATED BTC/USD, volatility target, after costs" in shown
    sessions = re.search(r"Traded in (\d+) sessions from 2024-\d\d-\d\d to 2024-07-31", shown)
    assert sessions is not None
    assert int(sessions[1]) > 30


def test_another_market_is_remembered_of_its_symbol_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert piped(monkeypatch, tmp_path, "ABC", "3", "XLON", "2024-06-03") == 1
    shown = capsys.readouterr().out
    assert "[XNYS]:" in shown
    assert "XLON: London's stock exchange, London time." in shown
    assert piped(monkeypatch, tmp_path, "ABC", "3", _ENTER) == 1
    assert "[XLON]:" in capsys.readouterr().out
    assert piped(monkeypatch, tmp_path, "NQ", "3", "b") == 1
    assert "[CMES]:" in capsys.readouterr().out


def test_a_wrong_environment_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOLATILITY_EPOCHS", "few")
    assert piped(monkeypatch, tmp_path) == 2
    assert "epochs is 'few'" in capsys.readouterr().err


def test_the_command_is_held_against_another_file(
    spy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "abc_5min.parquet"
    make_bars("2024-06-03", "2024-10-31", minutes=5, seed=4).to_parquet(other)
    arguments = ["--symbol", "XYZ", "--bars", str(spy_file), "--forecasts", "ewma", "--benchmark", str(other), "--json"]
    assert main(arguments) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["settings"]["benchmark"] == str(other)
    assert list(content["statistics"]) == ["volatility target", "buy and hold ABC"]


def test_bad_bars_are_traded_only_where_that_is_accepted(
    spy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars, page = pd.read_parquet(spy_file), tmp_path / "report.html"
    bars.loc[bars.index > "2024-09-11 15:00Z", ["open", "high", "low", "close"]] *= 100
    bars.to_parquet(spy_file)
    arguments = ["--symbol", "XYZ", "--bars", str(spy_file), "--forecasts", "ewma"]
    assert main(arguments) == 1
    refused = capsys.readouterr().err
    assert re.search(r"the bars of XYZ are bad \(.*100:1 at 2024-09-11.*--accept-quality\.\n$", refused)
    assert main([*arguments, "--accept-quality", "--report", str(page)]) == 0
    assert "ACCEPTED although bad: Prices step inside" in capsys.readouterr().out
    assert "ACCEPTED although bad: Prices step inside" in page.read_text()
    assert main([*arguments, "--accept-quality", "--json"]) == 0
    assert "ACCEPTED although bad" in " ".join(json.loads(capsys.readouterr().out)["about"])


def test_the_dialogue_says_what_is_bad_of_bars(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], spy_file: Path
) -> None:
    bars = pd.read_parquet(spy_file)
    bars.loc[bars.index > "2024-09-11 15:00Z", ["open", "high", "low", "close"]] *= 100
    bars.to_parquet(spy_file)
    assert piped(monkeypatch, tmp_path, "XYZ", "2", str(spy_file), _ENTER, _ENTER, _ENTER, _ENTER) == 1
    assert "Prices step inside a session" in " ".join(capsys.readouterr().out.split())


def test_the_ewma_that_serves_stands_beside_no_other_ewma(
    spy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_models = ["--symbol", "XYZ", "--bars", str(spy_file), "--models", str(tmp_path)]
    for arguments in (without_models, [*without_models, "--model", "ewma"], [*without_models, "--forecasts", "ewma"]):
        assert main([*arguments, "--json"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert list(content["statistics"]) == ["volatility target", "buy and hold"]
        assert content["model_versions"] == ["ewma"]


def test_the_command_needs_nobody(spy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, trades = tmp_path / "report.html", tmp_path / "trades.parquet"
    arguments = ["--symbol", "XYZ", "--bars", str(spy_file), "--forecasts", "har", "--target", "0.08"]
    assert main([*arguments, "--report", str(report), "--trades", str(trades), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["settings"]["target_volatility"] == 0.08
    assert content["symbols"] == ["XYZ"]
    assert list(content["statistics"]) == ["volatility target", "volatility target by EWMA", "buy and hold"]
    assert len(pd.read_parquet(trades)) == content["statistics"]["volatility target"]["trades"]
    assert "<title>Volatility target, XYZ</title>" in report.read_text()


@pytest.mark.train
def test_the_command_trains_on_the_way(spy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"networks": 1, "epochs": 1, "accept_verdict": True}))
    arguments = ["--symbol", "XYZ", "--bars", str(spy_file), "--retrain", "monthly", "--models", str(tmp_path / "m")]
    assert main([*arguments, "--config", str(tmp_path / "settings.json"), "--json"]) == 0
    shown = capsys.readouterr()
    content = json.loads(shown.out)
    assert content["model_versions"][0] == "ewma"
    assert len(content["model_versions"]) > 1
    assert re.search(r"2024-\d\d-0\d: XYZ-\S+ serves \(no model served before\)", shown.err)
    assert ModelStore(tmp_path / "m").serving() is None


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--strategy", "martingale"], 2, "must be one of vol-target"),
        (["--trades", "trades.xlsx"], 2, "saved as .csv or .parquet"),
        (["--strategy", "straddle", "--forecasts", "ewma", "--implied", "absent.csv"], 1, "cannot be read"),
        (["--strategy", "straddle", "--forecasts", "ewma", "--implied", "alpaca"], 1, "there are no keys for Alpaca"),
        (["--forecasts", "ewma", "--benchmark", "no such thing"], 1, "symbol is"),
        (["--strategy", "risk-parity", "--forecasts", "ewma"], 2, "bars of one symbol"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    spy_file: Path, arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--symbol", "XYZ", "--bars", str(spy_file), "--json", *arguments]) == status
    assert said in json.loads(capsys.readouterr().out)["error"]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, main\n"
        "try: main.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'bt', 'keras', 'matplotlib', 'pandas', 'QuantLib', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--models" in done.stdout
