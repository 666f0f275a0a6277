"""The default forecast: a HAR refitted daily and the ensemble of LSTMs that corrects it.

Imports what `volcast.forecasters` may import.
"""
