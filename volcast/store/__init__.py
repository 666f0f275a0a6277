"""Models on disk: bundles, their files, the log of what serves, the Colab pair.

Imports `forecasters` and all below it.
"""
