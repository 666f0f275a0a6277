"""What a market is: its sessions, buckets, clock, days and year; everything else asks a `TradingMarket`.

`market_named` gives one by name. From here nothing is imported but `errors`, `arrays` and `registry`.
"""
