"""Markouts of fills: what the mid did after each, and their sums per bot; unknown is never zero.

A fill gets its rows when it is booked, all of them `due`; each is answered once. What was due while
no engine ran is `ignored`. Every function works inside the caller's transaction.

Source: markout = sign · (mid at fill + horizon - fill price), sign + for a buy, per share. A pair
is never resolved; its sums are in basis points of the fill's price, as a mean over pairs of
different prices says something in no other unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from sqlite3 import Connection

import msgspec

from engine.domain.instruments import Leg, Mode
from engine.domain.products.binary import pays_micro
from storage.database import Table, insert, update

HORIZONS_MS = (300, 1_000, 5_000, 30_000, 300_000)
AT_RESOLUTION = 0
"""The horizon of the last row: what the token paid, whenever that is known."""

MS = 1_000_000


class MarkoutState(StrEnum):
    """What became of one markout."""

    DUE = "due"
    KNOWN = "known"
    BLIND = "blind"
    """The book was not proven at that moment, or torn."""
    ONE_SIDED = "one_sided"
    """The book had no mid at that moment."""
    CLOSED = "closed"
    """Trading had ended by then."""
    IGNORED = "ignored"
    """No engine listened then, or the time of the fill is unknown."""
    VOID = "void"
    """The fill failed: it never was."""


class FillSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A fill whose markouts begin. `price_micro` of one share of its leg."""

    account: str
    fill: str
    mode: Mode
    bot: str
    instrument: str
    liquidity: str
    leg: Leg
    sign: int
    price_micro: int
    at_ns: int | None
    """None = a listing reported it without its time, so no horizon can be kept."""


class MarkoutDue(msgspec.Struct, frozen=True, kw_only=True):
    """One markout that waits for its moment."""

    due_ns: int
    account: str
    fill: str
    horizon_ms: int
    instrument: str
    leg: Leg
    sign: int
    price_micro: int

    def against(self, mid_yes_micro: int) -> int:
        """Return the markout against a mid in YES-space, per share."""
        return _markout(self.leg, self.sign, self.price_micro, mid_yes_micro)


_BPS = "(markout_micro * 1e4 / price_micro)"
_COUNT_BPS = (
    "INSERT INTO markout_sums_bps (engine_id, account, bot, liquidity, horizon_ms, mode, known, "  # noqa: S608 our own words
    "unknown, sum_bps, squares) "
    "SELECT engine_id, account, bot, liquidity, horizon_ms, mode, ?1 * (state = 'known'), "
    f"?1 * (state != 'known'), ?1 * coalesce({_BPS}, 0.0), "
    f"?1 * coalesce({_BPS} * {_BPS}, 0.0) FROM markouts "
    "WHERE engine_id = ?2 AND account = ?3 AND fill = ?4 AND horizon_ms = ?5 AND leg = ?6 "
    "ON CONFLICT (engine_id, account, bot, liquidity, horizon_ms) DO UPDATE SET "
    "known = known + excluded.known, unknown = unknown + excluded.unknown, "
    "sum_bps = sum_bps + excluded.sum_bps, squares = squares + excluded.squares"
)

_DUES = Table(MarkoutDue, "markouts")


def _markout(leg: str, sign: int, price_micro: int, yes_micro: int) -> int:
    return sign * (pays_micro(leg, yes_micro) - price_micro)


def dues_of(fill: FillSeen) -> list[MarkoutDue]:
    if fill.at_ns is None:
        return []
    return [
        MarkoutDue(
            due_ns=fill.at_ns + horizon_ms * MS,
            account=fill.account,
            fill=fill.fill,
            horizon_ms=horizon_ms,
            instrument=fill.instrument,
            leg=fill.leg,
            sign=fill.sign,
            price_micro=fill.price_micro,
        )
        for horizon_ms in HORIZONS_MS
    ]


def begin(connection: Connection, engine_id: str, fill: FillSeen) -> None:
    """Write a new fill's rows; the same fill again changes nothing."""
    timed = MarkoutState.IGNORED if fill.at_ns is None else MarkoutState.DUE
    horizons = [
        *((ms, timed, None if fill.at_ns is None else fill.at_ns + ms * MS) for ms in HORIZONS_MS),
        (AT_RESOLUTION, MarkoutState.DUE, None),
    ]
    if fill.leg == Leg.BASE:
        horizons.pop()  # it has no end
    for horizon_ms, state, due_ns in horizons:
        figures = msgspec.structs.asdict(fill)
        del figures["at_ns"]
        made = insert(
            connection,
            "markouts",
            verb="INSERT OR IGNORE",
            engine_id=engine_id,
            horizon_ms=horizon_ms,
            due_ns=due_ns,
            state=state,
            **figures,
        )
        if made.rowcount and state is not MarkoutState.DUE:
            _sum(connection, engine_id, (fill.account, fill.fill, horizon_ms), 1)
    paid = connection.execute(
        "SELECT payout_yes_micro FROM instruments WHERE engine_id = ? AND id = ?",
        (engine_id, fill.instrument),
    ).fetchone()
    if paid is not None and paid[0] is not None:
        resolve(connection, engine_id, fill.instrument, paid[0])


