"""One model a symbol, for many symbols: several at once, resumable, and whatever fails does not stop the rest."""

import glob
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.table import Table

from volcast.config import Role, TrainingConfig
from volcast.errors import TrainingError, VolatilityError, describe_os_error
from volcast.files import file_name_of, json_bytes, write_whole
from volcast.training.cluster import ONE_THREAD, results_on_ray

__all__ = ["SymbolOutcome", "jobs_as_dict", "outcome_table", "train_symbols"]

_LEDGER = "symbols.json"

Trained = dict[str, Any]


@dataclass(frozen=True)
class SymbolOutcome:
    """What became of the training of one symbol.

    Attributes
    ----------
    symbol
        Its ticker.
    status
        ``"trained"`` now, ``"kept"`` from an earlier run on the same bars and settings, or ``"failed"``.
    result
        What `training.artifacts.result_as_dict` says of the training; empty where it failed.
    error
        Why it failed, in a sentence; empty where it did not.
    """

    symbol: str
    status: str
    result: Trained
    error: str = ""


def train_symbols(
    config: TrainingConfig,
    symbols: Sequence[str],
    *,
    jobs: int = 1,
    ray_address: str | None = None,
    on_outcome: Callable[[SymbolOutcome], None] = lambda outcome: None,
) -> list[SymbolOutcome]:
    """Train a model of each symbol, in `jobs` processes or on a Ray cluster; outcomes in the symbols' order.

    Each symbol has a store of its own, ``model_save_path/SYMBOL``. A ledger beside them says what each was trained
    on: what is unchanged is not trained again.

    Raises
    ------
    ConfigError
        What one of them is called is no symbol.
    TrainingError
        The Ray cluster cannot be reached, or Ray is not installed.
    """
    place = Path(config.model_save_path)
    configs = {symbol: _config_of(config, symbol, alone=jobs == 1 and ray_address is None) for symbol in symbols}
    keys = {symbol: _key_of(one) for symbol, one in configs.items()}
    ledger = _Ledger(place)
    outcomes: dict[str, SymbolOutcome] = {}
    for symbol in symbols:
        former = ledger.result_of(symbol, keys[symbol])
        if former is not None:
            outcomes[symbol] = SymbolOutcome(symbol, "kept", former)
            on_outcome(outcomes[symbol])
    missing = {symbol: one for symbol, one in configs.items() if symbol not in outcomes}
    results = _on_ray(missing, ray_address) if ray_address is not None else _in_processes(missing, jobs)
    for symbol, result in results:
        error = result.get("error", "")
        outcomes[symbol] = SymbolOutcome(symbol, "failed" if error else "trained", {} if error else result, error)
        if not error:
            ledger.keep(symbol, keys[symbol], result)
        on_outcome(outcomes[symbol])
    return [outcomes[symbol] for symbol in symbols]


def outcome_table(outcomes: Iterable[SymbolOutcome]) -> Table:
    """A table for people of what became of each symbol, a row a symbol."""
    table = Table("symbol", "", "model", "verdict", "seconds")
    for outcome in outcomes:
        if outcome.error:
            table.add_row(outcome.symbol, outcome.status, "", outcome.error, "")
            continue
        result = outcome.result
        verdict, model = str(result["evaluation"]["verdict"]), str(result["model"])
        # Earlier releases let each model serve and kept no word of it.
        model += "" if result.get("serves", True) else ", which does not serve"
        table.add_row(outcome.symbol, outcome.status, model, verdict, f"{result['seconds']:.0f}")
    return table


def jobs_as_dict(outcomes: Iterable[SymbolOutcome]) -> dict[str, Any]:
    """What became of each symbol, for scripts, ready for JSON."""
    rows = [
        {"symbol": one.symbol, "status": one.status} | ({"error": one.error} if one.error else one.result)
        for one in outcomes
    ]
    return {"symbols": rows, "failed": sum(row["status"] == "failed" for row in rows)}


