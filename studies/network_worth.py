"""What the networks of the default forecast add to its regression, window by window.

``python studies/network_worth.py --data FOLDER [--windows 2024H1 ...] [--mode panel|single] [--left-out N]``

Each window's model is trained on what lies before it. A figure is the mean over symbols of the QLIKE with networks over
that of the same model's regression alone, both refitted daily. ``panel`` trains one model over all files of the folder,
``single`` one for each; ``--left-out N`` keeps every Nth symbol from training and judges on these alone.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from volcast.arrays import time_index
from volcast.bars.checks import cut_to_days
from volcast.evaluation.losses import qlike_losses
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.measures.hourly import RV_FLOOR, get_hourly_measures
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


def trained(bars: dict[str, pd.DataFrame], test_from: str, seed: int) -> TrainingResult:
    """A training on these bars, in a store of its own, judged from a day on."""
    settings = {"test_from": test_from, "accept_quality": True, "seed": seed, "model_save_path": tempfile.mkdtemp()}
    if len(bars) == 1:
        ((symbol, frame),) = bars.items()
        return LocalLSTMTrainer({"symbol": symbol, **settings}).run_training_pipeline(bars=frame)
    return LocalLSTMTrainer({"symbols": list(bars), **settings}).run_training_pipeline(bars=pd.concat(bars))


def recipe_of(result: TrainingResult) -> HarLstm:
    """The recipe of what was trained."""
    assert isinstance(result.bundle.recipe, HarLstm)
    return result.bundle.recipe


def ratios(result: TrainingResult, bars: dict[str, pd.DataFrame], first: pd.Timestamp) -> "pd.Series[float]":
    """QLIKE with networks over that without, by symbol, of the buckets from `first` on."""
    recipe, networks, losses = recipe_of(result), result.bundle.networks, {}
    frames = recipe.with_market({symbol: get_hourly_measures(frame) for symbol, frame in bars.items()})
    for symbol, frame in frames.items():
        positions = np.arange(int(frame.index.searchsorted(first)), len(frame))
        realized = frame["rv_hourly"].to_numpy()[positions]
        moved = realized > RV_FLOOR
        if moved.sum() < _FEWEST_BUCKETS:
            continue
        with_networks, alone = (
            qlike_losses(
                realized[moved],
                one.forecast(networks, frame, time_index(frame)[positions], positions).volatility[moved],
            ).mean()
            for one in (recipe, replace(recipe, weight=0.0, smearing_shift=0.0))
        )
        losses[symbol] = with_networks / alone
    return pd.Series(losses, dtype=float)


def main() -> None:
    """Run the windows, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of files SYMBOL_*.parquet")
    parser.add_argument("--windows", nargs="+", choices=WINDOWS, default=list(WINDOWS)[:3])
    parser.add_argument("--mode", choices=("panel", "single"), default="panel")
    parser.add_argument("--left-out", type=int, default=0, metavar="N")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    load_tensorflow_quietly()
    means = []
    for window in options.windows:
        first, _ = WINDOWS[window]
        midnight = pd.Timestamp(first, tz="America/New_York")
        bars = window_bars(options.data, window)
        left_out = list(bars)[:: options.left_out] if options.left_out else []
        training = {symbol: frame for symbol, frame in bars.items() if symbol not in left_out}
        for seed in options.seeds:
            if options.mode == "panel":
                result = trained(training, first, seed)
                found = ratios(result, bars, midnight)
                found = found[left_out] if left_out else found
                weights = [recipe_of(result).weight]
            else:
                results = {symbol: trained({symbol: frame}, first, seed) for symbol, frame in training.items()}
                weights = [recipe_of(result).weight for result in results.values()]
                found = pd.concat([ratios(one, {symbol: bars[symbol]}, midnight) for symbol, one in results.items()])
            means.append(found.mean())
            print(
                f"{window} seed {seed}: mean {found.mean():.4f}, worst {found.max():.4f}, gains "
                f"{(found < 1).mean():.0%} of {len(found)}, weight {np.mean(weights):.2f}",
                flush=True,
            )
    print(f"mean {np.mean(means):.4f}")


if __name__ == "__main__":
    main()
