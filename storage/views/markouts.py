"""Markouts as pages show them: of single fills, and per bot with count and standard error."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.domain.instruments import Mode

CENTS_DECIMALS = 4
"""Micro-units per share to cents per share."""

FillKey = tuple[str, str]
"""(account, fill)."""


class MarkoutShown(msgspec.Struct, frozen=True):
    """One markout: `cents` per share, None where `state` says why it is not known."""

    state: str
    cents: Decimal | None


class BotMarkout(msgspec.Struct, frozen=True, kw_only=True):
    """One horizon of a bot's maker or taker fills. In cents per share, signed from our side."""

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


def of_fills(
    connection: sqlite3.Connection, engine_id: str, keys: Sequence[FillKey]
) -> dict[FillKey, dict[int, MarkoutShown]]:
    """Return each fill's markouts by horizon in ms (0 = at resolution); one without rows lacks."""
    found: dict[FillKey, dict[int, MarkoutShown]] = {}
    for account in sorted({account for account, _ in keys}):
        mine = json.dumps([fill for owner, fill in keys if owner == account])
        for fill, horizon_ms, state, micro in connection.execute(
            "SELECT fill, horizon_ms, state, markout_micro FROM markouts WHERE engine_id = ? "
            "AND account = ? AND fill IN (SELECT value FROM json_each(?))",
            (engine_id, account, mine),
        ):
            cents = None if micro is None else Decimal(micro).scaleb(-CENTS_DECIMALS)
            found.setdefault((account, fill), {})[horizon_ms] = MarkoutShown(state, cents)
    return found


def by_bot(
    connection: sqlite3.Connection, engine_id: str, *, mode: Mode, bot: str | None = None
) -> list[BotMarkout]:
    """Return the sums of one mode's bots, or of one bot, by horizon."""
    return [
        _mean(row)
        for row in connection.execute(
            "SELECT account, bot, liquidity, horizon_ms, known, unknown, sum_micro, squares "
            "FROM markout_sums WHERE engine_id = ? AND mode = ? AND (? IS NULL OR bot = ?) "
            "ORDER BY account, bot, liquidity, horizon_ms",
            (engine_id, mode, bot, bot),
        )
    ]


def _mean(row: tuple[str, str, str, int, int, int, int, float]) -> BotMarkout:
    account, bot, liquidity, horizon_ms, known, unknown, total_micro, squares = row
    mean = error = None
    if known:
        mean = total_micro / known / 1e6
    if known > 1 and mean is not None:
        # Rounding may leave the difference of two equal sums a hair below zero.
        variance = max(0.0, (squares - known * mean * mean) / (known - 1))
        error = float((variance / known) ** 0.5)
    return BotMarkout(
        account=account,
        bot=bot,
        liquidity=liquidity,
        horizon_ms=horizon_ms,
        known=known,
        unknown=unknown,
        mean_cents=None if mean is None else 100 * mean,
        error_cents=None if error is None else 100 * error,
    )
