"""How good a forecast is: beside the baselines, by symbol, hour, regime and month, and a verdict in words.

Shell: ``volcast evaluate --help``.
"""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D, time_index
from volcast.counts import counted
from volcast.errors import LookAheadError, NotEnoughDataError
from volcast.evaluation.figures import Picture, draw, require_drawable
from volcast.evaluation.losses import (
    coverage,
    interval_scores,
    mae,
    mse,
    mse_log,
    mse_variance,
    pinball_losses,
    qlike,
    qlike_losses,
    r2,
    r2_against,
)
from volcast.evaluation.significance import diebold_mariano_by_day, mincer_zarnowitz, model_confidence_set
from volcast.evaluation.totals import TotalEvaluation, evaluate_totals
from volcast.evaluation.verdict import (
    ALONE,
    MODEL,
    REFERENCE,
    UNINFORMED,
    Judgment,
    NetworksShare,
    judgment_of,
    title_of,
    verdict_on,
    verdict_on_symbols,
)
from volcast.forecasters.baselines.har import fewest_buckets
from volcast.forecasters.baselines.registry import BASELINES
from volcast.forecasters.horizons import IntervalForecast
from volcast.forecasters.total.baselines import TOTAL_BASELINES, TotalBaseline
from volcast.forecasters.walk_forward import Forecaster
from volcast.markets.registry import market_of
from volcast.measures.hourly import RV_FLOOR
from volcast.pictures import axes_or_new
from volcast.reprs import OneLineRepr
from volcast.store.bundle import ModelBundle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FEWEST_JUDGED",
    "Evaluation",
    "IntervalForecaster",
    "compare_with_baselines",
    "diebold_mariano_by_day",
    "evaluate_bundle",
    "evaluate_forecasts",
    "mae",
    "mse",
    "qlike",
    "qlike_losses",
    "r2",
    "unseen_rows",
]

Grouping = Literal["hour", "regime", "month"]

IntervalForecaster = Callable[[pd.DataFrame, pd.DatetimeIndex, Int64Array1D], IntervalForecast]
"""As a `Forecaster`, with the bounds of a central interval of 90 %; NaN where it has none."""

FEWEST_JUDGED = 35
"""Buckets that one of several symbols must have to be judged: a week."""

_FEWEST_WITH_HISTORY = 70

_FIFTHS = 5
# A mean of these says nothing.
_NOT_FOR_MEANS = ["p_value", "set_p_value", "mz_p_value"]


