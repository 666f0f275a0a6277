"""Suites that users run on what they have written themselves."""

from volcast.testing.strategies import assert_no_lookahead, check_strategy

__all__ = ["assert_no_lookahead", "check_strategy"]
