"""What a training leaves for people: pictures, tables, and the summary at its end."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from volcast.config import TRAINING_CONFIG, TrainingConfig
from volcast.counts import counted
from volcast.evaluation.evaluation import Evaluation
from volcast.evaluation.report.page import evaluation_page
from volcast.evaluation.report.tables import baselines, symbols, totals
from volcast.files import json_bytes
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.horizons import horizons_of
from volcast.pictures import figure_of, png
from volcast.store.bundle import CONDEMNED, ModelBundle
from volcast.training.data import TrainingData
from volcast.training.figures import draw_losses

if TYPE_CHECKING:
    from volcast.search.search import SearchResult
    from volcast.training.result import TrainingResult

__all__ = [
    "describe_companions",
    "describe_data",
    "kept_out",
    "result_as_dict",
    "summary",
    "training_artifacts",
]

_SIMULATED = Text("SIMULATED bars: this model shows how things work and knows nothing of any market.", style="bold")


def training_artifacts(
    bundle: ModelBundle,
    data: TrainingData,
    evaluation: Evaluation,
    histories: list[dict[str, list[float]]],
    search: "SearchResult | None",
) -> dict[str, bytes]:
    """Files that explain a model, by name: metrics, history, trials and pictures."""
    page = evaluation_page(
        evaluation,
        title=f"{bundle.name}: the test part, which training never saw",
        about=[describe_data(data, bundle.config)],
        simulated=bundle.simulated,
    )
    files = {"metrics.json": json_bytes(evaluation.to_dict()), "evaluation.html": page.encode()}
    subject = _simulated(data) + _subject(data)
    if evaluation.buckets:
        figure, axes = figure_of(8, 4)
        evaluation.plot("all", ax=axes).set_title(f"{subject}: test part, which training never saw", parse_math=False)
        files["forecasts.png"] = png(figure)
    if histories:
        figure, axes = figure_of(6, 4)
        draw_losses(axes, histories)
        axes.set_title(f"{subject}: losses of the networks that serve", parse_math=False)
        files["losses.png"] = png(figure)
        if bundle.config.save_history:
            files["history.json"] = json_bytes(histories)
    if search is not None:
        files["trials.csv"] = search.trials.to_csv(index=False).encode()
    return files


def describe_data(data: TrainingData, config: TrainingConfig) -> str:
    """One line: what the training is done on."""
    abouts = list(data.provenance.values())
    first, last = min(about["first_bar"] for about in abouts), max(about["last_bar"] for about in abouts)
    market = config.effective_market
    lengths = " or ".join(f"{minutes:g}" for minutes in sorted({about["bar_minutes"] for about in abouts}))
    counts = {
        part: sum(len(rows) for name, rows in data.positions(part).items() if name in data.windows)
        for part in ("train", "validation", "test")
    }
    bars = counted(sum(about["bars"] for about in abouts), f"{_simulated(data)}bar")
    values = counted(sum(about["hourly_values"] for about in abouts), f"{market.bucket_adjective} value")
    return (
        f"{_subject(data)}: {bars} of {lengths} min from "
        f"{_day(first, market.zone)} to {_day(last, market.zone)} ({abouts[0]['source']['name']}), preset "
        f"{config.preset}: {values}; {counted(counts['train'], 'window')} to train, {counts['validation']:,} to "
        f"validate, {counts['test']:,} to test."
    )


def describe_companions(data: TrainingData) -> str:
    """One line: from whom the model of `data.subject` learns beside it, or why from nobody."""
    others = [name for name in data.measures if name != data.subject]
    if others:
        return f"{data.subject} is trained together with {', '.join(others)}."
    reason = next(iter(data.failed.values()), "no companion is named")
    return f"{data.subject} is trained alone, without companions: {reason}"


def summary(result: "TrainingResult") -> RenderableType:
    """What a training says at its end: what was trained on what, figures beside the baselines, what to type next."""
    bundle, evaluation = result.bundle, result.evaluation
    lines: list[RenderableType] = [
        describe_data(result.data, bundle.config),
        *_about_bars(result.data),
        *[f"Not in it: {name}: {reason}" for name, reason in result.failed.items()],
        _how_trained(result),
        *_horizons_left_out(bundle),
        "",
        _heading(result),
        (symbols(evaluation) if evaluation.symbols else baselines(evaluation)).drawn(),
        *([totals(evaluation).drawn()] if evaluation.totals else []),
        *([Text(evaluation.networks.sentence)] if evaluation.networks else []),
        Text(evaluation.verdict, style="bold"),
        "",
        # Never broken, so that they can be copied.
        Text(f"Saved in   {bundle.path}", no_wrap=True, overflow="ignore"),
        Text(f"Load it    {_how_to_load(bundle)}", no_wrap=True, overflow="ignore"),
        *([] if result.serves else [Text(kept_out(bundle), no_wrap=True, overflow="ignore")]),
    ]
    if bundle.simulated:
        lines.insert(0, _SIMULATED)
    return Group(*lines)


def _horizons_left_out(bundle: ModelBundle) -> list[str]:
    """A line for each horizon of the market that the bars were too few to learn."""
    recipe = bundle.recipe
    if not isinstance(recipe, HarLstm):
        return []
    horizons = horizons_of(bundle.config.effective_market)
    missing = {horizon: rule for horizon, rule in horizons.items() if horizon not in recipe.horizons}
    return [f"Not forecast: {rule.title} ({horizon!r}), for want of history." for horizon, rule in missing.items()]


def _about_bars(data: TrainingData) -> list[str]:
    """How the bars came and what is wrong with them, a line each."""
    accepted = {"bad": "ACCEPTED although bad: ", "flaw": "Bars: "}
    lines = []
    for name, about in data.provenance.items():
        of_symbol = f"{name}: " if len(data.provenance) > 1 else ""
        findings = [one for one in about["quality"]["findings"] if one["level"] in accepted]
        said = [*about["notes"], *[accepted[one["level"]] + one["sentence"] for one in findings]]
        lines += [of_symbol + sentence for sentence in said]
    return lines


def _how_trained(result: "TrainingResult") -> str:
    recipe = result.bundle.recipe
    if isinstance(recipe, HarLstm):
        if not result.histories:
            return f"A HAR refitted daily, without networks, trained in {_duration(result.seconds)}."
        networks = counted(len(result.histories), "network")
        share = f"which correct it with weight {recipe.weight.supported:.2f}"
        nothing = "which add nothing on the validation part and are not saved: the regression serves alone"
        said = share if recipe.weight.supported else nothing
        return f"A HAR refitted daily and {networks} trained in {_duration(result.seconds)}, {said}."
    if result.search is None:
        return f"Trained in {_duration(result.seconds)}."
    best = ", ".join(f"{name} {_short(value)}" for name, value in result.search.best_hyperparameters.items())
    return f"{counted(len(result.search.trials), 'trial')} in {_duration(result.seconds)}; best: {best}."


def result_as_dict(result: "TrainingResult") -> dict[str, Any]:
    """The result of a training, ready for JSON."""
    search, config = result.search, result.bundle.config
    return {
        "model": result.bundle.name,
        "path": str(result.bundle.path),
        "simulated": result.bundle.simulated,
        "trained_through": result.data.trained_through.isoformat(),
        "symbols": dict(result.data.provenance),
        "failed": dict(result.failed),
        "network": config.effective_network,
        "trials": [] if search is None else json.loads(search.trials.to_json(orient="records")),
        "best_hyperparameters": None if search is None else search.best_hyperparameters,
        "evaluation": result.evaluation.to_dict(),
        "serves": result.serves,
        "seconds": round(result.seconds, 1),
    }


def _heading(result: "TrainingResult") -> str:
    evaluation = result.evaluation
    if not evaluation.buckets:
        return "The test part is too short to judge the model on:"
    simulated = "SIMULATED bars, " if result.bundle.simulated else ""
    return (
        f"Figures on the test part, which neither search nor training saw ({simulated}"
        f"{counted(evaluation.buckets, 'bucket')} from {evaluation.first:%Y-%m-%d} to {evaluation.last:%Y-%m-%d}; "
        "QLIKE: lower is better):"
    )


def kept_out(bundle: ModelBundle) -> str:
    """What is said of a model that was trained and does not serve: why, and how it would all the same."""
    store = bundle.path.parent if bundle.path is not None else Path()
    where = "" if store == Path(TRAINING_CONFIG["model_save_path"]) else f" --store {shlex.quote(str(store))}"
    promotion = f"volcast models promote {bundle.name}{where}"
    return f"It does not serve, since {CONDEMNED}; to let it serve all the same: {promotion}"


def _how_to_load(bundle: ModelBundle) -> str:
    store = bundle.path.parent if bundle.path is not None else Path()
    if store == Path(TRAINING_CONFIG["model_save_path"]):
        return f"VolatilityForecaster({bundle.name!r}), or python main.py"
    return f"VolatilityForecaster({str(bundle.path)!r}), or python main.py --models {shlex.quote(str(store))}"


def _simulated(data: TrainingData) -> str:
    return "SIMULATED " if data.simulated else ""


def _subject(data: TrainingData) -> str:
    count = len(data.measures)
    if data.subject is None:
        return counted(count, "symbol")
    return data.subject if count == 1 else f"{data.subject} and {counted(count - 1, 'companion')}"


def _day(moment: str, zone: str) -> str:
    return f"{pd.Timestamp(moment).tz_convert(zone):%Y-%m-%d}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
