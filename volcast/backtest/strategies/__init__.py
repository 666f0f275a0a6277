"""Rules from forecasts and prices to positions, one a file, and the list of them."""
