"""The dialogue of `main.py`: questions in the terminal, from bars to a judged strategy."""

import os
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from platformdirs import user_config_dir
from rich.console import Console
from rich.table import Table
from rich.text import Text

from volcast.backtest.engine import Backtest
from volcast.backtest.files import save_trades
from volcast.backtest.forecasts import BASELINE_FORECASTS
from volcast.backtest.interview import Interview, Memory
from volcast.backtest.model_setup import train_and_judge, validate_model
from volcast.backtest.page import save_page
from volcast.backtest.report import describe_backtest, describe_forecast, statistics_table, verdict
from volcast.backtest.running import backtest_bars, overnight_bars_for, retraining_settings
from volcast.backtest.settings import BacktestSettings
from volcast.bars.handler import alpaca_credentials
from volcast.bars.quality import assess_quality
from volcast.bars.sources.registry import BAR_SOURCES, source_names
from volcast.config import TrainingConfig
from volcast.configured import handler_of
from volcast.errors import ConfigError, CredentialsError, ModelMismatchWarning
from volcast.evaluation.report.tables import model_row, models_table
from volcast.files import file_name_of
from volcast.forecaster import FALLBACK, VolatilityForecaster
from volcast.markets.names import DEFAULT_MARKET
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.store.store import ModelStore

__all__ = ["run_dialogue"]

Span = tuple[date | None, date | None]

_ASKED = ("bucket", "network", "max_trials", "networks", "epochs", "memory", "batch_size", "test_split", "seed")
_OF_SEARCHES = ("max_trials", "batch_size")
_OF_ENSEMBLES = ("networks",)
_WHOLE_FILE = "all"
_ZONE_IN_FILE = "in the file"
_DAY = "YYYY-MM-DD, days of the market; both days are included"


def run_dialogue(console: Console, config: TrainingConfig, reports: Path) -> None:
    """Ask for bars, forecasts and a strategy, backtest it, and print what came out.

    What cannot be done is said in one sentence, and the questions that led there are asked again. Answers are kept in
    the user's configuration directory and offered the next time.

    Parameters
    ----------
    console
        Where questions and results go; answers come from standard input.
    config
        Defaults of the questions; ``model_save_path`` is where models are and go.
    reports
        Directory of the saved report; it is made when needed.

    Raises
    ------
    EOFError
        The input ended.
    """
    interview = Interview(console, Memory(Path(user_config_dir("volcast"))))
    interview.say("Backtest of a strategy that trades by volatility forecasts.", "bold")
    interview.say("Enter takes the answer in brackets, ? explains, b goes back, Ctrl-C leaves.")

    def questions() -> None:
        asked, bars = _ask_bars(interview, config)
        settings, forecaster = _ask_forecasts(interview, asked, bars)
        settings = _ask_strategy(interview, settings)
        interview.once(lambda: _trade(interview, asked, settings, forecaster, bars, reports))

    interview.hold(questions)


def _ask_bars(interview: Interview, config: TrainingConfig) -> tuple[TrainingConfig, pd.DataFrame]:
    interview.section("Bars")
    config = _ask_setting(interview, config, "symbol")
    sources = source_names()
    options = [BAR_SOURCES.get(name, name) for name in sources]
    about = "Where the bars come from that are traded, and that a new model is trained on."
    number = interview.choose(
        "source", "From", options, default=sources.index(_default_source(config)) + 1, about=about
    )
    config, chosen = config.with_overrides(bars_source="auto", bars_path=None), sources[number - 1]
    if chosen == "alpaca" and alpaca_credentials() is None:
        raise CredentialsError(
            "there are no keys for Alpaca; they belong in APCA_API_KEY_ID and APCA_API_SECRET_KEY, or in a .env file; "
            "set them and start again, or choose another."
        )
    config = _ask_file(interview, config) if chosen == "file" else config.with_overrides(bars_source=chosen)
    config = _ask_market(interview, config)
    span = _ask_span(interview, config, whole=chosen == "file")
    bars = interview.once(lambda: _bars(interview, config, span))
    return config if None in span else config.with_overrides(start_date=span[0], end_date=span[1]), bars


def _bars(interview: Interview, config: TrainingConfig, span: Span) -> pd.DataFrame:
    with interview.console.status("Getting bars"):
        bars = handler_of(config).get_stock_bars(config.symbol, *span, timeframe=config.data_frequency)
    for note in bars.attrs["notes"]:
        interview.say(note)
    zone = config.effective_market.zone
    first, last = (moment.tz_convert(zone) for moment in (bars.index[0], bars.index[-1]))
    simulated = "SIMULATED " if bars.attrs.get("simulated") else ""
    interview.say(
        f"{bars.attrs.get('symbol')}: {len(bars):,} {simulated}bars from {first:%Y-%m-%d} to {last:%Y-%m-%d} "
        f"({bars.attrs.get('source')})."
    )
    for finding in assess_quality(bars, market=config.effective_market).of("bad"):
        interview.say(finding.sentence, "red")
    return bars


