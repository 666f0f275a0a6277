"""The notebook's way of training against this one, on this machine: time, memory, and whether they agree.

``python benchmark_training.py --quick`` takes about a minute; without it, an hour. Ways are run in turn, round after
round, and medians compared: a machine's speed drifts more between two minutes than most ways differ.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.ensembles import ENSEMBLE_WAYS, write_samples
from benchmarks.epochs import EpochWorker
from benchmarks.ways import WAYS, Network, keras_network, random_samples
from volcast.cli.command import run_command
from volcast.config import TrainingConfig
from volcast.configured import bars_of
from volcast.errors import TrainingError
from volcast.files import json_bytes, write_whole
from volcast.measures.bucketed import STEPS
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.processes import environment_of_children, module_command

__all__ = [
    "Comparison",
    "compare_ensembles",
    "compare_epochs",
    "compare_losses",
    "compare_searches",
    "compare_tuners",
    "compare_validation",
    "main",
]

_PACKAGES = ("tensorflow", "keras", "keras-tuner", "numba", "torch", "numpy")
_EPOCHS = {
    "LSTM(48), 4,000 windows": (Network((48,)), 4_000),
    "LSTM(48), 16,539 windows": (Network((48,)), 16_539),
    "2 x LSTM(64), 4,000 windows": (Network((64, 64)), 4_000),
    "LSTM(32) with side inputs, batch 256, 20,000 windows": (Network((32,), 256, 4, 8), 20_000),
    # What a har_lstm trains five of on a panel of 24 symbols.
    "LSTM(32) over six steps, QLIKE, batch 256, 39,000 windows": (
        Network((32,), 256, 7, memory=STEPS, qlike=True),
        39_000,
    ),
}
_PARTS = ("epoch", "ensemble", "losses", "search", "tuners", "validation")
_TUNERS = ("random", "median", "hyperband")
_MINUTES = (0.5, 1.0, 2.0)
_COLOURS = {"local_training": "tab:blue", "PyTorch": "tab:orange"}
_ARCHITECTURES = ((16,), (32,), (64,), (16, 16), (32, 32), (64, 32))


@dataclass(frozen=True)
class Comparison:
    """One figure of one way, over all rounds: seconds, MiB or a loss."""

    case: str
    way: str
    unit: str
    values: tuple[float, ...]
    ratio: float
    """How many times better than the first way of the case; for losses, our mean over Keras'."""

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)


def compare_epochs(cases: Sequence[str], rounds: int, ways: Sequence[str]) -> list[Comparison]:
    """Seconds of an epoch, compilation not counted, of each way on each of `cases`, each way in its own process."""
    comparisons = []
    for case in cases:
        with contextlib.ExitStack() as processes:
            workers = {way: processes.enter_context(EpochWorker(way, *_EPOCHS[case])) for way in ways}
            for worker in workers.values():
                worker.train_epoch()
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, worker in workers.items():
                    seconds[way].append(worker.train_epoch())
        comparisons += _compared(case, "s an epoch", seconds)
    return comparisons


def compare_searches(config: TrainingConfig, rounds: int, ways: Sequence[str]) -> list[Comparison]:
    """Seconds, and MiB at the peak, from the shell to a saved model; the trials are the same.

    `config` has the user's own file of bars. PyTorch trains the trials that a search of ours chose.
    """
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    peaks: dict[str, list[float]] = {way: [] for way in ways}
    trials: list[dict[str, Any]] = []
    for _ in range(rounds):
        # Ours first, for PyTorch trains the trials that it lists.
        for way in sorted(ways, key=lambda way: way != "local_training"):
            with tempfile.TemporaryDirectory() as place:
                if way == "PyTorch":
                    spent, peak = _torch_search(config, trials, Path(place))
                else:
                    spent, peak, trials = _our_search(config, way, place)
            seconds[way].append(spent)
            peaks[way].append(peak)
    return _compared("search", "s, shell to model", seconds) + _compared("search", "MiB at the peak", peaks)


