"""How good forecasts are: losses, significance, verdict, and the report of them.

Imports `store` and all below it.
"""
