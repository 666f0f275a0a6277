"""The dialogue of `main.py`: questions in the terminal, from bars to a backtest."""

import os
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from volcast.backtest.report import describe_backtest, describe_forecast, figures_table, save_picture, statistics_table
from volcast.backtest.strategies import volatility_target_backtest
from volcast.bars.handler import alpaca_credentials
from volcast.bars.sources.registry import BAR_SOURCES, source_names
from volcast.config import TrainingConfig
from volcast.configured import handler_of
from volcast.errors import ConfigError, CredentialsError, ModelMismatchWarning, VolatilityError, describe_os_error
from volcast.evaluation.report.tables import model_row, models_table
from volcast.forecaster import FALLBACK, VolatilityForecaster
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.progress import progress_for
from volcast.sessions import EXCHANGE_TIMEZONE
from volcast.store.store import ModelStore

__all__ = ["run_dialogue"]

Answer = TypeVar("Answer")
Span = tuple[date | None, date | None]

_ASKED = ("network", "max_trials", "networks", "epochs", "memory", "batch_size", "test_split", "seed")
_OF_SEARCHES = ("max_trials", "batch_size")
_OF_ENSEMBLES = ("networks",)
_WHOLE_FILE = "all"
_ZONE_IN_FILE = "in the file"


def run_dialogue(console: Console, config: TrainingConfig, pictures: Path) -> None:
    """Ask for bars and a model, backtest, and print what came out.

    What cannot be done is said in one sentence, and the question that led there is asked again.

    Parameters
    ----------
    console
        Where questions and results go; answers come from standard input.
    config
        Defaults of the questions; ``model_save_path`` is where models are and go.
    pictures
        Directory of the saved picture; it is made when needed.

    Raises
    ------
    EOFError
        The input ended.
    """
    _say(console, "Volatility-target backtest. Enter takes the answer in brackets; Ctrl-C leaves.", "bold")
    config, bars = _again_until_done(console, lambda: _ask_bars(console, config))
    _say(console, _describe_bars(bars))

    def set_up_and_trade() -> None:
        forecaster = _set_up_forecaster(console, config, bars)
        _trade(console, forecaster, bars, pictures)

    _again_until_done(console, set_up_and_trade)


def _ask_bars(console: Console, config: TrainingConfig) -> tuple[TrainingConfig, pd.DataFrame]:
    config = _ask_setting(console, config, "symbol")
    sources = source_names()
    about = [BAR_SOURCES.get(name, name) for name in sources]
    number = _choose(console, "Bars", about, default=sources.index(_default_source(config)) + 1)
    config, chosen = config.with_overrides(bars_source="auto", bars_path=None), sources[number - 1]
    if chosen == "alpaca" and alpaca_credentials() is None:
        raise CredentialsError(
            "there are no keys for Alpaca; they belong in APCA_API_KEY_ID and APCA_API_SECRET_KEY, or in a .env file; "
            "set them and start again, or choose another."
        )
    config = _ask_file(console, config) if chosen == "file" else config.with_overrides(bars_source=chosen)
    span = _ask_span(console, config, whole=chosen == "file")
    with console.status("Getting bars"):
        bars = handler_of(config).get_stock_bars(config.symbol, *span, timeframe=config.data_frequency)
    for note in bars.attrs["notes"]:
        console.print(note)
    if None not in span:
        config = config.with_overrides(start_date=span[0], end_date=span[1])
    return config, bars


def _default_source(config: TrainingConfig) -> str:
    if config.bars_source == "auto" and config.bars_path is None and alpaca_credentials() is None:
        return "simulator"
    return config.effective_source


def _ask_file(console: Console, config: TrainingConfig) -> TrainingConfig:
    path = _ask(console, "File of bars", _existing_file, config.bars_path)
    zone = _ask(console, _question("bars_timezone"), str, config.bars_timezone or _ZONE_IN_FILE)
    overrides = {"bars_source": "file", "bars_path": path, "bars_timezone": None if zone == _ZONE_IN_FILE else zone}
    return config.with_overrides(**overrides)


def _ask_span(console: Console, config: TrainingConfig, *, whole: bool) -> Span:
    if whole:
        first = _ask(console, "First day, YYYY-MM-DD", _day_or_all, _WHOLE_FILE)
        last = _ask(console, "Last day, YYYY-MM-DD", lambda text: _not_before(first, _day_or_all(text)), _WHOLE_FILE)
        return first, last
    first = _ask(console, "First day, YYYY-MM-DD", _day, str(config.start_date))
    latest = max(_day(str(config.end_date)), first)
    last = _ask(console, "Last day, YYYY-MM-DD", lambda text: _not_before(first, _day(text)), str(latest))
    return first, last


def _set_up_forecaster(console: Console, config: TrainingConfig, bars: pd.DataFrame) -> VolatilityForecaster:
    store = ModelStore(config.model_save_path)
    newest = store.serving() or f"none saved yet, so {FALLBACK.upper()}"
    options = (f"Newest model ({newest})", "Choose a model", "No model (EWMA)", "Train new model locally")
    choice = _choose(console, "Volatility forecasts", options, default=1)
    if choice == 3:
        return VolatilityForecaster(FALLBACK, config)
    if choice == 4:
        return _train(console, config, bars)
    return VolatilityForecaster(None, config) if choice == 1 else _choose_model(console, config, store)


