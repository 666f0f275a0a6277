"""When to train again, and whether the new model serves.

Imports `training` and all below it.
"""
