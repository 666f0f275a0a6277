"""The commands: `train`, `bars`, `evaluate`, `models`, `backtest`.

Imports anything; nothing imports it but the doors.
"""
