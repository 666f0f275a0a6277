"""What a training leaves for people: pictures, tables, and the summary at its end."""

import io
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from volcast.config import TRAINING_CONFIG, TrainingConfig
from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.pooled import PooledEvaluation
from volcast.evaluation.report.page import evaluation_page, pooled_evaluation_page
from volcast.evaluation.report.tables import baselines, symbols
from volcast.files import json_bytes
from volcast.forecasters.har_lstm.pooled import PooledHarLstm
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.sessions import EXCHANGE_TIMEZONE
from volcast.store.store import ModelBundle
from volcast.training.data import TrainingData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from volcast.search.search import SearchResult
    from volcast.training.result import PooledResult, TrainingResult

__all__ = [
    "describe_data",
    "pooled_artifacts",
    "pooled_result_as_dict",
    "pooled_summary",
    "result_as_dict",
    "summary",
    "training_artifacts",
]

_SIMULATED = Text("SIMULATED bars: this model shows how things work and knows nothing of any market.", style="bold")
_REALIZED, _FORECAST = "#7a7a7a", "#c2410c"


def training_artifacts(
    bundle: ModelBundle,
    data: TrainingData,
    evaluation: Evaluation,
    histories: list[dict[str, list[float]]],
    search: "SearchResult | None",
    config: TrainingConfig,
) -> dict[str, bytes]:
    """Files that explain a model, by name: metrics, history, trials and pictures."""
    page = evaluation_page(
        evaluation,
        title=f"{bundle.name}: the test part, which training never saw",
        about=[describe_data(data, config)],
        simulated=bundle.simulated,
    )
    files = {
        "metrics.json": json_bytes(evaluation.to_dict()),
        "evaluation.html": page.encode(),
        "forecasts.png": _png(_forecasts_figure(bundle, data)),
    }
    if histories:
        files["losses.png"] = _png(_losses_figure(histories, data))
        if config.save_history:
            files["history.json"] = json_bytes(histories)
    if search is not None:
        files["trials.csv"] = search.trials.to_csv(index=False).encode()
    return files


def pooled_artifacts(bundle: ModelBundle, evaluation: PooledEvaluation) -> dict[str, bytes]:
    """Files that explain a pooled model, by name: its metrics, and a page to look at."""
    page = pooled_evaluation_page(
        evaluation,
        title=f"{bundle.name}: the test part, which training never saw",
        simulated=bundle.simulated,
    )
    return {"metrics.json": json_bytes(evaluation.to_dict()), "evaluation.html": page.encode()}


def pooled_summary(result: "PooledResult") -> RenderableType:
    """What a pooled training says at its end: each symbol's QLIKE beside its log-HAR's, and what to type next."""
    recipe = result.bundle.recipe
    count = len(recipe.symbols) if isinstance(recipe, PooledHarLstm) else 0
    lines: list[RenderableType] = [
        f"One model over {count} symbols, trained in {_duration(result.seconds)}.",
        *[f"Not in it: {name}: {reason}" for name, reason in result.failed.items()],
        "",
        "Figures on the test part, which training never saw (QLIKE: lower is better):",
        symbols(result.evaluation).drawn(),
        Text(result.evaluation.verdict, style="bold"),
        "",
        Text(f"Saved in   {result.bundle.path}", no_wrap=True, overflow="ignore"),
        Text(f"Use it     {_how_to_use(result.bundle)}", no_wrap=True, overflow="ignore"),
    ]
    if result.bundle.simulated:
        lines.insert(0, _SIMULATED)
    return Group(*lines)


def pooled_result_as_dict(result: "PooledResult") -> dict[str, Any]:
    """The result of a pooled training, ready for JSON."""
    return {
        "model": result.bundle.name,
        "path": str(result.bundle.path),
        "simulated": result.bundle.simulated,
        "failed": dict(result.failed),
        "evaluation": result.evaluation.to_dict(),
        "seconds": round(result.seconds, 1),
    }


def describe_data(data: TrainingData, config: TrainingConfig) -> str:
    """One line: what the training is done on."""
    about = data.provenance
    simulated = "SIMULATED " if about["simulated"] else ""
    parts = (data.split.train, data.split.validation, data.split.test)
    train, validation, test = (part.stop - max(part.start, data.memory) for part in parts)
    return (
        f"{about['symbol']}: {about['bars']:,} {simulated}bars of {about['bar_minutes']:g} min from "
        f"{_day(about['first_bar'])} to {_day(about['last_bar'])} ({about['source']['name']}), preset {config.preset}: "
        f"{about['hourly_values']:,} hourly values; {train:,} windows to train, {validation:,} to validate, "
        f"{test:,} to test."
    )


def summary(result: "TrainingResult") -> RenderableType:
    """What a training says at its end: what was trained on what, figures beside the baselines, what to type next."""
    bundle, evaluation, config = result.bundle, result.evaluation, result.bundle.config
    lines: list[RenderableType] = [
        describe_data(result.data, config),
        *_about_bars(result.data),
        _how_trained(result),
        "",
        _heading(result),
        baselines(evaluation).drawn(),
        Text(evaluation.verdict, style="bold"),
        "",
        # Never broken, so that they can be copied.
        Text(f"Saved in   {bundle.path}", no_wrap=True, overflow="ignore"),
        Text(f"Use it     {_how_to_use(bundle)}", no_wrap=True, overflow="ignore"),
    ]
    if bundle.simulated:
        lines.insert(0, _SIMULATED)
    return Group(*lines)


