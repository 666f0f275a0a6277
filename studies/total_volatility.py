"""Total volatility, close to close: estimates a typical symbol's numbers, and judges the forecast beside baselines.

``python studies/total_volatility.py PART --data FOLDER`` with PART one of:

- ``development``: the windows on which choices were made, each with typical numbers from what came before it
- ``typical``: estimate the typical numbers that the package ships, on all that came before `TYPICAL_UNTIL`
- ``final``: the window that was looked at once, at the end, with the numbers that the package ships
- ``single``: the last quarter of each file of the single-symbol protocol, the same
- ``future``: a future of 2021 to 2023, another kind than the panel that the typical numbers come from, from its
  67th session on

Dates were fixed before the first look at a figure.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from volcast.markets.registry import market_named

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from volcast.forecasters.har_lstm.regression import RegressionState
from volcast.forecasters.horizons import TOTAL_HORIZONS
from volcast.forecasters.intervals import QuantileTracker
from volcast.forecasters.tables import HourlyTable
from volcast.forecasters.total import state as total_state
from volcast.forecasters.total.baselines import ALL_TOTAL_BASELINES, FEWEST_FOR_BASELINES
from volcast.forecasters.total.running import RunningTotals
from volcast.forecasters.total.session_table import SessionTable
from volcast.forecasters.total.state import TotalHorizonState, TotalState, typical_state
from volcast.forecasters.total.terms import TERMS, PastLevel, SessionTerms
from volcast.measures.hourly import get_hourly_measures

PROTOCOL = json.loads((Path(__file__).parent / "protocol.json").read_text())
DEVELOPMENT = {
    "2024 H1": ("2024-01-01", "2024-06-30"),
    "2024 H2": ("2024-07-01", "2024-12-31"),
    "2025-01 to -04": ("2025-01-01", "2025-04-30"),
}
FINAL = {"2025-10 to 2026-03": ("2025-10-01", "2026-03-31")}
TYPICAL_UNTIL = "2025-05-01"
SHIPPED = Path(total_state.__file__).parent / "typical.json"
FEWEST_JUDGED = 30
MARKET = market_named("XNYS")

Tables = Mapping[str, HourlyTable]


def moment(day: str) -> int:
    """Midnight of a New York day in microseconds since the epoch."""
    return pd.Timestamp(day, tz="America/New_York").value // 1000


def tables_in(folder: Path) -> dict[str, HourlyTable]:
    """Hourly measures of each file of bars, by the file's name without its frequency."""
    files = sorted(folder.glob("*.parquet"))
    return {file.stem.split("_")[0]: HourlyTable.of(get_hourly_measures(pd.read_parquet(file))) for file in files}


def typical_numbers(tables: Tables, until: int) -> dict[str, object]:
    """The numbers of `typical.json` from the sessions of all symbols that had closed by a moment."""
    parts = {name: SessionTable.of(table, until, MARKET) for name, table in tables.items()}
    parts = {name: sessions for name, sessions in parts.items() if len(sessions) >= FEWEST_FOR_BASELINES}
    terms = {name: SessionTerms.of(sessions, PastLevel()) for name, sessions in parts.items()}
    every = np.concatenate([one.design[~np.isnan(one.log_level)] for one in terms.values()])
    gram = every.T @ every / len(every)
    horizons: dict[str, dict[str, object]] = {}
    for horizon, count in TOTAL_HORIZONS.items():
        design, relative = [], []
        for name, sessions in parts.items():
            outcomes = np.log(sessions.outcomes(count)) - terms[name].log_level
            rows = ~np.isnan(outcomes)
            design.append(terms[name].design[rows])
            relative.append(outcomes[rows])
        stacked, outcome = np.concatenate(design), np.concatenate(relative)
        coefficients = np.linalg.lstsq(stacked, outcome, rcond=None)[0]
        smearing = float(np.mean(np.exp(2 * (outcome - stacked @ coefficients))))
        horizons[horizon] = {"coefficients": coefficients.tolist(), "smearing": smearing}
    trackers = typical_trackers(tables, until, gram, horizons)
    return {
        "terms": list(TERMS),
        "gram": gram.tolist(),
        "horizons": {name: {**numbers, "tracker": trackers[name]} for name, numbers in horizons.items()},
    }