def _choose_model(console: Console, config: TrainingConfig, store: ModelStore) -> VolatilityForecaster:
    saved = store.list()
    if saved:
        _say(console, "Saved models, the newest first", "bold")
        serving = store.serving()
        _print_whole(console, models_table([model_row(manifest, serving) for manifest in saved], numbered=True))
    question = "Its number, its name, or the path of a model or of a Colab pair's .h5"

    def load(answer: str) -> VolatilityForecaster:
        if Path(answer).suffix == ".h5":  # which Keras reads; our own models do without it
            load_tensorflow_quietly()
        numbered = answer.isdecimal() and 1 <= int(answer) <= len(saved)
        return VolatilityForecaster(saved[int(answer) - 1]["name"] if numbered else answer, config)

    return _ask(console, question, load, "1" if saved else FALLBACK)


def _train(console: Console, config: TrainingConfig, bars: pd.DataFrame) -> VolatilityForecaster:
    """A forecaster that trains in this process; what served in it before goes on serving where training fails."""
    config = config.with_overrides(network=config.effective_network)
    for name in _ASKED:
        if name not in (_OF_SEARCHES if config.effective_network == "har_lstm" else _OF_ENSEMBLES):
            config = _ask_setting(console, config, name)
    forecaster = _serving_forecaster(console, config)
    before = forecaster.model_info()
    with console.status("Loading TensorFlow"):
        load_tensorflow_quietly()
    try:
        result = forecaster.train_locally(bars=bars, progress=progress_for(console, quiet=False))
    except (VolatilityError, OSError) as error:
        reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
        _say(console, f"There is no new model: {reason}")
        _say(console, f"{before['version']} goes on serving.", "bold")
        return forecaster
    after = forecaster.model_info()
    _print_whole(console, figures_table(before, after))
    _say(console, result.evaluation.verdict)
    _say(console, f"{after['version']} serves from now on, in place of {before['version']}.", "bold")
    _print_whole(console, Text(f"Saved in {after['path']}"))
    return forecaster


def _serving_forecaster(console: Console, config: TrainingConfig) -> VolatilityForecaster:
    try:
        return VolatilityForecaster(None, config)
    except VolatilityError as error:
        _say(console, f"{error} Until the new model is trained, {FALLBACK} serves.")
        return VolatilityForecaster(FALLBACK, config)


def _trade(console: Console, forecaster: VolatilityForecaster, bars: pd.DataFrame, pictures: Path) -> None:
    version = forecaster.model_info()["version"]
    with console.status(f"Backtesting with {version}"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ModelMismatchWarning)
        forecasts = forecaster.forecast_series(bars)
        backtest = volatility_target_backtest(bars, forecasts)
        ahead = forecaster.forecast(bars)
    for warning in dict.fromkeys(str(warning.message) for warning in caught):
        _say(console, warning, "yellow")
    console.print()
    _print_whole(console, statistics_table(backtest, version))
    for line in describe_backtest(backtest):
        _say(console, line)
    _say(console, describe_forecast(ahead, simulated=backtest.simulated), "bold")
    try:
        _print_whole(console, Text(f"Picture: {save_picture(backtest, version, pictures)}"))
    except OSError as error:
        reason = f"The picture could not be saved in {pictures} ({error.strerror})"
        _say(console, f"{reason}; name another place by --pictures.")


def _describe_bars(bars: pd.DataFrame) -> str:
    about = bars.attrs
    first, last = (moment.tz_convert(EXCHANGE_TIMEZONE) for moment in (bars.index[0], bars.index[-1]))
    simulated = "SIMULATED " if about.get("simulated") else ""
    return (
        f"{about.get('symbol')}: {len(bars):,} {simulated}bars from {first:%Y-%m-%d} to {last:%Y-%m-%d} "
        f"({about.get('source')})."
    )


def _again_until_done(console: Console, step: Callable[[], Answer]) -> Answer:
    while True:
        try:
            return step()
        except VolatilityError as error:
            _say(console, str(error), "red")


def _ask(console: Console, question: str, parse: Callable[[str], Answer], default: str | None = None) -> Answer:
    prompt = f"{question}: " if default is None else f"{question} [{default}]: "
    while True:
        try:
            return parse(console.input(Text(prompt)).strip() or default or "")
        except (ValueError, VolatilityError) as error:
            _say(console, str(error), "red")


def _ask_setting(console: Console, config: TrainingConfig, name: str) -> TrainingConfig:
    """The configuration with what is answered."""
    default = str(getattr(config, name))
    return _ask(console, _question(name), lambda answer: config.with_overrides(**{name: answer}), default)


def _question(name: str) -> str:
    return TrainingConfig.sentence_of(name).replace("``", "")


def _choose(console: Console, title: str, options: Sequence[str], *, default: int) -> int:
    _say(console, "")
    _say(console, title, "bold")
    for number, option in enumerate(options, start=1):
        _say(console, f"  {number}. {option}")

    def number_of(answer: str) -> int:
        if answer.isdecimal() and 1 <= int(answer) <= len(options):
            return int(answer)
        raise ConfigError(f"{answer!r} is no choice; the rule is a number from 1 to {len(options)}; type one of them.")

    return _ask(console, "Number", number_of, str(default))


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


def _say(console: Console, sentence: str, style: str | None = None) -> None:
    console.print(sentence, style=style)
