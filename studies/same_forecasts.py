"""Whether two versions of this repository forecast the same on real bars, to the last bit.

Each version writes down its figures, by the same script and on the same bars; then the two records are compared::

    PYTHONPATH=OLD python studies/same_forecasts.py record --data FOLDER --save MODELS --out before.npz
    PYTHONPATH=NEW python studies/same_forecasts.py record --data FOLDER --save OTHER --out after.npz
    PYTHONPATH=NEW python studies/same_forecasts.py record --data FOLDER --load MODELS --out loaded.npz
    python studies/same_forecasts.py compare before.npz after.npz
    python studies/same_forecasts.py compare before.npz loaded.npz

OLD and NEW are checkouts; FOLDER holds ``SPY_1min.parquet``, ``NQ_1min.parquet`` and the folder ``panel_5min`` with a
file a symbol. The first two train every kind of model, the third forecasts with the models that the old version saved.
Besides forecasts, records hold hourly realized volatilities, measures, baselines, losses of trainings and the figures
of evaluations. A record takes three minutes on two cores.
"""

import argparse
import importlib
import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

import volatility_forecaster
from local_training import LocalLSTMTrainer
from training_config import TrainingConfig
from volatility_forecaster import VolatilityForecaster

CHECKOUT = Path(volatility_forecaster.__file__).resolve().parent
PACKAGE = CHECKOUT / "volcast"

Record = dict[str, npt.NDArray[Any]]
"""Columns of figures by ``part/subject/table/column``: numbers, moments in nanoseconds since the epoch, or text."""


def public(name: str, flat_module: str) -> Any:
    """`name` out of the package's one module that defines it, or, in a version without a package, of `flat_module`."""
    if not PACKAGE.is_dir():
        return getattr(importlib.import_module(flat_module), name)
    definition = re.compile(rf"^(?:class |def ){name}\b|^{name}\b.*=", re.MULTILINE)
    (path,) = (path for path in PACKAGE.rglob("*.py") if definition.search(path.read_text()))
    return getattr(importlib.import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts)), name)


ConfigError = public("ConfigError", "errors")
NotEnoughDataError = public("NotEnoughDataError", "errors")
get_hourly_rv = public("get_hourly_rv", "realized_volatility")
get_hourly_measures = public("get_hourly_measures", "hourly_measures")

FILES = {"SPY 1 min": "SPY_1min.parquet", "TSLA 5 min": "panel_5min/TSLA_5min.parquet"}
"""Bars that models of one symbol are trained on."""
ROUND_THE_CLOCK = {"NQ 1 min": "NQ_1min.parquet"}
"""Bars of which the regular session has to be cut out: for hourly figures alone."""

SEARCHED = {"network": "roadmap", "max_trials": 2, "epochs": 3, "workers": 1}
TRAININGS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "default on ranges": {"rv_estimator": "yang_zhang", "networks": 2, "epochs": 10},
    "roadmap": SEARCHED,
    "roadmap minmax": {**SEARCHED, "scaling": "minmax", "tuner": "random"},
    "roadmap keras": {**SEARCHED, "engine": "keras", "max_trials": 1},
    "colab": {"preset": "colab", "max_trials": 2, "epochs": 2, "workers": 1},
}
"""Settings of the models of one symbol: each network, preset, scaler and engine."""

SIX = ("AAPL", "JPM", "NVDA", "QQQ", "TSLA", "XOM")
STRANGER = "SPY"
POOLED: Mapping[str, Any] = {"test_from": "2025-10-01", "networks": 2, "epochs": 15}
COMMON: Mapping[str, Any] = {"seed": 7, "accept_quality": True, "resume": False}