@dataclass(frozen=True, repr=False)
class Evaluation(OneLineRepr):
    """Losses of several forecasts on the same buckets.

    Attributes
    ----------
    metrics
        By forecast: ``qlike``, ``qlike_ratio`` (to the diurnal log-HAR), ``p_value`` of the Diebold-Mariano test
        against it, ``set_p_value`` (0.1 and above: in the model confidence set of 90 %), ``mse``, ``mse_variance``,
        ``mse_log``, ``mae``, ``r2``, ``r2_diurnal`` (against the mean of each hour of day), ``mz_intercept``,
        ``mz_slope`` and ``mz_p_value`` of Mincer and Zarnowitz. Of the model with an interval also ``coverage``,
        ``interval_score``, ``pinball_lower``, ``pinball_upper``. What needs a forecast or days that are not there is
        NaN or absent.
    by_bucket
        Indexed by label (market time), columns ``realized``, each forecast, and the model's ``lower`` and ``upper``
        where it has an interval: hourly volatilities.
    left_out
        How many buckets were left out because next to nothing moved in them (RV under `RV_FLOOR`).
    level
        What the interval is meant to cover.
    symbols
        Of a model of several symbols: the evaluation on each of them, beside the baselines of the symbol alone. Then
        `metrics` are their means, but for ``p_value``, of a test in which all symbols of a day are one observation;
        and `by_bucket` has the buckets of symbol after symbol.
    totals
        Beside these hourly forecasts those of total volatility, by horizon: ``"1 session"``, ``"22 sessions"``.
    """

    metrics: dict[str, dict[str, float]]
    by_bucket: pd.DataFrame
    left_out: int
    level: float = 0.9
    symbols: "Mapping[str, Evaluation]" = field(default_factory=dict)
    totals: Mapping[str, TotalEvaluation] = field(default_factory=dict)

    @classmethod
    def of_symbols(cls, symbols: "Mapping[str, Evaluation]") -> "Evaluation":
        """The evaluation of a model on several symbols, made of that on each."""
        if not symbols:
            return cls({}, pd.DataFrame({"realized": np.empty(0)}, pd.DatetimeIndex([], tz="UTC")), 0)
        parts = list(symbols.values())
        shared = [name for name in parts[0].metrics if all(name in part.metrics for part in parts)]
        means = {name: pd.DataFrame([part.metrics[name] for part in parts]).mean() for name in shared}
        metrics = {
            name: cast(dict[str, float], row.drop(_NOT_FOR_MEANS, errors="ignore").to_dict())
            for name, row in means.items()
        }
        by_bucket = pd.concat([part.by_bucket for part in parts], join="inner")
        whole = cls(metrics, by_bucket, sum(part.left_out for part in parts), parts[0].level, symbols)
        losses = whole.losses()
        for name, row in metrics.items():
            row["p_value"] = diebold_mariano_by_day(losses[name], losses[REFERENCE])
        return whole

    def _facts(self) -> dict[str, object]:
        return {
            "buckets": len(self.by_bucket),
            "first": self.first,
            "last": self.last,
            "qlike_ratio": self.metrics.get("model", {}).get("qlike_ratio"),
        }

    @property
    def first(self) -> pd.Timestamp:
        """Label of the first bucket judged, market time."""
        return time_index(self.by_bucket).min()

    @property
    def last(self) -> pd.Timestamp:
        """Label of the last bucket judged, market time."""
        return time_index(self.by_bucket).max()

    @property
    def buckets(self) -> int:
        """How many buckets were judged."""
        return len(self.by_bucket)

    @property
    def ratios(self) -> pd.Series:
        """QLIKE of the model relative to the diurnal log-HAR's, of each symbol by its name, best first."""
        parts = self.symbols or {MODEL: self}
        ratios = {name: part.metrics.get(MODEL, {}).get("qlike_ratio", math.nan) for name, part in parts.items()}
        return pd.Series(ratios, dtype=float).dropna().sort_values()

    @property
    def networks(self) -> NetworksShare | None:
        """What networks add to the regression that they correct; None where the model is not made so."""
        if ALONE not in self.metrics:
            return None
        losses = self.losses()
        p_value = diebold_mariano_by_day(losses[MODEL], losses[ALONE])
        return NetworksShare(self.metrics[MODEL]["qlike"], self.metrics[ALONE]["qlike"], p_value)

    @property
    def judgment(self) -> Judgment:
        """The verdict in a word."""
        return judgment_of(self.ratios, self.losses())

    @property
    def verdict(self) -> str:
        """One sentence: whether the model is worth using."""
        losses = self.losses()
        if self.buckets and not self.symbols:
            return verdict_on(self.judgment, self.metrics, losses, self.level)
        covered = self.metrics.get(MODEL, {}).get("coverage", self.level)
        return verdict_on_symbols(self.judgment, self.ratios, losses, covered, self.level)

    def table(self) -> pd.DataFrame:
        """Losses with one row a forecast, best QLIKE first."""
        frame = pd.DataFrame(self.metrics).T.sort_values("qlike")
        return frame.rename(index=title_of)

    def symbol_table(self) -> pd.DataFrame:
        """One row a symbol, the best first.

        Columns ``buckets``; ``qlike``; ``ratio`` and ``regression_ratio``, of the model and of its regression alone to
        the symbol's own diurnal log-HAR; ``p_value`` of the model against that; ``coverage``.
        """
        rows = {}
        for name in self.ratios.index if self.symbols else ():
            metrics = self.symbols[name].metrics
            model, reference = metrics[MODEL], metrics[REFERENCE]["qlike"]
            rows[name] = {
                "buckets": self.symbols[name].buckets,
                "qlike": model["qlike"],
                "ratio": model["qlike_ratio"],
                "regression_ratio": metrics.get(ALONE, model)["qlike"] / reference,
                "p_value": model["p_value"],
                "coverage": model["coverage"],
            }
        return pd.DataFrame(rows).T.rename_axis("symbol")

    def losses(self) -> pd.DataFrame:
        """QLIKE of each bucket (rows, by label) and forecast (columns)."""
        realized = self.by_bucket["realized"].to_numpy()
        columns = {name: qlike_losses(realized, self.by_bucket[name]) for name in self.metrics}
        return pd.DataFrame(columns, index=self.by_bucket.index)

    def breakdown(self, by: Grouping) -> pd.DataFrame:
        """The model beside the diurnal log-HAR in groups of buckets.

        Parameters
        ----------
        by
            ``"hour"``: the hour that the market's clock shows at the label; of buckets of another length their number
            in the day, see `TradingMarket.time_of_slot`. ``"month"``: as 2025-03. ``"regime"``:
            fifths, 1 the calmest, of what the diurnal log-HAR forecast among the buckets of one hour: known beforehand,
            and no hour of day in disguise.

        Returns
        -------
        DataFrame indexed by group, columns ``buckets``, ``qlike``, ``reference_qlike``, ``qlike_ratio``, ``p_value``
        and, with an interval, ``coverage``. Empty without a model or the diurnal log-HAR.
        """
        if not {MODEL, REFERENCE} <= set(self.metrics):
            return pd.DataFrame()
        losses, groups = self.losses(), self._groups(by)
        rows = {}
        for group in np.unique(groups):
            of_model, reference = (losses.loc[groups == group, name] for name in (MODEL, REFERENCE))
            rows[group] = {
                "buckets": len(of_model),
                "qlike": float(of_model.mean()),
                "reference_qlike": float(reference.mean()),
                "qlike_ratio": _ratio(of_model, reference),
                "p_value": diebold_mariano_by_day(of_model, reference),
            }
            if "lower" in self.by_bucket:
                judged = self.by_bucket[groups == group]
                rows[group]["coverage"] = coverage(judged["realized"], judged["lower"], judged["upper"])
        return pd.DataFrame(rows).T.rename_axis(by).astype({"buckets": int})

    def plot(self, picture: Picture = "newest", *, ax: "Axes | None" = None) -> "Axes":
        """Draw one of the pictures of the report.

        Parameters
        ----------
        picture
            ``"newest"``: forecast, interval and what came, the last ten days bucket by bucket; ``"all"``: the same of
            all buckets, without the interval; ``"daily"``: by the day; ``"calibration"``: what came on average where so
            much was forecast; ``"hours"``: QLIKE beside the diurnal log-HAR's by hour of day; ``"cumulative"``: QLIKE
            saved against it, summed up; ``"symbols"``: of a model of several symbols, the ratio of each.
        ax
            Axes of Matplotlib's to draw on; None makes a figure, which a notebook shows.

        Returns
        -------
        The axes, for titles and limits; ``axes.figure.savefig("picture.png")`` saves them.

        Raises
        ------
        ConfigError
            There is no such picture, or no model to draw.
        NotEnoughDataError
            There was too little history for the log-HAR that it compares with.
        MissingPackageError
            Matplotlib is not installed.
        """
        require_drawable(self, picture)
        axes = axes_or_new(ax)
        draw(axes, self, picture)
        return axes

    def to_dict(self) -> dict[str, Any]:
        """Everything but the buckets, ready for JSON; a number that does not exist is null."""
        groups: tuple[Grouping, ...] = ("hour", "regime", "month")
        networks = self.networks
        return {
            "kind": "hourly",
            "metrics": {name: _finite(row) for name, row in self.metrics.items()},
            "first": self.first.isoformat() if self.buckets else None,
            "last": self.last.isoformat() if self.buckets else None,
            "buckets": self.buckets,
            "left_out": self.left_out,
            "judgment": self.judgment,
            "verdict": self.verdict,
            "networks": None if networks is None else {**_finite(asdict(networks)), "sentence": networks.sentence},
            **{
                f"by_{by}": {str(group): _finite(row) for group, row in self.breakdown(by).T.to_dict().items()}
                for by in groups
            },
            "total": {horizon: part.to_dict() for horizon, part in self.totals.items()},
            **({"symbols": {name: part.to_dict() for name, part in self.symbols.items()}} if self.symbols else {}),
        }

    def _groups(self, by: Grouping) -> npt.NDArray[Any]:
        if self.symbols:
            return np.concatenate([part._groups(by) for part in self.symbols.values()])
        labels = time_index(self.by_bucket)
        hours = market_of(self.by_bucket).hours_of_labels(labels)
        if by == "hour":
            return np.asarray(hours)
        if by == "month":
            return np.asarray(labels.strftime("%Y-%m"))
        rank = self.by_bucket[REFERENCE].groupby(hours).rank(method="first", pct=True)
        return np.asarray(np.ceil(_FIFTHS * rank.to_numpy()), dtype=np.int64)


