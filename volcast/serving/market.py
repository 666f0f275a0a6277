"""The mean state of many symbols, bucket by bucket, carried on as their measures grow."""

from collections.abc import Sequence

import numpy as np

from volcast.arrays import Float64Array2D, Int64Array1D
from volcast.features.intraday import FEWEST_IN_MARKET
from volcast.forecasters.har_lstm.recipe import HarLstm
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.forecasters.tables import HourlyTable

__all__ = ["NEVER", "MarketStates", "SymbolShare"]

NEVER = int(np.iinfo(np.int64).max)
"""A moment after all others, in microseconds since the epoch."""


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
        self._places = [table.names.index(name) for name in recipe.features.share_columns]
        # How many rows the numbers were learnt from, and the first row with which it is part of the market.
        self._learnt_from, self._first = -1, 0
        self.state: HarLstmState | None = None
        self.states = HourlyTable(recipe.features.market_columns, table.market)

    def follow(self, changed: int) -> int:
        """Follow the table, whose rows from `changed` on are new.

        Returns the label of the first state that is another than before, or new.
        """
        if self._learn(changed):
            changed = 0
        place, begin = max(changed - self._first, 0), max(changed, self._first)
        label = int(self.states.labels[place]) if place < len(self.states) else NEVER
        self.states.cut(place)
        if self.state is None or begin >= len(self._table):
            return label
        columns, hours = self._table.values[begin:, self._places], self._table.hours[begin:]
        self.states.append(self._table.labels[begin:], self.state.features.market_share(columns, hours))
        return min(label, int(self._table.labels[begin]))

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
    shares
        Of the symbols, in the order in which they are summed.
    names
        Of what is summed.
    """

    def __init__(self, shares: Sequence[SymbolShare], names: Sequence[str]) -> None:
        self._shares = shares
        self._table = HourlyTable(names, shares[0].states.market)

    def update(self, since: int) -> None:
        """Make the means anew from the bucket with the label `since` on."""
        tables = [share.states for share in self._shares]
        begins = [int(table.labels.searchsorted(since)) for table in tables]
        labels = np.unique(np.concatenate([table.labels[begin:] for table, begin in zip(tables, begins, strict=True)]))
        sums, lost = np.zeros((2, len(labels), len(self._table.names)))
        counts = np.zeros((len(labels), 1))
        for table, begin in zip(tables, begins, strict=True):
            rows = labels.searchsorted(table.labels[begin:])
            # Kahan's sum, in the order of the symbols, as a mean in pandas has it: to the last bit that of training.
            values = table.values[begin:] - lost[rows]
            totals = sums[rows] + values
            lost[rows] = totals - sums[rows] - values
            sums[rows] = totals
            counts[rows] += 1
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
