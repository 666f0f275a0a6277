"""One default forecast for many symbols: shared regression and networks, each symbol with its own profile and bounds.

A symbol's deviations from its own hour-of-day profile look like every other symbol's, so one regression and one
ensemble of networks learn from all of them, and see the mean state of the market beside the symbol's own (Zhang, Zhang,
Cucuringu and Qian 2024, *Journal of Financial Econometrics* 22, find that both help). A symbol that was not in training
gets the mean profile, moved towards its own history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.errors import ConfigError, NotEnoughDataError
from volcast.features.intraday import HISTORY, STATES, hour_means, log_measures, market_columns, states_of
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.state import HorizonState
from volcast.forecasters.horizons import Horizon, IntervalForecast
from volcast.forecasters.intervals import QuantileTracker
from volcast.networks.onnx import Network
from volcast.sessions import EXCHANGE_TIMEZONE, session_hours

__all__ = ["FEWEST_IN_MARKET", "PooledHarLstm", "SymbolState", "market_states"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FEWEST_IN_MARKET = 3
"""Symbols that must have a bucket before their mean state counts as the market's."""

_SHRINKAGE = 20.0
_HOURS = 24


@dataclass(frozen=True)
class SymbolState:
    """What the model remembers of one symbol.

    Attributes
    ----------
    profile
        Hour-of-day means of `features.intraday.log_measures`, shape (24, len(STATES)).
    count, smearing_sum
        Its training buckets, and the sum of ``exp(2 e)`` over their errors.
    tracker
        Its bounds.
    """

    profile: FloatArray
    count: float
    smearing_sum: float
    tracker: QuantileTracker

    def to_dict(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return {
            "profile": self.profile.tolist(),
            "count": self.count,
            "smearing_sum": self.smearing_sum,
            "tracker": self.tracker.to_dict(),
        }

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "SymbolState":
        """The state whose `to_dict` gave `numbers`."""
        return cls(
            np.asarray(numbers["profile"], dtype=float),
            float(numbers["count"]),
            float(numbers["smearing_sum"]),
            QuantileTracker.from_dict(numbers["tracker"]),
        )


@dataclass(frozen=True)
class PooledHarLstm:
    """The recipe of a pooled model; one bucket ahead.

    Attributes
    ----------
    shared
        Regression, scales and weight of all symbols; its profile, smearing and bounds are those of a symbol that was
        not in training.
    symbols
        What is each symbol's own.
    """

    shared: HarLstm
    symbols: Mapping[str, SymbolState]
    kind: str = field(default="pooled_har_lstm", init=False)
    needs_rv_alone: bool = field(default=False, init=False)

    @property
    def memory(self) -> int:
        """Buckets that must be known before a forecast can be made."""
        return self.shared.memory

    def for_symbol(self, symbol: str | None, measures: pd.DataFrame) -> HarLstm:
        """The recipe of one symbol.

        A symbol that was not in training gets a profile from its `measures`: those up to the model's
        ``trained_through`` where there are enough, else the first `HISTORY`. A forecast needs as many before it, so
        none sees a bucket that comes after it.

        Raises
        ------
        NotEnoughDataError
            The symbol was not in training, and `measures` are fewer than `HISTORY`.
        """
        known = self.symbols.get(symbol or "")
        shared = self.shared
        if known is None:
            profile = self.profile_of(measures)
            state = replace(shared.horizons[1], profile=profile[:, 0])
            return replace(shared, features=replace(shared.features, profile=profile), horizons={1: state})
        regression = replace(shared.horizons[1].regression, count=known.count, smearing_sum=known.smearing_sum)
        state = HorizonState(known.profile[:, 0], regression, known.tracker)
        return replace(shared, features=replace(shared.features, profile=known.profile), horizons={1: state})

    def profile_of(self, measures: pd.DataFrame) -> FloatArray:
        """Profile of a symbol that was not in training, shape (24, len(STATES)); see `for_symbol`."""
        past = int(measures.index.searchsorted(self.shared.trained_through, side="right"))
        if len(measures) < HISTORY:
            raise NotEnoughDataError(
                f"found {len(measures)} hourly buckets of a symbol that the model has not been trained on; the rule is "
                f"{HISTORY}, to learn its hours of the day; give bars that begin earlier."
            )
        own = measures.iloc[: past if past >= HISTORY else HISTORY]
        logs, hours, typical = log_measures(own), session_hours(own.index), self.shared.features.profile
        level = np.mean(logs - typical[hours], axis=0)
        counts = np.bincount(hours, minlength=_HOURS)[:, None]
        moved = hour_means(logs - typical[hours] - level, hours)
        return np.asarray(typical + level + moved * (counts / (counts + _SHRINKAGE)))

    def forecast(
        self, networks: Sequence[Network], measures: pd.DataFrame, targets: pd.DatetimeIndex, known: IntArray
    ) -> FloatArray:
        """Volatility of the buckets `targets`, shape (len(targets),); see `forecast_horizon`."""
        return self.forecast_horizon(networks, measures, targets, known, 1).volatility

    def forecast_horizon(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: IntArray,
        horizon: Horizon,
    ) -> IntervalForecast:
        """Volatility of the buckets `targets`, with bounds, of the symbol in ``measures.attrs["symbol"]``.

        Raises
        ------
        ConfigError
            `horizon` is not 1.
        """
        if horizon != 1:
            raise ConfigError(
                f"horizon is {horizon!r}; the rule for a pooled model is 1, the next bucket; train one of the symbol "
                "alone for longer ones."
            )
        recipe = self.for_symbol(measures.attrs.get("symbol"), measures)
        return recipe.forecast_horizon(networks, measures, targets, known, 1)

    def with_market(self, measures: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """The `measures` of each symbol, by its name, with the market's states, made of all of them, beside them.

        Where fewer than `FEWEST_IN_MARKET` symbols have a bucket, a symbol's own state will stand in.
        """
        market = market_states({name: self._market_share(name, frame) for name, frame in measures.items()})
        joined = {name: frame.join(market.reindex(frame.index)) for name, frame in measures.items()}
        for name, frame in joined.items():
            frame.attrs = {**measures[name].attrs, "symbol": name}
        return joined

    def _market_share(self, symbol: str, measures: pd.DataFrame) -> pd.DataFrame:
        """States of the buckets with which a symbol is part of the market: all, or those after its profile is known."""
        known, first = self.symbols.get(symbol), 0
        if known is not None:
            profile = known.profile
        elif len(measures) < HISTORY:
            return pd.DataFrame(columns=range(len(STATES)), index=measures.index[:0], dtype=float)
        else:
            profile = self.profile_of(measures)
            learnt_before = int(measures.index.searchsorted(self.shared.trained_through, side="right")) >= HISTORY
            first = 0 if learnt_before else HISTORY - 1
        states = states_of(log_measures(measures) - profile[session_hours(measures.index)])
        return pd.DataFrame(states[first:], measures.index[first:])

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON."""
        symbols = {name: state.to_dict() for name, state in self.symbols.items()}
        return {"kind": self.kind, "shared": self.shared.to_dict(), "symbols": symbols}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "PooledHarLstm":
        """The recipe whose `to_dict` gave `numbers`."""
        symbols = {name: SymbolState.from_dict(state) for name, state in numbers["symbols"].items()}
        return cls(HarLstm.from_dict(numbers["shared"]), symbols)


def market_states(states: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean state of all symbols in each bucket, columns `features.intraday.market_columns`.

    Only the buckets that at least `FEWEST_IN_MARKET` symbols have; a mean over the same bucket looks at no later one.
    """
    stacked = pd.concat([frame.tz_convert(EXCHANGE_TIMEZONE) for frame in states.values()])
    buckets = stacked.groupby(level=0)
    market = buckets.mean()[buckets.size() >= FEWEST_IN_MARKET]
    market.columns = pd.Index(market_columns())
    return market
