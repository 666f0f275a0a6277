"""Which market a symbol is traded on, where nobody says so: by what it is called, and where its bars come from."""

import re

__all__ = ["DEFAULT_MARKET", "DEFAULT_YEAR", "DEFAULT_ZONE", "default_market"]

DEFAULT_MARKET = "XNYS"
"""The market of a symbol that is none of the others': New York's stock exchanges."""

DEFAULT_ZONE = "America/New_York"
"""The zone of its clock."""

DEFAULT_YEAR = 252
"""Its sessions in a year, as `TradingMarket.sessions_per_year` counts them."""

_COINS = "BTC|XBT|ETH|SOL|XRP|ADA|DOGE|LTC|BCH|DOT|AVAX|LINK|UNI|AAVE|SHIB|XLM|TRX|BNB"
_MONEY = "USDT|USDC|BUSD|USD|EUR|GBP|BTC"
_CURRENCY = "(?:EUR|USD|GBP|JPY|CHF|AUD|NZD|CAD|SEK|NOK|DKK|PLN|HUF|CZK|TRY|ZAR|MXN|SGD|HKD|CNH)"
_METAL = "(?:XAU|XAG|XPT|XPD)"
_FUTURES = "ES|NQ|YM|RTY|MES|MNQ|CL|GC"
_PATTERNS = (
    (rf"(?:{_COINS})[-/]?(?:{_MONEY})", "24/7"),
    (rf"{_CURRENCY}[/.]?{_CURRENCY}(?:=X)?", "24/5"),
    # Metals off the exchange keep its hours.
    (rf"{_METAL}[/.]?{_CURRENCY}(?:=X)?", "CMES"),
    (r"(?:BRN|BZ|G|SB|KC|CT|CC|OJ|DX)=F", "IEPA"),
    (r"[A-Z0-9]{1,4}=F", "CMES"),
)
_FUTURE = rf"/?(?:{_FUTURES})(?:[FGHJKMNQUVXZ]\d{{1,2}})?"
_SUFFIXES = {
    "L": "XLON", "DE": "XETR", "PA": "XPAR", "T": "XTKS", "HK": "XHKG", "AX": "XASX", "TO": "XTSE", "AS": "XAMS",
    "BR": "XBRU", "MI": "XMIL", "MC": "XMAD", "SW": "XSWX", "ST": "XSTO", "OL": "XOSL", "CO": "XCSE", "HE": "XHEL",
    "VI": "XWBO", "BO": "XBOM", "NS": "XBOM", "KS": "XKRX", "SS": "XSHG", "SZ": "XSHG", "TW": "XTAI", "SA": "BVMF",
}  # fmt: skip
# Of New York's stocks, some are called as futures are.
_STOCKS = ("alpaca", "yahoo")
_SOURCES = {"binance": "24/7", "coinbase": "24/7", "kraken": "24/7", "ccxt": "24/7"}


def default_market(symbol: str, source: str = "auto") -> str:
    """The name of the market on which a symbol is traded, as far as its name and the source of its bars tell.

    Examples
    --------
    >>> [default_market(symbol) for symbol in ("SPY", "BTC/USD", "EURUSD", "NQ", "CL=F", "VOD.L")]
    ['XNYS', '24/7', '24/5', 'CMES', 'CMES', 'XLON']
    """
    if source in _SOURCES:
        return _SOURCES[source]
    name = symbol.upper()
    patterns = _PATTERNS if source in _STOCKS else (*_PATTERNS, (_FUTURE, "CMES"))
    of_pattern = (market for pattern, market in patterns if re.fullmatch(pattern, name))
    _, dot, suffix = name.rpartition(".")
    return next(of_pattern, _SUFFIXES.get(suffix, DEFAULT_MARKET) if dot else DEFAULT_MARKET)
