"""The search for the default forecast, on data that no published figure is judged on.

``python studies/development.py terms|ridge|falls --data FOLDER`` prints QLIKE relative to the diurnal log-HAR
refitted daily, on the last `test_share` of the development part of each file that `protocol.json` names:

- ``terms``: the regression's terms, one group after the other
- ``ridge``: the weight of its penalty

``falls`` prints it relative to the regression that does not see how far prices fell, on these parts and on the windows
of the panel that choices are made on, each symbol alone.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from volcast.arrays import Float64Array1D, time_index
from volcast.features.windows import HAR_LAGS
from volcast.markets.registry import market_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from network_worth import WINDOWS, window_bars

from volcast.evaluation.losses import qlike_losses
from volcast.features.intraday import opens_market
from volcast.features.windows import TimeSplit
from volcast.forecasters.baselines.har import diurnal_log_har
from volcast.forecasters.har_lstm.regression import RIDGE, fit_state
from volcast.measures.hourly import get_hourly_measures
from volcast.training.har_lstm import har_lstm_targets

PROTOCOL = json.loads((Path(__file__).parent / "protocol.json").read_text())

# Columns of `IntradayFeatures.design`: eleven terms, eight of them once more for a session's first bucket, two falls,
# hours, and what is known of the Fed's decisions.
GROUPS = {
    "log-HAR": [0, 1, 2, 3],
    "+ first bucket apart": [11, 12],
    "+ Parkinson": [4, 5, 6, 13, 14],
    "+ how the bucket ended": [7, 8, 9, 15, 16, 17],
    "+ range": [10, 18],
    "+ how far prices fell": [19, 20],
}
TERMS, FALLS = 21, 2


def development_parts(data: Path) -> Iterator[tuple[str, pd.DataFrame, int]]:
    """Name, measures and first test row of the development part of each file: nothing after it is read."""
    plan, cut = PROTOCOL["development"], pd.Timestamp(PROTOCOL["pooled"]["cut"], tz="America/New_York")
    for name in [*PROTOCOL["single_symbol"]["files"], *plan["other_files"]]:
        measures = get_hourly_measures(pd.read_parquet(data / name))
        if name not in plan["other_files"]:
            measures = measures.iloc[: int(len(measures) * plan["share"])]
        measures = measures[measures.index < cut]
        first = int(len(measures) * (1 - plan["test_share"]))
        if first >= 2 * max(HAR_LAGS):
            yield name, measures, first


def regression_ratio(
    measures: pd.DataFrame, first: int, columns: list[int], ridge: float, *, with_decisions: bool
) -> float:
    """QLIKE of the regression on some of its terms, refitted daily from scratch, relative to the diurnal log-HAR."""
    # The terms' scales are those of the training part; what is judged is the part behind it, here by another name.
    split = TimeSplit(slice(0, first), slice(first, len(measures)), slice(len(measures), len(measures)))
    fitted = har_lstm_targets({"": measures}, {"": split}).regression
    features = replace(fitted.features, with_decisions=with_decisions)
    rows = np.arange(max(HAR_LAGS), len(measures))
    hours, days = market_of(measures).hours_and_days(time_index(measures).as_unit("us").asi8)
    days = days[rows]
    labels, opens = time_index(measures).as_unit("us").asi8[rows], opens_market(measures)[rows]
    nights = features.nights_before(measures)[rows]
    whole = features.design(features.states(measures), rows - 1, labels, hours[rows], opens, nights)
    design = np.column_stack([whole[:, columns], whole[:, TERMS:]])
    profile = features.profile[hours[rows], 0]
    outcome = np.log(measures["rv_hourly"].to_numpy()[rows]) - profile
    test = np.arange(first - max(HAR_LAGS), len(rows))
    forecast = np.empty(len(test))
    for day in np.unique(days[test]):
        today = days[test] == day
        state = fit_state(design[days < day], outcome[days < day], len(columns), ridge)
        forecast[today] = design[test][today] @ state.coefficients + profile[test][today] + state.log_smearing
    return ratio(measures, first, np.exp(forecast))


def ratio(measures: pd.DataFrame, first: int, forecast: Float64Array1D) -> float:
    """QLIKE relative to the diurnal log-HAR refitted daily."""
    positions = np.arange(first, len(measures))
    realized = measures["rv_hourly"].to_numpy()[positions]
    reference = diurnal_log_har(measures, time_index(measures)[positions], positions)
    return float(qlike_losses(realized, forecast).mean() / qlike_losses(realized, reference).mean())


def terms(measures: pd.DataFrame, first: int) -> dict[str, float]:
    """The regression with one group of terms after the other."""
    columns: list[int] = []
    ratios = {}
    for name, group in GROUPS.items():
        columns = [*columns, *group]
        ratios[name] = regression_ratio(measures, first, columns, RIDGE, with_decisions=False)
    ratios["+ the Fed's decisions"] = regression_ratio(measures, first, columns, RIDGE, with_decisions=True)
    return ratios


def ridge(measures: pd.DataFrame, first: int) -> dict[str, float]:
    """The whole regression by the weight of its penalty."""
    every = list(range(TERMS))
    return {
        f"{weight:g}": regression_ratio(measures, first, every, weight, with_decisions=True)
        for weight in (1, 10, 30, 100)
    }


def window_parts(data: Path) -> Iterator[tuple[str, pd.DataFrame, int]]:
    """Name, measures and first test row of each symbol of the panel, in each window that choices are made on."""
    for window in list(WINDOWS)[:3]:
        midnight = pd.Timestamp(WINDOWS[window][0], tz="America/New_York")
        for symbol, bars in window_bars(data / "panel_5min", window).items():
            measures = get_hourly_measures(bars)
            yield f"{window} {symbol}", measures, int(measures.index.searchsorted(midnight))


def falls(measures: pd.DataFrame, first: int) -> dict[str, float]:
    """The whole regression relative to that without falls."""
    with_falls, without = (
        regression_ratio(measures, first, list(range(count)), RIDGE, with_decisions=True)
        for count in (TERMS, TERMS - FALLS)
    )
    return {"with falls": with_falls / without}


def summary(ratios: "pd.Series[float]") -> pd.DataFrame:
    """Mean and worst of the ratios of a window, and the share of its symbols that gain."""
    of_windows = ratios.groupby(ratios.index.str.split().str[0])
    gains = (ratios < 1).groupby(ratios.index.str.split().str[0]).mean()
    return pd.DataFrame({"mean": of_windows.mean(), "worst": of_windows.max(), "gains": gains})


def main() -> None:
    """Run one part and print its table and means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"terms": terms, "ridge": ridge, "falls": falls}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--data", type=Path, required=True, help="folder with the files that protocol.json names")
    options = parser.parse_args()
    places = [*development_parts(options.data)]
    if options.part == "falls":
        places = [(f"files {name}", measures, first) for name, measures, first in places]
        places += window_parts(options.data)
    table = pd.DataFrame({name: parts[options.part](measures, first) for name, measures, first in places}).T
    print(table.round(4).to_string())
    if options.part == "falls":
        print(summary(table["with falls"]).round(4).to_string())
    else:
        print("mean", table.mean().round(4).to_dict())


if __name__ == "__main__":
    main()
