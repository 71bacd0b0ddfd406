"""Gates, rules and reasons in plain words, with how a value is held against its limit."""

from __future__ import annotations

from typing import NamedTuple

from engine.domain.decisions import Gate
from engine.domain.intents import ResidualReason
from pages.kit.words import age


class GateWords(NamedTuple):
    """A gate for people. `broken` tells how value and limit stand when it fails; empty = a fact."""

    holds: str
    """What is true where it passes."""
    would: str
    """What must become true where it does not: `would quote if …`."""
    broken: str = ""
    unit: str = ""
    sign: str = ""
    """Between value and limit in the list of gates."""


_LE, _GE = "\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}"
W = GateWords
GATES: dict[str, GateWords] = {
    "healthy": W("the account may place at all", "the account may place again"),
    "market_open": W("the market is open", "the market opens"),
    "book_trusted": W("the book is whole", "a whole book is received again"),
    "data_age_ms": W(
        "the book was heard lately", "the book is heard again", "stale {value} > {limit}", "ms", _LE
    ),
    "two_sided": W("the book has both sides", "somebody bids and somebody offers"),
    "uncrossed": W("the book is not crossed", "bid and ask cross no more"),
    "started": W("the window has begun", "the window begins", "in {missing}", "s", _GE),
    "not_closing": W(
        "time is left before the stop",
        "the market were not about to close",
        "its stop was {value} ago",
        "s",
        ">",
    ),
    "size_of_a_lot": W(
        "the size is at least a lot", "its size were at least a lot", "{value} < {limit}", "", _GE
    ),
    "event_cooldown": W(
        "no pause after a jump", "the pause after a jump is over", "{value} left", "s", _LE
    ),
    "strike_proven": W("the strike is proven", "the strike is proven"),
    "oracle_settles": W(
        "the oracle is the one that decides",
        "oracle were the one this market ends by (hourly: binance:…, twap_window_s 0)",
    ),
    "oracle_known": W("the oracle has spoken", "the oracle speaks"),
    "oracle_age_ms": W(
        "the oracle spoke lately", "the oracle speaks again", "silent {value} > {limit}", "ms", _LE
    ),
    "reference_known": W("the reference has a price", "the reference price is heard"),
    "reference_age_ms": W(
        "the reference price is fresh",
        "the reference price is heard again",
        "stale {value} > {limit}",
        "ms",
        _LE,
    ),
    "basis_ready": W(
        "oracle and reference were compared",
        "oracle and reference were compared more often",
        "{value} of {limit} pairs",
        "",
        _GE,
    ),
    "sigma_ready": W(
        "volatility was watched", "volatility was watched longer", "{value} of {limit}", "s", _GE
    ),
    "close_known": W("the close is announced", "the close is announced"),
    "fair_known": W("a fair value can be given", "a fair value can be given"),
    "settlement_finite": W("the settlement can be modelled", "the settlement can be modelled"),
    "twap_covered": W(
        "the average is covered by prices",
        "more of the settlement average is known",
        "{value} of {limit} covered",
        "",
        _GE,
    ),
    "price_in_range": W(
        "the price is inside the range",
        "its fair value comes back into the range",
        "{value} against the limit {limit}",
        "",
        "against",
    ),
    "fair_gap": W(
        "fair value and book agree",
        "fair value and book agree again",
        "apart {value} > {limit}",
        "",
        _LE,
    ),
}
"""Every gate a strategy of this house looks at, by its name in the decision record."""

RULES = {
    "latched": "KILL latch is not set",
    "kill_drawdown": "no fall from the peak that sets KILL",
    "drawdown": "no fall from the peak that stops the account",
    "daily_loss": "today's loss budget is not used up",
    "stale_data": "age of the book",
    "open_orders": "open orders",
    "order_too_small": "smallest order",
    "order_too_large": "largest order value",
    "exposure_instrument": "worst-case loss, instrument",
    "exposure_market": "worst-case loss, market",
    "exposure_bot": "worst-case loss, bot",
    "exposure_account": "worst-case loss, account",
    "exposure_total": "worst-case loss, all accounts of the mode",
}

R = ResidualReason
LEFT: dict[ResidualReason, str] = {
    R.BELOW_MIN: "below the venue's minimum",
    R.DUST: "less than a hundredth of a share",
    R.NO_CASH: "not enough free cash",
    R.NO_INVENTORY: "not enough settled tokens",
    R.OUT_OF_RANGE: "no legal price there",
    R.OWN_CROSS: "it would meet our own order",
    R.WOULD_CROSS: "it would take instead of rest",
    R.NOT_MARKETABLE: "nobody offers that price now",
    R.WAITING_CANCEL: "waits until the order it replaces is proven gone",
    R.EXPIRED_INTENT: "the wish had expired",
    R.RISK: "risk left no room for it",
    R.BLIND: "the account or the book is blind",
    R.COOLDOWN: "pause after refusals",
    R.MARKET_CLOSED: "the market is closed",
}


def words_of(name: str) -> GateWords:
    """Return a gate's words; one of a plugin is told by its own name."""
    own = name.replace("_", " ")
    return GATES.get(name) or GateWords(own, f"{own} holds", "{value} against {limit}", "", "/")


def amount(value: float, unit: str) -> str:
    """Return a gate's value in its unit, with the digits that mean something at its size."""
    if unit:
        return age(round(abs(value) * (1e6 if unit == "ms" else 1e9)))
    large = abs(value)
    text = f"{value:,.1f}" if large >= 100 else f"{value:,.4g}"
    return text.removesuffix(".0").replace("-", "\N{MINUS SIGN}")


def against(gate: Gate) -> str:
    """Return a gate's value held against its limit; empty where it only holds or does not."""
    words = words_of(gate.name)
    if not words.sign:
        return ""
    before = gate.name == "started" and gate.value < 0
    value = f"{'in ' if before else ''}{amount(gate.value, words.unit)}"
    return (
        value
        if gate.name == "started"
        else f"{value} {words.sign} " + amount(gate.limit, words.unit)
    )


def condition(gate: Gate) -> str:
    """Return what a failed gate waits for: `would quote if: the book is heard again (stale …)`."""
    words = words_of(gate.name)
    told = words.broken.format(
        value=amount(gate.value, words.unit),
        limit=amount(gate.limit, words.unit),
        missing=amount(gate.limit - gate.value, words.unit),
    )
    return f"would quote if: {words.would}{f' ({told})' if told else ''}"
