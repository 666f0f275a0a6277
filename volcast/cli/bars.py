"""The command line of `data_handler.py`: fetch bars, look after the cache, judge quality."""

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from volcast.bars.cache import (
    CachedMonth,
    CachedSymbol,
    DamagedBarsError,
    cached_symbols,
    default_cache_directory,
)
from volcast.bars.quality import DataQuality, assess_quality
from volcast.bars.symbols import symbols_in
from volcast.cli.command import Work, command_parser, plain_table, run_command, subcommands, tell
from volcast.cli.options import add_bars_options, add_setting, add_settings, settings_given
from volcast.config import TrainingConfig
from volcast.config_sources import resolve_config
from volcast.configured import handler_of
from volcast.counts import counted
from volcast.errors import DataSourceError, VolatilityError
from volcast.features.fed_decisions import fed_span
from volcast.features.known_days import known_kinds
from volcast.files import file_name_of
from volcast.markets.names import default_market
from volcast.progress import progress_for

__all__ = ["main"]

_EPILOG = """\
exit status: 0 done, 1 failed or something is wrong, 2 wrong use, 130 or 143 interrupted (the same
command goes on)

examples:
  python data_handler.py fetch --symbol SPY,QQQ --start-date 2023-01-01 --end-date 2024-12-31
  python data_handler.py ls
  python data_handler.py quality --symbol SPY --bars spy_1min.parquet --picture spy.png
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast bars") -> int:
    """Do what the `arguments` say (None: those of the process); returns the exit status."""
    said = "Interrupted; what came is kept: the same command goes on after it."
    return run_command(_parser(prog), _work, arguments, interrupted=said)


def _work(options: argparse.Namespace, out: Console, err: Console) -> int:
    command: Work = options.command
    return command(options, out, err)


def _list(options: argparse.Namespace, out: Console, err: Console) -> int:
    rows = [
        {
            "symbol": cached.symbol,
            "source": cached.source,
            "feed": cached.feed,
            "adjustment": cached.adjustment,
            "timeframe": cached.timeframe,
            "months": len(cached.months),
            "first": str(cached.months[0].month),
            "through": f"{cached.months[-1].through:%Y-%m-%d %H:%M} UTC",
            "megabytes": round(cached.size / 1e6, 2),
        }
        for cached in _kept(options)
    ]
    _show(rows, options, out, f"The cache {_root(options)} is empty.")
    return 0


def _verify(options: argparse.Namespace, out: Console, err: Console) -> int:
    rows = [
        {"symbol": cached.symbol, "month": str(month.month), "file": str(month.path), "problem": _problem(month)}
        for cached in _kept(options)
        for month in cached.months
    ]
    damaged = [row for row in rows if row["problem"]]
    sound = f"{counted(len(rows), 'file')}, none damaged."
    tell(options, out, rows, plain_table(damaged) if damaged else sound)
    return 1 if damaged else 0


def _problem(month: CachedMonth) -> str:
    try:
        month.read()
    except DamagedBarsError as error:
        return str(error)
    return ""


def _clear(options: argparse.Namespace, out: Console, err: Console) -> int:
    if options.symbols is None and not options.all:
        raise DataSourceError("nothing was named to remove; name symbols with --symbol, or say --all.")
    rows = []
    for cached in _kept(options):
        with cached.cache.locked():
            cached.cache.discard()
        rows.append(
            {"symbol": cached.symbol, "feed": cached.feed, "timeframe": cached.timeframe, "removed": len(cached.months)}
        )
    _show(rows, options, out, "There was nothing to remove.")
    return 0


def _fetch(options: argparse.Namespace, out: Console, err: Console) -> int:
    config = _config(options)
    symbols = _symbols(options) or [config.symbol]
    rows, failed = [], False
    for symbol, bars in _bars_of(config, symbols, options, err):
        if isinstance(bars, str):
            failed = True
            rows.append({"symbol": symbol, "bars": 0, "first": "", "last": "", "notes": bars})
            continue
        span = (f"{moment:%Y-%m-%d %H:%M}" for moment in (bars.index[0], bars.index[-1]))
        first, last = span
        notes = " ".join(bars.attrs["notes"])
        rows.append({"symbol": symbol, "bars": len(bars), "first": first, "last": last, "notes": notes})
    _show(rows, options, out, "")
    return 1 if failed else 0


def _quality(options: argparse.Namespace, out: Console, err: Console) -> int:
    config = _config(options)
    qualities: list[DataQuality] = []
    failed: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    for symbol, bars in _bars_of(config, _symbols(options) or [config.symbol], options, err, check=False):
        if isinstance(bars, str):
            failed[symbol] = bars
        else:
            qualities.append(assess_quality(bars, symbol, market=config.effective_market))
            notes[symbol] = bars.attrs["notes"]
    if options.json:
        print(json.dumps([*(quality.to_dict() for quality in qualities), *_as_errors(failed)], indent=2))
    else:
        for quality in qualities:
            out.print(*notes[quality.symbol], quality.table(), sep="\n")
        for sentence in failed.values():
            err.print(sentence)
    if options.picture is not None:
        _draw(qualities, Path(options.picture))
    return 1 if failed or any(quality.is_bad for quality in qualities) else 0


def _days(options: argparse.Namespace, out: Console, err: Console) -> int:
    rows: list[dict[str, Any]] = []
    for market in dict.fromkeys(default_market(symbol) for symbol in _symbols(options) or [""]):
        kinds = json.loads(known_kinds(market).reset_index().to_json(orient="records"))
        fed = {"kind": "fed", "what": "the Fed's decisions and minutes, 14:00 in New York, as all hours here"}
        rows += [{"market": market, **kind} for kind in ({**fed, **fed_span()}, *kinds)]
    _show(rows, options, out, "")
    return 0


def _draw(qualities: Sequence[DataQuality], path: Path) -> None:
    for quality in qualities:
        target = path if len(qualities) == 1 else path.with_stem(f"{path.stem}_{file_name_of(quality.symbol)}")
        try:
            quality.figure().savefig(target, dpi=120)
        except (OSError, ValueError) as error:
            raise DataSourceError(
                f"{target} cannot be written ({error}); give a PNG in a directory that can."
            ) from None


def _as_errors(failed: dict[str, str]) -> list[dict[str, str]]:
    return [{"symbol": symbol, "error": sentence} for symbol, sentence in failed.items()]


def _bars_of(
    config: TrainingConfig, symbols: Iterable[str], options: argparse.Namespace, err: Console, *, check: bool = True
) -> Iterable[tuple[str, pd.DataFrame | str]]:
    """The bars of each symbol, or the sentence that says why there are none."""
    with progress_for(err, quiet=options.json) as progress:
        handler = handler_of(config, progress)
        for symbol in symbols:
            try:
                get = handler.get_stock_bars if check else handler.unchecked_bars
                yield symbol, get(symbol, *config.requested_span, timeframe=config.data_frequency)
            except VolatilityError as error:
                yield symbol, str(error)


def _root(options: argparse.Namespace) -> Path:
    config = resolve_config(None, os.environ, settings_given(options)).config
    return Path(config.cache_dir) if config.cache_dir is not None else default_cache_directory()


def _symbols(options: argparse.Namespace) -> list[str]:
    return [] if options.symbols is None else symbols_in(options.symbols, "--symbol")


def _kept(options: argparse.Namespace) -> list[CachedSymbol]:
    names = {file_name_of(symbol) for symbol in _symbols(options)}
    return [cached for cached in cached_symbols(_root(options)) if not names or cached.symbol in names]


def _config(options: argparse.Namespace) -> TrainingConfig:
    return resolve_config(options.config, os.environ, settings_given(options)).config


def _show(rows: list[dict[str, Any]], options: argparse.Namespace, out: Console, nothing: str) -> None:
    tell(options, out, rows, plain_table(rows) if rows else nothing)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbol", dest="symbols", metavar="S", help="symbol, or several with commas")
    add_setting(parser, "cache_dir")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = command_parser(prog, "Fetch bars, look after those that are kept, and judge their quality.", _EPILOG)
    subcommand = subcommands(parser, _add_shared)
    for name, command, text in (
        ("ls", _list, "list what the cache holds"),
        ("fetch", _fetch, "get bars; Alpaca's are kept, and only what is missing is asked for"),
        ("verify", _verify, "check every file of the cache against its checksum"),
        ("clear", _clear, "remove symbols from the cache"),
        ("quality", _quality, "say what is wrong with bars, by symbol and month"),
        ("days", _days, "say which days are known ahead, and where their lists end"),
    ):
        sub = subcommand(name, text)
        sub.set_defaults(command=command)
        if name in ("fetch", "quality"):
            add_bars_options(sub)
            sub.add_argument("--config", metavar="F", help="configuration, as local_training.py takes it")
            add_settings(sub, "start_date", "end_date", "data_frequency")
        if name == "clear":
            sub.add_argument("--all", action="store_true", help="remove everything")
        if name == "quality":
            sub.add_argument("--picture", metavar="FILE", help="draw coverage and volume into this PNG")
    return parser
