"""Door to `volcast.backtest`: asks for bars and a forecast, trains a model if wanted, and trades by it.

Shell: ``python main.py``; option 4 trains a new model and goes on with it.
"""

import sys

from volcast.cli.backtest import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main(prog="main.py"))