def _our_search(config: TrainingConfig, way: str, place: str) -> tuple[float, float, list[dict[str, Any]]]:
    command = ["volcast", "train", "--network", "roadmap", "--tuner", "random", "--symbol", config.symbol]
    command += ["--bars", str(config.bars_path), "--accept-quality"]
    command += ["--max-trials", str(config.max_trials), "--epochs", str(config.epochs), "--output", place, "--json"]
    spent, peak, output = _run(command + (["--engine", "keras", "--workers", "1"] if way == "Keras" else []))
    return spent, peak, json.loads(output)["trials"]


def _torch_search(config: TrainingConfig, trials: list[dict[str, Any]], place: Path) -> tuple[float, float]:
    listed = place / "trials.json"
    listed.write_text(json.dumps({"config": config.as_dict(), "trials": trials}))
    spent, peak, _ = _run(["benchmarks.torch_search", str(listed), str(config.bars_path), str(place / "model.pt")])
    return spent, peak


def _run(command: list[str]) -> tuple[float, float, str]:
    """Run a module of ours; returns seconds, the peak in MiB of its whole tree of processes, and what it printed."""
    import psutil

    peak, done = 0.0, threading.Event()
    began = time.perf_counter()
    process = subprocess.Popen(
        module_command(*command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment_of_children(),
    )

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            try:
                root = psutil.Process(process.pid)
                tree = sum(member.memory_info().rss for member in (root, *root.children(recursive=True)))
            except psutil.Error:  # One of them ended between two looks.
                continue
            peak = max(peak, tree / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    output, complaints = process.communicate()
    spent = time.perf_counter() - began
    done.set()
    watcher.join()
    if process.returncode:
        raise TrainingError(f"{command[0]} ended with {process.returncode}: {(complaints or output)[-500:]}")
    return spent, peak, output


def compare_ensembles(config: TrainingConfig, rounds: int, ways: Sequence[str]) -> list[Comparison]:
    """What the networks of `config`'s symbols take, trained until validation stops them, and their mean loss there."""
    units = {"seconds": "s", "processor": "s of processor", "losses": "validation loss"}
    figures: dict[str, dict[str, list[float]]] = {name: {way: [] for way in ways} for name in units}
    with tempfile.TemporaryDirectory() as place:
        samples, settings = Path(place) / "samples.npz", Path(place) / "settings.json"
        write_samples(config, samples)
        settings.write_text(json.dumps(config.as_dict()))
        for _ in range(rounds):
            for way in ways:
                answer = json.loads(_run(["benchmarks.ensembles", way, str(samples), str(settings)])[2])
                for name, values in figures.items():
                    values[way].append(float(np.mean(answer[name])))
    case = f"{config.networks} networks of {len(config.symbols or (config.symbol,))} symbols"
    return [one for name, values in figures.items() for one in _compared(case, units[name], values)]


def compare_losses(epochs: int = 3) -> list[Comparison]:
    """Relative difference to Keras of the loss of each epoch: same weights, batch order, nothing dropped."""
    from volcast.networks.fitting import fit_network
    from volcast.networks.schedule import Schedule

    comparisons = []
    for network, count in _EPOCHS.values():
        network = replace(network, rate=0.0)
        samples, judged = random_samples(network, min(count, 2_000)), random_samples(network, 256, seed=1)
        losses = []
        started = keras_network(network).get_weights()
        for engine in ("keras", "fast"):
            model = keras_network(network)
            model.set_weights(started)
            schedule = Schedule(epochs, network.batch, 9, False, engine=engine, shuffle=False)
            history = fit_network(model, samples, judged, schedule, lambda *news: None)
            losses.append(np.array(history["loss"] + history["val_loss"]))
        difference = float(np.abs(losses[1] / losses[0] - 1).max())
        comparisons.append(
            Comparison(str(network), "local_training", "largest relative difference", (difference,), 1.0)
        )
    return comparisons


def compare_validation(seeds: int, architectures: Sequence[tuple[int, ...]], epochs: int) -> list[Comparison]:
    """Best validation loss over seeds of Keras and of the compiled engine, dropout as in the search."""
    load_tensorflow_quietly()
    import keras

    from volcast.networks.fitting import fit_network
    from volcast.networks.schedule import Schedule

    comparisons = []
    for units in architectures:
        network = Network(units, rate=0.2, learning_rate=3e-3)
        samples, judged = random_samples(network, 1_500), random_samples(network, 500, seed=1)
        best: dict[str, list[float]] = {"Keras": [], "local_training": []}
        for seed in range(seeds):
            for way, engine in (("Keras", "keras"), ("local_training", "fast")):
                keras.utils.set_random_seed(seed)
                schedule = Schedule(epochs, 16, 5, seed=seed, engine=engine)  # type: ignore[arg-type]
                history = fit_network(keras_network(network), samples, judged, schedule, lambda *news: None)
                best[way].append(min(history["val_loss"]))
        comparisons += _compared(str(network), "validation loss", best)
    return comparisons


def compare_tuners(config: TrainingConfig, rounds: int, minutes: Sequence[float]) -> list[Comparison]:
    """Best validation loss that random search and its rivals have found after so many minutes, a seed each round."""
    from benchmarks.tuner_race import best_losses_by
    from volcast.training.trainer import LocalLSTMTrainer

    data = LocalLSTMTrainer(config).prepare_data()
    train, validation = (data.X_train, data.y_train), (data.X_val, data.y_val)
    races: dict[str, list[list[float]]] = {tuner: [] for tuner in _TUNERS}
    for seed in range(1, rounds + 1):
        for tuner in _TUNERS:
            races[tuner].append(best_losses_by(minutes, config, tuner, seed, train, validation))
    comparisons = []
    for at, minute in enumerate(minutes):
        losses = {tuner: [best[at] for best in rows] for tuner, rows in races.items()}
        comparisons += _compared(f"best after {minute:g} min", "validation loss", losses)
    return comparisons


def _compared(case: str, unit: str, values: dict[str, list[float]]) -> list[Comparison]:
    """Each way beside the first; a ratio over 1 is better than it."""
    first = statistics.median(next(iter(values.values())))
    return [
        Comparison(case, way, unit, tuple(rounds), first / statistics.median(rounds)) for way, rounds in values.items()
    ]


def machine() -> dict[str, Any]:
    """What it ran on: processor, cores, load, versions."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")] or [platform.processor()]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": names[0],
        "cores": os.cpu_count(),
        "load": load,
        "python": platform.python_version(),
    } | versions


def as_table(comparisons: Sequence[Comparison]) -> Table:
    """For the terminal: median, spread and ratio of each."""
    table = Table("case", "way", "figure", "median", "lowest to highest", "times as good")
    for one in comparisons:
        spread = f"{min(one.values):.4g} to {max(one.values):.4g}"
        table.add_row(one.case, one.way, one.unit, f"{one.median:.4g}", spread, f"{one.ratio:.2f}")
    return table


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Bars of the ratios in time, one group a case, as PNG."""
    from matplotlib.figure import Figure

    timed = [one for one in comparisons if one.unit.startswith("s")]
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(timed)), layout="constrained")
    axes = figure.subplots()
    labels = [f"{one.case}: {one.way}" for one in timed]
    bars = axes.barh(labels, [one.ratio for one in timed], color=[_COLOURS.get(one.way, "0.6") for one in timed])
    axes.bar_label(bars, fmt="%.1f")
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as plain Keras, median of alternating runs")
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare as the `arguments` say; returns the exit status."""
    return run_command(_parser(), _report, arguments, interrupted="Interrupted; nothing was written.")


def _report(options: argparse.Namespace, out: Console, err: Console) -> int:
    comparisons = _compare(options, err)
    report: dict[str, Any] = {
        "machine": machine(),
        "simulated": options.bars is None,
        "comparisons": [asdict(one) for one in comparisons],
    }
    if options.output is not None:
        place = Path(options.output)
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / "benchmark.json", json_bytes(report))
        draw(comparisons, place / "benchmark.png")
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        out.print(as_table(comparisons))
        out.print(", ".join(f"{name} {value}" for name, value in report["machine"].items()))
        if options.bars is None and "search" in options.parts:
            out.print("The search was on SIMULATED bars.")
    return 0


def _compare(options: argparse.Namespace, err: Console) -> list[Comparison]:
    quick, parts = options.quick, options.parts
    has_torch = importlib.util.find_spec("torch") is not None
    rounds = options.rounds or (2 if quick else 5)
    ways = [way for way in WAYS if (has_torch or way != "PyTorch") and (not quick or "switches" not in way)]
    comparisons: list[Comparison] = []
    if "epoch" in parts:
        err.print("an epoch of each network ...")
        comparisons += compare_epochs(list(_EPOCHS)[: 1 if quick else None], rounds, ways)
    if "ensemble" in parts:
        err.print("the networks of a model to their end ...")
        trained = [way for way in ENSEMBLE_WAYS if has_torch or not way.startswith("PyTorch")]
        comparisons += compare_ensembles(_ensemble_config(options), 1 if quick else rounds, trained)
    if "losses" in parts:
        err.print("losses from the same start ...")
        comparisons += compare_losses(1 if quick else 3)[: 1 if quick else None]
    if "search" in parts or ("tuners" in parts and not quick):
        with tempfile.TemporaryDirectory() as place:
            config = _search_config(options, Path(place))
            if "search" in parts:
                err.print("whole searches ...")
                searched = [way for way in ("Keras", "PyTorch", "local_training") if has_torch or way != "PyTorch"]
                comparisons += compare_searches(config, 1 if quick else rounds, searched)
            if "tuners" in parts and not quick:
                err.print("what each tuner finds in time ...")
                comparisons += compare_tuners(config, rounds, _MINUTES)
    if "validation" in parts and not quick:
        err.print("validation losses over seeds ...")
        comparisons += compare_validation(5, _ARCHITECTURES, 6)
    return comparisons


def _search_config(options: argparse.Namespace, place: Path) -> TrainingConfig:
    """The search that is timed; without bars of one's own, simulated ones are written to `place`."""
    settings: dict[str, Any] = {
        "network": "roadmap",
        # The notebook's, which trains every trial to its end.
        "tuner": "random",
        "symbol": options.symbol,
        "bars_source": "file",
        "bars_path": options.bars,
    }
    settings |= {"max_trials": options.max_trials or (2 if options.quick else 20)}
    settings |= {"epochs": options.epochs or (2 if options.quick else 50)}
    if options.bars is None:
        simulated = TrainingConfig.from_mapping({"symbol": options.symbol, "bars_source": "simulator"})
        bars = bars_of(simulated)
        settings["bars_path"] = str(place / "simulated.parquet")
        bars.to_parquet(settings["bars_path"])
    return TrainingConfig.from_mapping(settings)


