"""The command line of `forecast_evaluation.py`: a saved model judged on bars that it has not seen."""

import argparse
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from errors import ConfigError, LookAheadError, ModelNotFoundError, NotEnoughDataError, StoreError, VolatilityError

if TYPE_CHECKING:
    import pandas as pd

    from forecast_evaluation import Evaluation
    from model_bundle import ModelBundle

__all__ = ["main"]

_FEWEST_JUDGED = 70

_EPILOG = """\
a model is judged on the hourly buckets after the last that it has seen, beside every baseline, GARCH included.

exit status: 0 judged (whatever the verdict), 1 failed, 2 wrong use, 130 interrupted

examples:
  python forecast_evaluation.py --bars spy_since.parquet
  python forecast_evaluation.py --model SPY-20260319-120000-000 --bars spy_since.parquet --html verdict.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge as the `arguments` say (None: those of the process); returns the exit status."""
    options = _parser().parse_args(arguments)
    out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    try:
        _judge(options, out)
    except VolatilityError as error:
        return _failed(str(error), 2 if isinstance(error, ConfigError) else 1, options, err)
    except KeyboardInterrupt:
        return _failed("Interrupted; nothing was written.", 130, options, err)
    return 0


def _judge(options: argparse.Namespace, out: Console) -> None:
    from evaluation_report import evaluation_tables

    bundle = _load(options)
    bars = _bars(bundle, options)
    evaluation = _evaluate(bundle, bars, options.allow_in_sample)
    about = _about(bundle, bars, options.allow_in_sample)
    simulated = bundle.simulated or bool(bars.attrs.get("simulated"))
    if options.html is not None:
        _write_page(Path(options.html), evaluation, f"{bundle.name} on bars of {_symbol(bars)}", about, simulated)
    if options.json:
        head = {"model": bundle.name, "symbol": _symbol(bars), "simulated": simulated, "about": about}
        print(json.dumps({**head, **evaluation.to_dict()}, indent=2))
        return
    if simulated:
        out.print("SIMULATED bars: this shows how things work and says nothing of any market.", style="bold")
    for sentence in about:
        out.print(sentence, highlight=False, markup=False)
    out.print(evaluation_tables(evaluation), highlight=False)
    if options.html is not None:
        out.print(f"\nThe page with pictures lies in {options.html}", highlight=False, markup=False)


def _load(options: argparse.Namespace) -> "ModelBundle":
    from model_store import ModelStore, colab_bundle

    if options.model is not None and options.model.endswith(".h5"):
        from quiet_tensorflow import load_tensorflow_quietly

        load_tensorflow_quietly()
        return colab_bundle(Path(options.model)).for_serving()
    store = ModelStore(options.models)
    name = options.model or store.serving()
    if name is None:
        raise ModelNotFoundError(
            f"there is no model in {options.models}; one must be trained first; python local_training.py does."
        )
    return store.load(name)


def _bars(bundle: "ModelBundle", options: argparse.Namespace) -> "pd.DataFrame":
    """One symbol's bars: the file's, or else those that the model's own configuration asks for."""
    from data_handler import DataHandler

    symbol = options.symbol or bundle.manifest.get("symbol") or bundle.config.symbol
    config = bundle.config
    if options.bars is not None:
        zone = options.bars_timezone or config.bars_timezone
        config = config.with_overrides(bars_source="file", bars_path=options.bars, bars_timezone=zone)
    span = (None, None) if config.effective_source == "file" else config.requested_span
    return DataHandler.from_config(config).get_stock_bars(symbol, *span, timeframe=config.data_frequency)


def _evaluate(bundle: "ModelBundle", bars: "pd.DataFrame", allow_in_sample: bool) -> "Evaluation":
    import numpy as np
    import pandas as pd

    from bundle_evaluation import evaluate_bundle
    from hourly_measures import get_hourly_measures
    from volatility_baselines import ALL_BASELINES

    config = bundle.config
    measures = get_hourly_measures(
        bars,
        bundle.preset,
        min_bucket_coverage=config.min_bucket_coverage,
        calendar=config.calendar,
        estimator=config.rv_estimator,
    )
    positions = np.arange(_first_with_history(bundle, measures), len(measures))
    if not allow_in_sample:
        # A bucket is an hour long at the most.
        positions = positions[measures.index[positions] - pd.Timedelta(hours=1) >= _seen_through(bundle)]
    if not len(positions):
        raise NotEnoughDataError(
            f"the bars end at {bars.index[-1]}; {bundle.name} has seen data through {bundle.trained_through} and needs "
            f"{bundle.memory} hourly buckets before its first forecast, so there is nothing to judge; give bars that "
            "go on for longer, or judge what it has seen with --allow-in-sample."
        )
    return evaluate_bundle(bundle, measures, positions, ALL_BASELINES)


def _first_with_history(bundle: "ModelBundle", measures: "pd.DataFrame") -> int:
    """The first row that the log-HAR can forecast, too; where that leaves next to nothing, that the model can."""
    from har_baselines import FEWEST_BUCKETS
    from volatility_features import RV_FLOOR

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


def _about(bundle: "ModelBundle", bars: "pd.DataFrame", allow_in_sample: bool) -> list[str]:
    trained_on, seen = bundle.manifest.get("symbol", "a symbol that nobody wrote down"), bundle.trained_through
    through = "" if seen is None else f", through {seen:%Y-%m-%d %H:%M} New York time"
    judged_on = (
        f"judged on {len(bars):,} bars of {_symbol(bars)} ({bars.attrs.get('detail') or bars.attrs.get('source')})"
    )
    said = [f"{bundle.name}, trained on {trained_on}{through}; {judged_on}."]
    if allow_in_sample:
        said.append("IN SAMPLE: the model may have seen buckets that it is judged on, so it looks better than it is.")
    return said


def _symbol(bars: "pd.DataFrame") -> str:
    return str(bars.attrs.get("symbol", "an unnamed symbol"))


def _write_page(path: Path, evaluation: "Evaluation", title: str, about: list[str], simulated: bool) -> None:
    from evaluation_page import evaluation_page

    page = evaluation_page(evaluation, title=title, about=about, simulated=simulated)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forecast_evaluation.py",
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
    parser.add_argument("--bars", metavar="FILE", help="CSV or Parquet of bars (default: the model's own source)")
    parser.add_argument("--bars-timezone", metavar="ZONE", help="time zone of FILE's stamps where they carry none")
    parser.add_argument("--symbol", metavar="S", help="which symbol of the bars (default: the model's)")
    parser.add_argument("--allow-in-sample", action="store_true", help="judge what the model has already seen, too")
    parser.add_argument("--json", action="store_true", help="the evaluation as JSON on standard output")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures")
    return parser
