"""Door to `volcast.bars`: bars of symbols, wherever they come from, and their hourly realized volatility.

>>> from data_handler import DataHandler, get_hourly_rv
>>> bars = DataHandler(source="simulator").get_stock_bars("SPY", "2024-01-02", "2024-03-28")  # doctest: +SKIP
>>> get_hourly_rv(bars).tail()  # doctest: +SKIP

Shell: ``python data_handler.py --help``.
"""

import sys

from volcast.bars.handler import DataHandler, alpaca_credentials
from volcast.features.windows import prepare_lstm_sequences
from volcast.measures.hourly import get_hourly_rv

__all__ = ["DataHandler", "alpaca_credentials", "get_hourly_rv", "prepare_lstm_sequences"]

if __name__ == "__main__":
    from volcast.cli.bars import main

    sys.exit(main(prog="data_handler.py"))
