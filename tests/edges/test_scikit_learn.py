"""The estimator of scikit-learn with histories and hours of every kind."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from tests.support.bars import make_bars
from tests.support.outcomes import Refusal, outcome
from tests.support.strategies import SCALARS, TEXT, bars_frames, damaged_frames, examples, mostly, strange_frames
from volcast.adapters.scikit_learn import VolatilityRegressor
from volcast.errors import BarsError
from volcast.forecasters.baselines.registry import BASELINES
from volcast.measures.hourly import get_hourly_measures

MEASURES = get_hourly_measures(make_bars("2024-06-03", "2024-11-15", minutes=5))
LENGTHS = st.integers(0, len(MEASURES))
PAST, AHEAD = (LENGTHS.map(cut) for cut in (MEASURES.head, MEASURES.tail))
ARRAYS = st.one_of(
    st.lists(st.floats(), max_size=9).map(np.array),
    st.tuples(st.integers(0, 9), st.integers(0, 3)).map(np.ones),
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=20).map(np.array),
)
BARS = bars_frames(months=True)
HISTORIES = mostly(PAST | PAST.map(lambda rows: rows["rv_hourly"]) | BARS, ARRAYS)
HOURS = mostly(AHEAD | AHEAD.map(lambda rows: rows["rv_hourly"]) | BARS, ARRAYS)
NO_TABLES = damaged_frames() | strange_frames() | SCALARS.filter(lambda value: not isinstance(value, list))
TARGETS = mostly(st.none(), SCALARS | st.lists(st.floats(0, 1), max_size=20))


@examples(60)
@given(
    mostly(st.sampled_from(list(BASELINES)), TEXT | SCALARS),
    mostly(HISTORIES, NO_TABLES),
    mostly(st.none(), TARGETS),
    mostly(HOURS, NO_TABLES),
)
def test_histories_and_hours_of_whatever_it_is(forecaster: Any, history: Any, target: Any, ahead: Any) -> None:
    regressor = VolatilityRegressor(forecaster)
    fitted = outcome("VolatilityRegressor.fit", lambda: in_words_of_ours(lambda: regressor.fit(history, target)))
    predicted = outcome("VolatilityRegressor.predict", lambda: in_words_of_ours(lambda: regressor.predict(ahead)))
    score = outcome("VolatilityRegressor.score", lambda: in_words_of_ours(lambda: regressor.score(ahead)))
    for answer in (predicted, score):
        assert isinstance(answer, Refusal) or not isinstance(fitted, Refusal)
        assert isinstance(answer, Refusal) or np.isfinite(answer).all()


def in_words_of_ours(call: Any) -> Any:
    """What scikit-learn says of arrays, and of an estimator that is not fitted, counts as a refusal."""
    try:
        return call()
    except NotFittedError:
        raise BarsError("nothing was fitted.") from None
    except (ValueError, TypeError) as error:
        frames, trace = [], error.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        if "/sklearn/" in frames[-1]:
            raise BarsError("scikit-learn refuses the array.") from None
        raise
