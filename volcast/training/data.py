"""From bars to what networks are trained, selected and tested on."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import Int64Array1D, time_index
from volcast.bars.arrays import SymbolBars
from volcast.bars.provenance import data_provenance
from volcast.bars.quality import assess_quality, require_acceptable
from volcast.bars.symbols import for_each_symbol
from volcast.config import TrainingConfig
from volcast.configured import companions_of, measures_of
from volcast.counts import counted
from volcast.errors import BarsError, ConfigError, DataSourceError, NotEnoughDataError
from volcast.features.known_days import KINDS, KnownDays, known_days_in
from volcast.features.nights import have_nights
from volcast.features.scaling import DiurnalLogScaler, Scaler, make_scaler
from volcast.features.windows import TimeSplit, har_lags, prepare_lstm_sequences, split_in_time
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.intervals import MISS
from volcast.forecasters.recipe import ScaledWindows
from volcast.measures.hourly import RV_FLOOR
from volcast.networks.onnx import Network
from volcast.reprs import OneLineRepr
from volcast.training.har_lstm import har_lstm_targets, with_networks

__all__ = ["TrainingData", "finished_recipe", "known_days_of", "prepare_training_data"]


_COLAB_TEST_SPAN = pd.Timedelta(days=7)
_FEWEST_WINDOWS = {"training": 50, "validation": 10, "test": 7}


@dataclass(frozen=True, repr=False)
class TrainingData(OneLineRepr):
    """Windows and targets of the three parts, in time order, with what is needed to judge forecasts of them.

    Attributes
    ----------
    measures
        By symbol: hourly measures (see `measures.bucketed`), indexed by bucket label (market time); the parts'
        targets are positions in them.
    splits
        Those positions, by symbol: one symbol is split by the number of its buckets, several at one date.
    recipe
        What makes forecasts of the networks' outputs, as far as it is known before they are trained: fitted on the
        training parts alone (under `colab`: on training and validation, as the notebook did).
    windows, targets
        By symbol that is learnt from: all windows, shape (n, steps, F), and their targets, shape (n,), as the networks
        take them. ``targets[name][i]`` belongs to bucket ``first + i``. For the roadmap's network, whose windows are a
        view of `memory` buckets, F is 1 and both are scaled RV; for a `har_lstm` see
        `training.har_lstm.HarLstmTargets`.
    provenance
        By symbol: source, span and hash of its bars; whether they are SIMULATED; their quality; what was left out.
    failed
        Why symbols are not among these, by symbol.
    subject
        The symbol that the model is of, others being its companions; None of a model of many.
    overnight
        Bars of another symbol, of which nights are measured; None where they are measured of each symbol's own.
    """

    measures: Mapping[str, pd.DataFrame]
    splits: Mapping[str, TimeSplit]
    recipe: ScaledWindows | HarLstm
    windows: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]
    provenance: Mapping[str, Mapping[str, Any]]
    failed: Mapping[str, str] = field(default_factory=dict)
    subject: str | None = None
    overnight: SymbolBars | None = None

    def _facts(self) -> dict[str, object]:
        return {
            "symbols": ", ".join(self.measures),
            "simulated": self.simulated or None,
            "buckets": sum(map(len, self.measures.values())),
            "windows": sum(map(len, self.windows.values())),
            "first": min(frame.index[0] for frame in self.measures.values()),
            "last": max(frame.index[-1] for frame in self.measures.values()),
        }

    @property
    def first(self) -> int:
        """Position of the first bucket that has a window."""
        return self.recipe.memory

    @property
    def scaler(self) -> Scaler:
        """The scaler of the roadmap's network."""
        if not isinstance(self.recipe, ScaledWindows):
            raise ConfigError("a har_lstm has no scaler but features; look at data.recipe.features.")
        return self.recipe.scaler

    @property
    def X_train(self) -> np.ndarray:
        """Training windows, shape (n, steps, F); those of several symbols after one another."""
        return self._part(self.windows, "train")

    @property
    def y_train(self) -> np.ndarray:
        """Training targets, shape (n,), scaled."""
        return self._part(self.targets, "train")

    @property
    def X_val(self) -> np.ndarray:
        """Validation windows, shape (n, steps, F)."""
        return self._part(self.windows, "validation")

    @property
    def y_val(self) -> np.ndarray:
        """Validation targets, shape (n,), scaled."""
        return self._part(self.targets, "validation")

    @property
    def X_test(self) -> np.ndarray:
        """Test windows, shape (n, steps, F), which neither search nor training may see."""
        return self._part(self.windows, "test")

    @property
    def y_test(self) -> np.ndarray:
        """Test targets, shape (n,), scaled."""
        return self._part(self.targets, "test")

    @property
    def trained_through(self) -> pd.Timestamp:
        """The last moment whose bars training or validation saw, market time."""
        ends: Iterator[pd.Timestamp] = (
            time_index(frame)[self.splits[name].validation.stop - 1] + pd.Timedelta(self.provenance[name]["label_lag"])
            for name, frame in self.measures.items()
            if self.splits[name].validation.stop
        )
        return max(ends)

    @property
    def simulated(self) -> bool:
        """Whether the bars of any symbol are simulated."""
        return any(about["simulated"] for about in self.provenance.values())

    def positions(self, part: str) -> dict[str, Int64Array1D]:
        """Rows of each symbol's measures that ``"train"``, ``"validation"`` or ``"test"`` forecasts."""
        parts = {name: getattr(split, part) for name, split in self.splits.items()}
        return {name: np.arange(max(rows.start, self.first), rows.stop) for name, rows in parts.items()}

    def part_of(self, y: np.ndarray) -> str | None:
        """Which part has the targets `y`; None where none has."""
        parts = (part for part in ("test", "validation", "train") if np.array_equal(y, self._part(self.targets, part)))
        return next(parts, None)

    def _part(self, arrays: Mapping[str, np.ndarray], part: str) -> np.ndarray:
        rows = []
        for name, values in arrays.items():
            targets = getattr(self.splits[name], part)
            rows.append(values[max(targets.start - self.first, 0) : max(targets.stop - self.first, 0)])
        # Windows of one symbol are a view of its history: sixty times as large they need not lie in memory.
        return rows[0] if len(rows) == 1 else np.concatenate(rows)


