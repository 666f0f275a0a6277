"""bt holds, of each session, what the close before it decided: a target of 15 % over total forecast volatility."""

import bt

from volcast import DataHandler, VolatilityForecaster
from volcast.backtest.joins import positions_for

bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")
forecasts = VolatilityForecaster("ewma").forecast_series(bars, "1 session", kind="total")
positions = (0.15 / forecasts.set_index("asof")["annualized_volatility"]).clip(upper=1.0)

# bt trades at the prices of a row: each session's first bar, at its open.
opens = bars[~bars.index.normalize().duplicated()]
weights = positions_for(positions, opens).to_frame("SPY")
strategy = bt.Strategy("target", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])
test = bt.Backtest(
    strategy,
    opens[["open"]].set_axis(["SPY"], axis=1),
    initial_capital=1e7,
    integer_positions=False,
    progress_bar=False,
)
bt.run(test)

shares = test.positions["SPY"].iloc[-1]
position = positions.iloc[-1]
print(f"holds {shares:.0f} shares; from the next open on {position:.1%} of the capital")
