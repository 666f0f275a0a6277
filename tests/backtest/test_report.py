"""A backtest in words and tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from volcast.backtest.engine import Backtest, run_backtest
from volcast.backtest.forecasts import baseline_forecasts
from volcast.backtest.market import Market
from volcast.backtest.report import FIGURES, describe_backtest, number, statistics_table, verdict
from volcast.backtest.strategies.volatility_target import VolatilityTarget


@pytest.fixture(scope="module")
def backtest(holed_bars: pd.DataFrame) -> Backtest:
    tables = baseline_forecasts("ewma", holed_bars)
    noise = np.exp(0.5 * np.random.default_rng(2).standard_normal(len(tables["XYZ"])))
    noisy = tables["XYZ"].assign(volatility=tables["XYZ"]["volatility"] * noise)
    return run_backtest(VolatilityTarget(0.08), Market.of(holed_bars, noisy), None, tables)


def test_the_verdict_says_what_the_forecasts_were_worth_and_how_sure_that_is(backtest: Backtest) -> None:
    gain, t_value = backtest.gain_over_twin
    side = "more" if gain >= 0 else "less"
    sure = "beyond chance" if abs(t_value) > 1.96 else "which may be chance"
    assert f"it was worth {abs(100 * gain):.2f} points of utility a year {side} than by the EWMA's" in verdict(backtest)
    assert verdict(backtest).endswith(f"{sure}.")


def test_where_there_is_nothing_to_compare_the_verdict_says_that(backtest: Backtest) -> None:
    assert verdict(replace(backtest, twin=None)).endswith("there is no other forecast to compare with.")
    same = replace(backtest, twin=backtest.strategy)
    assert verdict(same).endswith("with the EWMA's forecasts it would have done the same.")


def test_the_table_has_every_figure_of_every_run(backtest: Backtest) -> None:
    console = Console(width=200, record=True)
    console.print(statistics_table(backtest))
    shown = console.export_text()
    for name, figure in FIGURES.items():
        if not backtest.statistics.reindex([name]).notna().any(axis=None):
            assert f" {figure.title} " not in shown
            continue
        row = next(line for line in shown.splitlines() if f" {figure.title} " in line)
        for run in backtest.runs:
            assert number(figure.form, run.statistics.get(name, float("nan"))) in row
    assert "SIMULATED XYZ, volatility target, after costs" in shown


def test_what_was_cut_out_is_said(backtest: Backtest) -> None:
    lines = describe_backtest(backtest)
    assert lines[0].startswith(f"Traded in {len(backtest.strategy.sessions)} sessions from ")
    assert lines[1] == "Forecasts by ewma."
    assert lines[2] == "No sessions between 2024-11-07 and 2024-11-22: what prices did meanwhile is cut out."
