"""Fits of many days at a time are those of a plain loop that fits each day anew, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volcast.arrays import Float64Array1D, Float64Array2D, Int64Array1D
from volcast.forecasters.har_lstm.regression import RefittedRegression, RegressionState, fit_state

TERMS, ROWS = 37, 200
RANDOM = np.random.default_rng(11)
DESIGN = RANDOM.standard_normal((ROWS, TERMS))
OUTCOME = DESIGN @ RANDOM.standard_normal(TERMS) + 0.3 * RANDOM.standard_normal(ROWS)
PAST = fit_state(DESIGN[:90] + 0.1, OUTCOME[:90], term_count=30)
STATES = (PAST, PAST.shrunk_towards(PAST.coefficients * 0.9))


def plain_fit(state: RegressionState, count: int) -> tuple[Float64Array1D, float]:
    """Coefficients, and log of the smearing factor, from the first `count` rows, added one after the other."""
    gram, moment = np.zeros((TERMS, TERMS)), np.zeros(TERMS)
    for row, outcome in zip(DESIGN[:count], OUTCOME[:count], strict=True):
        gram = gram + np.outer(row, row)
        moment = moment + row * outcome
    penalized = state.gram + gram + np.diag(state.penalty)
    coefficients: Float64Array1D = np.asarray(np.linalg.solve(penalized, state.moment + moment), dtype=float)
    errors = OUTCOME[:count] - np.einsum("ij,j->i", DESIGN[:count], coefficients)
    smearing = (state.smearing_sum + np.exp(2 * errors).sum()) / (state.count + count)
    return coefficients, 0.5 * float(np.log(smearing))


def plain_forecasts(
    states: tuple[RegressionState, ...], design: Float64Array2D, counts: Int64Array1D
) -> tuple[list[float], list[float]]:
    forecasts, smearings = [], []
    for row, count in zip(design, counts.tolist(), strict=True):
        fits = [plain_fit(state, count) for state in states]
        forecasts.append(sum(np.einsum("ij,ij->i", row[None], fit[None])[0] for fit, _ in fits) / len(fits))
        smearings.append(sum(smearing for _, smearing in fits) / len(fits))
    return forecasts, smearings


@pytest.mark.parametrize("states", [STATES[:1], STATES])
@settings(max_examples=25)
@given(parts=st.lists(st.lists(st.integers(0, ROWS), min_size=1, max_size=20), min_size=1, max_size=3))
def test_fits_are_those_of_a_plain_loop(states: tuple[RegressionState, ...], parts: list[list[int]]) -> None:
    regression = RefittedRegression(*states)
    for part in parts:
        counts = np.array(part)
        design = DESIGN[RANDOM.integers(0, ROWS, len(counts))]
        regression.refit(DESIGN, OUTCOME, counts)
        forecasts, smearings = plain_forecasts(states, design, counts)
        forecast, log_smearing = regression.forecasts(design, counts)
        np.testing.assert_array_equal(forecast, forecasts)
        np.testing.assert_array_equal(log_smearing, smearings)


def test_what_is_forgotten_is_fitted_anew() -> None:
    counts, other = np.arange(0, ROWS, 7), OUTCOME.copy()
    other[120:] += 1.0
    regression, fresh = RefittedRegression(*STATES), RefittedRegression(*STATES)
    regression.refit(DESIGN, other, counts)
    regression.forget(120)
    for each in (regression, fresh):
        each.refit(DESIGN, OUTCOME, counts)
    for part, expected in zip(
        regression.forecasts(DESIGN[: len(counts)], counts), fresh.forecasts(DESIGN[: len(counts)], counts), strict=True
    ):
        np.testing.assert_array_equal(part, expected)


def test_what_is_remembered_is_a_fit_on_all_rows() -> None:
    (state,) = RefittedRegression(PAST).states_after(DESIGN, OUTCOME, ROWS)
    coefficients, log_smearing = plain_fit(PAST, ROWS)
    np.testing.assert_array_equal(state.coefficients, coefficients)
    assert state.log_smearing == pytest.approx(log_smearing, rel=1e-12)
    assert state.count == PAST.count + ROWS


def test_many_terms_are_summed_as_few_are() -> None:
    terms, rows = 300, 40
    design = RANDOM.standard_normal((rows, terms))
    outcome = RANDOM.standard_normal(rows)
    past = fit_state(design + 0.1, outcome, term_count=20)
    (state,) = RefittedRegression(past).states_after(design, outcome, rows)
    gram, moment = np.zeros((terms, terms)), np.zeros(terms)
    for row, value in zip(design, outcome, strict=True):
        gram, moment = gram + np.outer(row, row), moment + row * value
    np.testing.assert_array_equal(state.gram, past.gram + gram)
    np.testing.assert_array_equal(state.moment, past.moment + moment)