def _about_bars(data: TrainingData) -> list[str]:
    """How the bars came and what is wrong with them, a line each."""
    quality = data.provenance["quality"]
    accepted = {"bad": "ACCEPTED although bad: ", "flaw": "Bars: "}
    found = [accepted[one["level"]] + one["sentence"] for one in quality["findings"] if one["level"] in accepted]
    return [*data.provenance["notes"], *found]


def _how_trained(result: "TrainingResult") -> str:
    recipe = result.bundle.recipe
    if isinstance(recipe, HarLstm):
        networks = f"{len(result.bundle.networks)} networks"
        share = f"which correct it with weight {recipe.weight:.2f}"
        said = share if recipe.weight else "which add nothing on the validation part: the regression serves alone"
        return f"A HAR refitted daily and {networks} trained in {_duration(result.seconds)}, {said}."
    if result.search is None:
        return f"Trained in {_duration(result.seconds)}."
    best = ", ".join(f"{name} {_short(value)}" for name, value in result.search.best_hyperparameters.items())
    return f"{len(result.search.trials)} trials in {_duration(result.seconds)}; best: {best}."


def result_as_dict(result: "TrainingResult") -> dict[str, Any]:
    """The result of a training, ready for JSON."""
    search, config = result.search, result.bundle.config
    return {
        "model": result.bundle.name,
        "path": str(result.bundle.path),
        "simulated": result.bundle.simulated,
        "trained_through": result.data.trained_through.isoformat(),
        "data": result.data.provenance,
        "network": config.effective_network,
        "trials": [] if search is None else json.loads(search.trials.to_json(orient="records")),
        "best_hyperparameters": None if search is None else search.best_hyperparameters,
        "evaluation": result.evaluation.to_dict(),
        "seconds": round(result.seconds, 1),
    }


def _forecasts_figure(bundle: ModelBundle, data: TrainingData) -> "Figure":
    positions = np.arange(data.split.test.start, data.split.test.stop)
    realized = data.rv.iloc[positions]
    forecast = pd.Series(bundle.forecast(data.measures, realized.index, positions), index=realized.index)
    figure = _figure(8)
    axes = figure.add_subplot()
    # By position, not by time: nights and weekends would take three quarters of the width.
    axes.plot(100 * realized.to_numpy(), color=_REALIZED, linewidth=0.9, label="realized")
    axes.plot(100 * forecast.to_numpy(), color=_FORECAST, linewidth=1.1, label="forecast")
    ticks = np.linspace(0, len(realized) - 1, 7).astype(int)
    axes.set_xticks(ticks, [f"{realized.index[tick]:%Y-%m-%d}" for tick in ticks])
    axes.set_ylabel("hourly volatility, %")
    axes.set_title(
        f"{_simulated(data)}{bundle.manifest['symbol']}: test part, which training never saw", parse_math=False
    )
    axes.legend(frameon=False)
    return figure


def _losses_figure(histories: list[dict[str, list[float]]], data: TrainingData) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure = _figure(6)
    axes = figure.add_subplot()
    for number, history in enumerate(histories):
        epochs = np.arange(1, len(history["loss"]) + 1)
        for name, colour, label in (("loss", _REALIZED, "training"), ("val_loss", _FORECAST, "validation")):
            axes.plot(epochs, history[name], color=colour, marker=".", linewidth=0.9, label=None if number else label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error, scaled")
    axes.set_title(
        f"{_simulated(data)}{data.provenance['symbol']}: losses of the networks that serve", parse_math=False
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def _figure(width: float) -> "Figure":
    # Not pyplot: it would choose a window system and keep every figure for the life of the process.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, 4), layout="constrained")


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


def _heading(result: "TrainingResult") -> str:
    evaluation = result.evaluation
    simulated = "SIMULATED bars, " if result.bundle.simulated else ""
    return (
        f"Figures on the test part, which neither search nor training saw ({simulated}{evaluation.buckets} buckets "
        f"from {evaluation.first:%Y-%m-%d} to {evaluation.last:%Y-%m-%d}; QLIKE: lower is better):"
    )


def _how_to_use(bundle: ModelBundle) -> str:
    store = bundle.path.parent if bundle.path is not None else Path()
    if store == Path(TRAINING_CONFIG["model_save_path"]):
        return f"VolatilityForecaster({bundle.name!r}), or python main.py"
    return f"VolatilityForecaster({str(bundle.path)!r}), or python main.py --models {shlex.quote(str(store))}"


def _simulated(data: TrainingData) -> str:
    return "SIMULATED " if data.provenance["simulated"] else ""


def _day(moment: str) -> str:
    return f"{pd.Timestamp(moment).tz_convert(EXCHANGE_TIMEZONE):%Y-%m-%d}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
