"""backtrader hands its bars to a stream; when a session has closed, 15 % over the next one's forecast is ordered."""

import backtrader as bt
import pandas as pd

from volcast import DataHandler, VolatilityForecaster

bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")
history, future = bars[:"2025-02-14"], bars["2025-02-18":]
forecasts = {}


class Target(bt.Strategy):
    def start(self):
        self.stream = VolatilityForecaster("ewma").stream(history)

    def next(self):  # a bar has ended; backtrader's time is its start in UTC, a zone it has not
        start = pd.DatetimeIndex([self.data.datetime.datetime()], tz="UTC").round("s")
        self.stream.update(pd.DataFrame({name: getattr(self.data, name)[0] for name in bars.columns}, start))
        forecast = self.stream.forecast(horizon="1 session", kind="total")
        if forecast.bucket not in forecasts:
            forecasts[forecast.bucket] = forecast.annualized_volatility
            self.order_target_percent(target=min(0.15 / forecast.annualized_volatility, 1.0))


cerebro = bt.Cerebro(stdstats=False)
cerebro.adddata(bt.feeds.PandasData(dataname=future.tz_localize(None), timeframe=bt.TimeFrame.Minutes))
cerebro.addstrategy(Target)
cerebro.broker.setcash(1e7)
shares = cerebro.run()[0].position.size
position = min(0.15 / [*forecasts.values()][-1], 1.0)
print(f"holds {shares} shares; from the next open on {position:.1%} of the capital")