def prepare_training_data(
    bars_of: Callable[[str], pd.DataFrame],
    symbols: Sequence[str],
    config: TrainingConfig,
    companion_bars: Callable[[str, date], pd.DataFrame] | None = None,
    known_days: pd.DataFrame | None = None,
    overnight: SymbolBars | None = None,
) -> TrainingData:
    """Hourly measures of each symbol's bars, split in time order, scaled by what the training part alone says, cut.

    Parameters
    ----------
    bars_of
        Gets a symbol's bars; only the hourly rows of several symbols stay in memory.
    symbols
        One, which must do, or several, of which some may fail.
    config
        What is trained on them.
    companion_bars
        Gets the bars of a companion of the only symbol up to a day, included; what they show after the symbol's last
        hour is not looked at. Any of them may fail. None where there are to be none.
    known_days
        Days that are known ahead, beside those that `config` names; see `features.known_days.known_days_in`.
    overnight
        Bars of the ``overnight_symbol`` that `config` names, which tell of the nights of all symbols.

    Raises
    ------
    BarsError
        The bars are unusable, or bad and not accepted; or those that tell of nights lack half of them.
    NotEnoughDataError
        A part would have too few windows.
    DataSourceError
        The bars of none of several symbols can be used.
    """
    failed: dict[str, str] = {}
    subject: str | None = None
    if len(symbols) == 1:
        only = _measured(bars_of(symbols[0]), symbols[0], config, overnight)
        subject = str(only[1]["symbol"])
        measured = {subject: only}
        if companion_bars is not None:
            names, last = companions_of(config, subject), only[0].index[-1]
            others, failed = _companions(companion_bars, names, last, config, overnight)
            measured |= others
    else:
        measured, failed = for_each_symbol(lambda name: _measured(bars_of(name), name, config, overnight), symbols)
        subject = next(iter(measured)) if len(measured) == 1 else None
    measures = {name: frame for name, (frame, _) in measured.items()}
    provenance = {name: about for name, (_, about) in measured.items()}
    splits = _splits(measures, config)
    if config.effective_network == "har_lstm":
        # Of a symbol that is served alone, there is no market to look at.
        days = known_days_of(config, known_days)
        parts = har_lstm_targets(measures, splits, with_market=subject is None, known_days=days)
        if overnight is not None:
            _require_nights(parts.regression, measures, splits, config)
        arrays = parts.windows, parts.targets
        return TrainingData(measures, splits, parts.regression, *arrays, provenance, failed, subject, overnight)
    ((name, frame),) = measures.items()
    rv = frame["rv_hourly"]
    scaler = make_scaler(config.effective_scaling).fit(rv.iloc[_scaler_part(splits[name], config)])
    X, y, _ = prepare_lstm_sequences(rv, config.memory, scaler)
    recipe = ScaledWindows(scaler, config.memory)
    return TrainingData(measures, splits, recipe, {name: X}, {name: y}, provenance, subject=name)


