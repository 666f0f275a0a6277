"""Minimum-variance portfolios by `volcast.adapters.portfolios.covariance` and by an EWMA covariance of daily returns.

``python studies/minimum_variance.py --data FOLDER`` reads a file of bars a symbol. Each day's weights are decided at
the close before, from what was known then, held from close to close, and judged by the variance of what the portfolio
returned. Weights are those of least variance that sum to one; and the same without short positions, by active set.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from volcast import VolatilityForecaster
from volcast.adapters.portfolios import covariance

DECAY, BURN_IN = 0.94, 25


def main() -> None:
    """Print the realized volatility of each portfolio, annualized."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME_5min.parquet")
    parser.add_argument("--model", default="ewma", help="name or directory of a model; ewma is none")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    frames = {path.stem.split("_")[0]: pd.read_parquet(path) for path in sorted(options.data.glob("*.parquet"))}
    bars = pd.concat(frames, names=["symbol", "timestamp"])
    forecaster = VolatilityForecaster(options.model)
    closes = _daily_closes(frames)
    returns = closes.pct_change().dropna()
    products = np.einsum("ni,nj->nij", returns.to_numpy(), returns.to_numpy())
    ewma = products[:BURN_IN].mean(axis=0)
    earned: dict[str, list[float]] = {}
    for row in range(BURN_IN, len(returns)):
        asof = closes.index[row]
        ours = covariance(forecaster, bars, asof, allow_in_sample=True)[list(returns)].loc[list(returns)].to_numpy()
        for name, matrix in (("forecast", ours), ("EWMA", ewma)):
            for rule, weights in (("", _weights(matrix)), (", long only", _long_only(matrix))):
                earned.setdefault(name + rule, []).append(float(weights @ returns.to_numpy()[row]))
        earned.setdefault("equal weights", []).append(float(returns.iloc[row].mean()))
        ewma = DECAY * ewma + (1 - DECAY) * products[row]
    print(f"{len(returns.columns)} symbols, {len(returns) - BURN_IN} days from {returns.index[BURN_IN]:%Y-%m-%d}")
    for name, values in earned.items():
        print(f"{name:22} {np.sqrt(252 * np.mean(np.square(values))):.4f}")


def _daily_closes(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Closes of the sessions that all symbols have, indexed by the moment of the close (16:00 New York)."""
    columns = {}
    for name, frame in frames.items():
        local = frame["close"].tz_convert("America/New_York").between_time("09:30", "15:59")
        columns[name] = local.groupby(pd.DatetimeIndex(local.index).normalize() + pd.Timedelta(hours=16)).last()
    return pd.DataFrame(columns).dropna()


def _weights(matrix: np.ndarray) -> np.ndarray:
    weights = np.linalg.solve(matrix, np.ones(len(matrix)))
    return np.asarray(weights / weights.sum())


def _long_only(matrix: np.ndarray) -> np.ndarray:
    held = np.arange(len(matrix))
    while True:
        weights = _weights(matrix[np.ix_(held, held)])
        if (weights >= 0).all():
            whole = np.zeros(len(matrix))
            whole[held] = weights
            return whole
        held = held[weights > 0]


if __name__ == "__main__":
    main()