def _config_of(config: TrainingConfig, symbol: str, *, alone: bool) -> TrainingConfig:
    config = config.with_overrides(symbol=symbol, symbols=(), workers=config.workers if alone else 1)
    return config.with_overrides(model_save_path=str(Path(config.model_save_path) / file_name_of(symbol)))


def _key_of(config: TrainingConfig) -> str:
    """Changes with whatever a model depends on: settings, and the user's own files by size and time."""
    settings = config.identity(Role.FORECAST, Role.SEARCH, Role.TRAINING, Role.DATA)
    files = [*_files_of(config.bars_path, config.symbol), *_files_of(config.overnight_path, config.overnight_symbol)]
    return hashlib.sha256(json.dumps([settings, files], sort_keys=True).encode()).hexdigest()


def _files_of(place: str | None, symbol: str | None) -> list[tuple[str, int, int]]:
    """Name, size and time of a symbol's files in a file, a directory or a glob."""
    if place is None:
        return []
    path = Path(place)
    paths = sorted(path.iterdir()) if path.is_dir() else sorted(map(Path, glob.glob(str(path)))) or [path]
    of_symbol = [file for file in paths if str(symbol) in file.name.upper()] or paths
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in of_symbol if file.is_file()]


class _Ledger:
    """What was trained on what, in one file that is replaced as a whole."""

    def __init__(self, place: Path) -> None:
        self._path = place / _LEDGER
        self._rows: dict[str, dict[str, Any]] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def result_of(self, symbol: str, key: str) -> Trained | None:
        row = self._rows.get(symbol)
        there = row is not None and row["key"] == key and Path(row["result"]["path"]).is_dir()
        return row["result"] if row is not None and there else None

    def keep(self, symbol: str, key: str, result: Trained) -> None:
        self._rows[symbol] = {"key": key, "result": result}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json_bytes(self._rows))


def _train(settings: dict[str, Any]) -> Trained:
    """One training, in whatever process; what goes wrong comes back as ``{"error": sentence}``."""
    from volcast.networks.tensorflow import load_tensorflow_quietly

    load_tensorflow_quietly()
    from volcast.training.artifacts import result_as_dict
    from volcast.training.trainer import LocalLSTMTrainer

    try:
        return result_as_dict(LocalLSTMTrainer(TrainingConfig.from_mapping(settings)).run_training_pipeline())
    except VolatilityError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": describe_os_error(error)}
    except Exception as error:  # A symbol that nobody has thought of does not stop the others.
        return {"error": f"{type(error).__name__}: {error}"}


def _in_processes(configs: dict[str, TrainingConfig], jobs: int) -> Iterator[tuple[str, Trained]]:
    """Results as they come; each process loads TensorFlow once and trains one symbol after the other."""
    if not configs:
        return
    environment = {} if jobs == 1 else ONE_THREAD
    pool = ProcessPoolExecutor(
        min(jobs, len(configs)), get_context("spawn"), initializer=_begin_process, initargs=(environment, os.getpid())
    )
    try:
        futures = {pool.submit(_train, config.as_dict()): symbol for symbol, config in configs.items()}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                yield futures[future], {"error": "a process that trained was killed; the same command goes on."}
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _begin_process(environment: dict[str, str], parent: int) -> None:
    os.environ |= environment

    def end_with_parent() -> None:
        while os.getppid() == parent:
            threading.Event().wait(0.5)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _on_ray(configs: dict[str, TrainingConfig], address: str) -> Iterator[tuple[str, Trained]]:
    """Results as they come from a Ray cluster, whose machines see the bars and the models by the same paths."""
    tasks = {symbol: (config.as_dict(),) for symbol, config in configs.items()}
    for symbol, result in results_on_ray(_train, tasks, address):
        yield symbol, {"error": str(result)} if isinstance(result, TrainingError) else result
