"""What a source, an estimator, a forecaster, a horizon or a strategy has to keep, as functions for whoever writes one.

Each suite takes one member of its kind and returns nothing, or raises an AssertionError that says in a sentence which
rule is broken and by which example: `check_source`, `check_estimator`, `check_forecaster`, `check_baseline`,
`check_recipe`, `check_horizon`, `check_total_baseline`, `check_strategy`, `check_market`; `assert_no_lookahead` holds a
strategy to its own bars. None needs pytest, and all bars that they need are simulated. Imports everything but `cli`;
nothing imports it.
"""

from volcast.testing.estimators import check_estimator
from volcast.testing.forecasters import check_baseline, check_forecaster, check_recipe
from volcast.testing.horizons import check_horizon
from volcast.testing.markets import check_market
from volcast.testing.sources import check_source
from volcast.testing.strategies import assert_no_lookahead, check_strategy
from volcast.testing.totals import check_total_baseline

__all__ = [
    "assert_no_lookahead",
    "check_baseline",
    "check_estimator",
    "check_forecaster",
    "check_horizon",
    "check_market",
    "check_recipe",
    "check_source",
    "check_strategy",
    "check_total_baseline",
]
