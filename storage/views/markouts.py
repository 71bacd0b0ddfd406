"""Markouts as pages show them: of single fills, and per bot with count and standard error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec

from engine.domain.fills import FillState
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.losses import OutcomeFill, place_in_book, yes_space
from engine.domain.money import MICRO
from storage.database import dicts
from storage.decisions import plans_at

BPS = 10_000
CENTS_DECIMALS = 4
"""Micro-units per share to cents per share."""

FillKey = tuple[str, str]
"""(account, fill)."""


class MarkoutShown(msgspec.Struct, frozen=True):
    """One markout: `cents` per share, None where `state` says why it is not known.

    A pair's, and a perpetual's, is in basis points of the fill's price instead.
    """

    state: str
    cents: Decimal | None
    bps: Decimal | None = None


class BotMarkout(msgspec.Struct, frozen=True, kw_only=True):
    """One horizon of a bot's maker or taker fills. In cents per share, signed from our side.

    `in_bps` = of pairs and perpetuals: the two figures are basis points of the fills' prices.
    """

    account: str
    bot: str
    liquidity: str
    horizon_ms: int
    known: int
    unknown: int
    mean_cents: float | None
    """None = no fill has a known markout here."""
    error_cents: float | None
    """Standard error of the mean; None = fewer than two."""
    in_bps: bool = False


def of_fills(
    connection: Connection, engine_id: str, keys: Sequence[FillKey]
) -> dict[FillKey, dict[int, MarkoutShown]]:
    """Return each fill's markouts by horizon in ms (0 = at resolution); one without rows lacks."""
    found: dict[FillKey, dict[int, MarkoutShown]] = {}
    for account in sorted({account for account, _ in keys}):
        mine = json.dumps([fill for owner, fill in keys if owner == account])
        for fill, horizon_ms, state, micro, leg, paid in connection.execute(
            "SELECT fill, horizon_ms, state, markout_micro, leg, price_micro FROM markouts "
            "WHERE engine_id = ? "
            "AND account = ? AND fill IN (SELECT value FROM json_each(?))",
            (engine_id, account, mine),
        ):
            made = MarkoutShown(state, None)
            if micro is not None and leg == Leg.BASE:
                made = MarkoutShown(state, None, Decimal(micro) * BPS / paid)
            elif micro is not None:
                made = MarkoutShown(state, Decimal(micro).scaleb(-CENTS_DECIMALS))
            found.setdefault((account, fill), {})[horizon_ms] = made
    return found


def by_bot(
    connection: Connection, engine_id: str, *, mode: Mode, bot: str | None = None
) -> list[BotMarkout]:
    """Return the sums of one mode's bots, or of one bot, by horizon."""
    found = dicts(
        connection,
        "SELECT account, bot, liquidity, horizon_ms, known, unknown, sum_micro / 1e6 AS total, "
        "squares "
        "FROM markout_sums WHERE engine_id = ? AND mode = ? AND (? IS NULL OR bot = ?) "
        "ORDER BY account, bot, liquidity, horizon_ms",
        (engine_id, mode, bot, bot),
    )
    in_bps = dicts(
        connection,
        "SELECT account, bot, liquidity, horizon_ms, known, unknown, sum_bps AS total, squares "
        "FROM markout_sums_bps WHERE engine_id = ? AND mode = ? AND (? IS NULL OR bot = ?) "
        "ORDER BY account, bot, liquidity, horizon_ms",
        (engine_id, mode, bot, bot),
    )
    shares = [_mean(**row, unit=100) for row in found]
    return shares + [_mean(**row, in_bps=True) for row in in_bps]


def _mean(*, known: int, total: float, squares: float, unit: float = 1, **whose: Any) -> BotMarkout:
    """Return the mean and its standard error, times `unit`, from sums."""
    mean = error = None
    if known:
        mean = total / known
    if known > 1 and mean is not None:
        # Rounding may leave the difference of two equal sums a hair below zero.
        variance = max(0.0, (squares - known * mean * mean) / (known - 1))
        error = float((variance / known) ** 0.5)
    return BotMarkout(
        **whose,
        known=known,
        mean_cents=None if mean is None else unit * mean,
        error_cents=None if error is None else unit * error,
    )