def evaluate_bundle(
    bundle: ModelBundle,
    measures: Mapping[str, pd.DataFrame],
    positions: Mapping[str, Int64Array1D],
    baselines: Mapping[str, Forecaster] = BASELINES,
    total_baselines: Mapping[str, TotalBaseline] = TOTAL_BASELINES,
) -> Evaluation:
    """Judge a model's forecasts of the next bucket, with its interval, and those of total volatility beside them.

    Where networks correct a regression, the regression alone stands beside the model: what do the networks add?

    Parameters
    ----------
    bundle
        The model.
    measures
        By symbol, see `measures.bucketed`; with the market's beside them where the model looks at it
        (`ForecastRecipe.with_market`).
    positions
        By symbol, the rows to judge, rising. Of several symbols, those with fewer than `FEWEST_JUDGED`, or in which
        prices do not move, or with too little history for a log-HAR, are left out.
    baselines, total_baselines
        To judge beside.

    Raises
    ------
    NotEnoughDataError
        There is one symbol, and its prices moved in none of the buckets.
    """
    hourly = _evaluated_hourly(bundle, measures, positions, baselines)
    return replace(hourly, totals=evaluate_totals(bundle, measures, positions, total_baselines))


def _evaluated_hourly(
    bundle: ModelBundle,
    measures: Mapping[str, pd.DataFrame],
    positions: Mapping[str, Int64Array1D],
    baselines: Mapping[str, Forecaster],
) -> Evaluation:
    if len(measures) == 1:
        ((name, frame),) = measures.items()
        return _evaluated(bundle, frame, positions[name], baselines)
    symbols = {}
    for name, rows in positions.items():
        if len(rows) < FEWEST_JUDGED:
            continue
        with contextlib.suppress(NotEnoughDataError):
            judged = _evaluated(bundle, measures[name], rows, baselines)
            if "qlike_ratio" in judged.metrics[MODEL]:
                symbols[name] = judged
    return Evaluation.of_symbols(symbols)