def answer(
    connection: Connection,
    engine_id: str,
    due: MarkoutDue,
    state: MarkoutState,
    markout_micro: int | None = None,
) -> None:
    """Write what became of a markout; one that was answered already stays as it is."""
    key = (due.account, due.fill, due.horizon_ms)
    _answer(connection, engine_id, key, state, markout_micro)


def _answer(
    connection: Connection,
    engine_id: str,
    key: tuple[str, str, int],
    state: MarkoutState,
    markout_micro: int | None,
) -> None:
    account, fill, horizon_ms = key
    which = {"engine_id": engine_id, "account": account, "fill": fill, "horizon_ms": horizon_ms}
    due = which | {"state": MarkoutState.DUE}
    if update(connection, "markouts", due, state=state, markout_micro=markout_micro):
        _sum(connection, engine_id, key, 1)


def _sum(connection: Connection, engine_id: str, key: tuple[str, str, int], sign: int) -> None:
    """Count a row as it stands into its bot's sums, or (-1) out of them."""
    connection.execute(_COUNT_BPS, (sign, engine_id, *key, Leg.BASE))
    connection.execute(
        "INSERT INTO markout_sums (engine_id, account, bot, liquidity, horizon_ms, mode, known, "
        "unknown, sum_micro, squares) "
        "SELECT engine_id, account, bot, liquidity, horizon_ms, mode, ?1 * (state = 'known'), "
        "?1 * (state != 'known'), ?1 * coalesce(markout_micro, 0), "
        "?1 * coalesce(markout_micro * 1e-6 * markout_micro * 1e-6, 0.0) FROM markouts "
        "WHERE engine_id = ?2 AND account = ?3 AND fill = ?4 AND horizon_ms = ?5 AND leg != ?6 "
        "ON CONFLICT (engine_id, account, bot, liquidity, horizon_ms) DO UPDATE SET "
        "known = known + excluded.known, unknown = unknown + excluded.unknown, "
        "sum_micro = sum_micro + excluded.sum_micro, squares = squares + excluded.squares",
        (sign, engine_id, *key, Leg.BASE),
    )


def resolve(connection: Connection, engine_id: str, instrument: str, payout_yes_micro: int) -> None:
    """Answer what waits for an instrument's resolution: the mid is what its tokens pay."""
    waiting = connection.execute(
        "SELECT account, fill, leg, sign, price_micro FROM markouts WHERE engine_id = ? "
        "AND state = ? AND instrument = ? AND horizon_ms = ?",
        (engine_id, MarkoutState.DUE, instrument, AT_RESOLUTION),
    ).fetchall()
    for account, fill, leg, sign, price_micro in waiting:
        markout = _markout(leg, sign, price_micro, payout_yes_micro)
        key = (account, fill, AT_RESOLUTION)
        _answer(connection, engine_id, key, MarkoutState.KNOWN, markout)


def void(connection: Connection, engine_id: str, account: str, fill: str) -> None:
    """Take a failed fill's markouts out of every sum: the fill never was."""
    rows = connection.execute(
        "SELECT horizon_ms, state FROM markouts WHERE engine_id = ? AND account = ? AND fill = ? "
        "AND state != ?",
        (engine_id, account, fill, MarkoutState.VOID),
    ).fetchall()
    for horizon_ms, state in rows:
        if state != MarkoutState.DUE:
            _sum(connection, engine_id, (account, fill, horizon_ms), -1)
    which = {"engine_id": engine_id, "account": account, "fill": fill}
    update(connection, "markouts", which, state=MarkoutState.VOID, markout_micro=None)


def resume(
    connection: Connection, engine_id: str, accounts: Iterable[str], now_ns: int
) -> list[MarkoutDue]:
    """Begin a start: what came due while no engine listened is ignored. Give what is still due."""
    found: list[MarkoutDue] = []
    for account in accounts:
        where = "engine_id = ? AND state = ? AND account = ? AND due_ns IS NOT NULL"
        for due in _DUES.all(connection, where, (engine_id, MarkoutState.DUE, account)):
            if due.due_ns < now_ns:
                answer(connection, engine_id, due, MarkoutState.IGNORED)
            else:
                found.append(due)
    return found
