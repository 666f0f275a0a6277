"""The command ``volcast doctor``: what the library finds on this machine, in one screen."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from volcast.bars.cache import cached_symbols, default_cache_directory
from volcast.bars.handler import alpaca_credentials
from volcast.cli.command import command_parser, plain_table, run_command, tell
from volcast.config import TrainingConfig
from volcast.config_sources import resolve_config
from volcast.counts import counted
from volcast.packages import installed_versions
from volcast.store.store import ModelStore

__all__ = ["main"]

_EPILOG = """\
exit status: 0 all of it can be used, 1 something cannot, 2 wrong use

examples:
  volcast doctor
  volcast doctor --json
"""
_FAR = pd.Timestamp("2199-12-31")


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell what is here, as the `arguments` say (None: those of the process); returns the exit status."""
    return run_command(_parser(), _work, arguments, interrupted="Interrupted.")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("volcast doctor", "Say what the library finds on this machine.", _EPILOG)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _work(options: argparse.Namespace, out: Console, err: Console) -> int:
    config = resolve_config(environ=os.environ).config
    store, problems = _store(config)
    market = config.effective_market
    last = market.schedule(pd.Timestamp.now(), _FAR).index[-1]
    findings = {
        "keys": "Alpaca's are set" if alpaca_credentials() else "none of Alpaca's: files, Yahoo or the simulator do",
        "cache": _cache(config),
        "models": store,
        "calendar": f"{market.name} reaches {last:%Y-%m-%d}",
        **installed_versions(),
    }
    rows = [{"what": what, "": said} for what, said in findings.items()]
    tell(options, out, {**findings, "problems": problems}, plain_table(rows))
    for problem in problems:
        err.print(f"error: {problem}")
    return 1 if problems else 0


def _cache(config: TrainingConfig) -> str:
    root = default_cache_directory() if config.cache_dir is None else Path(config.cache_dir)
    symbols = cached_symbols(root)
    size = sum(symbol.size for symbol in symbols) / 1e6
    return f"{root}: {counted(len({symbol.symbol for symbol in symbols}), 'symbol')}, {size:,.1f} MB"


def _store(config: TrainingConfig) -> tuple[str, list[str]]:
    """The models in words, and what is wrong with any of them."""
    store = ModelStore(config.model_save_path)
    problems = [f"{name}: {problem}" for name, problem in store.verify_all().items() if problem is not None]
    serving = store.serving() or "none: the EWMA serves"
    return f"{store.path}: {len(store.list())} saved, serving {serving}", problems