def unseen_rows(bundle: ModelBundle, measures: pd.DataFrame, *, allow_in_sample: bool = False) -> Int64Array1D:
    """Rows of one symbol's `measures` to judge a model on: after the last bucket that it has seen, with history.

    With as much as the diurnal log-HAR needs, too; where that leaves next to nothing, with what the model needs.

    Raises
    ------
    LookAheadError
        Nobody wrote down what the model has seen, and `allow_in_sample` is false.
    """
    moved = (measures["rv_hourly"].to_numpy() > RV_FLOOR).cumsum()
    fit = max(int(moved.searchsorted(fewest_buckets(market_of(measures)))) + 1, bundle.memory)
    first = fit if len(measures) - fit >= _FEWEST_WITH_HISTORY else min(bundle.memory, len(measures))
    rows = np.arange(first, len(measures))
    if allow_in_sample:
        return rows
    if bundle.trained_through is None:
        raise LookAheadError(
            f"nobody wrote down what data {bundle.name} has seen; forecasts are judged on what comes after it; "
            "say with --allow-in-sample that it may have seen these bars."
        )
    longest = pd.Timedelta(minutes=market_of(measures).whole_bucket_minutes)
    return np.asarray(rows[time_index(measures)[rows] - longest >= bundle.trained_through])


def _evaluated(
    bundle: ModelBundle, measures: pd.DataFrame, positions: Int64Array1D, baselines: Mapping[str, Forecaster]
) -> Evaluation:
    regression, parts = bundle.recipe.regression_alone(), {}
    if regression is not None:
        alone = replace(bundle, recipe=regression)
        parts[ALONE] = lambda *asked: alone.forecast(*asked).volatility
    return compare_with_baselines(measures, positions, bundle.forecast, parts=parts, baselines=baselines)


def evaluate_forecasts(
    realized: pd.Series,
    forecasts: Mapping[str, npt.ArrayLike],
    interval: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    level: float = 0.9,
) -> Evaluation:
    """Judge `forecasts` (hourly volatilities aligned with `realized`) on the buckets in which prices moved.

    A bucket with a realized volatility of `RV_FLOOR` or less (a halt, a night under `colab`) is left out for every
    forecast alike: the logarithm in QLIKE would let one such bucket decide.

    Parameters
    ----------
    realized
        Hourly volatilities, indexed by bucket label.
    forecasts
        By name; the one under judgment is called ``"model"``.
    interval
        Lower and upper end of the model's central interval of that `level`, aligned with `realized`.

    Raises
    ------
    NotEnoughDataError
        Prices moved in none of the buckets.
    """
    moved = realized.to_numpy() > RV_FLOOR
    if not moved.any():
        raise NotEnoughDataError(
            f"of {counted(len(moved), 'bucket')} to judge prices moved in none; the rule is one at least; give other "
            "bars."
        )
    columns = {"realized": realized.to_numpy(dtype=float), **forecasts}
    if interval is not None:
        columns["lower"], columns["upper"] = interval
    market = market_of(realized)
    index = time_index(realized).tz_convert(market.zone)
    judged = pd.DataFrame({name: np.asarray(values, dtype=float) for name, values in columns.items()}, index)[moved]
    judged.attrs["market"] = market.key
    metrics = {name: _metrics(judged, name) for name in forecasts}
    if interval is not None and MODEL in metrics:
        metrics[MODEL] |= _interval_metrics(judged, level)
    evaluation = Evaluation(metrics, judged, int((~moved).sum()), level)
    losses = evaluation.losses()
    for name, value in model_confidence_set(losses).items():
        metrics[str(name)]["set_p_value"] = float(value)
    if REFERENCE in metrics:
        for name, row in metrics.items():
            row["qlike_ratio"] = _ratio(losses[name], losses[REFERENCE])
            row["p_value"] = diebold_mariano_by_day(losses[name], losses[REFERENCE])
    return evaluation


