"""Door to `volcast.config`: every setting of a training, its default and its rule.

>>> from training_config import TRAINING_CONFIG, TrainingConfig
>>> TRAINING_CONFIG["memory"]
60
>>> TrainingConfig.from_mapping({"symbol": "SPY"}).effective_network
'har_lstm'
"""

from volcast.config import TRAINING_CONFIG, TrainingConfig

__all__ = ["TRAINING_CONFIG", "TrainingConfig"]
