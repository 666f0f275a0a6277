"""Runs the evaluation that `protocol.json` fixes, and prints the figures that the documents quote.

``python studies/run_protocol.py PART --data FOLDER`` with PART one of:

- ``single``: the default training of each file, twice with another seed; intervals; the notebook's recipe beside it
- ``horizons``: longer horizons against a log-HAR fitted on the same horizon
- ``pooled``: one model over the folder of symbols, against each symbol's own log-HAR and a pooled HAR alone
- ``unseen``: the same, judged on symbols that were left out of training
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D, time_index
from volcast.markets.registry import market_named

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from volcast.evaluation.evaluation import evaluate_bundle
from volcast.evaluation.losses import qlike_losses
from volcast.features.intraday import hour_means
from volcast.features.windows import HAR_LAGS, har_terms
from volcast.forecasters.baselines.har import fewest_buckets
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import HORIZONS, Horizon, horizon_outcomes
from volcast.measures.hourly import RV_FLOOR
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.store.bundle import ModelBundle
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

PROTOCOL = json.loads((Path(__file__).parent / "protocol.json").read_text())
NOTEBOOK = {
    "network": "roadmap", "scaling": "minmax", "max_trials": 5, "epochs": 10, "early_stopping_patience": 3,
}  # fmt: skip


def trained(bars: pd.DataFrame, **settings: Any) -> TrainingResult:
    """A training on one symbol's bars, in a store of its own."""
    plan = PROTOCOL["single_symbol"]
    common = {"test_split": plan["test_share"], "validation_split": plan["validation_share"], "accept_quality": True}
    place = tempfile.mkdtemp()
    return LocalLSTMTrainer({**common, "model_save_path": place, **settings}).run_training_pipeline(bars=bars)


def single(data: Path) -> pd.DataFrame:
    """QLIKE of each file's test part relative to the diurnal log-HAR, by seed; coverage; the notebook's recipe."""
    rows = {}
    for name in PROTOCOL["single_symbol"]["files"]:
        bars = pd.read_parquet(data / name)
        first, second = (trained(bars, seed=seed) for seed in PROTOCOL["single_symbol"]["seeds"])
        figures = first.evaluation.metrics["model"]
        notebook = trained(bars, **NOTEBOOK).evaluation.metrics["model"]["qlike"]
        rows[name] = {
            "ratio": figures["qlike_ratio"],
            "p": figures["p_value"],
            "seeds": figures["qlike"] / second.evaluation.metrics["model"]["qlike"] - 1,
            "to_notebook": figures["qlike"] / notebook,
            **coverage(first),
            "seconds": first.seconds,
        }
        print(name, {key: round(value, 4) for key, value in rows[name].items()}, flush=True)
    return pd.DataFrame(rows).T


def coverage(result: TrainingResult) -> dict[str, float]:
    """Share of test buckets inside the interval: all, and in the lowest and highest fifth of the forecast.

    ``winkler`` is the interval score relative to that of bounds at a constant distance from the forecast, the 5 % and
    95 % quantiles of the validation errors.
    """
    data, recipe = result.data, result.bundle.recipe
    assert isinstance(recipe, HarLstm)
    ((name, measures),) = data.measures.items()
    validation, test = data.positions("validation")[name], data.positions("test")[name]
    made = result.bundle.forecast(measures, time_index(measures)[test], test)
    realized = measures["rv_hourly"].to_numpy()
    inside = (realized[test] >= made.lower) & (realized[test] <= made.upper)
    fifth = pd.qcut(made.volatility, 5, labels=False)
    errors = (
        realized[validation]
        - data.recipe.forecast(
            result.bundle.networks, measures, time_index(measures)[validation], validation
        ).volatility
    )
    low, high = np.quantile(errors, [0.05, 0.95])
    constant = winkler(realized[test], np.maximum(made.volatility + low, 0), made.volatility + high)
    return {
        "coverage": inside.mean(),
        "coverage_low": inside[fifth == 0].mean(),
        "coverage_high": inside[fifth == 4].mean(),
        "winkler": winkler(realized[test], made.lower, made.upper) / constant,
    }


def winkler(realized: Float64Array1D, lower: Float64Array1D, upper: Float64Array1D) -> float:
    """Mean interval score at 90 % (Winkler 1972)."""
    missed = np.maximum(lower - realized, 0) + np.maximum(realized - upper, 0)
    return float(np.mean(upper - lower + 2 / 0.1 * missed))


def direct_log_har(measures: pd.DataFrame, positions: Int64Array1D, horizon: Horizon) -> Float64Array1D:
    """The diurnal log-HAR of a longer horizon: fitted on its own outcomes, refitted daily on those that had ended."""
    logs = np.log(np.maximum(measures["rv_hourly"].to_numpy(), RV_FLOOR))
    hours, days, first = (
        market_named("XNYS").hours_of_labels(time_index(measures)),
        market_named("XNYS").days_of_labels(time_index(measures)),
        int(positions[0]),
    )
    outcomes = horizon_outcomes(measures, horizon)
    ended = outcomes.known_with < first
    outcome = np.log(np.maximum(outcomes.volatility, RV_FLOOR))
    profile = hour_means(logs[:first, None], hours[:first], 24)[:, 0]
    ahead = hour_means(outcome[ended][:, None], hours[ended], 24)[:, 0]
    terms = har_terms(logs - profile[hours], HAR_LAGS)
    design = np.column_stack([terms[:-1], hours[1:, None] == np.unique(hours[:first])]).astype(float)
    forecasts = np.empty(len(positions))
    for day in np.unique(days[positions]):
        today = positions[days[positions] == day]
        rows = np.arange(max(HAR_LAGS), int(today[0]))
        rows = rows[outcomes.known_with[rows] < today[0]]
        fitted, target = design[rows - 1], outcome[rows] - ahead[hours[rows]]
        coefficients = np.linalg.lstsq(fitted, target, rcond=None)[0]
        smearing = np.sqrt(np.mean(np.exp(2 * (target - fitted @ coefficients))))
        forecasts[days[positions] == day] = np.exp(design[today - 1] @ coefficients + ahead[hours[today]]) * smearing
    return forecasts