def compare_with_baselines(
    measures: pd.DataFrame,
    positions: Int64Array1D,
    model: Forecaster | IntervalForecaster | None = None,
    *,
    parts: Mapping[str, Forecaster] | None = None,
    baselines: Mapping[str, Forecaster] = BASELINES,
) -> Evaluation:
    """Judge a model beside the baselines on the buckets at `positions` of `measures`, each forecast from all before it.

    Buckets in which next to nothing moved (nights, under the `colab` preset) are neither forecast by the baselines nor
    part of what they learn from. A baseline that has too little history, or not the measures it needs, is left out.

    Parameters
    ----------
    measures
        A row a bucket, column ``rv_hourly`` at least (see `measures.bucketed`).
    positions
        Rows to forecast, rising.
    model
        What is judged.
    parts
        Other forecasters to show beside it, by name: what the model is made of.
    baselines
        `BASELINES`, or `ALL_BASELINES` with those that take longer.
    """
    rv = measures["rv_hourly"]
    moved = rv.to_numpy() > RV_FLOOR
    traded = measures[moved]
    judged = positions[moved[positions]]
    labels = time_index(measures)[judged]
    known = (np.cumsum(moved) - 1)[judged]
    forecasts: dict[str, Float64Array1D] = {}
    interval = None
    if model is not None:
        forecast = model(measures, labels, judged)
        if isinstance(forecast, IntervalForecast):
            forecasts[MODEL] = forecast.volatility
            interval = None if np.isnan(forecast.lower).any() else (forecast.lower, forecast.upper)
        else:
            forecasts[MODEL] = forecast
    forecasts |= {name: part(measures, labels, judged) for name, part in (parts or {}).items()}
    for name, baseline in baselines.items():
        with contextlib.suppress(NotEnoughDataError):
            forecasts[name] = baseline(traded, labels, known)
    return replace(evaluate_forecasts(rv.iloc[judged], forecasts, interval), left_out=len(positions) - len(judged))


def _metrics(judged: pd.DataFrame, name: str) -> dict[str, float]:
    realized, forecast = judged["realized"], judged[name]
    bias = mincer_zarnowitz(realized, forecast)
    row = {
        "qlike": qlike(realized, forecast),
        "mse": mse(realized, forecast),
        "mse_variance": mse_variance(realized, forecast),
        "mse_log": mse_log(realized, forecast),
        "mae": mae(realized, forecast),
        "r2": r2(realized, forecast),
        "mz_intercept": bias.intercept,
        "mz_slope": bias.slope,
        "mz_p_value": bias.p_value,
    }
    if UNINFORMED[0] in judged:
        row["r2_diurnal"] = r2_against(realized, forecast, judged[UNINFORMED[0]])
    return row


def _interval_metrics(judged: pd.DataFrame, level: float) -> dict[str, float]:
    realized, lower, upper = (judged[name] for name in ("realized", "lower", "upper"))
    tail = (1 - level) / 2
    return {
        "coverage": coverage(realized, lower, upper),
        "interval_score": float(interval_scores(realized, lower, upper, level).mean()),
        "pinball_lower": float(pinball_losses(realized, lower, tail).mean()),
        "pinball_upper": float(pinball_losses(realized, upper, 1 - tail).mean()),
    }


def _ratio(losses: pd.Series, reference: pd.Series) -> float:
    return float(np.divide(losses.mean(), reference.mean() or math.nan))


def _finite(row: Mapping[Any, float]) -> dict[str, float | None]:
    return {str(key): value if math.isfinite(value) else None for key, value in row.items()}
