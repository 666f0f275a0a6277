"""The command line of `local_training.py`."""

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from volcast import __version__
from volcast.cli.command import command_parser, run_command
from volcast.cli.options import add_bars_options, add_setting, add_settings, settings_given
from volcast.config import TrainingConfig
from volcast.config_sources import ResolvedConfig, resolve_config
from volcast.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from volcast.progress import SilentProgress

__all__ = ["main"]

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

_Job = Callable[[ResolvedConfig, argparse.Namespace, "Console", "Console"], int]


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast train") -> int:
    """Train as the `arguments` say (None: those of the process); returns the exit status."""
    said = "Interrupted; trials that had finished are kept: the same command goes on after them."
    return run_command(_parser(prog), _work, arguments, interrupted=said)


def _work(options: argparse.Namespace, out: "Console", err: "Console") -> int:
    resolved = resolve_config(options.config, os.environ, settings_given(options))
    if options.show_config:
        out.print(resolved.render())
        return 0
    return _job(options)(resolved, options, out, err)


def _job(options: argparse.Namespace) -> _Job:
    several = options.symbols is not None or options.symbols_file is not None
    if options.pooled and not several:
        raise ConfigError("--pooled makes one model over several symbols; name them with --symbols A,B,C.")
    if several:
        return _train if options.pooled else _train_many
    return _train if options.worker is None else _train_trials


def _symbols(options: argparse.Namespace) -> list[str]:
    from volcast.bars.symbols import read_symbols, symbols_in

    if options.symbols_file is not None:
        return read_symbols(options.symbols_file)
    return symbols_in(options.symbols, "--symbols")


def _train(resolved: ResolvedConfig, options: argparse.Namespace, out: "Console", err: "Console") -> int:
    from volcast.networks.tensorflow import load_tensorflow_quietly
    from volcast.progress import progress_for
    from volcast.training.artifacts import kept_out, result_as_dict, summary
    from volcast.training.trainer import LocalLSTMTrainer

    config, silent = resolved.config, options.quiet or options.json
    if options.pooled:
        config = config.with_overrides(symbols=_symbols(options))
    if config.chief is not None and not _is_loopback(config.chief):
        err.print(f"warning: whoever reaches {config.chief} can join the search; open it to a trusted network only.")
    progress = progress_for(err, quiet=silent, minutes=config.max_search_minutes)
    if config.symbols:
        bars = None
        load_tensorflow_quietly()
    else:
        bars = _bars(config, progress, err, silent=silent)
    result = LocalLSTMTrainer(config, progress=progress, ray_address=options.ray).run_training_pipeline(bars=bars)
    if options.json:
        print(json.dumps(result_as_dict(result), indent=2))
    elif options.quiet:
        if not result.serves:
            err.print(f"warning: {kept_out(result.bundle)}")
        out.print(result.bundle.path)
    else:
        out.print(summary(result))
    return 0


def _train_many(resolved: ResolvedConfig, options: argparse.Namespace, out: "Console", err: "Console") -> int:
    """One model for each of several symbols; 1 where one of them failed."""
    from volcast.training.jobs import SymbolOutcome, jobs_as_dict, outcome_table, train_symbols

    symbols = _symbols(options)

    def told(outcome: SymbolOutcome) -> None:
        if not options.quiet and not options.json:
            err.print(f"{outcome.symbol}: {outcome.error or outcome.status}")

    outcomes = train_symbols(resolved.config, symbols, jobs=options.jobs, ray_address=options.ray, on_outcome=told)
    if options.json:
        print(json.dumps(jobs_as_dict(outcomes), indent=2))
    elif not options.quiet:
        out.print(outcome_table(outcomes))
    return int(any(outcome.status == "failed" for outcome in outcomes))


def _train_trials(resolved: ResolvedConfig, options: argparse.Namespace, out: "Console", err: "Console") -> int:
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
        out.print(f"The search is finished; this worker trained {trials} of its trials.")
    return 0


def _bars(config: TrainingConfig, progress: "SilentProgress", err: "Console", *, silent: bool) -> "pd.DataFrame":
    from volcast.configured import bars_of
    from volcast.networks.tensorflow import load_tensorflow_quietly

    # A fetch shows its own progress, and two live displays would not nest.
    fetches = config.effective_source == "alpaca"
    # Bars first: what is wrong with them is said before TensorFlow takes its seconds to load.
    with contextlib.nullcontext() if silent or fetches else err.status(f"Getting bars of {config.symbol}"):
        bars = bars_of(config, progress=progress)
        progress.close()
    with contextlib.nullcontext() if silent else err.status("Loading TensorFlow"):
        load_tensorflow_quietly()
    return bars


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0]
    return host in ("localhost", "[::1]") or host.startswith("127.")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = command_parser(prog, "Train the volatility forecaster on this machine.", _EPILOG)
    parser.add_argument("--version", action="version", version=__version__)
    _add_data_options(parser.add_argument_group("what to train on"))
    _add_search_options(parser.add_argument_group("how to search and train"))
    _add_output_options(parser.add_argument_group("what comes out"))
    return parser


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    add_setting(group, "symbol")
    several = group.add_mutually_exclusive_group()
    several.add_argument("--symbols", metavar="A,B,C", help="train a model of each of these symbols")
    several.add_argument("--symbols-file", metavar="F", help="train a model of each symbol in F, one a line")
    group.add_argument("--pooled", action="store_true", help="one model over all of them, in place of one each")
    add_setting(group, "companions")
    add_settings(group, "nights", "overnight_symbol", "overnight_path", "known_days")
    group.add_argument("--jobs", type=int, default=1, metavar="N", help="symbols at once (default: 1)")
    group.add_argument(
        "--ray", metavar="ADDRESS", help="train the symbols, or the networks of one model, on the Ray cluster there"
    )
    add_settings(group, "start_date", "end_date", "data_frequency")
    add_bars_options(group)
    add_settings(group, "cache_dir", "accept_quality", "rv_estimator")


def _add_search_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--config", metavar="F", help="configuration: .py with a TRAINING_CONFIG, .json, .toml or .yaml")
    add_settings(group, "test_from", "preset", "network", "cell", "tuner", "max_trials", "max_search_minutes", "epochs")
    add_settings(group, "seed", "engine", "workers")
    machines = group.add_mutually_exclusive_group()
    add_setting(machines, "chief")
    machines.add_argument(
        "--worker", metavar="HOST:PORT", help="train trials for the chief there, given the same bars and settings"
    )
    resume = group.add_mutually_exclusive_group()
    add_setting(resume, "resume")
    resume.add_argument("--fresh", dest="resume", action="store_false", help="forget an interrupted search")


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    add_setting(group, "model_save_path")
    add_setting(group, "accept_verdict")
    group.add_argument("--quiet", action="store_true", help="no progress and no summary, only the model's path")
    group.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    group.add_argument(
        "--show-config", action="store_true", help="print every setting and where it comes from, and stop"
    )
