"""Where bars come from and what is wrong with them: handler, cache, cleaning, quality, sources.

Imports `sessions`, the configuration and the ground.
"""
