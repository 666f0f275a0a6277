"""The command line of `local_training.py`."""

import argparse
import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from volcast import __version__
from volcast.cli.options import add_bars_options, bars_settings
from volcast.config import TrainingConfig
from volcast.config_sources import ResolvedConfig, resolve_config
from volcast.errors import ConfigError, VolatilityError, describe_os_error

if TYPE_CHECKING:
    import pandas as pd

    from volcast.progress import SilentProgress

__all__ = ["main"]

_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

_EPILOG = """\
bars come from the first of these that is there:
  --bars PATH     your own one-minute bars: CSV, Parquet or Feather; a file, a directory or a glob
  --simulate      simulated bars; whatever is made of them says SIMULATED
  Alpaca          keys in APCA_API_KEY_ID and APCA_API_SECRET_KEY, or in a .env file

exit status: 0 trained, 1 failed, 2 wrong use, 130 or 143 interrupted (the same command goes on)

examples:
  python local_training.py --simulate --max-trials 3 --epochs 5
  python local_training.py --symbol SPY --start-date 2024-01-01 --end-date 2025-12-31
  python local_training.py --symbol SPY --bars spy_1min.parquet --output my_models
  python local_training.py --symbols SPY,QQQ,AAPL --pooled --bars folder_of_bars
"""

_Job = Callable[[ResolvedConfig, argparse.Namespace, Console, Console], int]


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast train") -> int:
    """Train as the `arguments` say (None: those of the process); returns the exit status."""
    options = _parser(prog).parse_args(arguments)
    out, err = Console(), Console(stderr=True)
    for console in (out, err):
        # A terminal's lines break between words; a pipe's or a file's are left to whoever reads them.
        console.soft_wrap = not console.is_terminal
    try:
        resolved = resolve_config(options.config, os.environ, _overrides(options))
        if options.show_config:
            out.print(resolved.render(), highlight=False)
            return 0
        with _termination_as_interrupt():
            return _job(options)(resolved, options, out, err)
    except VolatilityError as error:
        return _failed(str(error), 2 if isinstance(error, ConfigError) else 1, options, err)
    except OSError as error:
        return _failed(describe_os_error(error), 1, options, err)
    except KeyboardInterrupt as interrupt:
        again = "Interrupted; trials that had finished are kept: the same command goes on after them."
        return _failed(again, _TERMINATED if isinstance(interrupt, _Terminated) else _INTERRUPTED, options, err)


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does: workers are ended and the user is told how to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _job(options: argparse.Namespace) -> "_Job":
    several = options.symbols is not None or options.symbols_file is not None
    if options.pooled and not several:
        raise ConfigError("--pooled makes one model over several symbols; name them with --symbols A,B,C.")
    if several:
        return _train_pooled if options.pooled else _train_many
    return _train if options.worker is None else _work


def _symbols(options: argparse.Namespace) -> list[str]:
    from volcast.training.jobs import read_symbols, symbols_in

    if options.symbols_file is not None:
        return read_symbols(options.symbols_file)
    return symbols_in(options.symbols, "--symbols")


def _train_pooled(resolved: ResolvedConfig, options: argparse.Namespace, out: Console, err: Console) -> int:
    """One model over several symbols."""
    from volcast.networks.tensorflow import load_tensorflow_quietly

    symbols = _symbols(options)
    load_tensorflow_quietly()
    from volcast.progress import progress_for
    from volcast.training.artifacts import pooled_result_as_dict, pooled_summary
    from volcast.training.pooled_trainer import PooledTrainer

    progress = progress_for(err, quiet=options.quiet or options.json, minutes=None)
    result = PooledTrainer(symbols, resolved.config, progress=progress).run_training_pipeline()
    if options.json:
        print(json.dumps(pooled_result_as_dict(result), indent=2))
    elif options.quiet:
        out.print(result.bundle.path, highlight=False)
    else:
        out.print(pooled_summary(result), highlight=False)
    return 0


