"""The command ``volcast evaluate``: a saved model judged on bars that it has not seen."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volcast.cli.command import command_parser, run_command
from volcast.cli.options import add_setting, add_settings, settings_given
from volcast.config import TRAINING_CONFIG
from volcast.config_sources import resolve_config
from volcast.counts import counted
from volcast.errors import (
    ConfigError,
    ModelNotFoundError,
    NotEnoughDataError,
    StoreError,
)
from volcast.files import write_whole

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from volcast.evaluation.evaluation import Evaluation
    from volcast.store.bundle import ModelBundle

__all__ = ["main"]

_EPILOG = """\
a model is judged on the buckets after the last that it has seen, beside every baseline, GARCH included; one of
many symbols on each of them, beside the symbol's own baselines and its own regression alone. A table beside it judges
total volatility, from close to close, over 1, 5, 10 and 22 sessions.

exit status: 0 judged (whatever the verdict), 1 failed, 2 wrong use, 130 or 143 interrupted

examples:
  volcast evaluate --bars spy_since.parquet
  volcast evaluate --model SPY-20260319-120000-000 --bars spy_since.parquet --html verdict.html
  volcast evaluate --model pooled-24-20260319-120000-000 --bars folder_since --symbols SPY,QQQ,AAPL
"""


_EVERY_DAY = {name: TRAINING_CONFIG[name] for name in ("start_date", "end_date")}


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast evaluate") -> int:
    """Judge as the `arguments` say (None: those of the process); returns the exit status."""
    return run_command(_parser(prog), _judge, arguments, interrupted="Interrupted; nothing was written.")


@dataclass(frozen=True)
class _Judged:
    """An evaluation, and what there is to say of it: `subject` is whose bars, `about` sentences."""

    evaluation: "Evaluation"
    subject: str
    about: list[str]
    simulated: bool


def _judge(options: argparse.Namespace, out: "Console", err: "Console") -> int:
    from volcast.evaluation.report.terminal import evaluation_tables

    bundle = _load(options)
    judged = _judged(bundle, _symbols(bundle, options), options)
    if options.html is not None:
        _write_page(Path(options.html), judged, f"{bundle.name} on bars of {judged.subject}")
    if options.json:
        head = {
            "model": bundle.name, "symbol": judged.subject, "simulated": judged.simulated, "about": judged.about,
        }  # fmt: skip
        print(json.dumps({**head, **judged.evaluation.to_dict()}, indent=2))
        return 0
    if judged.simulated:
        out.print("SIMULATED bars: this shows how things work and says nothing of any market.", style="bold")
    for sentence in judged.about:
        out.print(sentence)
    out.print(evaluation_tables(judged.evaluation))
    if options.html is not None:
        out.print(f"\nThe page with pictures lies in {options.html}")
    return 0


def _symbols(bundle: "ModelBundle", options: argparse.Namespace) -> list[str]:
    """The symbols to judge a model on: those asked for, or else those that it learnt from."""
    from volcast.bars.symbols import symbols_in

    many = len(bundle.symbols) > 1
    if many and options.one_symbol is not None:
        raise ConfigError(f"{bundle.name} forecasts many symbols; --symbol is for a model of one; give --symbols.")
    if not many and options.symbols is not None:
        raise ConfigError(f"{bundle.name} forecasts one symbol; --symbols is for a model of many; give --symbol.")
    if options.symbols is not None:
        return symbols_in(options.symbols, "--symbols")
    return [options.one_symbol] if options.one_symbol is not None else list(bundle.symbols) or [bundle.config.symbol]


@dataclass(frozen=True)
class _Panel:
    """Hourly measures of the symbols to judge on, and what is known of their bars: attributes and counts."""

    measures: dict[str, "pd.DataFrame"]
    attrs: dict[str, dict[Any, Any]]
    counts: dict[str, int]
    failed: dict[str, str]
    accepted: list[str]


def _panel(bundle: "ModelBundle", symbols: list[str], options: argparse.Namespace) -> _Panel:
    from volcast.bars.quality import assess_quality, require_acceptable
    from volcast.bars.symbols import for_each_symbol
    from volcast.configured import measures_of

    attrs, counts, accepted = {}, {}, []
    accept = bundle.config.with_overrides(**settings_given(options)).accept_quality
    overnight = _overnight_bars(bundle, options)

    def measured(symbol: str) -> "pd.DataFrame":
        bars = _bars(bundle, symbol, options)
        quality = assess_quality(bars, symbol, market=bundle.config.effective_market)
        accepted.extend(require_acceptable(quality, accept=accept))
        attrs[symbol], counts[symbol] = bars.attrs, len(bars)
        return measures_of(bundle.config, bars, overnight)

    if len(bundle.symbols) > 1:
        measures, failed = for_each_symbol(measured, symbols)
    else:
        measures, failed = {symbols[0]: measured(symbols[0])}, {}
    return _Panel(bundle.recipe.with_market(measures), attrs, counts, failed, accepted)


def _judged(bundle: "ModelBundle", symbols: list[str], options: argparse.Namespace) -> _Judged:
    from volcast.evaluation.evaluation import FEWEST_JUDGED, evaluate_bundle, unseen_rows
    from volcast.forecasters.baselines.registry import ALL_BASELINES, BASELINES
    from volcast.forecasters.total.baselines import ALL_TOTAL_BASELINES, TOTAL_BASELINES

    panel = _panel(bundle, symbols, options)
    measures, many = panel.measures, len(panel.measures) > 1
    positions = {
        name: unseen_rows(bundle, frame, allow_in_sample=options.allow_in_sample) for name, frame in measures.items()
    }
    if not any(map(len, positions.values())):
        last = max(frame.index[-1] for frame in measures.values())
        raise _nothing_to_judge(bundle, f"the last bucket ends at {last}")
    beside = (BASELINES, TOTAL_BASELINES) if many else (ALL_BASELINES, ALL_TOTAL_BASELINES)
    evaluation = evaluate_bundle(bundle, measures, positions, *beside)
    if not evaluation.buckets:
        raise _nothing_to_judge(
            bundle, f"of {counted(len(measures), 'symbol')} none has {FEWEST_JUDGED} buckets to judge"
        )
    sources = {str(attrs.get("detail") or attrs.get("source")): None for attrs in panel.attrs.values()}
    names = [str(panel.attrs[name].get("symbol", "an unnamed symbol")) for name in measures]
    judged_on = (
        f"{counted(sum(panel.counts[name] for name in measures), 'bar')} of {', '.join(names)} ({', '.join(sources)})"
    )
    about = [*_about(bundle, judged_on, options.allow_in_sample), *panel.accepted]
    few = [name for name in measures if many and name not in evaluation.symbols]
    if few:
        about.append(f"Not judged, for under {FEWEST_JUDGED} buckets or too little history: {', '.join(few)}.")
    about += [f"Not judged: {name}: {reason}" for name, reason in panel.failed.items()]
    simulated = bundle.simulated or any(attrs.get("simulated") for attrs in panel.attrs.values())
    return _Judged(evaluation, counted(len(evaluation.symbols), "symbol") if many else names[0], about, bool(simulated))


def _load(options: argparse.Namespace) -> "ModelBundle":
    from volcast.store.colab import colab_bundle
    from volcast.store.store import ModelStore

    if options.model is not None and options.model.endswith(".h5"):
        from volcast.networks.tensorflow import load_tensorflow_quietly

        load_tensorflow_quietly()
        return colab_bundle(Path(options.model)).for_serving()
    store = ModelStore(resolve_config(None, os.environ, settings_given(options)).config.model_save_path)
    name = options.model or store.serving()
    if name is None:
        raise ModelNotFoundError(
            f"there is no model in {store.path}; one must be trained first; python local_training.py does."
        )
    return store.load(name)


def _bars(bundle: "ModelBundle", symbol: str, options: argparse.Namespace) -> "pd.DataFrame":
    """One symbol's bars: the whole file's, or else those that the model's own configuration asks for."""
    from volcast.configured import bars_of

    config = bundle.config.with_overrides(**settings_given(options), symbol=symbol)
    if config.effective_source == "file":
        config = config.with_overrides(**_EVERY_DAY)
    return bars_of(config, symbol)