def _default_source(config: TrainingConfig) -> str:
    if config.bars_source == "auto" and config.bars_path is None and alpaca_credentials() is None:
        return "simulator"
    return config.effective_source


def _ask_file(interview: Interview, config: TrainingConfig) -> TrainingConfig:
    about = "A CSV, Parquet or Feather file with a column of stamps, and open, high, low, close and volume."
    path = interview.ask("file", "File of bars", _existing_file, default=config.bars_path, about=about)
    config = config.with_overrides(bars_source="file", bars_path=path)

    def with_zone(answer: str) -> TrainingConfig:
        return config.with_overrides(bars_timezone=None if answer == _ZONE_IN_FILE else answer)

    default = config.bars_timezone or _ZONE_IN_FILE
    return interview.ask("zone", TrainingConfig.sentence_of("bars_timezone"), with_zone, default=default)


def _ask_market(interview: Interview, config: TrainingConfig) -> TrainingConfig:
    """The configuration with the market that is named; by Enter with the one that symbol and source tell."""
    usual = config.market_name

    def with_market(answer: str) -> TrainingConfig:
        return config.with_overrides(market=None if answer == usual else answer)

    about = f"{TrainingConfig.sentence_of('market').replace('``', '')}."
    # Of each symbol an answer of its own: a coin's is no stock's.
    key = f"market of {config.symbol} from {config.effective_source}"
    config = interview.ask(key, "Market whose sessions and days count", with_market, default=usual, about=about)
    market = config.effective_market
    if market.name != DEFAULT_MARKET:
        interview.once(lambda: interview.say(f"{market.name}: {market.title}, {market.clock.title}."))
    return config


def _ask_span(interview: Interview, config: TrainingConfig, *, whole: bool) -> Span:
    parse: Callable[[str], date | None] = _day_or_all if whole else _day
    kind = "of the file" if whole else "to fetch"
    defaults = (_WHOLE_FILE, _WHOLE_FILE) if whole else (str(config.start_date), str(config.end_date))
    first = interview.ask(f"first day {kind}", "First day", parse, default=defaults[0], about=_DAY)
    last = interview.ask(
        f"last day {kind}", "Last day", lambda text: _not_before(first, parse(text)), default=defaults[1], about=_DAY
    )
    return first, last


def _ask_forecasts(
    interview: Interview, config: TrainingConfig, bars: pd.DataFrame
) -> tuple[BacktestSettings, VolatilityForecaster]:
    """Settings with what forecasts in them, and the forecaster; a validation leads back to the same question."""
    interview.section("Volatility forecasts")
    while True:
        newest = ModelStore(config.model_save_path).serving() or f"none saved yet, so {FALLBACK.upper()}"
        options = (
            f"Newest model ({newest})",
            "Another model",
            "No model: EWMA, HAR or GARCH",
            "Train a new model locally",
            "Validate a model on other dates",
        )
        choice = interview.choose("forecasts", "By", options, about="What the strategy's positions are made of.")
        if choice == 3:
            names = list(BASELINE_FORECASTS)
            number = interview.choose("baseline", "Which", [name.upper() for name in names])
            settings = BacktestSettings.from_mapping({"forecasts": names[number - 1]})
            return settings, VolatilityForecaster(FALLBACK, config)
        if choice != 5:
            makers = {1: _newest, 2: _choose_model, 4: _train}
            return BacktestSettings(), makers[choice](interview, config, bars)
        model = _choose_model(interview, config, bars)
        span = _ask_span(interview, config, whole=config.effective_source == "file")
        interview.once(lambda model=model, span=span: validate_model(interview, config, model, span))  # type: ignore[misc]


def _newest(interview: Interview, config: TrainingConfig, bars: pd.DataFrame) -> VolatilityForecaster:
    return interview.once(lambda: VolatilityForecaster(None, config))


def _choose_model(interview: Interview, config: TrainingConfig, bars: pd.DataFrame) -> VolatilityForecaster:
    store = ModelStore(config.model_save_path)
    saved = store.list()

    def show() -> None:
        if saved:
            interview.say("Saved models, the newest first", "bold")
            rows = [model_row(manifest, store.serving()) for manifest in saved]
            _print_whole(interview.console, models_table(rows, numbered=True))

    def load(answer: str) -> VolatilityForecaster:
        if Path(answer).suffix == ".h5":  # which Keras reads; our own models do without it
            load_tensorflow_quietly()
        numbered = answer.isdecimal() and 1 <= int(answer) <= len(saved)
        return VolatilityForecaster(saved[int(answer) - 1]["name"] if numbered else answer, config)

    interview.once(show)
    question = "Its number, its name, or the path of a model or of a Colab pair's .h5"
    return interview.ask("model", question, load, default="1" if saved else FALLBACK)


