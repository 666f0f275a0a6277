"""vectorbt trades at the open of the first bar after a close that decided: 15 % over total forecast volatility."""

import vectorbt as vbt

from volcast import DataHandler, VolatilityForecaster
from volcast.backtest.joins import positions_for

bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")
forecasts = VolatilityForecaster("ewma").forecast_series(bars, "1 session", kind="total")
positions = (0.15 / forecasts.set_index("asof")["annualized_volatility"]).clip(upper=1.0)

# Held over each bar; an order where it changes, at that bar's open. Without `price` it would come a bar late.
held = positions_for(positions, bars)
portfolio = vbt.Portfolio.from_orders(
    bars["close"],
    size=held.where(held.diff() != 0),
    size_type="targetpercent",
    price=bars["open"],
    init_cash=1e7,
    freq="1min",
)

shares = portfolio.assets().iloc[-1]
position = positions.iloc[-1]
print(f"holds {shares:.0f} shares; from the next open on {position:.1%} of the capital")
