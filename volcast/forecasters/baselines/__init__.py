"""The forecasts a quant would use instead: persistence, EWMA, HAR, GARCH.

Imports what `volcast.forecasters` may import.
"""
