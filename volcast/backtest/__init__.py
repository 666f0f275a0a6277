"""What a forecast is traded on: strategies, their report, and the dialogue that asks for both.

Imports anything below.
"""
