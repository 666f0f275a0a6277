"""What forecasters are fed: scalers, windows, states of the day, days known ahead.

Imports `measures` and all below it.
"""
