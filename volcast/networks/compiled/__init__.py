"""The compiled training engine and its kernel.

Imports what `volcast.networks` may import.
"""