HORIZONS: tuple[Any, ...] = (1, "session_end", 7, 35)
ESTIMATORS = (
    "close", "subsampled", "bipower", "medrv", "down_semivariance", "up_semivariance", "two_scale", "parkinson",
    "garman_klass", "rogers_satchell", "yang_zhang",
)  # fmt: skip
MOMENTS, POOLED_MOMENTS = 25, 6
FIGURES = ("asof", "bucket", "volatility", "annualized_volatility", "lower", "upper", "is_fallback")
TRAINING = "training"
BEGAN = time.monotonic()


def column_of(values: Any) -> npt.NDArray[Any]:
    """A column as an array that a file keeps without loss."""
    index = pd.Index(values)
    if isinstance(index, pd.DatetimeIndex):
        return np.asarray(index.as_unit("ns").asi8)
    column = np.asarray(index)
    return column if column.dtype.kind in "biuf" else column.astype(str)


def add(record: Record, table: str, frame: pd.DataFrame) -> None:
    """Write down a table: its index, its columns, and what it counts in ``attrs``."""
    record[f"{table}/index"] = column_of(frame.index)
    for name in map(str, frame.columns.drop("model_version", errors="ignore")):
        record[f"{table}/{name}"] = column_of(frame[name])
    for key, count in frame.attrs.items():
        add_text(record, f"{table}/{key}", count)


def add_text(record: Record, name: str, value: object) -> None:
    """Write down what is no column, as JSON."""
    record[name] = np.array([json.dumps(value, sort_keys=True, default=str)])


def add_hourly(record: Record, subject: str, bars: pd.DataFrame) -> None:
    """Realized volatility by every estimator and under the notebook's preset, and the measures."""
    for estimator in ESTIMATORS:
        try:
            add(record, f"hourly/{subject}/rv {estimator}", get_hourly_rv(bars, estimator=estimator).to_frame())
        except NotEnoughDataError as refusal:  # Later versions refuse bars that are too long for an estimator.
            print(f"{subject}: {refusal}")
    add(record, f"hourly/{subject}/rv of the notebook", get_hourly_rv(bars, preset="colab").to_frame())
    for estimator in ("close", "yang_zhang"):
        add(record, f"hourly/{subject}/measures {estimator}", get_hourly_measures(bars, estimator=estimator))