# -- Fills in markets whose outcome is known, with the book each order was placed into -------------

FILLS_MAX = 500
"""The newest fills that are looked at: each asks the decisions for the book of its order."""

SECOND_NS = 1e9


class KnownFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as the tables have it, beside its order and its market. Prices in increments."""

    account: str
    order_id: int
    instrument: str
    leg: Leg
    side: Side
    price: int
    size: int
    fee_micro: int
    at_ns: int
    level: int
    """What the order asked, of its own leg."""
    created_ns: int
    price_decimals: int
    size_decimals: int
    tick: int
    closes_ns: int | None
    payout_yes_micro: int


def of_bot(connection: Connection, engine_id: str, *, mode: Mode, bot: str) -> list[KnownFill]:
    """Return the newest fills of a bot in resolved markets; failed ones never were."""
    found = dicts(
        connection,
        "SELECT f.account, f.order_id, f.instrument, f.leg, f.side, f.price, f.size, f.fee_micro, "
        "f.at_ns, o.price AS level, o.created_ns, i.price_decimals, i.size_decimals, i.tick, "
        "i.closes_ns, i.payout_yes_micro FROM fills f "
        "JOIN orders o ON o.engine_id = f.engine_id AND o.account = f.account "
        "AND o.id = f.order_id "
        "JOIN instruments i ON i.engine_id = f.engine_id AND i.id = f.instrument "
        "WHERE f.engine_id = ? AND f.mode = ? AND f.bot = ? AND f.state != ? "
        "AND i.payout_yes_micro IS NOT NULL ORDER BY f.at_ns DESC LIMIT ?",
        (engine_id, mode, bot, FillState.FAILED, FILLS_MAX),
    )
    return msgspec.convert(found, list[KnownFill])


def traded_kinds(connection: Connection, engine_id: str, *, mode: Mode, bot: str) -> list[str]:
    """Return the kinds of the markets in which a bot has fills, each once."""
    found = connection.execute(
        "SELECT DISTINCT i.kind FROM fills f JOIN instruments i ON i.engine_id = f.engine_id "
        "AND i.id = f.instrument WHERE f.engine_id = ? AND f.mode = ? AND f.bot = ?",
        (engine_id, mode, bot),
    )
    return [str(kind) for (kind,) in found]


def with_books(fills: list[KnownFill], decisions: Path) -> list[OutcomeFill]:
    books: dict[tuple[str, int], tuple[int | None, int | None]] = {}
    made = []
    for fill in fills:
        key = fill.instrument, fill.created_ns
        if key not in books:
            marks = (plan.mark for plan in plans_at(decisions, instrument=key[0], at_ns=key[1]))
            mark = next((one for one in marks if one is not None), None)
            books[key] = (None, None) if mark is None else (mark.best_bid, mark.best_ask)
        made.append(_outcome(fill, *books[key]))
    return made


def _outcome(fill: KnownFill, bid: int | None, ask: int | None) -> OutcomeFill:
    one = 10**fill.price_decimals
    bought, price = yes_space(fill.side, fill.leg, fill.price, one)
    _, level = yes_space(fill.side, fill.leg, fill.level, one)
    spread, ahead = place_in_book(bought=bought, level=level, bid=bid, ask=ask, tick=fill.tick)
    paid_micro = fill.payout_yes_micro
    left_ns = None if fill.closes_ns is None else fill.closes_ns - fill.at_ns
    return OutcomeFill(
        market=fill.instrument,
        bought=bought,
        price=price / one,
        shares=fill.size / 10**fill.size_decimals,
        fee=fill.fee_micro / MICRO,
        paid=paid_micro / MICRO,
        to_close_s=None if left_ns is None else left_ns / SECOND_NS,
        spread_ticks=spread,
        ahead_ticks=ahead,
        age_s=(fill.at_ns - fill.created_ns) / SECOND_NS,
    )
