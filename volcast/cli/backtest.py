"""The interactive backtest: asks for bars and a volatility model, trains one if wanted, and trades by its forecasts."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]

_EPILOG = """\
It asks for a symbol, for bars (Alpaca's, your own file, or simulated ones), and
for the volatility model: the newest, one of your choice, none (EWMA), or a new
one that is trained on the spot. Then it backtests a volatility target with costs,
prints the statistics and saves a picture.

exit status: 0 done, 1 input ended early or failed, 2 wrong use, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast backtest") -> int:
    """Hold the dialogue as the `arguments` say (None: those of the process); returns the exit status."""
    options = _parser(prog).parse_args(arguments)
    # Only now: pandas and pydantic would make --help slow.
    from rich.console import Console

    # The file by name: the search puts sys.stdout aside while it runs, and its progress must go on being seen.
    console = Console(file=sys.stdout, highlight=False)
    # A terminal's lines break between words; a pipe's or a file's are left to whoever reads them.
    console.soft_wrap = not console.is_terminal
    try:
        return _hold_dialogue(console, options)
    except KeyboardInterrupt:
        return _leave(console, "Interrupted; models that were saved before are kept.", 130)
    except EOFError:
        return _leave(console, "The input ended before the backtest was done; start again and answer all questions.", 1)


def _hold_dialogue(console: "Console", options: argparse.Namespace) -> int:
    from volcast.backtest.dialogue import run_dialogue
    from volcast.config_sources import resolve_config
    from volcast.errors import ConfigError, VolatilityError, describe_os_error

    overrides = {} if options.models is None else {"model_save_path": options.models}
    try:
        run_dialogue(console, resolve_config(None, os.environ, overrides).config, Path(options.pictures))
    except VolatilityError as error:
        return _leave(console, str(error), 2 if isinstance(error, ConfigError) else 1)
    except OSError as error:
        return _leave(console, describe_os_error(error), 1)
    return 0


def _leave(console: "Console", sentence: str, status: int) -> int:
    console.print()
    console.print(sentence, markup=False)
    return status


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Backtest a volatility target, interactively.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", metavar="DIR", help="where trained models are and go (default: volatility_models/)")
    where = "where pictures go (default: backtests/)"
    parser.add_argument("--pictures", metavar="DIR", default="backtests", help=where)
    return parser
