"""From bars to what a network is trained, selected and tested on."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from volcast.bars.checks import bar_length, select_symbol, validate_bars
from volcast.bars.quality import assess_quality, require_acceptable
from volcast.config import TrainingConfig
from volcast.errors import BarsError, ConfigError, NotEnoughDataError
from volcast.features.intraday import HISTORY
from volcast.features.scaling import DiurnalLogScaler, Scaler, make_scaler
from volcast.features.windows import TimeSplit, prepare_lstm_sequences, split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.intervals import MISS
from volcast.forecasters.recipe import ScaledWindows
from volcast.measures.hourly import RV_FLOOR, get_hourly_measures
from volcast.networks.onnx import Network
from volcast.sessions import new_york_midnight
from volcast.training.har_lstm import har_lstm_targets, with_networks

__all__ = ["TrainingData", "data_provenance", "finished_recipe", "prepare_training_data"]

_COLAB_TEST_SPAN = pd.Timedelta(days=7)
_FEWEST_WINDOWS = {"training": 50, "validation": 10, "test": 7}


@dataclass(frozen=True)
class TrainingData:
    """Windows and targets of the three parts, in time order, with what is needed to judge forecasts of them.

    Attributes
    ----------
    measures
        Hourly measures (see `measures.bucketed`), indexed by bucket label (New York time); the parts' targets are
        positions in them.
    split
        Those positions.
    recipe
        What makes forecasts of a network's outputs, as far as it is known before one is trained: fitted on the
        training part alone (under `colab`: on training and validation, as the notebook did).
    X, y
        All windows, shape (n, memory, F), and their targets, shape (n,), as the networks take them; views.
        ``y[i]`` belongs to bucket ``first + i``. For the roadmap's network F is 1 and both are scaled RV; for a
        `har_lstm` see `training.har_lstm.HarLstmTargets`.
    first
        Position of the first bucket that has a window.
    provenance
        Symbol, source, span and hash of the bars; whether they are SIMULATED; what was left out and why.
    """

    measures: pd.DataFrame
    split: TimeSplit
    recipe: ScaledWindows | HarLstm
    X: np.ndarray
    y: np.ndarray
    first: int
    provenance: dict[str, Any]

    @property
    def rv(self) -> pd.Series:
        """Hourly RV, indexed by bucket label."""
        return self.measures["rv_hourly"]

    @property
    def memory(self) -> int:
        """Buckets in a window."""
        return int(self.X.shape[1])

    @property
    def scaler(self) -> Scaler:
        """The scaler of the roadmap's network."""
        if not isinstance(self.recipe, ScaledWindows):
            raise ConfigError("a har_lstm has no scaler but features; look at data.recipe.features.")
        return self.recipe.scaler

    @property
    def X_train(self) -> np.ndarray:
        """Training windows, shape (n, memory, 1)."""
        return self.X[self._rows(self.split.train)]

    @property
    def y_train(self) -> np.ndarray:
        """Training targets, shape (n,), scaled."""
        return self.y[self._rows(self.split.train)]

    @property
    def X_val(self) -> np.ndarray:
        """Validation windows, shape (n, memory, 1)."""
        return self.X[self._rows(self.split.validation)]

    @property
    def y_val(self) -> np.ndarray:
        """Validation targets, shape (n,), scaled."""
        return self.y[self._rows(self.split.validation)]

    @property
    def X_test(self) -> np.ndarray:
        """Test windows, shape (n, memory, 1), which neither search nor training may see."""
        return self.X[self._rows(self.split.test)]

    @property
    def y_test(self) -> np.ndarray:
        """Test targets, shape (n,), scaled."""
        return self.y[self._rows(self.split.test)]

    @property
    def trained_through(self) -> pd.Timestamp:
        """The last moment whose bars training or validation saw, New York time."""
        return self.rv.index[self.split.validation.stop - 1] + pd.Timedelta(self.provenance["label_lag"])

    def labels_of(self, y: np.ndarray) -> pd.DatetimeIndex | None:
        """Labels of the targets `y` where it is a part of this data's own targets; None for any other array."""
        if y.size == 0 or y.dtype != self.y.dtype or y.ndim != 1 or not np.shares_memory(y, self.y):
            return None
        offset = (y.__array_interface__["data"][0] - self.y.__array_interface__["data"][0]) // self.y.itemsize
        return self.rv.index[self.first + offset : self.first + offset + len(y)]

    def _rows(self, targets: slice) -> slice:
        return slice(max(targets.start - self.first, 0), max(targets.stop - self.first, 0))


