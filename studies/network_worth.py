"""What the networks of the default forecast add to its regression, window by window.

``python studies/network_worth.py --data FOLDER [--windows 2024H1 ...] [--mode panel|single|zero-shot] [--left-out N]``

Each window's model is trained on what lies before it. A figure is the mean over symbols of the QLIKE with networks over
that of the same model's regression alone, both refitted daily. ``panel`` trains one model over all files of the folder,
``single`` one for each; ``--left-out N`` keeps every Nth symbol from training and judges on these alone. ``zero-shot``
and ``zero-shot-alone`` print, of these, QLIKE of the panel's model over that of a model of each symbol's own, which had
the bars before the window: with the bars of all symbols beside it, and with its own alone.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from volcast.arrays import time_index
from volcast.bars.checks import cut_to_days
from volcast.evaluation.losses import qlike_losses
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.measures.hourly import RV_FLOOR, get_hourly_measures
from volcast.networks.onnx import Network
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

WINDOWS = {
    "2024H1": ("2024-01-01", "2024-06-30"),
    "2024H2": ("2024-07-01", "2024-12-31"),
    "2025Q1": ("2025-01-01", "2025-04-30"),
    "2025H2": ("2025-10-01", "2026-03-31"),
}
"""First and last day of each test part; the last window is for figures, not for choices."""

_FEWEST_BUCKETS, _FEWEST_BARS = 50, 5000
_MODES = ("panel", "single", "zero-shot", "zero-shot-alone")


def window_bars(folder: Path, window: str) -> dict[str, pd.DataFrame]:
    """Bars up to the end of a window, by symbol, of the files SYMBOL_*.parquet that have enough before and in it."""
    first, last = WINDOWS[window]
    midnight = pd.Timestamp(first, tz="America/New_York")
    files = {path.stem.split("_")[0]: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    bars = {
        symbol: cut_to_days(frame, None, last)
        for symbol, frame in files.items()
        if (frame.index < midnight).sum() > _FEWEST_BARS and (frame.index >= midnight).sum()
    }
    return {symbol: frame for symbol, frame in bars.items() if (frame.index >= midnight).sum() > _FEWEST_BARS // 5}


def trained(bars: dict[str, pd.DataFrame], test_from: str, settings: Mapping[str, Any]) -> TrainingResult:
    """A training on these bars, in a store of its own, judged from a day on."""
    settings = {"test_from": test_from, "accept_quality": True, "model_save_path": tempfile.mkdtemp(), **settings}
    if len(bars) == 1:
        ((symbol, frame),) = bars.items()
        return LocalLSTMTrainer({"symbol": symbol, **settings}).run_training_pipeline(bars=frame)
    return LocalLSTMTrainer({"symbols": list(bars), **settings}).run_training_pipeline(bars=pd.concat(bars))


def recipe_of(result: TrainingResult) -> HarLstm:
    """The recipe of what was trained."""
    assert isinstance(result.bundle.recipe, HarLstm)
    return result.bundle.recipe


def qlikes(
    recipe: HarLstm, networks: Sequence[Network], bars: dict[str, pd.DataFrame], first: pd.Timestamp
) -> "pd.Series[float]":
    """QLIKE by symbol, of the buckets from `first` on; of those alone that have enough."""
    means = {}
    frames = recipe.with_market({symbol: get_hourly_measures(frame) for symbol, frame in bars.items()})
    for symbol, frame in frames.items():
        positions = np.arange(int(frame.index.searchsorted(first)), len(frame))
        realized = frame["rv_hourly"].to_numpy()[positions]
        moved = realized > RV_FLOOR
        if moved.sum() >= _FEWEST_BUCKETS:
            forecast = recipe.forecast(networks, frame, time_index(frame)[positions], positions).volatility
            means[symbol] = qlike_losses(realized[moved], forecast[moved]).mean()
    return pd.Series(means, dtype=float)


def ratios(result: TrainingResult, bars: dict[str, pd.DataFrame], first: pd.Timestamp) -> "pd.Series[float]":
    """QLIKE with networks over that without, by symbol, of the buckets from `first` on."""
    recipe, networks = recipe_of(result), result.bundle.networks
    alone = replace(recipe.regression_alone(), smearing_shift=0.0)
    return qlikes(recipe, networks, bars, first) / qlikes(alone, (), bars, first)


def over_own(
    result: TrainingResult, bars: dict[str, pd.DataFrame], left_out: Sequence[str], first: str, *, alone: bool
) -> "pd.Series[float]":
    """QLIKE of a model that never saw some symbols over that of a model of each one's own, from the day `first` on.

    It sees the market in the bars of all; `alone` it gets those of the symbol that it forecasts.
    """
    recipe, networks, midnight = recipe_of(result), result.bundle.networks, pd.Timestamp(first, tz="America/New_York")
    together = {} if alone else {symbol: frame for symbol, frame in bars.items() if symbol not in left_out}
    means = {}
    for symbol in left_out:
        one = {symbol: bars[symbol]}
        owner = trained(one, first, {name: getattr(result.bundle.config, name) for name in ("seed", "cell")})
        own = qlikes(recipe_of(owner), owner.bundle.networks, one, midnight)
        means[symbol] = (qlikes(recipe, networks, together | one, midnight) / own).get(symbol, np.nan)
    return pd.Series(means, dtype=float).dropna()


def window_ratios(
    bars: dict[str, pd.DataFrame], first: str, settings: Mapping[str, Any], mode: str, left_out: list[str]
) -> tuple["pd.Series[float]", float]:
    """The figures of one window by symbol, and the weight that the networks have in the mean; see the module."""
    midnight = pd.Timestamp(first, tz="America/New_York")
    training = {symbol: frame for symbol, frame in bars.items() if symbol not in left_out}
    if mode == "single":
        results = {symbol: trained({symbol: frame}, first, settings) for symbol, frame in training.items()}
        weights = [recipe_of(result).weight.supported for result in results.values()]
        parts = [ratios(result, {symbol: bars[symbol]}, midnight) for symbol, result in results.items()]
        return pd.concat(parts), float(np.mean(weights))
    result = trained(training, first, settings)
    if mode == "panel":
        judged = ratios(result, bars, midnight)
        return judged[left_out] if left_out else judged, recipe_of(result).weight.supported
    return over_own(result, bars, left_out, first, alone=mode == "zero-shot-alone"), recipe_of(result).weight.supported


def main() -> None:
    """Run the windows, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of files SYMBOL_*.parquet")
    parser.add_argument("--windows", nargs="+", choices=WINDOWS, default=list(WINDOWS)[:3])
    parser.add_argument("--mode", choices=_MODES, default="panel")
    parser.add_argument("--left-out", type=int, default=0, metavar="N")
    parser.add_argument("--cell", choices=["lstm", "gru"], default="lstm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    if options.mode.startswith("zero-shot") and not options.left_out:
        parser.error("zero-shot judges symbols that are left out of training; add --left-out 4")
    load_tensorflow_quietly()
    means = []
    for window in options.windows:
        bars = window_bars(options.data, window)
        left_out = list(bars)[:: options.left_out] if options.left_out else []
        for seed in options.seeds:
            judged, weight = window_ratios(
                bars, WINDOWS[window][0], {"seed": seed, "cell": options.cell}, options.mode, left_out
            )
            means.append(judged.mean())
            print(
                f"{window} seed {seed}: mean {judged.mean():.4f}, worst {judged.max():.4f}, gains "
                f"{(judged < 1).mean():.0%} of {len(judged)}, weight {weight:.2f}",
                flush=True,
            )
    print(f"mean {np.mean(means):.4f}")


if __name__ == "__main__":
    main()
