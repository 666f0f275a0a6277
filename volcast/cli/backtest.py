"""The interactive backtest: asks for bars and a volatility model, trains one if wanted, and trades by its forecasts."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from volcast.cli.command import command_parser, run_command
from volcast.cli.options import add_setting, settings_given
from volcast.config_sources import resolve_config
from volcast.errors import VolatilityError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]

_EPILOG = """\
It asks for a symbol, for bars (Alpaca's, your own file, simulated ones, or Yahoo's), and
for the volatility model: the newest, one of your choice, none (EWMA), or a new
one that is trained on the spot. Then it backtests a volatility target with costs,
prints the statistics and saves a picture.

exit status: 0 done, 1 input ended early or failed, 2 wrong use, 130 or 143 interrupted
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast backtest") -> int:
    """Hold the dialogue as the `arguments` say (None: those of the process); returns the exit status."""
    said = "Interrupted; models that were saved before are kept."
    return run_command(_parser(prog), _hold_dialogue, arguments, interrupted=said)


def _hold_dialogue(options: argparse.Namespace, out: "Console", err: "Console") -> int:
    config = resolve_config(None, os.environ, settings_given(options)).config
    # Only now: pandas would make --help slow.
    from volcast.backtest.dialogue import run_dialogue

    try:
        run_dialogue(out, config, Path(options.pictures))
    except KeyboardInterrupt:
        out.print()  # The line of the question is not at its end.
        raise
    except EOFError:
        out.print()
        raise VolatilityError(
            "the input ended before the backtest was done; start again and answer all questions."
        ) from None
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = command_parser(prog, "Backtest a volatility target, interactively.", _EPILOG)
    add_setting(parser, "model_save_path", "--models")
    where = "where pictures go (default: backtests/)"
    parser.add_argument("--pictures", metavar="DIR", default="backtests", help=where)
    return parser