def horizons(data: Path) -> pd.DataFrame:
    """QLIKE of longer horizons relative to `direct_log_har`, on each file's test part."""
    rows: dict[str, dict[str, float]] = {}
    for name in PROTOCOL["single_symbol"]["files"]:
        result = trained(pd.read_parquet(data / name), seed=PROTOCOL["single_symbol"]["seeds"][0], networks=1)
        ((symbol, measures),) = result.data.measures.items()
        rows[name] = {}
        for horizon in list(HORIZONS)[1:]:
            outcomes = horizon_outcomes(measures, horizon)
            positions = result.data.positions("test")[symbol]
            positions = positions[outcomes.known_with[positions] < len(measures)]
            made = result.bundle.forecast(measures, time_index(measures)[positions], positions, horizon)
            plain = direct_log_har(measures, positions, horizon)
            realized = outcomes.volatility[positions]
            ratio = qlike_losses(realized, made.volatility).mean() / qlike_losses(realized, plain).mean()
            rows[name] |= {str(horizon): float(ratio), f"coverage {horizon}": float(
                np.mean((realized >= made.lower) & (realized <= made.upper)))}  # fmt: skip
        print(name, {key: round(value, 4) for key, value in rows[name].items()}, flush=True)
    return pd.DataFrame(rows).T


def pooled_model(data: Path, symbols: list[str]) -> TrainingResult:
    """One model over `symbols`, trained before the cut."""
    plan = PROTOCOL["pooled"]
    settings = {
        "bars_source": "file", "bars_path": str(data / plan["folder"]), "test_from": plan["cut"], "seed": 1,
        "accept_quality": True, "model_save_path": tempfile.mkdtemp(),
    }  # fmt: skip
    return LocalLSTMTrainer({**settings, "symbols": symbols}).run_training_pipeline()


def panel_symbols(data: Path) -> list[str]:
    """Symbols of the pooled folder."""
    return sorted(path.name.split("_")[0] for path in (data / PROTOCOL["pooled"]["folder"]).glob("*.parquet"))


def panel_measures(data: Path) -> dict[str, pd.DataFrame]:
    """Hourly measures of all of them."""
    from volcast.measures.hourly import get_hourly_measures

    folder = data / PROTOCOL["pooled"]["folder"]
    return {
        path.name.split("_")[0]: get_hourly_measures(pd.read_parquet(path)) for path in sorted(folder.glob("*.parquet"))
    }


def judged(bundle: ModelBundle, measures: Mapping[str, pd.DataFrame], symbols: list[str]) -> pd.DataFrame:
    """QLIKE after the cut relative to each symbol's own log-HAR, the pooled regression alone, and the test of both."""
    cut = pd.Timestamp(PROTOCOL["pooled"]["cut"], tz="America/New_York")
    frames = bundle.recipe.with_market(measures)
    begins = {name: int(frames[name].index.searchsorted(cut)) for name in symbols}
    known = {name: begin for name, begin in begins.items() if begin >= fewest_buckets(market_named("XNYS"))}
    positions = {name: np.arange(begin, len(frames[name])) for name, begin in known.items()}
    evaluation = evaluate_bundle(bundle, frames, positions)
    print(evaluation.verdict)
    if evaluation.networks:
        print(f"{evaluation.networks.sentence} p = {evaluation.networks.p_value:.4f}")
    return evaluation.symbol_table()


def pooled(data: Path) -> pd.DataFrame:
    """One model over all symbols."""
    result = pooled_model(data, panel_symbols(data))
    print(f"trained in {result.seconds:.0f} s")
    return judged(result.bundle, panel_measures(data), panel_symbols(data))


def unseen(data: Path) -> pd.DataFrame:
    """The symbols that were left out of training."""
    left_out = PROTOCOL["pooled"]["left_out_symbols"]
    result = pooled_model(data, [name for name in panel_symbols(data) if name not in left_out])
    return judged(result.bundle, panel_measures(data), left_out)


def main() -> None:
    """Run one part and print its table and means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"single": single, "horizons": horizons, "pooled": pooled, "unseen": unseen}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--data", type=Path, required=True, help="folder with the files that protocol.json names")
    options = parser.parse_args()
    load_tensorflow_quietly()
    table = parts[options.part](options.data)
    print(table.round(4).to_string())
    print("mean  ", table.mean().round(4).to_dict())
    print("lowest", table.min().round(4).to_dict())
    print("highest", table.max().round(4).to_dict())


if __name__ == "__main__":
    main()
