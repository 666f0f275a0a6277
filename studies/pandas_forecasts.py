"""Forecasts of the models in `tests/data` over simulated bars, as a digest: it is the same on each pandas.

``make test-pandas`` runs it on each in an environment of its own, and compares the last lines.
"""

import hashlib
import importlib.util
import warnings
from pathlib import Path

import pandas as pd

from volcast import DataHandler, VolatilityForecaster

MODELS = Path(__file__).parent.parent / "tests" / "data"
NAMES = ("ewma", "schema-2", "schema-2-har-lstm", "schema-2-pooled-har-lstm")


def main() -> None:
    """Print the digest of each series, and of all of them."""
    warnings.simplefilter("ignore")
    bars = DataHandler("simulator").get_stock_bars("TSLA", "2024-06-03", "2024-11-29", "5Min")
    absent = [name for name in ("pyarrow", "tensorflow") if importlib.util.find_spec(name) is None]
    print(f"pandas {pd.__version__}, without {', '.join(absent)}")
    digests = []
    for name in NAMES:
        forecaster = VolatilityForecaster(name, {"model_save_path": str(MODELS)})
        for series in (
            forecaster.forecast_series(bars, allow_in_sample=True),
            forecaster.forecast_series(bars, "22 sessions", kind="total", allow_in_sample=True),
        ):
            digests.append(_digest(series))
            print(name, len(series), digests[-1])
    print(hashlib.sha256("".join(digests).encode()).hexdigest())


def _digest(series: pd.DataFrame) -> str:
    numbers = series.select_dtypes("number").to_numpy(dtype=float)
    labels = pd.DatetimeIndex(series.index).as_unit("us").asi8
    return hashlib.sha256(labels.tobytes() + numbers.tobytes()).hexdigest()


if __name__ == "__main__":
    main()