def _overnight_bars(bundle: "ModelBundle", options: argparse.Namespace) -> "pd.DataFrame | None":
    """The bars that tell of nights, where the model looks at another symbol's."""
    from volcast.configured import overnight_bars_of

    config = bundle.config.with_overrides(**settings_given(options))
    if config.overnight_path is not None or config.effective_source == "file":
        config = config.with_overrides(**_EVERY_DAY)
    return overnight_bars_of(config, config.overnight_symbol)


def _nothing_to_judge(bundle: "ModelBundle", shortage: str) -> NotEnoughDataError:
    return NotEnoughDataError(
        f"{shortage}; {bundle.name} has seen data through {bundle.trained_through} and needs {bundle.memory} buckets "
        "before its first forecast, so there is nothing to judge; give bars that go on for longer, or judge "
        "what it has seen with --allow-in-sample."
    )


def _about(bundle: "ModelBundle", judged_on: str, allow_in_sample: bool) -> list[str]:
    symbols, seen = bundle.symbols, bundle.trained_through
    trained_on = (
        f"{len(symbols)} symbols" if len(symbols) > 1 else "".join(symbols) or "a symbol that nobody wrote down"
    )
    clock = bundle.config.effective_market.clock.title
    through = "" if seen is None else f", through {seen:%Y-%m-%d %H:%M} {clock}"
    said = [f"{bundle.name}, trained on {trained_on}{through}; judged on {judged_on}."]
    if allow_in_sample:
        said.append("IN SAMPLE: the model may have seen buckets that it is judged on, so it looks better than it is.")
    return said


def _write_page(path: Path, judged: _Judged, title: str) -> None:
    from volcast.evaluation.report.page import evaluation_page

    page = evaluation_page(judged.evaluation, title=title, about=judged.about, simulated=judged.simulated)
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); its folder must be there and writable; give another --html."
        ) from error


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = command_parser(prog, "Judge a saved model on bars that it has not seen.", _EPILOG)
    parser.add_argument(
        "--model",
        metavar="M",
        help="a saved model's name or directory, or the .h5 of a Colab pair (default: who serves)",
    )
    add_setting(parser, "model_save_path", "--models")
    add_settings(parser, "bars_path", "bars_timezone", "overnight_path", "accept_quality")
    parser.add_argument(
        "--symbol", metavar="S", dest="one_symbol", help="which symbol of the bars (default: the model's)"
    )
    parser.add_argument("--symbols", metavar="A,B,C", help="which, for a model of many (default: those it learnt from)")
    parser.add_argument("--allow-in-sample", action="store_true", help="judge what the model has already seen, too")
    parser.add_argument("--json", action="store_true", help="the evaluation as JSON on standard output")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures")
    return parser
