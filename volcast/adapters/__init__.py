"""Joins to other libraries, each in a file of its own, which alone imports that library.

It may import everything below `backtest`.
"""
