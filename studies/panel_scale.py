"""What one model of many symbols costs, by how many they are: time and memory of a training on simulated bars.

``python studies/panel_scale.py 50 150 500 [--years 3]`` trains one model of so many simulated symbols, of 5-minute bars
up to the end of 2024, each in a process of its own, from bars to a saved model that was judged on its test part.
Figures are seconds, seconds of processors, and the most memory that the process held; the last two also by symbol.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from volcast.networks.tensorflow import load_tensorflow_quietly
from volcast.training.trainer import LocalLSTMTrainer

_LAST_YEAR = 2024


def train(count: int, years: int) -> dict[str, float]:
    """Figures of one training, in this process."""
    settings = {
        "symbols": [f"S{number:03d}" for number in range(count)],
        "bars_source": "simulator",
        "data_frequency": "5Min",
        "start_date": f"{_LAST_YEAR + 1 - years}-01-01",
        "end_date": f"{_LAST_YEAR}-12-31",
    }
    load_tensorflow_quietly()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        result = LocalLSTMTrainer({**settings, "model_save_path": place}).run_training_pipeline()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "buckets": sum(map(len, result.data.measures.values())),
        "epochs": sum(len(history["loss"]) for history in result.histories),
        "seconds": time.perf_counter() - began,
        "processor": usage.ru_utime + usage.ru_stime,
        "MiB": usage.ru_maxrss / 2**10,
    }


def main() -> None:
    """Train panels of each size, each in a process of its own, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="+", type=int, metavar="SYMBOLS")
    parser.add_argument("--years", type=int, default=3)
    parser.add_argument("--here", action="store_true", help="in this process: print the figures of one as JSON")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(train(options.counts[0], options.years)))
        return
    rows = {}
    for count in options.counts:
        command = [sys.executable, __file__, str(count), "--years", str(options.years), "--here"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows[count] = json.loads(done.stdout.splitlines()[-1])
        rows[count] |= {f"{name} a symbol": rows[count][name] / count for name in ("processor", "MiB")}
        print(pd.DataFrame(rows).T.round(2).to_string(), flush=True)


if __name__ == "__main__":
    main()
