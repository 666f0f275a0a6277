"""What people see of an evaluation: terminal, page and figures.

Imports `volcast.evaluation` and what that may import.
"""
