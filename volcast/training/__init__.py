"""From bars to a saved model: data, trainer, artifacts, many symbols at once.

Imports `evaluation` and all below it.
"""