def _train(interview: Interview, config: TrainingConfig, bars: pd.DataFrame) -> VolatilityForecaster:
    config = config.with_overrides(network=config.effective_network)
    for name in _ASKED:
        if name not in (_OF_SEARCHES if config.effective_network == "har_lstm" else _OF_ENSEMBLES):
            config = _ask_setting(interview, config, name)
    return train_and_judge(interview, config, bars)


def _ask_strategy(interview: Interview, settings: BacktestSettings) -> BacktestSettings:
    interview.heading("Strategy")
    settings = _answered(interview, settings, "strategy")
    for name in BacktestSettings.flags():
        if name in ("strategy", "forecasts") or not settings.applies(name):
            continue
        if name != "retrain" or settings.forecasts == "model":
            settings = _answered(interview, settings, name)
    return settings


def _trade(
    interview: Interview,
    config: TrainingConfig,
    settings: BacktestSettings,
    forecaster: VolatilityForecaster,
    bars: pd.DataFrame,
    reports: Path,
) -> None:
    version = forecaster.model_info()["version"] if settings.forecasts == "model" else settings.forecasts
    schedule = retraining_settings(settings)
    if schedule:
        forecaster, version = (
            VolatilityForecaster(FALLBACK, {**config.as_dict(), **schedule}),
            "models trained on the way",
        )
    with interview.console.status(f"Backtesting with {version}"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ModelMismatchWarning)
        overnight = overnight_bars_for(settings, config, forecaster)
        backtest = backtest_bars(settings, config, bars, forecaster, overnight)
        ahead = forecaster.forecast(bars, overnight_bars=overnight)
    for warning in dict.fromkeys(str(warning.message) for warning in caught):
        interview.say(warning, "yellow")
    interview.say("")
    _print_whole(interview.console, statistics_table(backtest))
    interview.say(verdict(backtest), "bold")
    for line in describe_backtest(backtest):
        interview.say(line)
    if settings.forecasts == "model" and not schedule:
        interview.say(describe_forecast(ahead, simulated=backtest.market.simulated), "bold")
    symbol, span = backtest.market.symbol, [f"{backtest.strategy.sessions.index[end]:%Y-%m-%d}" for end in (0, -1)]
    mark = "SIMULATED-" if backtest.market.simulated else ""
    path = reports / f"{mark}{file_name_of(symbol)}-{settings.strategy}-{'-to-'.join(span)}.html"
    _save(interview, backtest, path)


def _save(interview: Interview, backtest: Backtest, report: Path) -> None:
    """Save the report, and the trades beside it."""
    trades = report.with_suffix(".csv")
    try:
        save_page(backtest, report)
        save_trades(backtest.strategy.trades, trades)
    except OSError as error:
        reason = f"The report could not be saved in {report.parent} ({error.strerror})"
        interview.say(f"{reason}; name another place by --reports.")
        return
    _print_whole(interview.console, Text(f"Report: {report}\nTrades: {trades}"))


def _ask_setting(interview: Interview, config: TrainingConfig, name: str) -> TrainingConfig:
    """The configuration with what is answered; the question is the setting's sentence."""
    sentence = TrainingConfig.sentence_of(name).replace("``", "")

    def with_answer(answer: str) -> TrainingConfig:
        return config.with_overrides(**{name: answer})

    return interview.ask(name, sentence, with_answer, default=str(getattr(config, name)), about=f"{sentence}.")


def _answered(interview: Interview, settings: BacktestSettings, name: str) -> BacktestSettings:
    sentence = BacktestSettings.sentence_of(name)

    def with_answer(answer: str) -> BacktestSettings:
        return settings.with_answer(name, answer)

    key = f"backtest {name}"
    return interview.ask(key, sentence, with_answer, default=settings.shown(name), about=f"{sentence}.")


def _existing_file(answer: str) -> str:
    # Of os.path, for which a name that is too long for the system, or of no user's home, is none of a file.
    path = os.path.expanduser(answer)
    if not os.path.isfile(path):
        raise ConfigError(
            f"there is no file {answer[:200]!r}; the rule is a CSV or Parquet file of bars; give its path."
        )
    return path


def _day(answer: str) -> date:
    try:
        return date.fromisoformat(answer)
    except ValueError:
        raise ConfigError(f"{answer!r} is no day; the rule is YYYY-MM-DD, as 2024-01-31; type one.") from None


def _day_or_all(answer: str) -> date | None:
    return None if answer == _WHOLE_FILE else _day(answer)


def _not_before(first: date | None, last: date | None) -> Any:
    if first is not None and last is not None and last < first:
        raise ConfigError(f"{last} is before {first}; the rule is a last day on or after the first; type a later one.")
    return last


def _print_whole(console: Console, content: Text | Table) -> None:
    # Never broken between words: paths are to be copied, and a table's title may be wider than the table.
    console.print(content, soft_wrap=True)
