"""When to train anew, on how much, and what a new model must show: the part of a configuration that is about time."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from volcast.bars.symbols import cut_each_symbol
from volcast.errors import ConfigError
from volcast.markets.market import TradingMarket

__all__ = ["RetrainingPolicy", "candidate_moments"]

_EVERY = ("month", "week", "decay")
_GATES = ("better", "always", "never")
_COUNT_OR_NONE = "a whole number, 1 or more, or None"
# The mean loss of fewer says next to nothing, whatever they are.
_FEWEST_JUDGED = 35


@dataclass(frozen=True)
class RetrainingPolicy:
    """When a model is trained anew, on which bars, and when it replaces the one that serves.

    Attributes
    ----------
    every
        ``"month"`` or ``"week"``: at the open of the first session of each; a number: every so many sessions, counted
        from the bars' first; ``"decay"``: when the model's rolling QLIKE ratio to the diurnal log-HAR rises out of its
        own band; None: never by itself.
    window
        ``"expanding"``: on all bars before; a number: on those of the last so many days.
    gate
        ``"better"``: the new model replaces the old one if it has the lower QLIKE on the buckets that neither saw, and
        the verdict on its own test part is not that it is not to be used (setting ``accept_verdict``);
        ``"always"``, ``"never"``: whatever its figures are.
    gate_p_value
        The largest one-sided p-value of the Diebold-Mariano test that ``"better"`` lets pass: 0.5 asks for a lower
        mean loss alone, 0.05 for one beyond what chance explains.
    gate_buckets
        Fewest buckets to judge on; with fewer, the old model stays. None: a week of the market's, 35 at least.
    decay_buckets
        Length of the rolling window of ``"decay"``. None: two weeks of the market's buckets, 70 at least.
    """

    every: str | int | None = None
    window: str | int = "expanding"
    gate: str = "better"
    gate_p_value: float = 0.5
    gate_buckets: int | None = None
    decay_buckets: int | None = None

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}, but must be {rule}"
            for name, rule, is_met in (
                ("every", f"{', '.join(_EVERY)}, a number of sessions, or None", _is_every(self.every)),
                ("window", "expanding or a number of days", self.window == "expanding" or _is_count(self.window)),
                ("gate", f"one of {', '.join(_GATES)}", self.gate in _GATES),
                ("gate_p_value", "a number above 0, at most 0.5", _is_share(self.gate_p_value)),
                ("gate_buckets", _COUNT_OR_NONE, self.gate_buckets is None or _is_count(self.gate_buckets)),
                ("decay_buckets", _COUNT_OR_NONE, self.decay_buckets is None or _is_count(self.decay_buckets)),
            )
            if not is_met
        ]
        if problems:
            raise ConfigError("the retraining configuration is not usable: " + "; ".join(problems) + ".")

    @classmethod
    def split(cls, settings: Mapping[str, Any]) -> "tuple[RetrainingPolicy, dict[str, Any]]":
        """The policy in `settings`, and the settings that are not its own: those of `TrainingConfig`."""
        names = {field.name for field in fields(cls)}
        policy = {key: value for key, value in settings.items() if key in names}
        return cls(**policy), {key: value for key, value in settings.items() if key not in names}

    def fewest_judged(self, market: TradingMarket) -> int:
        """Buckets of a market that the gate judges on at least: `gate_buckets`."""
        return self.gate_buckets or max(market.buckets_per_week, _FEWEST_JUDGED)

    def decay_window(self, market: TradingMarket) -> int:
        """Buckets of a market in the rolling window of ``"decay"``: `decay_buckets`."""
        return self.decay_buckets or 2 * max(market.buckets_per_week, _FEWEST_JUDGED)

    def training_bars(self, bars: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
        """Bars that a training at `moment` is done on, cut from `bars`, which had ended by then.

        Both are one symbol's, or those of many, indexed by (symbol, timestamp).
        """
        if self.window == "expanding":
            return bars
        first = moment - pd.Timedelta(days=int(self.window))
        return cut_each_symbol(bars, lambda part: part.iloc[part.index.searchsorted(first, side="left") :])


def candidate_moments(
    every: str | int | None, first: pd.Timestamp, last: pd.Timestamp, market: TradingMarket
) -> pd.DatetimeIndex:
    """Moments from `first` to `last` at which a training may be due: opens of sessions, the market's time.

    Under ``"decay"`` every session's. Moments depend on `first` and the market alone, so a loop that asks again
    and again, with a later `last` each time, meets the same ones.
    """
    opens = market.schedule(first, last)["open"]
    sessions = pd.DatetimeIndex(opens.index)
    if every is None:
        return pd.DatetimeIndex(opens)[:0]
    if isinstance(every, int):
        due = np.arange(len(opens)) % every == 0
    elif every == "decay":
        due = np.ones(len(opens), dtype=bool)
    else:
        # The market's first session of a period, whether or not the bars reach back to it.
        before = market.schedule(first - pd.Timedelta(days=12), first - pd.Timedelta(days=1)).index
        period = "M" if every == "month" else "W"
        periods = pd.DatetimeIndex([*before, *sessions]).to_period(period)
        due = np.append(True, periods[1:] != periods[:-1])[-len(sessions) :] if len(sessions) else np.empty(0, bool)
    moments = pd.DatetimeIndex(opens)[due]
    return pd.DatetimeIndex(moments[(moments > first) & (moments <= last)])


def _is_every(value: object) -> bool:
    return value is None or value in _EVERY or _is_count(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= 0.5
