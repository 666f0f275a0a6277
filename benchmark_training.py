"""Door to `benchmarks.training`: time, memory and agreement of this training, plain Keras and PyTorch.

Shell: ``python benchmark_training.py --quick`` takes about a minute; without it, an hour.
"""

import sys

from benchmarks.training import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