def _ensemble_config(options: argparse.Namespace) -> TrainingConfig:
    """The training whose networks are timed: of the symbols in a folder, or of simulated ones."""
    settings: dict[str, Any] = {"accept_quality": True, "bars_source": "simulator", "symbols": ("AAA", "BBB", "CCC")}
    if options.panel is not None:
        names = sorted(path.name.split("_")[0] for path in Path(options.panel).glob("*.parquet"))
        settings |= {"bars_source": "file", "bars_path": options.panel, "symbols": tuple(names)}
    return TrainingConfig.from_mapping(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmark_training.py", description="Time, memory and agreement of this training and the notebook's."
    )
    parser.add_argument("--quick", action="store_true", help="in about a minute: one network, a search of two trials")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS, help="what to compare (default: all)")
    parser.add_argument("--rounds", type=int, metavar="N", help="alternating runs of each way (default: 5)")
    parser.add_argument("--symbol", default="SPY", metavar="S", help="symbol of the bars (default: SPY)")
    parser.add_argument("--bars", metavar="FILE", help="search on bars from this file (default: simulated ones)")
    parser.add_argument("--panel", metavar="FOLDER", help="networks of its SYMBOL_*.parquet (default: simulated ones)")
    parser.add_argument("--max-trials", type=int, metavar="N", help="trials of the search (default: 20)")
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs of a trial at the most (default: 50)")
    parser.add_argument("--output", metavar="DIR", help="write benchmark.json and benchmark.png there")
    parser.add_argument("--json", action="store_true", help="the figures as JSON on standard output")
    return parser
