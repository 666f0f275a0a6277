"""Models that serve: the buckets that bars can be asked about, and their forecasts.

Imports `store` and all below it, and no TensorFlow.
"""
