"""zipline-reloaded holds 15 % over a session's total forecast volatility, ordered as its first minute ends."""

import pandas as pd
from zipline import api, run_algorithm
from zipline.data.bundles import ingest, register

from volcast import DataHandler, VolatilityForecaster
from volcast.backtest.joins import align_to

bars = DataHandler("simulator").get_stock_bars("SPY", "2025-01-02", "2025-03-14")
forecasts = VolatilityForecaster("ewma").forecast_series(bars, "1 session", kind="total")


@register("simulated", calendar_name="XNYS")
def write(environ, assets, minutes, days, adjustments, *rest):
    minutes.write([(0, bars.set_axis(bars.index + pd.Timedelta(minutes=1)))])  # zipline stamps minutes at their end
    sessions = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    days.write([(0, bars.tz_localize(None).resample("D").agg(sessions).dropna())])
    assets.write(pd.DataFrame({"symbol": ["SPY"], "start_date": pd.Timestamp("2025-01-02"), "exchange": "NYSE"}))
    adjustments.write()


def trade(context, data):
    known = align_to(forecasts, pd.DatetimeIndex([api.get_datetime()]))["annualized_volatility"].iloc[0]
    position = min(0.15 / known, 1.0)
    api.order_target_percent(api.symbol("SPY"), position)
    api.record(position=position)


def initialize(context):
    api.set_commission(api.commission.NoCommission())
    api.set_slippage(api.slippage.FixedSlippage(0))
    api.schedule_function(trade, api.date_rules.every_day(), api.time_rules.market_open())


ingest("simulated")
dates = pd.Timestamp("2025-02-18"), pd.Timestamp("2025-03-14")
result = run_algorithm(*dates, initialize, 1e7, data_frequency="minute", bundle="simulated")
shares, position = result["positions"].iloc[-1][0]["amount"], result["position"].iloc[-1]
print(f"holds {shares} shares, {position:.1%} of the capital")
