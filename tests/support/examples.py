"""Examples as a user runs them: each in a process of its own, in the environment that its framework needs."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tests.support.bars import ROOT

__all__ = ["ExampleRun", "example_names", "run_example"]

# Floats go over as their exact digits; buckets as moments of UTC.
_RESULT = """{
    "forecasts": {
        pd.Timestamp(bucket).tz_convert("UTC").isoformat(): value
        for bucket, value in (
            forecasts["annualized_volatility"] if isinstance(forecasts, pd.DataFrame) else pd.Series(forecasts)
        ).items()
    },
    "position": float(position),
    "shares": float(shares),
}"""


@dataclass(frozen=True)
class ExampleRun:
    """What an example came to.

    Attributes
    ----------
    forecasts
        Annualized volatility by the close (UTC) of the session that it is about.
    position
        The last one decided, a share of the capital.
    shares
        What the framework's own books hold at the end.
    """

    forecasts: pd.Series
    position: float
    shares: float


def run_example(name: str, folder: Path, python: str | Path = sys.executable) -> ExampleRun:
    """What ``examples/NAME.py`` comes to, run by `python`."""
    names = example_names(name, folder, _RESULT, python)
    forecasts = pd.Series(names["forecasts"], dtype=float)
    by_close = forecasts.set_axis(pd.to_datetime(forecasts.index, utc=True))
    return ExampleRun(by_close, names["position"], names["shares"])


def example_names(name: str, folder: Path, result: str, python: str | Path = sys.executable) -> dict[str, Any]:
    """Run ``examples/NAME.py`` of this checkout by `python`, in `folder`; `result` is an expression."""
    runner = (
        "import json, runpy, sys; import pandas as pd; names = runpy.run_path(sys.argv[1], run_name='__main__'); "
        "print('\\n' + json.dumps(eval(sys.argv[2], {**names, 'pd': pd})))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ZIPLINE_ROOT": str(folder), "MPLBACKEND": "Agg"}
    script = ROOT / "examples" / f"{name}.py"
    run = subprocess.run(
        [python, "-c", runner, script, result], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer
