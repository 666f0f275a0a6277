"""Alpaca's bars as they come: each close, 15 % over the next session's total forecast volatility."""

from datetime import date, timedelta

import pandas as pd
from alpaca.data.live import StockDataStream

from volcast import DataHandler, VolatilityForecaster
from volcast.bars.handler import alpaca_credentials


def follow(symbol, history, handler, live, decide):
    """Call `decide` with a forecast and a position after each bar, new or revised, until `live` is stopped."""
    stream, newest = VolatilityForecaster("ewma").stream(history), history.index[-1]

    async def take(bar):
        nonlocal newest
        if bar.timestamp > newest + timedelta(minutes=1):  # the connection was lost, or a night is over
            stream.update(handler.get_stock_bars(symbol, newest.date(), bar.timestamp.date()))
        stream.update(pd.DataFrame({name: [getattr(bar, name)] for name in history.columns}, [bar.timestamp]))
        newest = max(newest, bar.timestamp)
        forecast = stream.forecast(horizon="1 session", kind="total")
        decide(forecast, min(0.15 / forecast.annualized_volatility, 1.0))

    live.subscribe_bars(take, symbol)
    live.subscribe_updated_bars(take, symbol)
    live.run()


if __name__ == "__main__":
    handler, keys = DataHandler(feed="iex"), alpaca_credentials()  # the feed of the free stream
    history = handler.get_stock_bars("SPY", date.today() - timedelta(days=90), date.today())
    follow("SPY", history, handler, StockDataStream(keys.key, keys.secret), print)
