"""What a source, an estimator, a forecaster, a horizon or a strategy has to keep, as functions for whoever writes one.

Each suite takes one member of its kind and returns nothing, or raises an AssertionError that says in a sentence which
rule is broken and by which example: `testing.sources.check_source`, `testing.estimators.check_estimator`,
`testing.forecasters.check_forecaster`, `check_baseline` and `check_recipe`, `testing.horizons.check_horizon`,
`testing.strategies.check_strategy`. None needs pytest, and all bars that they need are simulated. Imports everything
but `cli`; nothing imports it.
"""

from volcast.testing.strategies import assert_no_lookahead, check_strategy

__all__ = ["assert_no_lookahead", "check_strategy"]