def known_days_of(config: TrainingConfig, frame: pd.DataFrame | None = None) -> KnownDays:
    """The days that a configuration names, by kind or by file, and those in a frame.

    Raises
    ------
    ConfigError
        There is no such kind, or a file cannot be read as one of days.
    """
    files = [name for name in config.known_days if name.lower().endswith(".csv")]
    kinds = [name for name in config.known_days if name not in files]
    unknown = [name for name in kinds if name not in KINDS]
    if unknown:
        raise ConfigError(
            f"known_days has {unknown[0][:60]!r}; the rule is kinds out of {', '.join(KINDS)}, or files that end in "
            ".csv; use one of these."
        )
    frames = [*map(_days_file, files), *([] if frame is None else [frame])]
    own_days = tuple(day for one in frames for day in known_days_in(one))
    return KnownDays(
        tuple(dict.fromkeys([*kinds, *(day.kind for day in own_days)])), own_days, config.effective_market.name
    )


def _days_file(path: str) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, comment="#")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the file of known days {path[:200]!r} cannot be read ({type(error).__name__}); it must be a CSV; check "
            "the path."
        ) from None


def finished_recipe(data: TrainingData, networks: Sequence[Network]) -> ScaledWindows | HarLstm:
    """The recipe of `data` with what only trained networks can tell: smearing, weight, bounds."""
    if isinstance(data.recipe, HarLstm):
        return with_networks(data.recipe, networks, data.measures, data.splits)
    ((name, measures),) = data.measures.items()
    validation, scaler = data.splits[name].validation, data.recipe.scaler
    if isinstance(scaler, DiurnalLogScaler):
        scaler = replace(scaler)
        fitted = slice(0, validation.stop - data.first)
        outputs = np.mean([network(data.windows[name][fitted]) for network in networks], axis=0)
        scaler.fit_smearing(data.targets[name][fitted], outputs)
    recipe = ScaledWindows(scaler, data.recipe.memory)
    positions = np.arange(validation.start, validation.stop)
    realized = measures["rv_hourly"].iloc[positions].to_numpy()
    forecast = recipe.forecast(networks, measures, time_index(measures)[positions], positions).volatility
    moved = realized > RV_FLOOR
    ratios = realized[moved] / np.maximum(forecast[moved], RV_FLOOR)
    low, high = np.quantile(ratios, [MISS, 1 - MISS])
    return replace(recipe, bounds=(float(low), float(high)))


def _require_nights(
    recipe: HarLstm, measures: Mapping[str, pd.DataFrame], splits: Mapping[str, TimeSplit], config: TrainingConfig
) -> None:
    """Refuse overnight bars that lie in fewer than half of the nights of the training part: a recipe sees none then."""
    if recipe.features.with_nights:
        return
    lacking = [name for name, frame in measures.items() if not have_nights(frame.iloc[: splits[name].train.stop])]
    raise BarsError(
        f"overnight_bars: those of {config.overnight_symbol} lie in fewer than half of the nights of the training part "
        f"of {', '.join(lacking)}; half of them at least are needed; give bars of the same span and of the whole day, "
        "or train without."
    )


