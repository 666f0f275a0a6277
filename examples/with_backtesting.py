"""backtesting.py decides when a bar has ended and trades at the next open: 15 % over total forecast volatility."""

import pandas as pd
from backtesting import Backtest, Strategy

from volcast import DataHandler, VolatilityForecaster
from volcast.backtest.joins import align_to

bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")
forecasts = VolatilityForecaster("ewma").forecast_series(bars, "1 session", kind="total")
# `next` is called at the end of a bar that is stamped at its start: what was known then is joined by the end.
known = align_to(forecasts, bars.index + pd.Timedelta(minutes=1))["annualized_volatility"]
data = bars.rename(columns=str.capitalize).assign(Weight=(0.15 / known).clip(upper=1.0).fillna(0.0).to_numpy())


class Target(Strategy):
    def init(self):
        self.weight = 0.0

    def next(self):
        if self.data.Weight[-1] != self.weight:
            self.weight = self.data.Weight[-1]
            change = int(self.weight * self.equity / self.data.Close[-1]) - self.position.size
            (self.buy if change > 0 else self.sell)(size=abs(change))


shares = Backtest(data, Target, cash=1e7).run()["_strategy"].position.size
position = data["Weight"].iloc[-1]
print(f"holds {shares} shares; from the next open on {position:.1%} of the capital")
