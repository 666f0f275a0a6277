"""Door to `volcast.training`: training on the user's own machine, step by step in a notebook or from the shell.

>>> from local_training import LocalLSTMTrainer
>>> result = LocalLSTMTrainer({"symbol": "SPY"}).run_training_pipeline()  # doctest: +SKIP
>>> print(result.evaluation.verdict)  # doctest: +SKIP

Shell: ``python local_training.py --help``.
"""

import sys

from volcast.features.windows import prepare_lstm_sequences
from volcast.measures.hourly import get_hourly_rv
from volcast.networks.architectures import build_lstm_model_fast
from volcast.search.search import SearchResult
from volcast.training.result import TrainingResult
from volcast.training.trainer import LocalLSTMTrainer, train_with_hyperparameter_tuning

__all__ = [
    "LocalLSTMTrainer",
    "SearchResult",
    "TrainingResult",
    "build_lstm_model_fast",
    "get_hourly_rv",
    "prepare_lstm_sequences",
    "train_with_hyperparameter_tuning",
]

if __name__ == "__main__":
    from volcast.cli.train import main

    sys.exit(main(prog="local_training.py"))
