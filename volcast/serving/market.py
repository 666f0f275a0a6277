"""The mean state of many symbols, bucket by bucket, carried on as their measures grow."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from volcast.arrays import Float64Array2D, Int64Array1D, runs_within
from volcast.features.intraday import FEWEST_IN_MARKET, IntradayFeatures
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.forecasters.tables import HourlyTable

__all__ = ["NEVER", "MarketStates", "SymbolShare"]

NEVER = int(np.iinfo(np.int64).max)
"""A moment after all others, in microseconds since the epoch."""

_ROWS_AT_ONCE = 2**12


class SymbolShare:
    """What one symbol is to a model of many: the numbers that it is forecast with, and its states in the market.

    Parameters
    ----------
    recipe
        The model's.
    symbol
        Its name. The hours of one that was not in training are learnt from its measures.
    table
        Its hourly measures.
    """

    def __init__(self, recipe: HarLstm, symbol: str, table: HourlyTable) -> None:
        self._recipe, self._symbol, self._table = recipe, symbol, table
        # How many rows the numbers were learnt from, and the first row with which it is part of the market.
        self._learnt_from, self._first = -1, 0
        self.state: HarLstmState | None = None
        self.states = HourlyTable(recipe.features.market_columns, table.market)

    @property
    def missing(self) -> int:
        """How many rows of the table have no state yet."""
        return 0 if self.state is None else max(len(self._table) - self._begin, 0)

    @property
    def _begin(self) -> int:
        return self._first + len(self.states)

    @property
    def labels(self) -> Int64Array1D:
        """Labels of the rows of the table that have no state yet, shape (n,)."""
        return self._table.labels[self._begin :]

    @property
    def measures(self) -> Float64Array2D:
        """Measures in the rows of the table that have no state yet, shape (n, k)."""
        return self._table.values[self._begin :]

    def forget(self, changed: int) -> int:
        """Forget the states of the table's rows from `changed` on, which are new.

        Returns the label of the first state that is gone, or is to come.
        """
        if self._learn(changed):
            changed = 0
        place = max(changed - self._first, 0)
        label = int(self.states.labels[place]) if place < len(self.states) else NEVER
        self.states.cut(place)
        return min(label, int(self.labels[0])) if self.missing else label

    def _learn(self, changed: int) -> bool:
        """Take the symbol's numbers from the recipe, the table's rows from `changed` on being new.

        Returns whether they are others than before.
        """
        rows, first = 0, 0
        if self._symbol not in self._recipe.symbols:
            trained = self._recipe.trained_through.value // 1000
            past = int(self._table.labels.searchsorted(trained, side="right"))
            history = self._recipe.features.history
            rows, first = (past, 0) if past >= history else (history, history - 1)
        if len(self._table) < rows:
            had_any, self.state, self._learnt_from = self.state is not None, None, -1
            return had_any
        if rows == self._learnt_from and changed >= rows:
            return False
        self.state = self._recipe.for_symbol(self._symbol, self._table.frame)
        self._learnt_from, self._first = rows, first
        return True


class MarketStates:
    """Mean states of all symbols in each bucket that at least `FEWEST_IN_MARKET` of them have; NaN in the others.

    Parameters
    ----------
    features
        The model's.
    shares
        Of the symbols, in the order in which they are summed.
    measures
        Names of the measures in their tables.
    """

    def __init__(self, features: IntradayFeatures, shares: Sequence[SymbolShare], measures: Sequence[str]) -> None:
        self._shares = shares
        self._table = HourlyTable(features.market_columns, shares[0].states.market)
        self._places = np.array([measures.index(name) for name in features.share_columns])

    def follow(self, changed: Iterable[int]) -> int:
        """Follow the symbols' tables, the rows of each from one of `changed` on being new.

        Returns the label of the first bucket whose means are others than before, or new.
        """
        since = min(share.forget(rows) for share, rows in zip(self._shares, changed, strict=True))
        behind = [share for share in self._shares if share.missing]
        for some in runs_within([share.missing for share in behind], _ROWS_AT_ONCE):
            self._add_states(behind[some])
        if since < NEVER:
            self._update(since)
        return since

    def _add_states(self, shares: Sequence[SymbolShare]) -> None:
        """Give the rows of symbols that have no state theirs, all at once."""
        labels, counts = np.concatenate([share.labels for share in shares]), [share.missing for share in shares]
        measures = np.concatenate([share.measures for share in shares])[:, self._places]
        hours, _ = self._table.market.hours_and_days(labels)
        features = [share.state.features for share in shares if share.state is not None]
        states = IntradayFeatures.market_shares(features, measures, hours, counts)
        for share, stop, count in zip(shares, itertools.accumulate(counts), counts, strict=True):
            share.states.append(labels[stop - count : stop], states[stop - count : stop])

    def _update(self, since: int) -> None:
        """Make the means anew from the bucket with the label `since` on."""
        tables = [share.states for share in self._shares]
        begins = [int(table.labels.searchsorted(since)) for table in tables]
        of_symbols = [table.labels[begin:] for table, begin in zip(tables, begins, strict=True)]
        every = np.concatenate(of_symbols)
        labels = np.unique(every)
        rows = labels.searchsorted(every)
        counts = np.bincount(rows, minlength=len(labels))[:, None]
        sums, lost = np.zeros((2, len(labels), len(self._table.names)))
        stops = itertools.accumulate(map(len, of_symbols))
        for table, begin, stop in zip(tables, begins, stops, strict=True):
            # Kahan's sum, in the order of the symbols, as a mean in pandas has it: to the last bit that of training.
            here = rows[stop - len(table) + begin : stop]
            before = sums[here]
            values = table.values[begin:] - lost[here]
            sums[here] = totals = before + values
            lost[here] = totals - before - values
        means = np.where(counts >= FEWEST_IN_MARKET, sums / counts, np.nan)
        self._table.cut(int(self._table.labels.searchsorted(since)))
        self._table.append(labels, means)

    def states_at(self, labels: Int64Array1D) -> Float64Array2D:
        """The means in the buckets with these labels, shape (n, k); NaN where there are none."""
        states = np.full((len(labels), len(self._table.names)), np.nan)
        rows = np.minimum(self._table.labels.searchsorted(labels), len(self._table) - 1)
        if len(self._table):
            present = self._table.labels[rows] == labels
            states[present] = self._table.values[rows[present]]
        return states
