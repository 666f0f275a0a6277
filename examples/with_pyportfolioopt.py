"""PyPortfolioOpt's minimum variance by forecast volatilities and realized correlations, the whole scaled to 15 %."""

import numpy as np
from pypfopt import EfficientFrontier

from volcast import DataHandler, VolatilityForecaster
from volcast.adapters.portfolios import covariance as forecast_covariance

symbols = ["SPY", "QQQ", "XLE"]
bars = DataHandler("simulator").get_stock_bars(symbols, "2025-01-02", "2025-03-14")
matrix = forecast_covariance(VolatilityForecaster("ewma"), bars, sessions=40)

frontier = EfficientFrontier(None, matrix)  # no expected returns: minimum variance needs none
frontier.min_volatility()
weights, covariance = frontier.weights, matrix.to_numpy()
positions = dict(zip(matrix.index, weights * 0.15 / np.sqrt(weights @ covariance @ weights), strict=True))
print({symbol: f"{position:.1%}" for symbol, position in positions.items()})
