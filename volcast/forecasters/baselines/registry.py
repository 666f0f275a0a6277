"""Every baseline by its name, with what it is called in tables: a new one is its function and a line here."""

from dataclasses import dataclass

import pandas as pd

from volcast.arrays import Float64Array1D, Int64Array1D
from volcast.forecasters.baselines.garch import diurnal_egarch, diurnal_garch, diurnal_gjr_garch
from volcast.forecasters.baselines.har import (
    diurnal_har,
    diurnal_harq,
    diurnal_log_har,
    diurnal_semivariance_har,
    har,
    log_har,
)
from volcast.forecasters.baselines.simple import (
    diurnal_ewma,
    ewma,
    hour_of_day_mean,
    long_run_mean,
    persistence,
    same_hour_yesterday,
)
from volcast.forecasters.walk_forward import Forecaster
from volcast.registry import Registry

__all__ = ["ALL_BASELINES", "BASELINES", "Baseline"]


@dataclass(frozen=True)
class Baseline:
    """A forecast that a model has to beat; called, it forecasts.

    Attributes
    ----------
    title
        What it is called in tables and sentences.
    forecast
        ``forecast(measures, targets, known)``: hourly volatilities, shape (len(targets),); see `Forecaster`.
    sees_clock
        Whether hours or days of the labels make a difference to it; where not, their order is all that it needs.

    Examples
    --------
    >>> from volcast.forecasters.baselines.simple import persistence
    >>> Baseline("persistence", persistence).title
    'persistence'
    """

    title: str
    forecast: Forecaster
    sees_clock: bool = True

    def __call__(self, measures: pd.DataFrame, targets: pd.DatetimeIndex, known: Int64Array1D) -> Float64Array1D:
        """Hourly volatilities of the buckets `targets`, each from the first ``known[i]`` rows of `measures`."""
        return self.forecast(measures, targets, known)


_GROUP = "volcast.baselines"
_QUICK = {
    "persistence": Baseline("persistence", persistence, sees_clock=False),
    "same_hour_yesterday": Baseline("same hour yesterday", same_hour_yesterday),
    "long_run_mean": Baseline("long-run mean", long_run_mean, sees_clock=False),
    "hour_of_day_mean": Baseline("hour-of-day mean", hour_of_day_mean),
    "ewma": Baseline("EWMA", ewma, sees_clock=False),
    "diurnal_ewma": Baseline("diurnal EWMA", diurnal_ewma),
    "har": Baseline("HAR", har),
    "diurnal_har": Baseline("diurnal HAR", diurnal_har),
    "log_har": Baseline("log-HAR", log_har),
    "diurnal_log_har": Baseline("diurnal log-HAR", diurnal_log_har),
    "diurnal_harq": Baseline("diurnal HARQ", diurnal_harq),
    "diurnal_semivariance_har": Baseline("diurnal semivariance HAR", diurnal_semivariance_har),
}
_ESTIMATED = {
    "diurnal_garch": Baseline("diurnal GARCH", diurnal_garch),
    "diurnal_gjr_garch": Baseline("diurnal GJR-GARCH", diurnal_gjr_garch),
    "diurnal_egarch": Baseline("diurnal EGARCH", diurnal_egarch),
}

BASELINES = Registry("baseline", Baseline, _QUICK, _GROUP)
"""Those that take a second, and installed packages': what every training is judged beside."""

ALL_BASELINES = Registry("baseline", Baseline, {**_QUICK, **_ESTIMATED}, _GROUP)
"""With those that are estimated by maximum likelihood every week."""
