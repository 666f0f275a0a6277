"""skfolio's minimum variance by forecast volatilities and realized correlations, the whole scaled to 15 %."""

import numpy as np
from skfolio.moments import BaseCovariance, LedoitWolf
from skfolio.optimization import MeanRisk
from skfolio.prior import EmpiricalPrior

from volcast import DataHandler, VolatilityForecaster

symbols = ["SPY", "QQQ", "XLE"]
bars = DataHandler("simulator").get_stock_bars(symbols, "2025-01-02", "2025-03-14")
forecasts = {
    symbol: VolatilityForecaster("ewma").forecast(bars, horizon="1 session", kind="total", symbol=symbol)
    for symbol in symbols
}


class ForecastCovariance(BaseCovariance):
    def fit(self, X, y=None):
        shrunk = LedoitWolf().fit(X).covariance_
        spread = np.sqrt(np.diag(shrunk))
        forecast = np.array([forecasts[symbol].annualized_volatility for symbol in X.columns])
        self._set_covariance(shrunk * np.outer(forecast / spread, forecast / spread))
        return self


closes = bars["close"].unstack(0)[symbols].resample("1D").last().dropna()
model = MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=ForecastCovariance()))
weights = model.fit(closes.pct_change().dropna()).weights_
covariance = model.prior_estimator_.return_distribution_.covariance
positions = dict(zip(symbols, weights * 0.15 / np.sqrt(weights @ covariance @ weights), strict=True))
print({symbol: f"{position:.1%}" for symbol, position in positions.items()})
