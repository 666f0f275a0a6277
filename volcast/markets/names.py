"""The market where none is said."""

__all__ = ["DEFAULT_MARKET", "DEFAULT_ZONE"]

DEFAULT_MARKET = "XNYS"
"""The market where nothing else is said: New York's stock exchanges."""

DEFAULT_ZONE = "America/New_York"
"""The zone of its clock."""