def add_baselines(record: Record, subject: str, bars: pd.DataFrame) -> None:
    """Forecasts of all baselines on the last fifth of the buckets."""
    measures = get_hourly_measures(bars)
    positions = np.arange(len(measures) * 4 // 5, len(measures))
    targets = measures.index[positions]
    baselines = public("ALL_BASELINES", "volatility_baselines")
    forecasts = {name: baseline(measures, targets, positions) for name, baseline in baselines.items()}
    add(record, f"baselines/{subject}/forecasts", pd.DataFrame(forecasts, targets))


def add_evaluation(record: Record, subject: str, evaluation: Any) -> None:
    """Metrics, each bucket's forecasts, groups of buckets, and the verdict."""
    add(record, f"{TRAINING}/{subject}/metrics", pd.DataFrame(evaluation.metrics).T)
    add(record, f"{TRAINING}/{subject}/judged buckets", evaluation.by_bucket)
    for group in ("hour", "regime", "month"):
        add(record, f"{TRAINING}/{subject}/by {group}", evaluation.breakdown(group))
    add_text(record, f"{TRAINING}/{subject}/verdict/text", [evaluation.verdict, evaluation.left_out])


def train(record: Record, subject: str, settings: Mapping[str, Any], bars: pd.DataFrame) -> None:
    """Train a model of one symbol, save it, and write down what the training says of itself."""
    result = LocalLSTMTrainer(settings).run_training_pipeline(bars=bars)
    for number, history in enumerate(result.histories):
        add(record, f"{TRAINING}/{subject}/losses of network {number}", pd.DataFrame(history))
    if result.search is not None:
        add_text(record, f"{TRAINING}/{subject}/search/hyperparameters", result.search.best_hyperparameters)
    add_evaluation(record, subject, result.evaluation)


def pooled_trainer(symbols: Sequence[str], settings: Mapping[str, Any]) -> Any:
    """What trains one model over `symbols`: the trainer of every model, or, in a version that has one, its own."""
    if "symbols" in TrainingConfig.model_fields:
        return LocalLSTMTrainer({**settings, "symbols": list(symbols)})
    return public("PooledTrainer", "pooled_trainer")(symbols, settings)


def train_pooled(
    record: Record, subject: str, symbols: Sequence[str], settings: Mapping[str, Any], panel: pd.DataFrame
) -> None:
    """Train one model over `symbols`, save it, and write down its figures, symbol by symbol."""
    evaluation = pooled_trainer(symbols, settings).run_training_pipeline(bars=panel).evaluation
    by_symbol = evaluation.symbol_table() if hasattr(evaluation, "symbol_table") else evaluation.table()
    add(record, f"{TRAINING}/{subject}/table", by_symbol.rename(columns={"regression_ratio": "pooled_har"}))
    add_text(record, f"{TRAINING}/{subject}/verdict/text", evaluation.verdict)
    for symbol, judged in evaluation.symbols.items():
        add_evaluation(record, f"{subject} {symbol}", judged)


def add_forecasts(
    record: Record, table: str, forecaster: VolatilityForecaster, questions: Sequence[Mapping[str, Any]]
) -> None:
    """Single forecasts by one forecaster, one after the other."""
    forecasts = [forecaster.forecast(**question, allow_in_sample=True) for question in questions]
    rows = [{name: getattr(forecast, name) for name in FIGURES} for forecast in forecasts]
    add(record, table, pd.DataFrame(rows))


def live_loop(bars: pd.DataFrame) -> list[dict[str, Any]]:
    """Questions of a loop to which bars come in, a third of an hour or more at a time, over the last days."""
    step = 23 if len(bars) > 100_000 else 5
    return [{"bars": bars.iloc[: len(bars) - step * ahead]} for ahead in reversed(range(MOMENTS))]


def moments_in(bars: pd.DataFrame) -> list[dict[str, Any]]:
    """Questions about moments all over the later half of the bars, all of which are at hand."""
    positions = np.linspace(len(bars) // 2, len(bars) - 1, MOMENTS).astype(int)
    return [{"bars": bars, "asof": moment} for moment in bars.index[positions]]


def add_model(
    record: Record, subject: str, forecaster_of: Callable[[], VolatilityForecaster], bars: pd.DataFrame
) -> None:
    """All forecasts of a model of one symbol, or of none, at every horizon that it offers."""
    for horizon in HORIZONS:
        table = f"forecasts/{subject}/{{}} of {horizon}"
        try:
            series = forecaster_of().forecast_series(bars, horizon, allow_in_sample=True)
        except ConfigError:
            continue
        add(record, table.format("series"), series)
        for name, questions in (("live loop", live_loop(bars)), ("moments", moments_in(bars))):
            asked = [{**question, "horizon": horizon} for question in questions]
            add_forecasts(record, table.format(name), forecaster_of(), asked)
    add(record, f"forecasts/{subject}/series out of sample", forecaster_of().forecast_series(bars))


def add_series_as_of(record: Record, subject: str, bars: pd.DataFrame, store: Path) -> None:
    """A backtest's series, each forecast by the model of the store that could have served at its time."""
    settings = {"model_save_path": str(store), "symbol": symbol_in(subject)}
    series = VolatilityForecaster(retraining_config=settings).forecast_series(bars, models="as-of")
    add(record, f"forecasts/{subject}/series as of its time", series)


def add_pooled(record: Record, subject: str, model: Path, symbols: Sequence[str], panel: pd.DataFrame) -> None:
    """Forecasts of a pooled model: of `symbols` with the market beside them, and of each alone."""
    for symbol in symbols:
        table, bars = f"forecasts/{subject} {symbol}", cast(pd.DataFrame, panel.loc[symbol])
        with_market = VolatilityForecaster(model).forecast_series(panel, symbol=symbol, allow_in_sample=True)
        add(record, f"{table}/series with the market", with_market)
        alone = VolatilityForecaster(model).forecast_series(bars, symbol=symbol, allow_in_sample=True)
        add(record, f"{table}/series alone", alone)
        add_forecasts(
            record,
            f"{table}/live loop alone",
            VolatilityForecaster(model),
            [{**question, "symbol": symbol} for question in live_loop(bars)],
        )
        stamps = panel.index.get_level_values(1)
        ends = bars.index[-1 : -5 * POOLED_MOMENTS : -5][::-1]
        growing = [{"bars": panel[stamps <= end], "symbol": symbol} for end in ends]
        add_forecasts(record, f"{table}/live loop with the market", VolatilityForecaster(model), growing)


def symbol_in(subject: str) -> str:
    """The symbol that a subject of one symbol names."""
    return subject.split()[-3]


def store_of(models: Path, subject: str) -> Path:
    """Where the model of a subject is, or goes."""
    return models / subject.replace(" ", "-")


def model_in(store: Path) -> Path:
    """The only model of a store."""
    (manifest,) = store.glob("*/manifest.json")
    return manifest.parent


def whole_panel(data: Path) -> pd.DataFrame:
    """Bars of all symbols of the panel, indexed by (symbol, timestamp)."""
    paths = sorted((data / "panel_5min").glob("*.parquet"))
    frames = {path.name.split("_")[0]: pd.read_parquet(path) for path in paths}
    return pd.concat(frames, names=["symbol", "timestamp"])


def record_single(record: Record, bars: Mapping[str, pd.DataFrame], models: Path, *, training: bool) -> None:
    """Models of one symbol."""
    for name, kind in itertools.product(bars, TRAININGS):
        subject, frame = f"{kind} {name}", bars[name]
        say(subject)
        store = store_of(models, subject)
        if training:
            config = {**COMMON, **TRAININGS[kind], "model_save_path": str(store), "symbol": symbol_in(subject)}
            train(record, subject, config, frame)
        model = model_in(store)
        add_model(record, subject, partial(VolatilityForecaster, model), frame)
        add_series_as_of(record, subject, frame, store)


def record_pooled(record: Record, panel: pd.DataFrame, models: Path, *, training: bool) -> None:
    """Models of six symbols, asked about a stranger too, and of the whole panel."""
    every = tuple(panel.index.get_level_values(0).unique())
    for subject, symbols, asked in (
        ("pool of six", SIX, ("TSLA", "QQQ", STRANGER)),
        ("pool of the panel", every, ("NVDA", "XOM")),
    ):
        say(subject)
        bars = panel.loc[list(dict.fromkeys([*symbols, *asked]))]
        store = store_of(models, subject)
        if training:
            train_pooled(record, subject, symbols, {**COMMON, **POOLED, "model_save_path": str(store)}, bars)
        add_pooled(record, subject, model_in(store), asked, bars)


def record_figures(data: Path, models: Path, *, training: bool) -> Record:
    """All figures of the version at hand."""
    record: Record = {}
    bars = {name: pd.read_parquet(data / path) for name, path in FILES.items()}
    round_the_clock = {name: pd.read_parquet(data / path) for name, path in ROUND_THE_CLOCK.items()}
    for name, frame in (bars | round_the_clock).items():
        say(f"hourly figures of {name}")
        add_hourly(record, name, frame)
    for name, frame in bars.items():
        say(f"baselines on {name}")
        add_baselines(record, name, frame)
        add_model(record, f"fallback {name}", partial(VolatilityForecaster, "ewma"), frame)
    record_single(record, bars, models, training=training)
    record_pooled(record, whole_panel(data), models, training=training)
    return record


def say(what: str) -> None:
    """Tell what is being done."""
    print(f"{time.monotonic() - BEGAN:5.0f} s  {what}", flush=True)


def difference(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> str | None:
    """How two columns differ; None where they are equal to the last bit."""
    if before.shape != after.shape or before.dtype.kind != after.dtype.kind:
        return f"{before.dtype} of {len(before)} rows, now {after.dtype} of {len(after)}"
    if before.dtype.kind == "f":
        differs = (before.view(np.int64) != after.view(np.int64)) & ~(np.isnan(before) & np.isnan(after))
    else:
        differs = before != after
    if not differs.any():
        return None
    count = f"{differs.sum()} of {len(differs)}"
    if before.dtype.kind not in "fiu":
        return f"{count}, first {before[differs][0]!s:.80} now {after[differs][0]!s:.80}"
    size = np.abs(after[differs].astype(float) - before[differs].astype(float))
    scale = np.abs(before[differs].astype(float))
    relative = np.divide(size, scale, out=np.full(len(size), np.inf), where=scale > 0)
    return f"{count}, by up to {size.max():.3g} ({relative.max():.3g} of the value)"


def compared(before: Record, after: Record) -> pd.DataFrame:
    """One row a table of figures: ``rows``, ``figures``, and ``differences``, empty where all are equal.

    Figures that `after` alone has are no difference: there is nothing that they could differ from. Those of trainings
    are passed over where `after` holds none, being of models that were loaded.
    """
    trained = any(key.startswith(f"{TRAINING}/") for key in after)
    rows: dict[str, dict[str, Any]] = {}
    for key, column in before.items():
        table, name = key.rsplit("/", 1)
        if table.startswith(f"{TRAINING}/") and not trained:
            continue
        size = difference(column, after[key]) if key in after else "missing now"
        row = rows.setdefault(table, {"rows": len(column), "figures": 0, "differences": []})
        row["figures"] += len(column)
        row["differences"] += [] if size is None else [f"{name}: {size}"]
    return pd.DataFrame(rows).T


def print_comparison(before: Record, after: Record) -> bool:
    """Print every table of figures, and whether all are equal; returns that."""
    comparison = compared(before, after)
    width = comparison.index.str.len().max()
    for table, row in comparison.iterrows():
        print(f"{table:{width}}  {row['rows']:>7}  {'; '.join(row['differences']) or 'equal'}")
    differing = comparison[comparison["differences"].astype(bool)]
    only_after = {key.rsplit("/", 1)[0] for key in after.keys() - before.keys()}
    print(f"\n{comparison['figures'].sum():,} figures in {len(comparison)} tables; {len(differing)} tables differ.")
    if only_after:
        print(f"The second record has {len(only_after)} more, such as {min(only_after)}.")
    return len(differing) == 0


def write_record(record: Record, path: Path) -> None:
    """Write a record to its file."""
    columns: dict[str, Any] = {**record}
    np.savez_compressed(path, **columns)


def read_record(path: Path) -> Record:
    """A record from its file."""
    with np.load(path) as columns:
        return dict(columns)


def main() -> int:
    """Make a record, or compare two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="write down the figures of the version that Python imports")
    recording.add_argument("--data", type=Path, required=True, help="folder of bars")
    recording.add_argument("--out", type=Path, required=True, help="file of the record, .npz")
    models = recording.add_mutually_exclusive_group(required=True)
    models.add_argument("--save", type=Path, help="train, and save the models in this new folder")
    models.add_argument("--load", type=Path, help="forecast with the models that a record before saved here")
    comparing = commands.add_parser("compare", help="name every difference of two records; exit 1 where there is one")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        return 0 if print_comparison(read_record(options.before), read_record(options.after)) else 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.save is not None:
        options.save.mkdir(parents=True)
    say(f"figures of {CHECKOUT}")
    record = record_figures(options.data, options.save or options.load, training=options.save is not None)
    write_record(record, options.out)
    say(f"{sum(map(len, record.values())):,} figures in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
