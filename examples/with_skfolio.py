"""skfolio's minimum variance by forecast volatilities and realized correlations, the whole scaled to 15 %."""

import numpy as np
from skfolio.moments import BaseCovariance
from skfolio.optimization import MeanRisk
from skfolio.prior import EmpiricalPrior

from volcast import DataHandler, VolatilityForecaster
from volcast.adapters.portfolios import covariance as forecast_covariance

symbols = ["SPY", "QQQ", "XLE"]
bars = DataHandler("simulator").get_stock_bars(symbols, "2025-01-02", "2025-03-14")


class ForecastCovariance(BaseCovariance):
    def fit(self, X, y=None):
        matrix = forecast_covariance(VolatilityForecaster("ewma"), bars, sessions=40)
        self._set_covariance(matrix.loc[X.columns, X.columns].to_numpy())
        return self


closes = bars["close"].unstack(0)[symbols].resample("1D").last().dropna()
model = MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=ForecastCovariance()))
weights = model.fit(closes.pct_change().dropna()).weights_
covariance = model.prior_estimator_.return_distribution_.covariance
positions = dict(zip(symbols, weights * 0.15 / np.sqrt(weights @ covariance @ weights), strict=True))
print({symbol: f"{position:.1%}" for symbol, position in positions.items()})
