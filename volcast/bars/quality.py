"""What is wrong with bars, and what is merely worth knowing: by symbol and month, as table, JSON and picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd

from volcast.arrays import BoolArray1D, time_index
from volcast.bars.checks import bar_length, market_of_bars
from volcast.bars.cleaning import Cleaning, clean_bars, split_steps
from volcast.bars.frames import as_bars_frame
from volcast.bars.rolls import are_of_ratios, roll_steps, roll_weeks
from volcast.bars.scale import ScaleStep, scale_steps
from volcast.bars.session_sheet import SessionSheet
from volcast.bars.untraded import LONGEST_STAND, are_left_out, tells_untraded, untraded
from volcast.counts import counted
from volcast.errors import BarsError, NotEnoughDataError
from volcast.markets.fit import MOST_CLOSED, better_fit
from volcast.markets.market import TradingMarket
from volcast.packages import required_module

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group

__all__ = ["DataQuality", "Finding", "assess_quality", "require_acceptable"]

Level = Literal["fact", "flaw", "bad"]

_CUT_COVERAGE, _CUT_MINUTES = 0.8, 30
_VOLUME_BREAK, _VOLUME_STEP, _FEED_CHANGE = 6.0, 4.0, 8.0
_SESSIONS_AROUND = 3
_FEWEST_COVERED = 0.8
_MOST_WRONG = 2e-4
_RULES = ("missing", "zero", "order", "duplicates", "crossed", "stale", "ticks", "wicks")
_OF_A_THIN_BOOK = ("ticks", "wicks")
"""What an exchange that makes bars of its own trades shows where one order takes many prices, and is no error."""
_SHOWN = 6
_COARSE_MINUTES = 5
_MOST_REACHING = 0.1
"""How many bars a bucket may reach over its end, in the mean."""
_FEWEST_MOVES, _SMALLEST_MOVES = 100, 0.01


@dataclass(frozen=True)
class Finding:
    """One finding about the quality of bars.

    Attributes
    ----------
    kind
        ``hole``, ``cut day``, ``gaps``, ``half-day``, ``outside``, ``no volume``, ``volume break``, ``feed change``,
        ``split``, ``roll``, ``off scale``, ``steps``, ``market``, ``coarse``, ``reaching``, ``future``, ``coverage``,
        ``left out``, ``untraded``, or a rule of `bars.cleaning`.
    level
        ``"fact"``: worth knowing; ``"flaw"``: training leaves it out or does not mind; ``"bad"``: needs acceptance.
    sentence
        In words.
    days
        Sessions that it concerns, as dates.
    """

    kind: str
    level: Level
    sentence: str
    days: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataQuality:
    """The quality of one symbol's bars.

    Attributes
    ----------
    symbol
        Whose they are.
    minutes
        Length of a bar.
    months
        A row for each month (market time): ``sessions`` of the exchange, ``missing`` ones, ``bars`` inside sessions,
        ``coverage`` (their share of what the sessions have minutes for), ``gaps`` of a quarter of an hour and more,
        ``longest_gap`` in minutes, ``dropped`` (bars that cleaning would drop), ``outside`` sessions,
        ``without_volume``, ``volume_breaks``.
    findings
        What was found, worst first.
    cleaned
        What rules of cleaning had already done, by rule.
    sessions
        A row for each session of the exchange in the span: ``coverage`` and ``volume`` (median of its bars), for the
        picture.
    """

    symbol: str
    minutes: float
    months: pd.DataFrame
    findings: tuple[Finding, ...]
    cleaned: Mapping[str, int] = field(default_factory=dict)
    sessions: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    @property
    def is_bad(self) -> bool:
        """Whether training on these bars needs acceptance."""
        return any(finding.level == "bad" for finding in self.findings)

    def of(self, level: Level) -> list[Finding]:
        """The findings of a level."""
        return [finding for finding in self.findings if finding.level == level]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the sessions, ready for JSON."""
        months = self.months.reset_index().astype({"month": str})
        return {
            "symbol": self.symbol,
            "bar_minutes": self.minutes,
            "is_bad": self.is_bad,
            "findings": [
                {"kind": finding.kind, "level": finding.level, "sentence": finding.sentence, "days": list(finding.days)}
                for finding in self.findings
            ],
            "cleaned": dict(self.cleaned),
            "months": months.round({"coverage": 4}).to_dict("records"),
        }

    def table(self) -> "Group":
        """A table by month, and the findings under it."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        headings = [name.replace("_", " ") for name in self.months.columns]
        table = Table("month", title=f"{self.symbol}: bars of {self.minutes:g} min", title_justify="left")
        for heading in headings:
            table.add_column(heading, justify="right")
        for month, row in self.months.iterrows():
            cells = [f"{row[name]:.1%}" if name == "coverage" else f"{row[name]:,.0f}" for name in self.months.columns]
            table.add_row(str(month), *cells)
        style = {"bad": "bold red", "flaw": "yellow", "fact": ""}
        lines = [Text(f"{finding.level:<5}{finding.sentence}", style=style[finding.level]) for finding in self.findings]
        return Group(table, *(lines or [Text("Nothing to report.")]))

    def figure(self) -> "Figure":
        """Coverage and volume of each session; holes are white."""
        required_module("matplotlib", "pictures")
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.5), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        days = self.sessions.index.to_numpy()
        upper.bar(days, 100 * self.sessions["coverage"], width=1.0, color="#7a7a7a")
        upper.set_ylabel("bars there, %")
        upper.set_ylim(0, 105)
        upper.set_title(f"{self.symbol}: {self._verdict()}", parse_math=False)
        lower.plot(days, self.sessions["volume"].where(self.sessions["volume"] > 0), ".", markersize=3, color="#c2410c")
        if (self.sessions["volume"] > 0).any():
            lower.set_yscale("log")
        lower.set_ylabel("median volume of a bar")
        for finding in self.findings:
            if finding.kind in ("volume break", "feed change", "split"):
                for day in finding.days:
                    lower.axvline(np.datetime64(day), color="#1d4ed8", linewidth=0.8)
        return figure

    def without(self, kind: str) -> "DataQuality":
        """The quality of these bars where findings of that kind do not matter."""
        return replace(self, findings=tuple(finding for finding in self.findings if finding.kind != kind))

    def _verdict(self) -> str:
        findings = [*self.of("bad"), *self.of("flaw")]
        return ", ".join(dict.fromkeys(finding.kind for finding in findings)) or "nothing wrong"


def assess_quality(bars: pd.DataFrame, symbol: str = "", *, market: str | TradingMarket | None = None) -> DataQuality:
    """Look at one symbol's bars, in whatever state; they are not changed.

    Parameters
    ----------
    bars
        Columns ``close`` at least, on a tz-aware index of starts.
    symbol
        What to call them; empty takes ``attrs["symbol"]``.
    market
        Whose hours they are, by name or itself: see `markets.registry`. None is the symbol's, see `markets.names`.

    Raises
    ------
    BarsError
        The index is no tz-aware times, or there is no column ``close``.
    NotEnoughDataError
        No bar is left when wrong ones are out.
    """
    bars = as_bars_frame(bars, symbol=symbol or None, market=market)
    market = market_of_bars(bars, symbol or None, market)
    bars = _of_trades(bars)
    cleaned, cleaning = clean_bars(bars, _RULES, market=market)
    if cleaned.empty:
        raise NotEnoughDataError(f"no bar of {symbol or 'these'} is usable; one at least must be; check how they came.")
    standing = clean_bars(cleaned, ["untraded"] * are_left_out(bars.attrs), market=market)[0]
    sheet = SessionSheet(standing, market)
    breaks = _volume_breaks(sheet.sessions["volume"])
    findings = [
        *_left_out_rows(bars),
        *_wrong_bars(cleaning, bars, market),
        *_step_findings(cleaned, sheet.length, market),
        # A price that stands is no trade: some brokers write it over weekends and breaks.
        *_market_findings(cleaned[~untraded(cleaned)], sheet.length, market),
        *_split_findings(cleaned, market),
        *(_roll_findings(bars, cleaned, market) if market.rolls or "rolls" in bars.attrs else ()),
        *_scale_findings(bars, market),
        *_coarse_findings(sheet.length, market),
        *_reaching_findings(time_index(cleaned), sheet.length, market),
        *_future_findings(cleaned, sheet.length, market),
        *_coverage_findings(sheet),
        *_break_findings(breaks),
        *_volume_findings(cleaned),
        *_untraded_findings(standing),
        *_facts(sheet, len(cleaned)),
    ]
    order = {"bad": 0, "flaw": 1, "fact": 2}
    return DataQuality(
        symbol or str(bars.attrs.get("symbol", "")),
        sheet.length / pd.Timedelta(minutes=1),
        _by_month(sheet, cleaning.dropped, breaks, market),
        tuple(sorted(findings, key=lambda finding: order[finding.level])),
        dict(bars.attrs.get("cleaning", {})),
        sheet.sessions[["coverage", "volume"]],
    )


def require_acceptable(quality: DataQuality, *, accept: bool) -> list[str]:
    """Refuse bars that are judged bad, unless that is accepted; returns what is to be said of those.

    Raises
    ------
    BarsError
        What is wrong, and the ways out.
    """
    bad = quality.of("bad")
    if bad and not accept:
        what = "; ".join(finding.sentence.rstrip(".") for finding in bad)
        raise BarsError(
            f"the bars of {quality.symbol} are bad ({what}); what is made of them is worth no more; let cleaning mend "
            "what it can (--clean), or take them as they are with --accept-quality."
        )
    return [f"ACCEPTED although bad: {finding.sentence}" for finding in bad]


def _of_trades(bars: pd.DataFrame) -> pd.DataFrame:
    """Without the bars that cleaning has added for minutes without a trade."""
    return bars[~untraded(bars)] if are_left_out(bars.attrs) else bars


def _untraded_findings(bars: pd.DataFrame) -> list[Finding]:
    """How many minutes had no trade, of bars that tell it; `bars` with those minutes."""
    share = float(untraded(bars).mean()) if tells_untraded(bars.attrs) else 0.0
    if not share:
        return []
    sentence = f"In {share:.1%} of the bars nobody traded: the price before stands, their return is zero."
    if are_left_out(bars.attrs):
        minutes = LONGEST_STAND // pd.Timedelta(minutes=1)
        sentence = (
            f"In {share:.1%} of the bars nobody traded, and they were left out: the price before stands, for {minutes} "
            "minutes at most, their return is zero."
        )
    return [Finding("untraded", "fact", sentence)]


def _left_out_rows(bars: pd.DataFrame) -> list[Finding]:
    """What the reader of a file could not read."""
    rows = bars.attrs.get("left_out_rows", {"count": 0, "first": []})
    count = int(rows["count"])
    if not count:
        return []
    level: Level = "bad" if count > max(_MOST_WRONG * len(bars), 1) else "flaw"
    where = "; ".join(rows["first"]) + ("; ..." if count > len(rows["first"]) else "")
    return [Finding("left out", level, f"{counted(count, 'row')} of the file left out ({where}).")]


def _wrong_bars(cleaning: Cleaning, bars: pd.DataFrame, market: TradingMarket) -> list[Finding]:
    of_exchange = tells_untraded(bars.attrs)
    words = {
        "missing": ("bar", "without a price or a stamp"),
        "zero": ("bar", "with a price of zero, less, or without end"),
        "order": ("bar", "behind a later one"),
        "duplicates": ("bar", "with a stamp that occurs twice"),
        "crossed": ("bar", "with an open or a close outside of high and low"),
        "stale": ("bar", "with nothing but a repeated price"),
        "ticks": ("single wrong price", "taken back a bar later"),
        "wicks": ("wick", "with a high or a low beyond anything around"),
    }
    if of_exchange:
        words["ticks"] = "close", "far from those around, which the exchange made of its own trades"
        words["wicks"] = "wick", "beyond anything around, which the exchange made of its own trades"
    findings = []
    for rule, count in cleaning.counts.items():
        if not count:
            continue
        stamps = pd.DatetimeIndex(cleaning.dropped.index[(cleaning.dropped == rule).to_numpy()].dropna())
        if rule == "stale":
            # Where nothing trades, a price that stands is no error: some brokers write weekends and breaks so.
            stamps = stamps[_in_sessions(stamps, bar_length(time_index(bars)), market)]
            count = len(stamps)
            if not count:
                continue
        is_bad = count > max(_MOST_WRONG * len(bars), 1) and not (of_exchange and rule in _OF_A_THIN_BOOK)
        level: Level = "bad" if is_bad else "flaw"
        days = _names(market.dates(stamps).unique()) if len(stamps) else ()
        thing, what = words[rule]
        findings.append(Finding(rule, level, f"{counted(count, thing)} {what}{_when(days)}.", days))
    return findings


def _split_findings(bars: pd.DataFrame, market: TradingMarket) -> list[Finding]:
    steps = split_steps(bars, market)
    if steps.empty:
        return []
    days = _names(market.dates(time_index(steps)))
    ratios = ", ".join(
        ScaleStep(moment, ratio, None).ratio for moment, ratio in zip(time_index(steps), steps, strict=True)
    )
    sentence = f"Prices step overnight as in a split that was not adjusted for ({ratios}){_when(days)}."
    return [Finding("split", "bad", sentence, days)]


def _roll_findings(bars: pd.DataFrame, cleaned: pd.DataFrame, market: TradingMarket) -> list[Finding]:
    """What a continuous future tells of its rolls: steps, or how these were taken out."""
    if int((bars["close"] <= 0).sum()) > max(_MOST_WRONG * len(bars), 1):
        sentence = (
            "Prices of a future go to zero and below, as where those before a roll were shifted by differences: their "
            "returns are none; take a series adjusted by ratios, or one as it traded, with --clean rolls."
        )
        return [Finding("roll", "bad", sentence)]
    if are_of_ratios(cleaned["close"].to_numpy(dtype=float)):
        sentence = "Prices lie between the ticks of an exchange, as where rolls were taken out by ratios; returns stay."
        return [Finding("roll", "fact", sentence)]
    steps = roll_steps(cleaned, market)
    if len(steps):
        names = _names(market.dates(time_index(steps)))
        sizes = ", ".join(f"{step:+.2%} on {day}" for step, day in zip((steps - 1)[:_SHOWN], names, strict=False))
        more = " ..." if len(names) > _SHOWN else ""
        sentence = (
            f"Prices step at {counted(len(steps), 'roll')} from one contract to the next ({sizes}{more}), which "
            "nobody earned: --clean rolls takes them out; --roll-days says which are rolls, or 'never'."
        )
        return [Finding("roll", "bad", sentence, names)]
    days = market.dates(time_index(cleaned)).unique()
    is_told = "rolls" in bars.attrs or bars.attrs.get("simulated")
    if is_told or roll_weeks(days[[0, -1]]).any() or not roll_weeks(days).any():
        return []
    sentence = (
        "Prices of a future step at none of its rolls: where those before were shifted by differences, returns of long "
        "ago are too small or too large; by ratios they are right."
    )
    return [Finding("roll", "flaw", sentence)]


def _scale_findings(bars: pd.DataFrame, market: TradingMarket) -> list[Finding]:
    """Prices on another scale than those around them, inside of sessions: cleaning would hide some of them."""
    ordered, _ = clean_bars(bars, ("missing", "zero", "order", "duplicates"), market=market)
    steps = scale_steps(ordered, market)
    lasting, passing = ([step for step in steps if (step.bars is None) == lasts] for lasts in (True, False))
    findings = []
    if lasting:
        sentence = "Prices step inside a session as in a split that was not adjusted for"
        findings.append(_scale_finding("split", sentence, lasting, market))
    if passing:
        findings.append(_scale_finding("off scale", "Prices leave their scale for some bars", passing, market))
    return findings


def _scale_finding(kind: str, sentence: str, steps: "list[ScaleStep]", market: TradingMarket) -> Finding:
    moments = [step.moment.tz_convert(market.zone) for step in steps]
    days = _names(market.dates(pd.DatetimeIndex(moments)).unique())
    shown = [f"{step.ratio} at {moment:%Y-%m-%d %H:%M}" for step, moment in zip(steps, moments, strict=True)][:_SHOWN]
    return Finding(kind, "bad", f"{sentence} ({', '.join(shown)}{' ...' if len(steps) > _SHOWN else ''}).", days)


def _in_sessions(starts: pd.DatetimeIndex, length: pd.Timedelta, market: TradingMarket) -> BoolArray1D:
    """Which of the bars that begin at `starts` end in a stretch of trading."""
    return np.asarray(market.stretch_of((starts + length).as_unit("us").asi8) >= 0)


def _step_findings(bars: pd.DataFrame, length: pd.Timedelta, market: TradingMarket) -> list[Finding]:
    """Prices whose steps are larger than what they move in a bar: of too few digits, or of a tick that is too wide."""
    stretch = market.stretch_of((time_index(bars) + length).as_unit("us").asi8)
    is_inside = (stretch[1:] >= 0) & (stretch[1:] == stretch[:-1])
    moves = np.abs(np.diff(np.log(bars["close"].to_numpy(dtype=float))))[is_inside]
    true_moves = moves[moves > 0]
    if len(moves) >= _FEWEST_MOVES and not len(true_moves):
        return [Finding("steps", "bad", "Prices never move inside a session; look whether their digits were cut.")]
    if len(true_moves) < _FEWEST_MOVES:
        return []
    # Of prices without a grid the smallest moves are next to nothing.
    step, usual = float(np.quantile(true_moves, _SMALLEST_MOVES)), float(np.sqrt(np.mean(moves**2)))
    if step <= usual:
        return []
    sentence = (
        f"Prices move in steps of {step:.2g}, more than the {usual:.2g} that a bar moves on average (logs): much of "
        "the volatility measured is rounding; take prices with more digits, or longer bars."
    )
    return [Finding("steps", "flaw", sentence)]


def _market_findings(bars: pd.DataFrame, length: pd.Timedelta, market: TradingMarket) -> list[Finding]:
    """Bars that are not of the market's hours, and whose hours they fit."""
    starts, microseconds = time_index(bars).as_unit("us").asi8, length // pd.Timedelta(microseconds=1)
    fits = better_fit(market, starts, microseconds)
    if fits is None:
        return []
    fit, best = fits
    sentence = (
        f"{1 - fit.inside:.0%} of the bars lie outside the sessions of {market.name} ({market.title}), and would be "
        f"left out; they fit {best.market.name} ({best.market.title}): say --market {best.market.name}, or that it is "
        "meant."
    )
    return [Finding("market", "bad" if fit.closed > MOST_CLOSED else "flaw", sentence)]


