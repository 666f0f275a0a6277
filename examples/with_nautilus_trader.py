"""nautilus_trader hands bars to a stream; when a session has closed, 15 % over the next one's forecast is ordered."""

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.model import Bar, BarType, Money, Venue
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from volcast import DataHandler, VolatilityForecaster

bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")
history, future = bars[:"2025-02-14"], bars["2025-02-18":]
stock, minute = TestInstrumentProvider.equity("SPY", "XNAS"), pd.Timedelta(minutes=1)
kind, forecasts = BarType.from_str(f"{stock.id}-1-MINUTE-LAST-EXTERNAL"), {}


class Target(Strategy):
    def on_start(self):
        self.stream = VolatilityForecaster("ewma").stream(history)
        self.subscribe_bars(kind)

    def on_bar(self, bar):  # stamped at its end here, at its start in volcast
        start = pd.DatetimeIndex([bar.ts_event], tz="UTC") - minute
        self.stream.update(pd.DataFrame({name: float(getattr(bar, name)) for name in bars.columns}, start))
        forecast = self.stream.forecast(horizon="1 session", kind="total")
        if forecast.bucket not in forecasts:
            forecasts[forecast.bucket] = forecast.annualized_volatility
            equity = sum(map(float, self.portfolio.equity(stock.venue).values()))
            wanted = int(min(0.15 / forecast.annualized_volatility, 1.0) * equity / bar.close)
            change = wanted - int(self.portfolio.net_position(stock.id))
            side = OrderSide.BUY if change > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(stock.id, side, stock.make_qty(abs(change))))


engine = BacktestEngine()
engine.add_venue(Venue("XNAS"), OmsType.NETTING, AccountType.MARGIN, [Money.from_str("10000000 USD")])
engine.add_instrument(stock)
for start, *prices, volume in future.itertuples():
    end = (start + minute).value
    engine.add_data([Bar(kind, *map(stock.make_price, prices), stock.make_qty(volume), end, end)])
engine.add_strategy(Target())
engine.run()
shares = float(engine.portfolio.net_position(stock.id))
position = min(0.15 / [*forecasts.values()][-1], 1.0)
print(f"holds {shares:.0f} shares, {position:.1%} of the capital")
