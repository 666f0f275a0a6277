"""The command ``volcast backtest``: a strategy judged on bars; without arguments a dialogue asks for everything."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from volcast.cli.options import add_bars_options, bars_settings

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from volcast.backtest.engine import Backtest
    from volcast.backtest.settings import BacktestSettings
    from volcast.config import TrainingConfig
    from volcast.forecaster import VolatilityForecaster

__all__ = ["main"]

_FLAGS = {"target_volatility": "target", "trade_bps": "costs"}

_EPILOG = """\
without arguments (but for --models and --pictures) a dialogue asks for bars, forecasts and
strategy, and trains a model on the spot if wanted.

exit status: 0 done, 1 failed or input ended early, 2 wrong use, 130 interrupted

examples:
  volcast backtest --symbol SPY --bars spy.parquet --forecasts har --report spy.html
  volcast backtest --symbol SPY --bars spy.parquet --retrain monthly --report spy.html --json
  volcast backtest --symbols SPY,QQQ,XLE --bars folder --strategy risk-parity --forecasts ewma
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast backtest") -> int:
    """Backtest as the `arguments` say (None: those of the process), or ask; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(prog).parse_args(given)
    # Only now: pandas and pydantic would make --help slow.
    from rich.console import Console

    # The file by name: the search puts sys.stdout aside while it runs, and its progress must go on being seen.
    console = Console(file=sys.stdout, highlight=False)
    # A terminal's lines break between words; a pipe's or a file's are left to whoever reads them.
    console.soft_wrap = not console.is_terminal
    asked = _is_to_be_asked(options)
    try:
        return _hold_dialogue(console, options) if asked else _backtest(console, options)
    except KeyboardInterrupt:
        return _leave(console, options, "Interrupted; models that were saved before are kept.", 130)
    except EOFError:
        ended = "The input ended before the backtest was done; start again and answer all questions."
        return _leave(console, options, ended, 1)


def _is_to_be_asked(options: argparse.Namespace) -> bool:
    own = {"models", "pictures"}
    return all(value in (None, False) for name, value in vars(options).items() if name not in own)


def _hold_dialogue(console: "Console", options: argparse.Namespace) -> int:
    from volcast.backtest.dialogue import run_dialogue
    from volcast.errors import VolatilityError, describe_os_error

    try:
        run_dialogue(console, _config(options), Path(options.pictures))
    except VolatilityError as error:
        return _leave(console, options, str(error), _status(error))
    except OSError as error:
        return _leave(console, options, describe_os_error(error), 1)
    return 0


def _backtest(console: "Console", options: argparse.Namespace) -> int:
    from volcast.errors import VolatilityError, describe_os_error

    try:
        _run(console, options)
    except VolatilityError as error:
        return _leave(console, options, str(error), _status(error))
    except OSError as error:
        return _leave(console, options, describe_os_error(error), 1)
    return 0


def _run(console: "Console", options: argparse.Namespace) -> None:
    from volcast.backtest.files import require_table_format, save_trades
    from volcast.backtest.page import save_page
    from volcast.backtest.running import backtest_bars, read_implied
    from volcast.backtest.settings import BacktestSettings

    names = BacktestSettings.model_fields
    settings = BacktestSettings.from_mapping(
        {name: value for name, value in vars(options).items() if name in names and value is not None}
    )
    if options.trades is not None:
        require_table_format(Path(options.trades))
    implied = None if options.implied is None else read_implied(Path(options.implied))
    config = _config(options)
    bars = _bars(config, options)
    forecaster = _forecaster(config, settings, options)
    backtest = backtest_bars(settings, bars, forecaster, implied, config.calendar)
    about = [f"Bars of {', '.join(backtest.market.symbols)} ({bars.attrs.get('detail') or bars.attrs.get('source')})."]
    if options.report is not None:
        save_page(backtest, Path(options.report), about=about)
    if options.trades is not None:
        save_trades(backtest.strategy.trades, Path(options.trades))
    _show(console, backtest, settings, options)


def _show(console: "Console", backtest: "Backtest", settings: "BacktestSettings", options: argparse.Namespace) -> None:
    from volcast.backtest.report import describe_backtest, statistics_table, verdict

    if options.json:
        print(json.dumps({"settings": settings.model_dump(), **backtest.to_dict()}, indent=2))
        return
    console.print(statistics_table(backtest), soft_wrap=True)
    console.print(verdict(backtest), style="bold", markup=False)
    for line in describe_backtest(backtest):
        console.print(line, markup=False)
    for what, path in (("Report", options.report), ("Trades", options.trades)):
        if path is not None:
            console.print(f"{what}: {path}", markup=False, soft_wrap=True)


def _forecaster(
    config: "TrainingConfig", settings: "BacktestSettings", options: argparse.Namespace
) -> "VolatilityForecaster":
    from rich.console import Console

    from volcast.backtest.running import retraining_settings
    from volcast.forecaster import FALLBACK, VolatilityForecaster
    from volcast.retraining.retraining import RetrainingOutcome

    err = Console(stderr=True, soft_wrap=True, highlight=False)

    def told(outcome: RetrainingOutcome) -> None:
        if options.json:
            return
        served = f"{outcome.model_version} serves" if outcome.promoted else "the one before serves on"
        err.print(f"{outcome.moment:%Y-%m-%d}: {served} ({outcome.error or outcome.reason})", markup=False)

    schedule = retraining_settings(settings)
    model = FALLBACK if schedule or settings.forecasts != "model" else options.model
    return VolatilityForecaster(model, {**config.as_dict(), **schedule}, on_retraining=told)


def _bars(config: "TrainingConfig", options: argparse.Namespace) -> "pd.DataFrame":
    from volcast.bars.handler import DataHandler
    from volcast.training.jobs import symbols_in

    symbols = config.symbol if options.symbols is None else symbols_in(options.symbols, "--symbols")
    handler = DataHandler.from_config(config)
    return handler.get_stock_bars(symbols, *config.requested_span, timeframe=config.data_frequency)


def _config(options: argparse.Namespace) -> "TrainingConfig":
    from volcast.config_sources import resolve_config

    overrides = {
        "symbol": options.symbol,
        "start_date": options.start_date,
        "end_date": options.end_date,
        "model_save_path": options.models,
        **bars_settings(options),
    }
    return resolve_config(
        options.config, os.environ, {key: value for key, value in overrides.items() if value is not None}
    ).config


def _status(error: Exception) -> int:
    from volcast.errors import ConfigError

    return 2 if isinstance(error, ConfigError) else 1


def _leave(console: "Console", options: argparse.Namespace, sentence: str, status: int) -> int:
    if options.json:
        print(json.dumps({"error": sentence, "exit_status": status}))
        return status
    console.print()
    console.print(sentence, markup=False)
    return status


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Backtest a strategy that trades by volatility forecasts; without arguments, interactively.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bars = parser.add_argument_group("what is traded")
    bars.add_argument("--symbol", metavar="S", help="symbol (default: TSLA)")
    bars.add_argument("--symbols", metavar="A,B,C", help="several, for a strategy of many")
    bars.add_argument("--start-date", metavar="D", help="first day, YYYY-MM-DD, New York")
    bars.add_argument("--end-date", metavar="D", help="last day, YYYY-MM-DD, New York")
    add_bars_options(bars)
    _add_settings(parser.add_argument_group("how it is traded"))
    models = parser.add_argument_group("by which model")
    models.add_argument("--model", metavar="M", help="a saved model's name or directory (default: who serves)")
    models.add_argument("--models", metavar="DIR", help="where trained models are and go (default: volatility_models/)")
    models.add_argument("--config", metavar="F", help="settings of the trainings on the way")
    output = parser.add_argument_group("what comes out")
    output.add_argument("--report", metavar="FILE", help="write the report, one HTML page")
    output.add_argument("--trades", metavar="FILE", help="save the trades, .csv or .parquet")
    output.add_argument("--json", action="store_true", help="all figures as JSON on standard output")
    where = "where the dialogue's reports go (default: backtests/)"
    output.add_argument("--pictures", metavar="DIR", default="backtests", help=where)
    return parser


def _add_settings(group: "argparse._ArgumentGroup") -> None:
    from volcast.backtest.settings import BacktestSettings

    for name, field in BacktestSettings.model_fields.items():
        default = "auto" if field.default is None else field.default
        sentence = f"{field.description} (default: {default})".replace("%", "%%")
        group.add_argument(f"--{_FLAGS.get(name, name).replace('_', '-')}", dest=name, metavar="X", help=sentence)
    group.add_argument(
        "--implied", metavar="FILE", help="implied volatility of a straddle's symbol: stamps and a column 'implied'"
    )