def _measured(
    bars: pd.DataFrame, symbol: str, config: TrainingConfig, overnight: SymbolBars | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Hourly measures of a symbol's bars, and what a model remembers of these."""
    checked = SymbolBars.of(bars, market=config.effective_market)
    provenance = data_provenance(bars, symbol)
    quality = assess_quality(bars, symbol, market=config.effective_market)
    require_acceptable(quality, accept=config.accept_quality)
    measures = measures_of(config, checked, overnight)
    left_out = measures.attrs.get("left_out", {})
    if config.preset == "colab":
        measures = measures.iloc[1:]
    return measures, {
        **provenance,
        "left_out": left_out,
        "hourly_values": len(measures),
        "quality": quality.to_dict(),
        "label_lag": str(pd.Timedelta(checked.length, unit="us")) if config.preset == "colab" else "0s",
    }


def _companions(
    bars_of: Callable[[str, date], pd.DataFrame],
    names: Sequence[str],
    last: pd.Timestamp,
    config: TrainingConfig,
    overnight: SymbolBars | None,
) -> tuple[dict[str, tuple[pd.DataFrame, dict[str, Any]]], dict[str, str]]:
    """Measures of those companions whose bars can be had, up to the label `last`, and why others cannot."""

    # Not the clock's date: a session may begin on the evening before its day.
    (day,) = config.effective_market.days_of_labels(pd.DatetimeIndex([last])).tolist()

    def measured(name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        bars = bars_of(name, np.datetime64(day, "D").astype(date))
        return _measured(bars[bars.index < last], name, config, overnight)

    try:
        return for_each_symbol(measured, names)
    except DataSourceError as error:
        return {}, dict.fromkeys(names, str(error))


def _splits(measures: Mapping[str, pd.DataFrame], config: TrainingConfig) -> dict[str, TimeSplit]:
    if len(measures) > 1:
        return _splits_at_one_date(measures, config)
    ((name, frame),) = measures.items()
    split = _split(frame["rv_hourly"], config)
    _require_windows(split, _first_target(config, split), len(frame))
    _require_movement(split, frame["rv_hourly"])
    return {name: split}


def _splits_at_one_date(measures: Mapping[str, pd.DataFrame], config: TrainingConfig) -> dict[str, TimeSplit]:
    """The last `test_split` of all buckets, or those from `test_from` on, for test; one date for all symbols.

    What one symbol shows in training must not be later than what another is validated or tested on.
    """
    market = config.effective_market
    labels = np.sort(np.concatenate([time_index(frame).as_unit("us").asi8 for frame in measures.values()]))
    if config.test_from is None:
        test = market.day_of(labels[int(len(labels) * (1 - config.test_split)) - 1])
    else:
        test = market.day_begin(config.test_from)
    before = labels[labels < test.timestamp() * 1e6]
    if not len(before) or len(before) == len(labels):
        raise NotEnoughDataError(
            f"all buckets lie on one side of {test:%Y-%m-%d}, where the test part begins; some must lie on each; "
            "change test_from or test_split, or give a longer span."
        )
    validation = market.day_of(before[int(len(before) * (1 - config.validation_split)) - 1])
    splits = {}
    for name, frame in measures.items():
        begin, end = (int(frame.index.searchsorted(moment)) for moment in (validation, test))
        splits[name] = TimeSplit(slice(0, begin), slice(begin, end), slice(end, len(frame)))
    return splits


def _split(rv: pd.Series, config: TrainingConfig) -> TimeSplit:
    if config.preset == "session":
        return split_in_time(
            len(rv),
            validation_split=config.validation_split,
            test_split=config.test_split,
            test_start=None
            if config.test_from is None
            else int(rv.index.searchsorted(config.effective_market.day_begin(config.test_from))),
        )
    # The notebook's: the last seven days for test; validation is Keras' last fifth of the windows before them; no gap.
    fitted = int((rv.index <= rv.index.max() - _COLAB_TEST_SPAN).sum())
    windows = max(fitted - config.memory, 0)
    first_validation = config.memory + math.floor(windows * (1 - config.validation_split))
    return TimeSplit(slice(0, first_validation), slice(first_validation, fitted), slice(fitted, len(rv)))


def _first_target(config: TrainingConfig, split: TimeSplit) -> int:
    if config.effective_network != "har_lstm":
        return config.memory
    return har_lags(config.effective_market, split.train.stop)[-1]


def _scaler_part(split: TimeSplit, config: TrainingConfig) -> slice:
    return slice(0, split.validation.stop) if config.preset == "colab" else split.train


def _require_windows(split: TimeSplit, first: int, buckets: int) -> None:
    counts = {
        "training": split.train.stop - first,
        "validation": split.validation.stop - max(split.validation.start, first),
        "test": split.test.stop - split.test.start,
    }
    for part, fewest in _FEWEST_WINDOWS.items():
        if counts[part] < fewest:
            raise NotEnoughDataError(
                f"{counted(max(counts[part], 0), f'{part} window')} can be made of {counted(buckets, 'bucket')}, since "
                f"each looks back {first} of them; the rule is at least {fewest}; give a longer span of bars."
            )


def _require_movement(split: TimeSplit, rv: pd.Series) -> None:
    for part, targets in (("training", split.train), ("validation", split.validation), ("test", split.test)):
        if not (rv.iloc[targets] > RV_FLOOR).any():
            raise BarsError(
                f"prices do not move in any of the {counted(targets.stop - targets.start, 'bucket')} of the {part} "
                "part; some must; check the column of closes, or give another span."
            )
