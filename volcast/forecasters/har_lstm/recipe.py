r"""The default forecast: a HAR on the day's own measures, refitted daily, and what an ensemble of LSTMs adds to it.

.. math:: \ln \hat\sigma = x'\hat\beta_{day} + p_h + w \bar c(z) + s

:math:`x'\hat\beta` is the regression of `forecasters.har_lstm.regression`, :math:`p_h` the hour's mean, :math:`\bar
c` the mean correction of the networks, which were trained on what the regression leaves unexplained, :math:`w` its
weight, which follows what it was worth so far (`forecasters.har_lstm.weight`), and :math:`s` the smearing. The networks
forecast one bucket ahead; longer horizons are the regression's alone, on their own outcomes: direct, not iterated
(Marcellino, Stock and Watson 2006, *Journal of Econometrics* 135).

A model is of one symbol or of many. A symbol's deviations from its own hour-of-day profile look like every other
symbol's, so one regression and one ensemble learn from all of them, and three or more see the mean state of the market
beside the symbol's own (Zhang, Zhang, Cucuringu and Qian 2024, *Journal of Financial Econometrics* 22, find that both
help). Profile, smearing and bounds are each symbol's own. So is a second regression of the next bucket, shrunk towards
the one that all share: the mean of both logs is what is forecast. A symbol that was not in training gets the mean
profile, moved towards its own history, and its own regression grows in as its bars come.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D, columns_of, time_index
from volcast.counts import counted
from volcast.errors import NotEnoughDataError
from volcast.features.intraday import (
    IntradayFeatures,
    hour_means,
    market_states,
)
from volcast.forecasters.har_lstm.running import RunningForecast
from volcast.forecasters.har_lstm.state import HarLstmState, HorizonState, SymbolHorizon, SymbolState, by_horizon
from volcast.forecasters.har_lstm.weight import NetworkWeight
from volcast.forecasters.horizons import Horizon, IntervalForecast, horizon_outcomes
from volcast.forecasters.tables import HourlyTable
from volcast.markets.registry import market_of
from volcast.measures.hourly import RV_FLOOR
from volcast.networks.onnx import Network

__all__ = ["HarLstm"]

State = TypeVar("State")

_SHRINKAGE = 20.0
_BEFORE_ALL = pd.Timestamp(0, tz="UTC")


@dataclass(frozen=True)
class HarLstm(HarLstmState):
    """The recipe of the default forecast; see the module.

    Attributes
    ----------
    symbols
        What is each symbol's own, by name. All else is shared; profile, smearing and bounds in it are a typical
        symbol's.
    """

    symbols: Mapping[str, SymbolState]
    kind: str = field(default="har_lstm", init=False)
    needs_rv_alone: bool = field(default=False, init=False)

    def forecast(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: Int64Array1D,
        horizon: Horizon = 1,
    ) -> IntervalForecast:
        """Volatility, with its bounds, of the horizons that begin with the buckets `targets`.

        Parameters
        ----------
        networks
            Those of the bundle.
        measures
            Hourly measures, see `measures.bucketed`, of the symbol in their ``attrs["symbol"]``; the market's beside
            them, where there is one (`with_market`).
        targets
            Labels of the first bucket of each horizon, in time order.
        known
            How many leading rows of `measures` each forecast may use, at least `memory`, not falling.
        horizon
            One of `forecasters.horizons.HORIZONS`.

        Raises
        ------
        ConfigError
            The model was not trained to forecast that `horizon`.
        NotEnoughDataError
            The symbol was not in training, and `measures` are fewer than the features' `history`.
        """
        if not len(targets):
            return IntervalForecast(np.empty(0), np.empty(0), np.empty(0))
        state = self.for_symbol(measures.attrs.get("symbol"), measures)
        table = HourlyTable.of(measures.iloc[: int(known[-1])])
        return RunningForecast(state, networks, horizon, table).forecast(targets.as_unit("us").asi8, known)

    def for_symbol(self, symbol: str | None, measures: pd.DataFrame) -> HarLstmState:
        """The numbers with which one symbol is forecast; those of a model of one symbol, whichever is asked for.

        A symbol that was not in training gets profiles from its `measures`: those up to the model's
        ``trained_through`` where there are enough, else the first, as many as the longest lag. A forecast needs as many
        before it, so none sees a bucket that comes after it.

        Raises
        ------
        NotEnoughDataError
            The symbol was not in training, and `measures` are fewer than the features' `history`.
        """
        trained_on = self._trained_on(symbol)
        symbol_state = trained_on or self._stranger(measures)
        # All that a stranger's bars show is new to its own regression.
        learnt_until = self.trained_through if trained_on or not self._has_regressions else _BEFORE_ALL
        horizons = _OnDemand(symbol_state.horizons, partial(self._horizon_of, symbol_state))
        only = next(iter(self.symbols)) if len(self.symbols) == 1 else ""
        known_days = self.features.known_days.of_symbol(only or symbol or "")
        return HarLstmState(
            replace(self.features, profile=symbol_state.profile, known_days=known_days), horizons, self.window,
            self.correction_spread, self.weight, self.smearing_shift, learnt_until,
        )  # fmt: skip

    @property
    def _has_regressions(self) -> bool:
        return any(
            state.of_symbol is not None for symbol in self.symbols.values() for state in symbol.horizons.values()
        )

    def _horizon_of(self, symbol_state: SymbolState, name: Horizon) -> HorizonState:
        shared, state = self.horizons[name].regression, symbol_state.horizons[name]
        of_symbol = None if state.of_symbol is None else state.of_symbol.shrunk_towards(shared.coefficients)
        regression = replace(shared, count=state.count, smearing_sum=state.smearing_sum)
        return HorizonState(state.profile, regression, state.tracker, of_symbol)

    def with_market(self, measures: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """The `measures` of each symbol, by its name, with the market's states, made of all of them, beside them.

        Where fewer than `features.intraday.FEWEST_IN_MARKET` symbols have a bucket, a symbol's own state will stand
        in. A model that has learnt from fewer symbols looks at no market.
        """
        if self.features.with_market:
            market = market_states({name: self._market_share(name, frame) for name, frame in measures.items()})
            joined = {name: frame.join(market.reindex(frame.index)) for name, frame in measures.items()}
        else:
            joined = {name: frame.copy(deep=False) for name, frame in measures.items()}
        for name, frame in joined.items():
            frame.attrs = {**measures[name].attrs, "symbol": name}
        return joined

    def regression_alone(self) -> "HarLstm":
        """This recipe without what the networks add."""
        return replace(self, weight=NetworkWeight.fixed(0.0))

    def to_dict(self) -> dict[str, Any]:
        """The recipe's numbers, ready for JSON."""
        return {
            "kind": self.kind,
            "features": self.features.to_dict(),
            "horizons": {str(name): state.to_dict() for name, state in self.horizons.items()},
            "window": self.window,
            "correction_spread": self.correction_spread,
            **self.weight.to_dict(),
            "smearing_shift": self.smearing_shift,
            "trained_through": self.trained_through.isoformat(),
            "symbols": {name: state.to_dict() for name, state in self.symbols.items()},
        }

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> "HarLstm":
        """The recipe whose `to_dict` gave `numbers`."""
        return cls(
            features=IntradayFeatures.from_dict(numbers["features"]),
            horizons=by_horizon(numbers["horizons"], HorizonState.from_dict),
            window=int(numbers["window"]),
            correction_spread=float(numbers["correction_spread"]),
            weight=NetworkWeight.from_dict(numbers),
            smearing_shift=float(numbers["smearing_shift"]),
            trained_through=pd.Timestamp(numbers["trained_through"]),
            symbols={name: SymbolState.from_dict(state) for name, state in numbers["symbols"].items()},
        )

    def _trained_on(self, symbol: str | None) -> SymbolState | None:
        """What is remembered of `symbol`; None of one that was not in training."""
        if len(self.symbols) == 1:
            return next(iter(self.symbols.values()))
        return self.symbols.get(symbol or "")

    def _stranger(self, measures: pd.DataFrame) -> SymbolState:
        """A typical symbol, moved towards the history in `measures`; see `for_symbol`."""
        if len(measures) < self.features.history:
            raise NotEnoughDataError(
                f"found {counted(len(measures), 'hourly bucket')} of a symbol that the model has not been trained on; "
                f"the rule is {self.features.history}, to learn its hours of the day; give bars that begin earlier."
            )
        past = int(measures.index.searchsorted(self.trained_through, side="right"))
        history = measures.iloc[: max(past, self.features.history)]
        profile = _shrunk(
            self.features.profile, self.features.logs(history), market_of(history).hours_of_labels(time_index(history))
        )
        # A copy: a view would keep all measures in memory as long as the symbol is forecast.
        volatility = history[["rv_hourly"]].copy()
        return SymbolState(profile, _OnDemand(self.horizons, partial(self._strange_horizon, profile[:, 0], volatility)))

    def _strange_horizon(self, profile: Float64Array1D, history: pd.DataFrame, name: Horizon) -> SymbolHorizon:
        """What a symbol that was not in training has of a horizon; `profile` is of its buckets, shape (24,)."""
        state = self.horizons[name]
        # The next bucket's volatility is a state itself; longer horizons have outcomes of their own.
        moved = profile if name == 1 else _shrunk_to_outcomes(state.profile, history, name)
        regression = state.regression
        of_symbol = regression.without_rows() if name == 1 and self._has_regressions else None
        return SymbolHorizon(moved, regression.count, regression.smearing_sum, state.tracker, of_symbol)

    def _market_share(self, symbol: str, measures: pd.DataFrame) -> pd.DataFrame:
        """What a symbol adds to the market in each bucket: in all, or in those after its profile is known."""
        symbol_state, first = self._trained_on(symbol), 0
        if symbol_state is None and len(measures) < self.features.history:
            return pd.DataFrame(columns=self._share_names, index=measures.index[:0], dtype=float)
        if symbol_state is None:
            symbol_state = self._stranger(measures)
            learnt_before = (
                int(measures.index.searchsorted(self.trained_through, side="right")) >= self.features.history
            )
            first = 0 if learnt_before else self.features.history - 1
        features = replace(self.features, profile=symbol_state.profile)
        columns = columns_of(measures, features.share_columns)
        hours = market_of(measures).hours_of_labels(time_index(measures))
        share = IntradayFeatures.market_shares([features], columns, hours, [len(columns)])
        return pd.DataFrame(share[first:], measures.index[first:], self._share_names)

    @property
    def _share_names(self) -> list[str]:
        return [name.removeprefix("market_") for name in self.features.market_columns]


