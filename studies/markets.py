"""How good the default forecast is on other markets than New York's hours, and in buckets of other lengths.

``python studies/markets.py development|final --data FOLDER [--only TEXT]``

A row is one default training, judged on the last part of its bars: QLIKE relative to the diurnal log-HAR of the same
buckets, the p-value of the difference, the same ratio of its regression without networks, and the share of buckets
inside the 90 % intervals. ``development`` looks at the first three quarters of each file alone, ``final`` judges on the
last quarter. ``--only`` runs the rows whose names have this text in them.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from volcast.bars.handler import DataHandler
from volcast.errors import NotEnoughDataError
from volcast.evaluation.verdict import ALONE, MODEL
from volcast.markets.market import BUCKETS
from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer

PROTOCOL = json.loads((Path(__file__).parent / "protocol.json").read_text())
FUTURE, FUND = ("NQ_1min.parquet", "NQ"), ("SPY_1min.parquet", "SPY")


def rows() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """By name: the file, its symbol, and the settings that differ from the default's."""
    plan: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for (file, symbol), market in ((FUND, "XNYS"), (FUTURE, "XNYS"), (FUTURE, "CMES")):
        for bucket in BUCKETS:
            plan[f"{symbol} {market} {bucket}"] = file, symbol, {"market": market, "bucket": bucket}
    for bucket in ("1h", "30min"):
        plan[f"EURUSD 24/5 {bucket}"] = "EURUSD_1min.parquet", "EURUSD", {"bucket": bucket}
        plan[f"Binance 24/7 {bucket}"] = "coins/BTCUSDT_1m_binance.csv.gz", "BTC/USDT", {"bucket": bucket}
        plan[f"Kraken 24/7 {bucket}"] = "coins/BTCUSDC_1m_kraken.csv.gz", "BTC/USDC", {"bucket": bucket}
    return plan


def trained(bars: pd.DataFrame, symbol: str, test_share: float, settings: Mapping[str, Any]) -> TrainingResult:
    """A default training on these bars, in a store of its own, judged on their last `test_share`."""
    with tempfile.TemporaryDirectory() as place:
        common = {
            "symbol": symbol,
            "accept_quality": True,
            "model_save_path": place,
            "test_split": test_share,
            "validation_split": PROTOCOL["single_symbol"]["validation_share"],
        }
        return LocalLSTMTrainer({**common, **settings}).run_training_pipeline(bars=bars)


def figures(result: TrainingResult) -> dict[str, float]:
    """What the table says of a training."""
    metrics, buckets = result.evaluation.metrics, result.evaluation.buckets
    model = metrics[MODEL]
    return {
        "ratio": model["qlike_ratio"],
        "p": model["p_value"],
        "regression alone": metrics[ALONE]["qlike_ratio"],
        "inside": model["coverage"],
        "buckets": buckets,
        "seconds": result.seconds,
    }


def main() -> None:
    """Run one part, and print a line for each training and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("development", "final"))
    parser.add_argument("--data", type=Path, required=True, help="folder with the files")
    parser.add_argument("--only", default="", help="run the rows with this text in their names")
    options = parser.parse_args()
    load_tensorflow_quietly()
    development = options.part == "development"
    plan = PROTOCOL["development" if development else "single_symbol"]
    table = {}
    for name, (file, symbol, settings) in rows().items():
        if options.only not in name:
            continue
        bars = DataHandler("file", bars_path=str(options.data / file)).get_stock_bars(symbol)
        if development:
            cut = pd.Timestamp(PROTOCOL["pooled"]["cut"], tz="America/New_York")
            bars = bars.iloc[: int(len(bars) * plan["share"])]
            bars = bars[bars.index < cut]
        try:
            table[name] = figures(trained(bars, symbol, plan["test_share"], settings))
        except NotEnoughDataError as error:
            print(f"{name}: {error}", flush=True)
            continue
        print(name, {key: round(value, 3) for key, value in table[name].items()}, flush=True)
    print(pd.DataFrame(table).T.round(3).to_string())


if __name__ == "__main__":
    main()
