"""A bot's fills in markets whose outcome is known, with the book each order was placed into."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from engine.domain.fills import FillState
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.losses import OutcomeFill, place_in_book, yes_space
from engine.domain.money import MICRO
from storage.decisions import plans_at

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


def of_bot(
    connection: sqlite3.Connection, engine_id: str, *, mode: Mode, bot: str
) -> list[KnownFill]:
    """Return the newest fills of a bot in resolved markets; failed ones never were."""
    rows = connection.execute(
        "SELECT f.account, f.order_id, f.instrument, f.leg, f.side, f.price, f.size, f.fee_micro, "
        "f.at_ns, o.price, o.created_ns, i.price_decimals, i.size_decimals, i.tick, i.closes_ns, "
        "i.payout_yes_micro FROM fills f "
        "JOIN orders o ON o.engine_id = f.engine_id AND o.account = f.account "
        "AND o.id = f.order_id "
        "JOIN instruments i ON i.engine_id = f.engine_id AND i.id = f.instrument "
        "WHERE f.engine_id = ? AND f.mode = ? AND f.bot = ? AND f.state != ? "
        "AND i.payout_yes_micro IS NOT NULL ORDER BY f.at_ns DESC LIMIT ?",
        (engine_id, mode, bot, FillState.FAILED, FILLS_MAX),
    )
    names = KnownFill.__struct_fields__
    return [msgspec.convert(dict(zip(names, row, strict=True)), KnownFill) for row in rows]


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
    left_ns = None if fill.closes_ns is None else fill.closes_ns - fill.at_ns
    return OutcomeFill(
        market=fill.instrument,
        bought=bought,
        price=price / one,
        shares=fill.size / 10**fill.size_decimals,
        fee=fill.fee_micro / MICRO,
        paid=fill.payout_yes_micro / MICRO,
        to_close_s=None if left_ns is None else left_ns / SECOND_NS,
        spread_ticks=spread,
        ahead_ticks=ahead,
        age_s=(fill.at_ns - fill.created_ns) / SECOND_NS,
    )
