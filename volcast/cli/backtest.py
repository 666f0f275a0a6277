"""The command ``volcast backtest``: a strategy judged on bars; without arguments a dialogue asks for everything."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from volcast.backtest.settings import BacktestSettings
from volcast.cli.command import command_parser, run_command, tell
from volcast.cli.options import add_bars_options, add_setting, add_settings, settings_given
from volcast.config_sources import resolve_config
from volcast.errors import VolatilityError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, RenderableType

    from volcast.backtest.engine import Backtest
    from volcast.config import TrainingConfig
    from volcast.forecaster import VolatilityForecaster
    from volcast.retraining.retraining import RetrainingOutcome

__all__ = ["main"]

_EPILOG = """\
without arguments (but for --models and --reports) a dialogue asks for bars, forecasts and strategy, and trains a model
on the spot if wanted.

exit status: 0 done, 1 failed or the input ended early, 2 wrong use, 130 or 143 interrupted

examples:
  volcast backtest --symbol SPY --bars spy.parquet --forecasts har --report spy.html
  volcast backtest --symbol SPY --bars spy.parquet --retrain monthly --report spy.html --json
  volcast backtest --symbols SPY,QQQ,XLE --bars folder --strategy risk-parity --forecasts ewma
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast backtest") -> int:
    """Backtest as the `arguments` say (None: those of the process), or ask; returns the exit status."""
    said = "Interrupted; models that were saved before are kept, and so are the answers."
    return run_command(_parser(prog), _ask_or_run, arguments, interrupted=said)


def _ask_or_run(options: argparse.Namespace, out: "Console", err: "Console") -> int:
    apart = {"model_save_path", "reports"}
    asked = [name for name, value in vars(options).items() if name not in apart and value not in (None, False)]
    return _run(options, out, err) if asked else _hold_dialogue(options, out)


def _hold_dialogue(options: argparse.Namespace, out: "Console") -> int:
    config = resolve_config(None, os.environ, settings_given(options)).config
    # Only now: pandas would make --help slow.
    from volcast.backtest.dialogue import run_dialogue

    try:
        run_dialogue(out, config, Path(options.reports))
    except KeyboardInterrupt:
        out.print()  # The line of the question is not at its end.
        raise
    except EOFError:
        out.print()
        raise VolatilityError(
            "the input ended before the backtest was done; start again and answer all questions."
        ) from None
    return 0


def _run(options: argparse.Namespace, out: "Console", err: "Console") -> int:
    from volcast.backtest.files import require_table_format, save_trades
    from volcast.backtest.page import save_page
    from volcast.backtest.running import backtest_bars, overnight_bars_for

    values = {name: value for name, value in vars(options).items() if value is not None}
    settings = BacktestSettings.from_mapping(
        {name: values[name] for name in BacktestSettings.flags() if name in values}
    )
    config = resolve_config(options.config, os.environ, settings_given(options)).config
    if options.trades is not None:
        require_table_format(Path(options.trades))
    bars = _bars(config, options)
    accepted = _accepted(bars, config)
    forecaster = _forecaster(config, settings, options, err)
    backtest = backtest_bars(settings, config, bars, forecaster, overnight_bars_for(settings, config, forecaster))
    about = [f"Bars of {', '.join(backtest.market.symbols)} ({bars.attrs.get('detail') or bars.attrs.get('source')})."]
    about += accepted
    if options.report is not None:
        save_page(backtest, Path(options.report), about=about)
    if options.trades is not None:
        save_trades(backtest.strategy.trades, Path(options.trades))
    content = {"settings": settings.model_dump(), "about": about, **backtest.to_dict()}
    tell(options, out, content, _for_people(backtest, accepted, options))
    return 0


def _accepted(bars: "pd.DataFrame", config: "TrainingConfig") -> list[str]:
    """What is said of bars that are bad and accepted; others that are bad are refused."""
    from volcast.backtest.running import require_tradable
    from volcast.bars.checks import select_symbol
    from volcast.bars.symbols import symbols_of

    said: list[str] = []
    for symbol in symbols_of(bars) or (config.symbol,):
        said += require_tradable(select_symbol(bars, symbol), symbol, config)
    return said


def _for_people(backtest: "Backtest", accepted: Sequence[str], options: argparse.Namespace) -> "RenderableType":
    from rich.console import Group

    from volcast.backtest.report import describe_backtest, statistics_table, verdict

    files = {"Report": options.report, "Trades": options.trades}
    written = [f"{what}: {path}" for what, path in files.items() if path is not None]
    return Group(*accepted, statistics_table(backtest), verdict(backtest), *describe_backtest(backtest), *written)


def _forecaster(
    config: "TrainingConfig", settings: BacktestSettings, options: argparse.Namespace, err: "Console"
) -> "VolatilityForecaster":
    from volcast.backtest.running import retraining_settings
    from volcast.forecaster import FALLBACK, VolatilityForecaster

    def told(outcome: "RetrainingOutcome") -> None:
        served = f"{outcome.model_version} serves" if outcome.promoted else "what served before serves on"
        err.print(f"{outcome.moment:%Y-%m-%d}: {served} ({outcome.error or outcome.reason})")

    schedule = retraining_settings(settings)
    # With a schedule, the EWMA forecasts until a first model could have been trained.
    model = FALLBACK if schedule or settings.forecasts != "model" else options.model
    return VolatilityForecaster(model, {**config.as_dict(), **schedule}, on_retraining=told)


def _bars(config: "TrainingConfig", options: argparse.Namespace) -> "pd.DataFrame":
    from volcast.bars.symbols import symbols_in
    from volcast.configured import handler_of

    symbols = config.symbol if options.symbols is None else symbols_in(options.symbols, "--symbols")
    return handler_of(config).get_stock_bars(symbols, *config.requested_span, timeframe=config.data_frequency)


def _parser(prog: str) -> argparse.ArgumentParser:
    sentence = "Backtest a strategy that trades by volatility forecasts; without arguments, interactively."
    parser = command_parser(prog, sentence, _EPILOG)
    bars = parser.add_argument_group("what is traded")
    add_setting(bars, "symbol")
    bars.add_argument("--symbols", metavar="A,B,C", help="several symbols, for a strategy of many")
    add_settings(bars, "start_date", "end_date")
    add_bars_options(bars)
    add_settings(bars, "overnight_symbol", "overnight_path", "accept_quality")
    _add_strategy_options(parser.add_argument_group("how it is traded"))
    models = parser.add_argument_group("by which model")
    models.add_argument("--model", metavar="M", help="a saved model's name or directory (default: who serves)")
    add_setting(models, "model_save_path", "--models")
    models.add_argument("--config", metavar="F", help="settings of the trainings on the way")
    output = parser.add_argument_group("what comes out")
    output.add_argument("--report", metavar="FILE", help="write the report, one HTML page")
    output.add_argument("--trades", metavar="FILE", help="save the trades, .csv or .parquet")
    output.add_argument("--json", action="store_true", help="all figures as JSON on standard output")
    where = "where the dialogue's reports go (default: backtests/)"
    output.add_argument("--reports", metavar="DIR", default="backtests", help=where)
    return parser


def _add_strategy_options(group: "argparse._ArgumentGroup") -> None:
    defaults = BacktestSettings()
    for name, flag in BacktestSettings.flags().items():
        sentence = BacktestSettings.sentence_of(name)
        shown = f"{sentence[:1].lower()}{sentence[1:]} (default: {defaults.shown(name)})".replace("%", "%%")
        group.add_argument(flag.name, dest=name, metavar=flag.value, help=shown)
