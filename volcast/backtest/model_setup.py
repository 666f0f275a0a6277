"""What the dialogue does with models: trains one and lets the gate judge it, or judges one on other dates."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd
from rich.text import Text

from volcast.backtest.interview import Interview
from volcast.backtest.report import figures_table
from volcast.bars.quality import assess_quality
from volcast.config import TrainingConfig
from volcast.configured import handler_of, measures_of, overnight_bars_of
from volcast.errors import ConfigError, NotEnoughDataError, VolatilityError, describe_os_error
from volcast.evaluation.evaluation import evaluate_bundle, unseen_rows
from volcast.evaluation.report.terminal import evaluation_tables
from volcast.forecaster import FALLBACK, VolatilityForecaster
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.progress import progress_for
from volcast.retraining.gate import judge
from volcast.retraining.policy import RetrainingPolicy
from volcast.serving.served_model import ServedModel
from volcast.store.bundle import CONDEMNED
from volcast.store.serving_log import HistoryEntry
from volcast.store.store import ModelStore
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

__all__ = ["train_and_judge", "validate_model"]


def train_and_judge(interview: Interview, config: TrainingConfig, bars: pd.DataFrame) -> VolatilityForecaster:
    """A forecaster with the model trained on `bars`, if the gate lets it, or else with what served before.

    A model whose verdict is "do not use" serves only where the person says so.
    """
    before = _serving_forecaster(interview, config)
    result = interview.once(lambda: _trained(interview, config, bars))
    if result is None:
        interview.say(f"{before.model_info()['version']} goes on serving.", "bold")
        return before
    if result.bundle.is_condemned and not config.accept_verdict:
        if interview.confirm("condemned", f"The verdict on {result.bundle.name} is not to use it. Use it all the same"):
            return interview.once(lambda: _swapped(interview, config, before, result, f"chosen, although {CONDEMNED}"))
        return interview.once(lambda: _kept_out(interview, config, before, result, CONDEMNED))
    return interview.once(lambda: _through_the_gate(interview, config, before, result, bars))


def validate_model(
    interview: Interview,
    config: TrainingConfig,
    forecaster: VolatilityForecaster,
    span: tuple[date | None, date | None],
) -> None:
    """Judge the forecaster's model on bars of other dates that it has not seen, beside the baselines.

    Raises
    ------
    NotEnoughDataError
        It has seen all of them, or too little comes before them.
    """
    version = forecaster.model_info()["version"]
    if version == FALLBACK:
        raise ConfigError(f"{FALLBACK} is no model; only a saved model can be validated; choose one.")
    bundle = ModelStore(config.model_save_path).load(forecaster.model_info()["path"])
    if len(bundle.symbols) > 1:
        raise ConfigError(f"{version} is a model of many symbols; volcast evaluate judges these; choose another here.")
    bars = handler_of(config).get_stock_bars(config.symbol, *span, timeframe=config.data_frequency)
    days = {name: day for name, day in zip(("start_date", "end_date"), span, strict=True) if day is not None}
    overnight = overnight_bars_of(config.with_overrides(**days), bundle.config.overnight_symbol)
    measures = measures_of(bundle.config, bars, overnight)
    rows = unseen_rows(bundle, measures)
    if not len(rows):
        raise NotEnoughDataError(
            f"{version} has seen data through {bundle.trained_through} and needs {bundle.memory} hourly buckets before "
            "its first forecast, so there is nothing to judge; give later days."
        )
    evaluation = evaluate_bundle(bundle, {config.symbol: measures}, {config.symbol: rows})
    interview.console.print(evaluation_tables(evaluation))


def _trained(interview: Interview, config: TrainingConfig, bars: pd.DataFrame) -> TrainingResult | None:
    """What the training left, not yet serving; None where it failed, which is said."""
    for finding in assess_quality(bars, config.symbol, market=config.effective_market).findings:
        interview.say(finding.sentence, "red" if finding.level == "bad" else None)
    with interview.console.status("Loading TensorFlow"):
        load_tensorflow_quietly()
    trainer = LocalLSTMTrainer(config, progress=progress_for(interview.console, quiet=False))
    try:
        result = trainer.run_training_pipeline(bars=bars, promote=False)
    except (VolatilityError, OSError) as error:
        reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
        interview.say(f"There is no new model: {reason}")
        return None
    interview.console.print(Text(f"Saved in {result.bundle.path}"), soft_wrap=True)
    return result


def _through_the_gate(
    interview: Interview,
    config: TrainingConfig,
    before: VolatilityForecaster,
    result: TrainingResult,
    bars: pd.DataFrame,
) -> VolatilityForecaster:
    """The same gate as a retraining on schedule goes through."""
    store = ModelStore(config.model_save_path)
    info = before.model_info()
    champion = None if info["is_fallback"] else ServedModel.of(store.load(info["path"]), config)
    challenger = ServedModel.of(result.bundle, config)
    of_champion = None if champion is None else champion.overnight_symbol
    decision = judge(
        champion,
        challenger,
        bars,
        RetrainingPolicy(),
        config.symbol,
        accept_verdict=config.accept_verdict,
        overnight_bars=overnight_bars_of(config, challenger.overnight_symbol or of_champion),
    )
    if decision.promote:
        return _swapped(interview, config, before, result, decision.reason)
    return _kept_out(interview, config, before, result, decision.reason)


def _swapped(
    interview: Interview, config: TrainingConfig, before: VolatilityForecaster, result: TrainingResult, reason: str
) -> VolatilityForecaster:
    name, old = result.bundle.name, before.model_info()
    ModelStore(config.model_save_path).promote(name, reason)
    after = VolatilityForecaster(name, config)
    _show_figures(interview, old, after, result)
    interview.say(f"{name} serves from now on, in place of {old['version']} ({reason}).", "bold")
    return after


def _kept_out(
    interview: Interview, config: TrainingConfig, before: VolatilityForecaster, result: TrainingResult, reason: str
) -> VolatilityForecaster:
    ModelStore(config.model_save_path).record(HistoryEntry.now(result.bundle.name, "kept out", reason))
    version = before.model_info()["version"]
    _say_verdict(interview, result)
    interview.say(f"{result.bundle.name} does not serve: {reason}.")
    interview.say(f"{version} goes on serving.", "bold")
    return before


def _show_figures(
    interview: Interview, old: Mapping[str, Any], after: VolatilityForecaster, result: TrainingResult
) -> None:
    interview.console.print(figures_table(old, after.model_info()), soft_wrap=True)
    _say_verdict(interview, result)


def _say_verdict(interview: Interview, result: TrainingResult) -> None:
    if networks := result.evaluation.networks:
        interview.say(networks.sentence)
    interview.say(result.evaluation.verdict)


def _serving_forecaster(interview: Interview, config: TrainingConfig) -> VolatilityForecaster:
    def load() -> VolatilityForecaster:
        try:
            return VolatilityForecaster(None, config)
        except VolatilityError as error:
            interview.say(f"{error} Until the new model is trained, {FALLBACK} serves.")
            return VolatilityForecaster(FALLBACK, config)

    return interview.once(load)