def _coarse_findings(length: pd.Timedelta, market: TradingMarket) -> list[Finding]:
    minutes = length / pd.Timedelta(minutes=1)
    if minutes <= _COARSE_MINUTES:
        return []
    bucket = "an hour" if market.whole_bucket_minutes == 60 else f"a bucket of {market.whole_bucket_minutes} min"
    returns = int(market.whole_bucket_minutes // minutes)
    # The standard error of the root of a sum of n squares of normal returns is one part in the root of 2n.
    error = f"{1 / np.sqrt(2 * returns):.0%} of its volatility are chance" if returns else "which makes no volatility"
    sentence = f"Bars of {minutes:g} min are coarse: {bucket} holds {counted(returns, 'return')}, {error}."
    return [Finding("coarse", "flaw", sentence)]


def _reaching_findings(starts: pd.DatetimeIndex, length: pd.Timedelta, market: TradingMarket) -> list[Finding]:
    """Bars that begin in one bucket, or outside of all, and end in another, or beyond it."""
    buckets, begin = market.buckets, starts.as_unit("us").asi8
    end = begin + length // pd.Timedelta(microseconds=1)
    row = np.minimum(buckets.label.searchsorted(end), len(buckets.label) - 1)
    before = buckets.label[np.maximum(row - 1, 0)]
    reaches = (begin < before) & (before < end) | (begin < buckets.start[row]) & (buckets.start[row] < end)
    traded = np.unique(row[end > buckets.start[row]])
    if length >= pd.Timedelta(minutes=market.whole_bucket_minutes) or reaches.sum() <= _MOST_REACHING * len(traded):
        return []
    first = market.clock.time(int(begin[reaches][0]))
    sentence = (
        f"{counted(int(reaches.sum()), 'bar')} over the end of a bucket, as where stamps are not on the clock (the "
        f"first begins at {first:%Y-%m-%d %H:%M:%S}): the return of such a bar counts to the bucket in which it ends, "
        "or to none."
    )
    return [Finding("reaching", "flaw", sentence)]


def _future_findings(bars: pd.DataFrame, length: pd.Timedelta, market: TradingMarket) -> list[Finding]:
    """Bars that cannot have been traded yet; simulated ones may."""
    later = time_index(bars)[time_index(bars) > pd.Timestamp.now("UTC") + length]
    if bars.attrs.get("simulated") or later.empty:
        return []
    sentence = (
        f"{counted(len(later), 'bar')} of the future (the first begins at "
        f"{later[0].tz_convert(market.zone):%Y-%m-%d %H:%M}), which nobody can have traded if this machine's clock "
        "is right: correct the stamps, or leave them out with --end-date; a model trained on them has seen its future."
    )
    # No more than a flaw: the clock may be what is wrong.
    return [Finding("future", "flaw", sentence)]


def _coverage_findings(sheet: SessionSheet) -> list[Finding]:
    sessions = sheet.sessions
    traded = sessions[sessions["bars"] > 0]
    findings = []
    for first, last, count in sheet.holes:
        span = f"{first:%Y-%m-%d}" if count == 1 else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        sentence = f"A hole: no bars on {counted(count, 'session')}, {span}."
        findings.append(Finding("hole", "flaw", sentence, (f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}")))
    if traded.empty:
        return [*findings, Finding("coverage", "bad", "No bar lies inside a session of the exchange.")]
    covered = float(traded["bars"].sum() / traded["expected"].sum())
    if covered < _FEWEST_COVERED:
        sentence = (
            f"Only {covered:.0%} of the bars of the days that have some are there; if minutes without a trade are left "
            "out, --clean untraded adds them."
        )
        return [*findings, Finding("coverage", "bad", sentence)]
    is_cut = (traded["coverage"] < _CUT_COVERAGE) | (traded["gap"] >= (1 - _CUT_COVERAGE) * traded["minutes"])
    ends_early = traded["gap"] >= _CUT_MINUTES
    cut = traded[is_cut | (ends_early & (traded["gaps"] == 1))]
    if len(cut):
        days = _names(time_index(cut))
        sentence = f"{counted(len(cut), 'session')} cut short or with much missing{_when(days)}."
        findings.append(Finding("cut day", "flaw", sentence, days))
    others = traded[(traded["gaps"] > 0) & ~traded.index.isin(cut.index)]
    if len(others):
        days = _names(time_index(others))
        gaps = counted(int(others["gaps"].sum()), "gap")
        sentence = f"{gaps} of a quarter of an hour and more{_when(days)}."
        findings.append(Finding("gaps", "flaw", sentence, days))
    return findings


def _volume_breaks(volume: "pd.Series[float]") -> "pd.Series[float]":
    """New over old level of volume at sessions where it changes for several days, indexed by session."""
    levels = cast("pd.Series[float]", np.log(volume[volume > 0]))
    around = _SESSIONS_AROUND
    if len(levels) <= around:
        return pd.Series(dtype=float)
    before = levels.rolling(around, min_periods=1).median().shift(1)
    after = levels[::-1].rolling(around, min_periods=around).median()[::-1]
    step = levels.diff()
    is_break = ((after - before).abs() >= np.log(_VOLUME_BREAK)) & (step.abs() >= np.log(_VOLUME_STEP))
    is_break &= np.sign(step) == np.sign(after - before)
    return cast("pd.Series[float]", np.exp((after - before)[is_break]))


def _break_findings(breaks: "pd.Series[float]") -> list[Finding]:
    findings = []
    for kind, chosen, meaning in (
        ("feed change", breaks[(breaks >= _FEED_CHANGE) | (breaks <= 1 / _FEED_CHANGE)], ", as between two feeds"),
        ("volume break", breaks[(breaks < _FEED_CHANGE) & (breaks > 1 / _FEED_CHANGE)], ""),
    ):
        if len(chosen):
            factors = ", ".join(f"{factor:.3g}" for factor in chosen[:_SHOWN])
            days = _names(time_index(chosen))
            sentence = f"Volume changes its scale{meaning}: times {factors}{_when(days)}."
            findings.append(Finding(kind, "flaw", sentence, days))
    return findings


def _volume_findings(bars: pd.DataFrame) -> list[Finding]:
    if "volume" not in bars:
        return [Finding("no volume", "flaw", "There is no column of volume.")]
    without = int((~(bars["volume"] >= 0)).sum())
    return (
        [Finding("no volume", "flaw", f"{counted(without, 'bar')} without volume, or below zero.")] if without else []
    )


def _facts(sheet: SessionSheet, total: int) -> list[Finding]:
    facts = []
    sessions = sheet.sessions[sheet.sessions["bars"] > 0]
    half = sessions[sessions["minutes"] < sessions["regular_minutes"]]
    if len(half):
        days = _names(time_index(half))
        facts.append(Finding("half-day", "fact", f"{counted(len(half), 'half-day')}{_when(days)}.", days))
    if len(sheet.outside):
        sentence = f"{counted(len(sheet.outside), 'bar')} ({len(sheet.outside) / total:.0%}) outside regular sessions."
        facts.append(Finding("outside", "fact", sentence))
    return facts


def _by_month(
    sheet: SessionSheet, dropped: "pd.Series[str]", breaks: "pd.Series[float]", market: TradingMarket
) -> pd.DataFrame:
    sessions = sheet.sessions.assign(missing=sheet.sessions["bars"] == 0)
    months = sessions.groupby(time_index(sessions).to_period("M"))
    table = pd.DataFrame(
        {
            "sessions": months.size(),
            "missing": months["missing"].sum(),
            "bars": months["bars"].sum(),
            "coverage": (months["bars"].sum() / months["expected"].sum()).clip(upper=1.0),
            "gaps": months["gaps"].sum(),
            "longest_gap": months["longest_gap"].max(),
        }
    ).rename_axis("month")
    stamps = pd.DatetimeIndex(dropped.index).dropna() if len(dropped) else pd.DatetimeIndex([], tz="UTC")
    started = time_index(sheet.bars)
    no_volume = started[~(sheet.bars["volume"] >= 0)] if "volume" in sheet.bars else started
    for name, moments in (
        ("dropped", market.dates(stamps)),
        ("outside", sheet.outside),
        ("without_volume", market.dates(no_volume)),
        ("volume_breaks", pd.DatetimeIndex(breaks.index)),
    ):
        counts = pd.Series(moments.to_period("M")).value_counts()
        table[name] = counts.reindex(table.index, fill_value=0)
    whole = [name for name in table.columns if name != "coverage"]
    return table.astype(dict.fromkeys(whole, np.int64))


def _names(days: pd.DatetimeIndex) -> tuple[str, ...]:
    return tuple(days.strftime("%Y-%m-%d"))


def _when(days: tuple[str, ...]) -> str:
    if not days:
        return ""
    return f" ({', '.join(days[:_SHOWN])}{' ...' if len(days) > _SHOWN else ''})"
