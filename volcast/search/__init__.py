"""The search for hyperparameters, in one process or many.

Imports `networks` and all below it.
"""
