"""Rules to begin with: each a whole document. None claims an edge."""

from __future__ import annotations

from engine.domain.rules import (
    VERSION,
    AllOf,
    AnyOf,
    BarNumber,
    BookNumber,
    FixedNumber,
    IndicatorNumber,
    PositionNumber,
    RuleCondition,
    RuleDocument,
    TimeNumber,
)

STOPS = AnyOf(
    (
        RuleCondition(PositionNumber("profit %"), ">=", FixedNumber(3.0)),
        RuleCondition(PositionNumber("profit %"), "<=", FixedNumber(-2.0)),
    )
)

_RSI = IndicatorNumber("RSI", bars="5m")


def _band(line: str) -> IndicatorNumber:
    return IndicatorNumber("Bollinger", {"line": line}, bars="5m")


_MEAN = IndicatorNumber("SMA", {"period": 50}, bars="5m")

RSI_DIP = RuleDocument(
    version=VERSION,
    name="rsi_dip",
    title="Buy a dip that turns",
    about="Bought when the relative strength index recovers from oversold, with bids in the book.",
    entry=AllOf(
        (
            RuleCondition(_RSI, "crosses above", FixedNumber(30.0)),
            RuleCondition(BookNumber("imbalance"), ">=", FixedNumber(-0.5)),
        )
    ),
    exit=RuleCondition(_RSI, ">=", FixedNumber(60.0)),
    close=STOPS,
    cool_down_s=900.0,
)

TREND = RuleDocument(
    version=VERSION,
    name="trend",
    title="Follow the mean",
    about="Bought at a close that crosses above its mean, left at one that crosses below.",
    entry=RuleCondition(BarNumber("close", "5m"), "crosses above", _MEAN),
    exit=RuleCondition(BarNumber("close", "5m"), "crosses below", _MEAN),
    emergency=RuleCondition(PositionNumber("profit %"), "<=", FixedNumber(-10.0)),
)

BREAKOUT = RuleDocument(
    version=VERSION,
    name="breakout",
    title="Breakout of a band, in daytime",
    about="Bought at a close above the Bollinger band between 8 and 20 UTC; left below its middle.",
    entry=AllOf(
        (
            RuleCondition(BarNumber("close", "5m"), ">", _band("upper")),
            RuleCondition(TimeNumber("hour"), ">=", FixedNumber(8.0)),
            RuleCondition(TimeNumber("hour"), "<", FixedNumber(20.0)),
        )
    ),
    exit=RuleCondition(BarNumber("close", "5m"), "<", _band("middle")),
    close=AnyOf(
        (
            *STOPS.parts,
            RuleCondition(PositionNumber("seconds held"), ">=", FixedNumber(14_400.0)),
        )
    ),
)

_QUICK = IndicatorNumber("RSI", {"period": 7}, bars="30s")

QUICK_DIP = RuleDocument(
    version=VERSION,
    name="quick_dip",
    title="A quick dip",
    about="Bought at 30 s bars that turn up from a dip, sold when they are up or after 10 minutes.",
    entry=RuleCondition(_QUICK, "crosses above", FixedNumber(40.0)),
    exit=RuleCondition(_QUICK, ">=", FixedNumber(60.0)),
    close=AnyOf(
        (
            *STOPS.parts,
            RuleCondition(PositionNumber("seconds held"), ">=", FixedNumber(600.0)),
        )
    ),
    cool_down_s=60.0,
)
"""Trades within a newcomer's first half hour: the demo desk has a bot of it."""

TEMPLATES = {one.name: one for one in (RSI_DIP, TREND, BREAKOUT, QUICK_DIP)}
