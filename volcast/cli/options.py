"""The options of the command lines that say where bars come from and how they are read."""

import argparse
from typing import Any

__all__ = ["add_bars_options", "bars_settings"]


def add_bars_options(group: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add them."""
    source = group.add_mutually_exclusive_group()
    source.add_argument("--bars", metavar="PATH", help="your own CSV, Parquet or Feather file, directory or glob")
    source.add_argument("--simulate", action="store_true", help="simulated bars: needs no keys and no file")
    source.add_argument("--source", metavar="NAME", help="alpaca (default), yahoo, or an installed source")
    group.add_argument("--bars-timezone", metavar="ZONE", help="time zone of your stamps where they carry none")
    group.add_argument("--bars-stamps", metavar="SIDE", help="whether your stamps are the start or the end of a bar")
    group.add_argument("--bars-epoch", metavar="UNIT", help="unit of stamps that are numbers: s, ms, us or ns")
    group.add_argument("--bars-dates", metavar="ORDER", help="whether dates as 01/02/2024 are mdy or dmy")
    group.add_argument("--feed", metavar="F", help="Alpaca's feed: auto (default), sip or iex")
    group.add_argument("--adjustment", metavar="A", help="Alpaca's adjustment: all (default), split, dividend or raw")
    group.add_argument("--offline", action="store_true", help="take Alpaca's bars from the cache alone")
    group.add_argument(
        "--clean", nargs="?", const="all", metavar="RULES", help="mend bars by all rules, or by these, with commas"
    )


def bars_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the options give, by the configuration's names; None where an option was not given."""
    source = "simulator" if options.simulate else options.source
    return {
        "bars_source": "file" if options.bars is not None else source,
        "bars_path": options.bars,
        "bars_timezone": options.bars_timezone,
        "bars_stamps": options.bars_stamps,
        "bars_epoch": options.bars_epoch,
        "bars_dates": options.bars_dates,
        "feed": options.feed,
        "adjustment": options.adjustment,
        "offline": options.offline or None,
        "cleaning": options.clean,
    }
