"""Limits of risk: one row each says what it is called, counts in, and why it denies.

The field of its name in `engine.domain.settings.RiskLimits` holds the value. Forms, bars, denials,
the command line and the documents read the row.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.domain.decisions import Unit


class LimitGroup(StrEnum):
    """Under which heading a limit stands."""

    LOSS = "Loss"
    EXPOSURE = "Worst-case loss of positions and of orders that may still fill"
    ORDERS = "Orders and data"


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """One limit."""

    name: str
    """The field of `RiskLimits`."""
    title: str
    group: LimitGroup
    unit: Unit
    """MICRO = an amount or a part of the day's starting equity; NS = an age, kept in ms; BPS = a
    part of a price, kept in basis points."""
    reason: str = ""
    """Name of the reason an order is denied by it; empty = it denies none."""
    sentence: str = ""
    """What a person reads where it denied an order."""
    per_order: bool = False
    """It is looked at with each order: nothing of it is in use between two."""


_LOSS, _EXPOSURE, _ORDERS = LimitGroup.LOSS, LimitGroup.EXPOSURE, LimitGroup.ORDERS
_FITS = "Not even the smallest legal size fits under the "

_ROWS = (
    LimitRow(
        name="daily_loss_max",
        title="Loss since 00:00 UTC",
        group=_LOSS,
        unit=Unit.MICRO,
        reason="daily_loss",
        sentence="The loss since 00:00 UTC is over its limit; it lifts the next UTC day.",
    ),
    LimitRow(
        name="drawdown_max",
        title="Drawdown that stops the account",
        group=_LOSS,
        unit=Unit.MICRO,
        reason="drawdown",
        sentence="The drawdown is over its limit; a person must release.",
    ),
    LimitRow(
        name="kill_drawdown_max",
        title="Drawdown that sets KILL (live)",
        group=_LOSS,
        unit=Unit.MICRO,
        reason="kill_drawdown",
        sentence="The drawdown is over the KILL limit; a person releases.",
    ),
    LimitRow(
        name="exposure_total_max",
        title="All accounts of the mode",
        group=_EXPOSURE,
        unit=Unit.MICRO,
        reason="exposure_total",
        sentence=_FITS + "worst-case loss limit over all accounts of the mode, other currencies at "
        "their rates.",
    ),
    LimitRow(
        name="exposure_account_max",
        title="The account",
        group=_EXPOSURE,
        unit=Unit.MICRO,
        reason="exposure_account",
        sentence=_FITS + "account's worst-case loss limit.",
    ),
    LimitRow(
        name="exposure_bot_max",
        title="One bot",
        group=_EXPOSURE,
        unit=Unit.MICRO,
        reason="exposure_bot",
        sentence=_FITS + "bot's worst-case loss limit, or its capital.",
    ),
    LimitRow(
        name="exposure_market_max",
        title="One market",
        group=_EXPOSURE,
        unit=Unit.MICRO,
        reason="exposure_market",
        sentence=_FITS + "market's worst-case loss limit.",
    ),
    LimitRow(
        name="exposure_instrument_max",
        title="One instrument",
        group=_EXPOSURE,
        unit=Unit.MICRO,
        reason="exposure_instrument",
        sentence=_FITS + "instrument's worst-case loss limit.",
    ),
    LimitRow(
        name="open_orders_max",
        title="Open orders",
        group=_ORDERS,
        unit=Unit.COUNT,
        reason="open_orders",
        sentence="One more order would be over the maximum number of open orders.",
    ),
    LimitRow(
        name="order_value_max",
        title="Largest order value",
        group=_ORDERS,
        unit=Unit.MICRO,
        reason="order_too_large",
        sentence=_FITS + "maximum order value.",
        per_order=True,
    ),
    LimitRow(
        name="order_value_min",
        title="Smallest order value",
        group=_ORDERS,
        unit=Unit.MICRO,
        reason="order_too_small",
        sentence="The order is below the venue's minimum size or the smallest value that is set, "
        "and does not close a whole position.",
        per_order=True,
    ),
    LimitRow(
        name="liquidation_buffer_min",
        title="Least distance to liquidation",
        group=_ORDERS,
        unit=Unit.BPS,
        reason="liquidation_buffer",
        sentence="After it the mark is nearer to liquidation than the limit, or is not known.",
        per_order=True,
    ),
    LimitRow(
        name="data_age_ms_max",
        title="Oldest book",
        group=_ORDERS,
        unit=Unit.NS,
        reason="stale_data",
        sentence="The last proof of the book is missing or older than its limit.",
    ),
    LimitRow(name="mark_age_ms_max", title="Oldest mark", group=_ORDERS, unit=Unit.NS),
)

LIMITS = {row.name: row for row in _ROWS}
"""Every limit by its name, in the order in which people see them."""