def typical_trackers(
    tables: Tables, until: int, gram: np.ndarray, horizons: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, float]]:
    """Where the bounds begin: quantiles of the log errors of forecasts that were made before their outcomes."""
    nothing = QuantileTracker(np.ones(24), 1.0, 0.0, 0.0)
    begun = state_of(gram, {name: {**numbers, "tracker": nothing} for name, numbers in horizons.items()})
    trackers = {}
    for horizon, count in TOTAL_HORIZONS.items():
        errors, closes = [], []
        for table in tables.values():
            totals = RunningTotals(begun, table, MARKET)
            totals.follow(until)
            known = np.arange(FEWEST_FOR_BASELINES, len(totals.sessions) + 1)
            if len(known):
                outcomes = totals.sessions.outcomes(count)[known - 1]
                errors.append(np.log(outcomes / totals.forecast(known, horizon).volatility))
                closes.append(totals.sessions.close[known - 1][~np.isnan(outcomes)])
        scores = np.concatenate(errors)
        scores = scores[~np.isnan(scores)]
        # Symbols move together: what counts is how many horizons follow one another without a common session.
        overlap = len(scores) * count / len(np.unique(np.concatenate(closes)))
        fitted = QuantileTracker.fit(scores, np.zeros(len(scores), dtype=np.int64), overlap)
        trackers[horizon] = {
            "spread": float(np.std(scores)),
            "lower": fitted.lower * fitted.hour_spread[0],
            "upper": fitted.upper * fitted.hour_spread[0],
            "rate": fitted.rate * (overlap / count) ** 0.25,
        }
    return trackers


def state_of(gram: np.ndarray, horizons: Mapping[str, Mapping[str, object]]) -> TotalState:
    """The state that `typical_state` makes of a file with these numbers."""
    count = total_state.TYPICAL_SESSIONS
    states = {}
    for name, numbers in horizons.items():
        moments = count * gram @ np.array(numbers["coefficients"])
        smearing = count * float(str(numbers["smearing"]))
        tracker = numbers["tracker"]
        if not isinstance(tracker, QuantileTracker):
            tracker = QuantileTracker.from_dict({**dict(tracker), "hour_spread": np.ones(24)})  # type: ignore[call-overload]
        regression = RegressionState(count * gram, moments, count, smearing, np.zeros(len(TERMS)))
        states[name] = TotalHorizonState(regression, tracker)
    return TotalState(states)


def judged(name: str, table: HourlyTable, state: TotalState, first: int, last: int) -> pd.DataFrame:
    """Realized and forecast variance of the sessions of one symbol whose forecast is made in a span, by horizon."""
    totals = RunningTotals(state, table, MARKET)
    totals.follow(last)
    sessions, parts = totals.sessions, []
    for horizon, count in TOTAL_HORIZONS.items():
        outcome = sessions.outcomes(count)
        rows = np.flatnonzero((sessions.close >= first) & (sessions.close < last) & ~np.isnan(outcome))
        rows = rows[rows + 1 >= FEWEST_FOR_BASELINES]
        if len(rows) < FEWEST_JUDGED:
            continue
        known = rows + 1
        forecast = totals.forecast(known, horizon)
        columns = {
            "realized": outcome[rows], "model": forecast.volatility, "lower": forecast.lower, "upper": forecast.upper,
        }  # fmt: skip
        columns |= {title: baseline(sessions, known, count) for title, baseline in ALL_TOTAL_BASELINES.items()}
        parts.append(pd.DataFrame(columns).assign(symbol=name, horizon=horizon))
    return pd.concat(parts) if parts else pd.DataFrame()


