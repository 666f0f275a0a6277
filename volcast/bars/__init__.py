"""Where bars come from and what is wrong with them: handler, cache, cleaning, quality, sources.

Imports `markets`, the configuration and the ground.
"""
