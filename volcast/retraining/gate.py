"""Whether a new model may replace the one that serves: judged on recent buckets that neither has seen."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from volcast.bars.symbols import symbols_of
from volcast.counts import counted
from volcast.evaluation.losses import qlike_losses
from volcast.evaluation.significance import diebold_mariano_by_day
from volcast.forecasters.baselines.har import diurnal_log_har, fewest_buckets
from volcast.measures.hourly import RV_FLOOR
from volcast.retraining.policy import RetrainingPolicy
from volcast.serving.grid import ForecastGrid
from volcast.serving.served_model import ServedModel
from volcast.serving.stream import ForecastStream
from volcast.store.bundle import CONDEMNED

__all__ = ["GateDecision", "has_decayed", "judge"]

_BAND = 2.0


@dataclass(frozen=True)
class GateDecision:
    """Whether the challenger is let serve, why in words, and the figures behind it, ready for JSON."""

    promote: bool
    reason: str
    details: dict[str, Any] = field(default_factory=dict)


def judge(
    champion: ServedModel | None,
    challenger: ServedModel,
    bars: pd.DataFrame,
    policy: RetrainingPolicy,
    symbol: str | None = None,
    *,
    accept_verdict: bool = False,
    overnight_bars: pd.DataFrame | None = None,
) -> GateDecision:
    """Compare two models on the buckets of `bars` that end after both models' ``trained_through``.

    A challenger whose verdict is not to use it is kept out, whatever served before, unless `accept_verdict`, or the
    policy always lets it serve.

    QLIKE of both on the same buckets, and the Diebold-Mariano test, clustered by day, of which `policy` says what it
    must show. A fallback counts as a champion that has seen nothing. None is no champion at all. `bars` and `symbol`
    are what `VolatilityForecaster.forecast` takes: a model is judged on the symbol as it serves it; where `bars` are of
    many symbols and none is named, on each of them. `overnight_bars` are for the one, or both, that look at such.
    """
    if policy.gate == "never":
        return GateDecision(False, "the gate never lets a new model serve; promote it by hand")
    if policy.gate == "always":
        return GateDecision(True, "the gate always lets it serve")
    if challenger.bundle is not None and challenger.bundle.is_condemned and not accept_verdict:
        return GateDecision(False, CONDEMNED)
    if champion is None:
        return GateDecision(True, "no model served before")
    if champion.preset != challenger.preset:
        return GateDecision(False, f"it forecasts {challenger.preset} RV and {champion.version} {champion.preset} RV")
    names: list[str | None] = [symbol] if symbol is not None else [*symbols_of(bars)] or [None]
    losses = pd.concat([_losses((champion, challenger), bars, name, overnight_bars) for name in names])
    details: dict[str, Any] = {"champion": champion.version, "challenger": challenger.version, "buckets": len(losses)}
    fewest = policy.fewest_judged(challenger.market)
    judged = f"{counted(len(losses), 'bucket')} that neither has seen"
    if len(losses) < fewest:
        return GateDecision(False, f"{judged}, and the rule is {fewest} at least", details)
    old, new = losses.mean()
    p_value = _one_sided(new < old, diebold_mariano_by_day(losses["challenger"], losses["champion"]))
    details |= {"from": str(losses.index[0]), "champion_qlike": old, "challenger_qlike": new, "p_value": p_value}
    figures = f"QLIKE {new:.4f} against {old:.4f} of {champion.version} on {judged}"
    better = new < old and p_value <= policy.gate_p_value
    return GateDecision(bool(better), f"{figures} (p = {p_value:.2g})", details)


def has_decayed(
    champion: ServedModel, bars: pd.DataFrame, policy: RetrainingPolicy, overnight_bars: pd.DataFrame | None = None
) -> bool:
    """Whether the champion's QLIKE ratio to the diurnal log-HAR over the last buckets is above its own band.

    The band is the mean and two standard deviations of the same rolling ratio over the five windows before the last,
    as far as they go back to what the champion has seen. Of many symbols in `bars`, most must say so.
    """
    names: list[str | None] = [*symbols_of(bars)] or [None]
    streams = [ForecastStream.of(champion, bars, name, champion.overnight_among(overnight_bars)) for name in names]
    answers = [_has_decayed_on(stream, policy) for stream in streams]
    return 2 * sum(answers) > len(answers)


def _has_decayed_on(stream: ForecastStream, policy: RetrainingPolicy) -> bool:
    champion, grid = stream.model, stream.grid()
    grid, realized = _judged(stream, grid, grid)
    window = policy.decay_window(champion.market)
    recent = np.arange(len(realized)) >= len(realized) - 6 * window
    grid, realized = grid.where(recent), realized[recent]
    if champion.bundle is None or len(realized) < 3 * window or grid.known[0] < fewest_buckets(champion.market):
        return False
    volatility = stream.rows(grid)["volatility"].to_numpy()
    har = diurnal_log_har(grid.measures, grid.labels, grid.known)
    totals = [pd.Series(qlike_losses(realized, forecast)).rolling(window).mean() for forecast in (volatility, har)]
    ratio = (totals[0] / totals[1]).dropna().to_numpy()
    before = ratio[:-window]
    return bool(ratio[-1] > before.mean() + _BAND * before.std())


def _losses(
    models: tuple[ServedModel, ServedModel], bars: pd.DataFrame, symbol: str | None, overnight_bars: pd.DataFrame | None
) -> pd.DataFrame:
    """QLIKE of champion and challenger, a row a bucket that both can forecast and neither has seen."""
    seen = [model.trained_through for model in models if model.trained_through is not None]
    streams = {
        name: ForecastStream.of(model, bars, symbol, model.overnight_among(overnight_bars))
        for name, model in zip(("champion", "challenger"), models, strict=True)
    }
    grids = {name: stream.grid() for name, stream in streams.items()}
    losses = {}
    for name, stream in streams.items():
        grid, realized = _judged(stream, grids[name], grids["challenger"])
        forecast = stream.rows(grid)["volatility"]
        losses[name] = pd.Series(qlike_losses(realized, forecast), index=grid.labels)[
            np.asarray(grid.asof >= max(seen)) if seen else slice(None)
        ]
    return pd.DataFrame(losses).dropna()


def _judged(stream: ForecastStream, grid: ForecastGrid, measured: ForecastGrid) -> tuple[ForecastGrid, np.ndarray]:
    """Rows of `grid` that the stream's model has not seen and whose bucket has ended and moved, with what was realized.

    Realized is what is in the measures of the other grid.
    """
    model, rv = stream.model, measured.measures["rv_hourly"]
    realized = rv.reindex(grid.labels).to_numpy(dtype=float)
    judged = (realized > RV_FLOOR) & (grid.known >= model.memory)
    if model.trained_through is not None:
        judged &= np.asarray(grid.asof >= model.trained_through)
    return grid.where(judged), realized[judged]


def _one_sided(better: bool, two_sided: float) -> float:
    if math.isnan(two_sided):
        return 0.5
    return two_sided / 2 if better else 1 - two_sided / 2