def figures(forecasts: pd.DataFrame) -> pd.DataFrame:
    """By horizon: mean QLIKE over symbols of each forecast, root of mean realized over mean forecast, coverage."""
    names = ["model", *ALL_TOTAL_BASELINES]
    rows = {}
    for horizon, group in forecasts.groupby("horizon", sort=False):
        ratio = group[names].rdiv(group["realized"], axis=0) ** 2
        losses = (ratio - np.log(ratio) - 1).groupby(group["symbol"]).mean()
        variance = group[["realized", "model"]] ** 2
        by_symbol = variance.groupby(group["symbol"]).mean()
        inside = (group["realized"] >= group["lower"]) & (group["realized"] <= group["upper"])
        rows[horizon] = {
            "symbols": len(losses),
            **losses.mean().add_prefix("qlike "),
            "mz slope": slope(group, "model"),
            "mz slope of HAR": slope(group, "daily_har"),
            "bias": float(np.sqrt(variance["realized"].mean() / variance["model"].mean())),
            "bias by symbol": float(np.sqrt(by_symbol["realized"] / by_symbol["model"]).mean()),
            "covered": float(inside.mean()),
            "gain on HAR": float((losses["model"] < losses["daily_har"]).mean()),
        }
    return pd.DataFrame(rows).T


def slope(forecasts: pd.DataFrame, name: str) -> float:
    """Mincer and Zarnowitz's slope of one forecast, each symbol's variances relative to their mean."""
    variance = forecasts[["realized", name]].to_numpy(dtype=float) ** 2
    means = pd.Series(variance[:, 0]).groupby(forecasts["symbol"].to_numpy()).transform("mean").to_numpy()
    outcome, predictor = (variance / means[:, None]).T
    return float(np.polyfit(predictor, outcome, 1)[0])


def development(data: Path) -> pd.DataFrame:
    """Each development window, with typical numbers from before it, and their mean."""
    tables = tables_in(data / "panel_5min")
    parts: dict[str, pd.DataFrame] = {}
    for title, (first, last) in DEVELOPMENT.items():
        numbers = typical_numbers(tables, moment(first))
        state = state_of(np.array(numbers["gram"]), numbers["horizons"])  # type: ignore[arg-type]
        end = moment(last) + 86_400_000_000
        parts[title] = figures(
            pd.concat([judged(name, table, state, moment(first), end) for name, table in tables.items()])
        )
    return pd.concat({**parts, "mean": pd.concat(parts.values()).groupby(level=0, sort=False).mean()})


def typical(data: Path) -> pd.DataFrame:
    """Write the typical numbers that the package ships; returns their coefficients."""
    numbers = typical_numbers(tables_in(data / "panel_5min"), moment(TYPICAL_UNTIL))
    rounded = json.loads(json.dumps(numbers), parse_float=lambda text: float(f"{float(text):.6g}"))
    SHIPPED.write_text(json.dumps(rounded, indent=1) + "\n")
    columns = {name: horizon["coefficients"] for name, horizon in rounded["horizons"].items()}
    return pd.DataFrame(columns, index=list(TERMS))


def final(data: Path) -> pd.DataFrame:
    """The window that no choice was made on, with the numbers that the package ships."""
    ((first, last),) = FINAL.values()
    tables, end = tables_in(data / "panel_5min"), moment(last) + 86_400_000_000
    parts = [judged(name, table, typical_state(), moment(first), end) for name, table in tables.items()]
    return figures(pd.concat(parts))


def single(data: Path) -> pd.DataFrame:
    """The last quarter of each file of the single-symbol protocol."""
    parts = []
    for name in PROTOCOL["single_symbol"]["files"]:
        table = HourlyTable.of(get_hourly_measures(pd.read_parquet(data / name)))
        closes = SessionTable.of(table, moment("2100-01-01"), MARKET).close
        first = int(closes[int(len(closes) * (1 - PROTOCOL["single_symbol"]["test_share"]))])
        parts.append(judged(name, table, typical_state(), first, moment("2100-01-01")))
    return figures(pd.concat(parts))


def future(data: Path) -> pd.DataFrame:
    """The Nasdaq-100 future: nothing of it is in the typical numbers."""
    table = HourlyTable.of(get_hourly_measures(pd.read_parquet(data / "NQ_1min.parquet")))
    closes = SessionTable.of(table, moment("2100-01-01"), MARKET).close
    return figures(judged("NQ", table, typical_state(), int(closes[FEWEST_FOR_BASELINES - 1]), moment("2100-01-01")))


def main() -> None:
    """Print the figures of the part that is asked for."""
    parts = {"development": development, "typical": typical, "final": final, "single": single, "future": future}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    print(parts[options.part](options.data).round(3).to_string())


if __name__ == "__main__":
    main()
