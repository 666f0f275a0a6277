r"""The default forecast: a HAR on the day's own measures, refitted daily, and what an ensemble of LSTMs adds to it.

.. math:: \ln \hat\sigma = x'\hat\beta_{day} + p_h + w \bar c(z) + s

:math:`x'\hat\beta` is the regression of `forecasters.har_lstm.regression`, :math:`p_h` the hour's mean, :math:`\bar
c` the mean correction of the networks, which were trained on what the regression leaves unexplained, :math:`w` its
weight, shrunk towards what helps on average (Bates and Granger 1969, *Operational Research Quarterly* 20), and
:math:`s` the smearing. The networks forecast one bucket ahead; longer horizons are the regression's alone, on their
own outcomes: direct, not iterated (Marcellino, Stock and Watson 2006, *Journal of Econometrics* 135).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from volcast.forecasters.har_lstm.running import RunningForecast
from volcast.forecasters.har_lstm.state import HarLstmState
from volcast.forecasters.horizons import Horizon, IntervalForecast
from volcast.forecasters.tables import HourlyTable
from volcast.networks.onnx import Network

__all__ = ["HarLstm"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HarLstm(HarLstmState):
    """The recipe of the default forecast; see the module."""

    def forecast(
        self, networks: Sequence[Network], measures: pd.DataFrame, targets: pd.DatetimeIndex, known: IntArray
    ) -> FloatArray:
        """Volatility of the buckets `targets`, shape (len(targets),); see `ModelBundle.forecast`."""
        return self.forecast_horizon(networks, measures, targets, known, 1).volatility

    def forecast_horizon(
        self,
        networks: Sequence[Network],
        measures: pd.DataFrame,
        targets: pd.DatetimeIndex,
        known: IntArray,
        horizon: Horizon,
    ) -> IntervalForecast:
        """Volatility, with its bounds, of the horizons that begin with the buckets `targets`.

        Parameters
        ----------
        networks
            Those of the bundle.
        measures
            Hourly measures, see `measures.bucketed`.
        targets
            Labels of the first bucket of each horizon, in time order.
        known
            How many leading rows of `measures` each forecast may use, at least `memory`, not falling.
        horizon
            One of `forecasters.horizons.HORIZONS`.
        """
        if not len(targets):
            return IntervalForecast(np.empty(0), np.empty(0), np.empty(0))
        table = HourlyTable.of(measures.iloc[: int(known[-1])])
        return RunningForecast(self, networks, horizon, table).forecast(targets.as_unit("us").asi8, known)
