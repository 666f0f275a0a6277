"""Door to `volcast.forecaster`: the forecaster that runs inside a backtest, and the models that it swaps.

>>> from volatility_forecaster import VolatilityForecaster
>>> forecaster = VolatilityForecaster()  # doctest: +SKIP
>>> forecaster.forecast(bars, asof="2026-01-05 11:00").annualized_volatility  # doctest: +SKIP
"""

from volcast.forecaster import VolatilityForecaster
from volcast.serving.served_model import FALLBACK, Forecast

__all__ = ["FALLBACK", "Forecast", "VolatilityForecaster"]