class _OnDemand(Mapping[Horizon, State]):
    """States by horizon, each made when it is first asked for: of a stranger's, a forecast asks for one.

    Parameters
    ----------
    names
        The horizons.
    make
        Makes the state of one.
    """

    def __init__(self, names: Iterable[Horizon], make: Callable[[Horizon], State]) -> None:
        self._make, self._states = make, dict[Horizon, State | None].fromkeys(names)

    def __getitem__(self, name: Horizon) -> State:
        state = self._states[name]
        if state is None:
            state = self._states[name] = self._make(name)
        return state

    def __iter__(self) -> Iterator[Horizon]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)


def _shrunk(typical: Float64Array2D, logs: Float64Array2D, hours: Int64Array1D) -> Float64Array2D:
    """Hour-of-day means of `logs`, shape (n, k), shrunk towards the `typical` ones at their level, shape (24, k)."""
    apart = logs - typical[hours]
    present = ~np.isnan(apart)
    level = np.sum(apart, axis=0, where=present) / np.maximum(present.sum(axis=0), 1)
    counts = np.column_stack([np.bincount(hours, weights=column, minlength=len(typical)) for column in present.T])
    moved = hour_means(apart - level, hours, len(typical))
    return np.asarray(typical + level + moved * (counts / (counts + _SHRINKAGE)))


def _shrunk_to_outcomes(typical: Float64Array1D, measures: pd.DataFrame, horizon: Horizon) -> Float64Array1D:
    """Profile of a horizon, shape (24,): the `typical` one moved towards what came of it in `measures`."""
    outcomes, hours = horizon_outcomes(measures, horizon), market_of(measures).hours_of_labels(time_index(measures))
    ended = outcomes.known_with < len(measures)
    logs = np.log(np.maximum(outcomes.volatility[ended], RV_FLOOR))
    return _shrunk(typical[:, None], logs[:, None], hours[ended])[:, 0]
