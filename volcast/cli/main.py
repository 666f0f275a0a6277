"""The command ``volcast``: one word says which of the commands it is, the rest is that command's."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from volcast import __version__
from volcast.cli.command import command_parser

__all__ = ["main"]

_COMMANDS = {
    "train": "train the volatility forecaster",
    "bars": "fetch bars, look after those that are kept, judge their quality",
    "evaluate": "judge a saved model on bars that it has not seen",
    "models": "look at, check and choose among trained models",
    "backtest": "backtest a strategy that trades by the forecasts, interactively",
    "doctor": "say what is here: keys, cache, models, calendar, versions",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first of `arguments` (None: those of the process) names; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(words[:1])
    # Only now: what one command needs would make the help of another slow.
    command = importlib.import_module(f"volcast.cli.{options.command}")
    status: int = command.main(words[1:])
    return status


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, _COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {text}" for name, text in _COMMANDS.items())
    description = f"Train, evaluate and serve the volatility forecaster of a backtesting system.\n\ncommands:\n{lines}"
    parser = command_parser("volcast", description, "volcast COMMAND --help says more of each.")
    parser.usage = "volcast COMMAND [OPTIONS]"
    parser.add_argument("--version", action="version", version=__version__)
    # The listing above says more than argparse would.
    parser.add_argument("command", metavar="COMMAND", choices=_COMMANDS, help=argparse.SUPPRESS)
    return parser
