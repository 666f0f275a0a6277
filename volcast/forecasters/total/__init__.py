"""Total volatility, from close to close: sessions and the nights before them, forecast over 1, 5, 10 and 22 sessions.

Imports what `volcast.forecasters` may import, and its tables, intervals and regression.
"""
