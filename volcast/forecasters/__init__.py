"""What forecasts: recipes and baselines, horizons, intervals.

Imports `networks` and all below it, and no TensorFlow.
"""