def prepare_training_data(bars: pd.DataFrame, config: TrainingConfig, symbol: str | None = None) -> TrainingData:
    """Hourly RV of `bars`, split in time order, scaled by what the training part alone says, cut into windows.

    Raises
    ------
    BarsError
        The bars are unusable, or bad and not accepted.
    NotEnoughDataError
        A part would have too few windows.
    """
    bars = validate_bars(select_symbol(bars, symbol))
    quality = assess_quality(bars, symbol or config.symbol, calendar=config.calendar)
    require_acceptable(quality, accept=config.accept_quality)
    measures = get_hourly_measures(
        bars,
        config.preset,
        tz=config.timezone,
        min_bucket_coverage=config.min_bucket_coverage,
        calendar=config.calendar,
        estimator=config.rv_estimator,
    )
    left_out = measures.attrs.get("left_out", {})
    if config.preset == "colab":
        measures = measures.iloc[1:]
    rv = measures["rv_hourly"]
    split = _split(rv, config)
    _require_windows(split, _first_target(config), len(rv))
    _require_movement(split, rv)
    provenance = {**data_provenance(bars, symbol or config.symbol), "left_out": left_out, "hourly_values": len(rv)}
    provenance["quality"] = quality.to_dict()
    provenance["label_lag"] = str(bar_length(bars.index)) if config.preset == "colab" else "0s"
    if config.effective_network == "har_lstm":
        made = har_lstm_targets(measures, split, config.memory)
        first = _first_target(config) - HISTORY
        X, y = made.windows[first:], made.targets[first:]
        return TrainingData(measures, split, made.regression, X, y, _first_target(config), provenance)
    scaler = make_scaler(config.effective_scaling).fit(rv.iloc[_scaler_part(split, config)])
    X, y, _ = prepare_lstm_sequences(rv, config.memory, scaler)
    return TrainingData(measures, split, ScaledWindows(scaler, config.memory), X, y, config.memory, provenance)


def finished_recipe(data: TrainingData, networks: Sequence[Network]) -> ScaledWindows | HarLstm:
    """The recipe of `data` with what only trained networks can tell: smearing, weight, bounds."""
    if isinstance(data.recipe, HarLstm):
        return with_networks(data.recipe, networks, data.measures, data.split)
    scaler = data.recipe.scaler
    if isinstance(scaler, DiurnalLogScaler):
        scaler = replace(scaler)
        fitted = slice(0, data.split.validation.stop - data.first)
        outputs = np.mean([network(data.X[fitted]) for network in networks], axis=0)
        scaler.fit_smearing(data.y[fitted], outputs)
    recipe = ScaledWindows(scaler, data.memory)
    positions = np.arange(data.split.validation.start, data.split.validation.stop)
    realized = data.rv.iloc[positions].to_numpy()
    forecast = recipe.forecast(networks, data.measures, data.rv.index[positions], positions)
    moved = realized > RV_FLOOR
    ratios = realized[moved] / np.maximum(forecast[moved], RV_FLOOR)
    low, high = np.quantile(ratios, [MISS, 1 - MISS])
    return replace(recipe, bounds=(float(low), float(high)))


def data_provenance(bars: pd.DataFrame, symbol: str) -> dict[str, Any]:
    """What a model remembers of the bars that it was trained on: symbol, source, span (UTC), count and SHA-256."""
    attrs = bars.attrs
    digest = hashlib.sha256(np.ascontiguousarray(bars.index.as_unit("us").asi8).tobytes())
    for column in bars.columns:
        digest.update(str(column).encode())
        if pd.api.types.is_numeric_dtype(bars[column]):
            digest.update(np.ascontiguousarray(bars[column].to_numpy(dtype=float)).tobytes())
    return {
        "symbol": attrs.get("symbol") or symbol,
        "source": {"name": attrs.get("source", "caller's bars"), "detail": attrs.get("detail", "")},
        "simulated": bool(attrs.get("simulated", False)),
        "notes": list(attrs.get("notes", [])),
        "first_bar": bars.index[0].tz_convert("UTC").isoformat(),
        "last_bar": bars.index[-1].tz_convert("UTC").isoformat(),
        "bars": len(bars),
        "bar_minutes": bar_length(bars.index) / pd.Timedelta(minutes=1),
        "sha256": digest.hexdigest(),
    }


def _split(rv: pd.Series, config: TrainingConfig) -> TimeSplit:
    if config.preset == "session":
        return split_in_time(
            len(rv),
            validation_split=config.validation_split,
            test_split=config.test_split,
            test_start=None
            if config.test_from is None
            else int(rv.index.searchsorted(new_york_midnight(config.test_from))),
        )
    # The notebook's: the last seven days for test; validation is Keras' last fifth of the windows before them; no gap.
    fitted = int((rv.index <= rv.index[-1] - _COLAB_TEST_SPAN).sum())
    windows = max(fitted - config.memory, 0)
    first_validation = config.memory + math.floor(windows * (1 - config.validation_split))
    return TimeSplit(slice(0, first_validation), slice(first_validation, fitted), slice(fitted, len(rv)))


def _first_target(config: TrainingConfig) -> int:
    return max(config.memory, HISTORY) if config.effective_network == "har_lstm" else config.memory


def _scaler_part(split: TimeSplit, config: TrainingConfig) -> slice:
    return slice(0, split.validation.stop) if config.preset == "colab" else split.train


def _require_windows(split: TimeSplit, first: int, hours: int) -> None:
    counts = {
        "training": split.train.stop - first,
        "validation": split.validation.stop - max(split.validation.start, first),
        "test": split.test.stop - split.test.start,
    }
    for part, fewest in _FEWEST_WINDOWS.items():
        if counts[part] < fewest:
            raise NotEnoughDataError(
                f"{hours} hourly values leave {max(counts[part], 0)} {part} windows, since each looks back {first} "
                f"buckets; the rule is at least {fewest}; give a longer span of bars."
            )


def _require_movement(split: TimeSplit, rv: pd.Series) -> None:
    for part, targets in (("training", split.train), ("validation", split.validation), ("test", split.test)):
        if not (rv.iloc[targets] > RV_FLOOR).any():
            raise BarsError(
                f"prices do not move in any of the {targets.stop - targets.start} hours of the {part} part; some must; "
                "check the column of closes, or give another span."
            )