def _train(resolved: ResolvedConfig, options: argparse.Namespace, out: Console, err: Console) -> int:
    from volcast.progress import progress_for
    from volcast.training.artifacts import result_as_dict, summary
    from volcast.training.trainer import LocalLSTMTrainer

    config, silent = resolved.config, options.quiet or options.json
    if config.chief is not None and not _is_loopback(config.chief):
        err.print(f"warning: whoever reaches {config.chief} can join the search; open it to a trusted network only.")
    progress = progress_for(err, quiet=silent, minutes=config.max_search_minutes)
    bars = _bars(config, progress, err, silent=silent)
    result = LocalLSTMTrainer(config, progress=progress).run_training_pipeline(bars=bars)
    if options.json:
        print(json.dumps(result_as_dict(result), indent=2))
    elif options.quiet:
        out.print(result.bundle.path, highlight=False)
    else:
        out.print(summary(result), highlight=False)
    return 0


def _train_many(resolved: ResolvedConfig, options: argparse.Namespace, out: Console, err: Console) -> int:
    """One model for each of several symbols; 1 where one of them failed."""
    from volcast.training.jobs import SymbolOutcome, jobs_as_dict, outcome_table, train_symbols

    symbols = _symbols(options)

    def told(outcome: SymbolOutcome) -> None:
        if not options.quiet and not options.json:
            err.print(f"{outcome.symbol}: {outcome.error or outcome.status}", highlight=False, markup=False)

    outcomes = train_symbols(resolved.config, symbols, jobs=options.jobs, ray_address=options.ray, on_outcome=told)
    if options.json:
        print(json.dumps(jobs_as_dict(outcomes), indent=2))
    elif not options.quiet:
        out.print(outcome_table(outcomes))
    return int(any(outcome.status == "failed" for outcome in outcomes))


def _work(resolved: ResolvedConfig, options: argparse.Namespace, out: Console, err: Console) -> int:
    """Train trials of a search whose chief is another process, on the same bars, which this one gets for itself."""
    from volcast.progress import progress_for
    from volcast.search.search import search_directory
    from volcast.search.trial_worker import work
    from volcast.search.tuner import TrialsToDo
    from volcast.training.trainer import LocalLSTMTrainer

    config, silent = resolved.config, options.quiet or options.json
    if config.effective_network == "har_lstm":
        raise ConfigError("a worker trains trials of a search, which a har_lstm has not; add --network roadmap.")
    progress = progress_for(err, quiet=silent)
    data = LocalLSTMTrainer(config).prepare_data(bars=_bars(config, progress, err, silent=silent))
    train, validation = (data.X_train, data.y_train), (data.X_val, data.y_val)
    todo = TrialsToDo(config, train, validation, search_directory(config, train, validation))
    trials = work(todo, options.worker)
    if options.json:
        print(json.dumps({"trials": trials}))
    elif not options.quiet:
        out.print(f"The search is finished; this worker trained {trials} of its trials.", highlight=False)
    return 0


def _bars(config: TrainingConfig, progress: "SilentProgress", err: Console, *, silent: bool) -> "pd.DataFrame":
    from volcast.bars.handler import DataHandler
    from volcast.networks.tensorflow import load_tensorflow_quietly

    # A fetch shows its own progress, and two live displays would not nest.
    fetches = config.effective_source == "alpaca"
    # Bars first: what is wrong with them is said before TensorFlow takes its seconds to load.
    with contextlib.nullcontext() if silent or fetches else err.status(f"Getting bars of {config.symbol}"):
        handler = DataHandler.from_config(config, progress)
        bars = handler.get_stock_bars(config.symbol, *config.requested_span, timeframe=config.data_frequency)
        progress.close()
    with contextlib.nullcontext() if silent else err.status("Loading TensorFlow"):
        load_tensorflow_quietly()
    return bars


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0]
    return host in ("localhost", "[::1]") or host.startswith("127.")


