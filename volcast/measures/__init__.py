"""Bars in buckets, and the variance and its kin of each: what is forecast from.

Imports `bars` and all below it.
"""
