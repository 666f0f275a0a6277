"""The command ``volcast evaluate``: a saved model judged on bars that it has not seen."""

import argparse
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from volcast.errors import (
    ConfigError,
    LookAheadError,
    ModelNotFoundError,
    NotEnoughDataError,
    StoreError,
    VolatilityError,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from rich.console import RenderableType

    from volcast.evaluation.evaluation import Evaluation
    from volcast.evaluation.pooled import PooledEvaluation
    from volcast.forecasters.har_lstm.pooled import PooledHarLstm
    from volcast.store.bundle import ModelBundle

__all__ = ["main"]

_FEWEST_JUDGED = 70

_EPILOG = """\
a model is judged on the hourly buckets after the last that it has seen, beside every baseline, GARCH included; one of
many symbols on each of them, beside the symbol's own baselines and its own regression alone.

exit status: 0 judged (whatever the verdict), 1 failed, 2 wrong use, 130 interrupted

examples:
  volcast evaluate --bars spy_since.parquet
  volcast evaluate --model SPY-20260319-120000-000 --bars spy_since.parquet --html verdict.html
  volcast evaluate --model pooled-24-20260319-120000-000 --bars folder_since --symbols SPY,QQQ,AAPL
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "volcast evaluate") -> int:
    """Judge as the `arguments` say (None: those of the process); returns the exit status."""
    options = _parser(prog).parse_args(arguments)
    out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    try:
        _judge(options, out)
    except VolatilityError as error:
        return _failed(str(error), 2 if isinstance(error, ConfigError) else 1, options, err)
    except KeyboardInterrupt:
        return _failed("Interrupted; nothing was written.", 130, options, err)
    return 0


@dataclass(frozen=True)
class _Judged:
    """An evaluation, and what there is to say of it: `subject` is whose bars, `about` sentences."""

    evaluation: "Evaluation | PooledEvaluation"
    subject: str
    about: list[str]
    simulated: bool


def _judge(options: argparse.Namespace, out: Console) -> None:
    from volcast.forecasters.har_lstm.pooled import PooledHarLstm

    bundle = _load(options)
    if isinstance(bundle.recipe, PooledHarLstm):
        judged = _judge_pooled(bundle, bundle.recipe, options)
    elif options.symbols is not None:
        raise ConfigError(f"{bundle.name} forecasts one symbol; --symbols is for a model of many; give --symbol.")
    else:
        judged = _judge_one(bundle, options)
    if options.html is not None:
        _write_page(Path(options.html), judged, f"{bundle.name} on bars of {judged.subject}")
    if options.json:
        head = {
            "model": bundle.name, "symbol": judged.subject, "simulated": judged.simulated, "about": judged.about,
        }  # fmt: skip
        print(json.dumps({**head, **judged.evaluation.to_dict()}, indent=2))
        return
    if judged.simulated:
        out.print("SIMULATED bars: this shows how things work and says nothing of any market.", style="bold")
    for sentence in judged.about:
        out.print(sentence, highlight=False, markup=False)
    out.print(_tables(judged.evaluation), highlight=False)
    if options.html is not None:
        out.print(f"\nThe page with pictures lies in {options.html}", highlight=False, markup=False)


def _judge_one(bundle: "ModelBundle", options: argparse.Namespace) -> _Judged:
    from volcast.evaluation.bundles import evaluate_bundle
    from volcast.forecasters.baselines.registry import ALL_BASELINES

    bars = _bars(bundle, options.symbol or bundle.manifest.get("symbol") or bundle.config.symbol, options)
    measures = _measures(bundle, bars)
    positions = _unseen(bundle, measures, options.allow_in_sample)
    if not len(positions):
        raise _nothing_to_judge(bundle, f"the bars end at {bars.index[-1]}")
    evaluation = evaluate_bundle(bundle, measures, positions, ALL_BASELINES)
    symbol = str(bars.attrs.get("symbol", "an unnamed symbol"))
    trained_on = bundle.manifest.get("symbol", "a symbol that nobody wrote down")
    judged_on = f"{len(bars):,} bars of {symbol} ({bars.attrs.get('detail') or bars.attrs.get('source')})"
    about = _about(bundle, trained_on, judged_on, options.allow_in_sample)
    return _Judged(evaluation, symbol, about, bundle.simulated or bool(bars.attrs.get("simulated")))


def _judge_pooled(bundle: "ModelBundle", recipe: "PooledHarLstm", options: argparse.Namespace) -> _Judged:
    from volcast.bars.symbols import for_each_symbol
    from volcast.evaluation.pooled import FEWEST_JUDGED, evaluate_pooled
    from volcast.training.jobs import symbols_in

    if options.symbol is not None:
        raise ConfigError(f"{bundle.name} forecasts many symbols; --symbol is for a model of one; give --symbols.")
    trained_on = list(recipe.symbols)
    symbols = trained_on if options.symbols is None else symbols_in(options.symbols, "--symbols")
    simulated, counts = {}, {}

    def measured(symbol: str) -> "pd.DataFrame":
        bars = _bars(bundle, symbol, options)
        simulated[symbol], counts[symbol] = bool(bars.attrs.get("simulated")), len(bars)
        return _measures(bundle, bars)

    measures, failed = for_each_symbol(measured, symbols)
    frames = recipe.with_market(measures)
    positions = {name: _unseen(bundle, frame, options.allow_in_sample) for name, frame in frames.items()}
    evaluation = evaluate_pooled(bundle, frames, positions)
    if not evaluation.symbols:
        raise _nothing_to_judge(bundle, f"of {len(measures)} symbols none has {FEWEST_JUDGED} buckets to judge")
    subject = f"{len(evaluation.symbols)} symbols"
    judged_on = f"{sum(counts[name] for name in measures):,} bars of {', '.join(sorted(measures))}"
    about = _about(bundle, f"{len(trained_on)} symbols", judged_on, options.allow_in_sample)
    few = [name for name in measures if name not in evaluation.symbols]
    if few:
        about.append(f"Not judged, for under {FEWEST_JUDGED} buckets or too little history: {', '.join(few)}.")
    about += [f"Not judged: {name}: {reason}" for name, reason in failed.items()]
    return _Judged(evaluation, subject, about, bundle.simulated or any(simulated.values()))


def _tables(evaluation: "Evaluation | PooledEvaluation") -> "RenderableType":
    from volcast.evaluation.pooled import PooledEvaluation
    from volcast.evaluation.report.terminal import evaluation_tables, pooled_tables

    return pooled_tables(evaluation) if isinstance(evaluation, PooledEvaluation) else evaluation_tables(evaluation)


def _load(options: argparse.Namespace) -> "ModelBundle":
    from volcast.store.colab import colab_bundle
    from volcast.store.store import ModelStore

    if options.model is not None and options.model.endswith(".h5"):
        from volcast.networks.tensorflow import load_tensorflow_quietly

        load_tensorflow_quietly()
        return colab_bundle(Path(options.model)).for_serving()
    store = ModelStore(options.models)
    name = options.model or store.serving()
    if name is None:
        raise ModelNotFoundError(
            f"there is no model in {options.models}; one must be trained first; python local_training.py does."
        )
    return store.load(name)


def _bars(bundle: "ModelBundle", symbol: str, options: argparse.Namespace) -> "pd.DataFrame":
    """One symbol's bars: the file's, or else those that the model's own configuration asks for."""
    from volcast.bars.handler import DataHandler

    config = bundle.config
    if options.bars is not None:
        zone = options.bars_timezone or config.bars_timezone
        config = config.with_overrides(bars_source="file", bars_path=options.bars, bars_timezone=zone)
    span = (None, None) if config.effective_source == "file" else config.requested_span
    return DataHandler.from_config(config).get_stock_bars(symbol, *span, timeframe=config.data_frequency)


def _measures(bundle: "ModelBundle", bars: "pd.DataFrame") -> "pd.DataFrame":
    from volcast.measures.bucketed import get_hourly_measures

    config = bundle.config
    return get_hourly_measures(
        bars,
        bundle.preset,
        min_bucket_coverage=config.min_bucket_coverage,
        calendar=config.calendar,
        estimator=config.rv_estimator,
    )


def _unseen(bundle: "ModelBundle", measures: "pd.DataFrame", allow_in_sample: bool) -> "npt.NDArray[np.int64]":
    """Rows to judge: with history, and after the last bucket that the model has seen."""
    import numpy as np
    import pandas as pd

    positions = np.arange(_first_with_history(bundle, measures), len(measures))
    if not allow_in_sample:
        # A bucket is an hour long at the most.
        positions = positions[measures.index[positions] - pd.Timedelta(hours=1) >= _seen_through(bundle)]
    return positions


def _nothing_to_judge(bundle: "ModelBundle", found: str) -> NotEnoughDataError:
    return NotEnoughDataError(
        f"{found}; {bundle.name} has seen data through {bundle.trained_through} and needs {bundle.memory} hourly "
        "buckets before its first forecast, so there is nothing to judge; give bars that go on for longer, or judge "
        "what it has seen with --allow-in-sample."
    )


def _first_with_history(bundle: "ModelBundle", measures: "pd.DataFrame") -> int:
    """The first row that the log-HAR can forecast, too; where that leaves next to nothing, that the model can."""
    from volcast.forecasters.baselines.har import FEWEST_BUCKETS
    from volcast.measures.hourly import RV_FLOOR

    moved = (measures["rv_hourly"].to_numpy() > RV_FLOOR).cumsum()
    fit = max(int(moved.searchsorted(FEWEST_BUCKETS)) + 1, bundle.memory)
    return fit if len(measures) - fit >= _FEWEST_JUDGED else min(bundle.memory, len(measures))


def _seen_through(bundle: "ModelBundle") -> "pd.Timestamp":
    if bundle.trained_through is None:
        raise LookAheadError(
            f"nobody wrote down what data {bundle.name} has seen; forecasts are judged on what comes after it; "
            "say with --allow-in-sample that it may have seen these bars."
        )
    return bundle.trained_through


def _about(bundle: "ModelBundle", trained_on: str, judged_on: str, allow_in_sample: bool) -> list[str]:
    seen = bundle.trained_through
    through = "" if seen is None else f", through {seen:%Y-%m-%d %H:%M} New York time"
    said = [f"{bundle.name}, trained on {trained_on}{through}; judged on {judged_on}."]
    if allow_in_sample:
        said.append("IN SAMPLE: the model may have seen buckets that it is judged on, so it looks better than it is.")
    return said


def _write_page(path: Path, judged: _Judged, title: str) -> None:
    from volcast.evaluation.pooled import PooledEvaluation
    from volcast.evaluation.report.page import evaluation_page, pooled_evaluation_page

    evaluation = judged.evaluation
    if isinstance(evaluation, PooledEvaluation):
        page = pooled_evaluation_page(evaluation, title=title, about=judged.about, simulated=judged.simulated)
    else:
        page = evaluation_page(evaluation, title=title, about=judged.about, simulated=judged.simulated)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.write_text(page, encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); its folder must be there and writable; give another --html."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _failed(sentence: str, status: int, options: argparse.Namespace, err: Console) -> int:
    if options.json:
        print(json.dumps({"error": sentence, "exit_status": status}))
    err.print(("" if status == 130 else "error: ") + sentence, highlight=False, markup=False)
    return status


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Judge a saved model on bars that it has not seen.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        metavar="M",
        help="a saved model's name or directory, or the .h5 of a Colab pair (default: who serves)",
    )
    parser.add_argument("--models", metavar="DIR", default="volatility_models", help="where models are")
    parser.add_argument("--bars", metavar="PATH", help="file or folder of bars (default: the model's own source)")
    parser.add_argument("--bars-timezone", metavar="ZONE", help="time zone of FILE's stamps where they carry none")
    parser.add_argument("--symbol", metavar="S", help="which symbol of the bars (default: the model's)")
    parser.add_argument("--symbols", metavar="A,B,C", help="which, for a model of many (default: those it learnt from)")
    parser.add_argument("--allow-in-sample", action="store_true", help="judge what the model has already seen, too")
    parser.add_argument("--json", action="store_true", help="the evaluation as JSON on standard output")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures")
    return parser