def _failed(sentence: str, status: int, options: argparse.Namespace, err: Console) -> int:
    if options.json:
        print(json.dumps({"error": sentence, "exit_status": status}))
    prefix = "" if status in (_INTERRUPTED, _TERMINATED) else "error: "
    err.print(prefix + sentence, highlight=False, markup=False)
    return status


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    given = {
        "symbol": options.symbol,
        "start_date": options.start_date,
        "end_date": options.end_date,
        "preset": options.preset,
        "test_from": options.test_from,
        "network": options.network,
        "max_trials": options.max_trials,
        "max_search_minutes": options.max_search_minutes,
        "epochs": options.epochs,
        "seed": options.seed,
        "engine": options.engine,
        "model_save_path": options.output,
        "tuner": options.tuner,
        "workers": options.workers,
        "chief": options.chief,
        "resume": options.resume,
        "rv_estimator": options.rv_estimator,
        "accept_quality": options.accept_quality or None,
    }
    given |= bars_settings(options)
    return {key: value for key, value in given.items() if value is not None}


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train the volatility forecaster of one symbol on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    _add_data_options(parser.add_argument_group("what to train on"))
    _add_search_options(parser.add_argument_group("how to search and train"))
    _add_output_options(parser.add_argument_group("what comes out"))
    return parser


def _add_data_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--symbol", metavar="S", help="symbol to train on (default: TSLA)")
    several = group.add_mutually_exclusive_group()
    several.add_argument("--symbols", metavar="A,B,C", help="train a model of each of these symbols")
    several.add_argument("--symbols-file", metavar="F", help="train a model of each symbol in F, one a line")
    group.add_argument("--pooled", action="store_true", help="one model over all of them, in place of one each")
    group.add_argument("--jobs", type=int, default=1, metavar="N", help="symbols at once (default: 1)")
    group.add_argument("--ray", metavar="ADDRESS", help="train the symbols on the Ray cluster there")
    group.add_argument("--start-date", metavar="D", help="first day, YYYY-MM-DD, New York (default: 2023-01-01)")
    group.add_argument("--end-date", metavar="D", help="last day, YYYY-MM-DD, New York (default: 2024-12-31)")
    add_bars_options(group)
    group.add_argument("--accept-quality", action="store_true", help="train on bars that are judged bad, too")
    group.add_argument("--rv-estimator", metavar="E", help="how variance is made of bars: close (default), medrv ...")


def _add_search_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--config", metavar="F", help="configuration: .py with a TRAINING_CONFIG, .json, .toml or .yaml")
    group.add_argument("--test-from", metavar="D", help="first day of the test part (default: the last 15 %%)")
    group.add_argument("--preset", metavar="P", help="session (default), or colab: the notebook's recipe, bit for bit")
    group.add_argument(
        "--network",
        metavar="N",
        help="har_lstm (default): a HAR refitted daily, corrected by LSTMs; roadmap: one LSTM, searched for",
    )
    group.add_argument(
        "--tuner", metavar="T", help="median (default: random, the worse are stopped), random, bayesian, hyperband"
    )
    group.add_argument("--max-trials", type=int, metavar="N", help="networks to try (default: 20; roadmap)")
    group.add_argument("--max-search-minutes", type=float, metavar="M", help="begin no further trial after M minutes")
    group.add_argument("--epochs", type=int, metavar="N", help="epochs of a network at the most (default: 50)")
    group.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same model (default: 42)")
    group.add_argument("--engine", metavar="E", help="auto (default), fast: the compiled engine, or keras")
    group.add_argument("--workers", type=int, metavar="N", help="processes that train (default: one a core)")
    machines = group.add_mutually_exclusive_group()
    machines.add_argument("--chief", metavar="HOST:PORT", help="let workers of other machines join the search here")
    machines.add_argument(
        "--worker", metavar="HOST:PORT", help="train trials for the chief there, given the same bars and settings"
    )
    resume = group.add_mutually_exclusive_group()
    resume.add_argument(
        "--resume",
        action="store_true",
        default=None,
        help="go on with an interrupted search of the same kind (default)",
    )
    resume.add_argument("--fresh", dest="resume", action="store_false", help="forget an interrupted search")


def _add_output_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--output", metavar="DIR", help="where models go (default: volatility_models/)")
    group.add_argument("--quiet", action="store_true", help="no progress and no summary, only the model's path")
    group.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    group.add_argument(
        "--show-config", action="store_true", help="print every setting and where it comes from, and stop"
    )
