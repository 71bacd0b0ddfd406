"""The identity of equity: cash + pending + redeemable + inventory = equity, seen from two sides.

One side is the engine's ledger, as it tells itself at a record of the journal. The other is summed
anew from the journal's projection as of that very record: cash moves, fills, payouts. They share
nothing but the marks. A difference is reported with both sides; nothing is ever repaired here.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from sqlite3 import Connection

import msgspec

from engine.domain.assets import DECIMALS_MAX
from engine.domain.instruments import Leg, Mode
from engine.domain.money import MICRO, money_text, written
from engine.domain.plain import PlainDict
from engine.domain.products.binary import mirrored, pays_micro
from storage.database import halves, insert, upsert, whole

DIFFERENCES_MAX = 5
"""Differing holdings named in a text; the rest is counted."""

HeldToken = tuple[str, Leg]
"""(instrument, leg); everything but a binary is its own leg BASE."""


class LedgerSide(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine's ledger says of one account after record `seq`, in micro-units."""

    account: str
    mode: Mode
    currency: str
    at_ns: int
    seq: int
    cash_micro: int
    """Settled."""
    pending_micro: int
    redeemable_micro: int = 0
    """What winners that are not paid yet are to bring."""
    redeemed_micro: int = 0
    """What redemptions have paid since the account began."""
    inventory_micro: int
    """At the last two-sided mids."""
    equity_micro: int
    """As it is shown: at mid."""
    tokens: dict[HeldToken, int]
    """Settled and pending tokens of what is not resolved, in increments; never 0."""
    assets: dict[str, int] = {}
    """What it has of every asset beside the currency, in 10^-18 of one; never 0."""
    marks: dict[str, int]
    """Twice the mid of every instrument that has one, in YES-space increments."""


class JournalSide(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal's fills and cash moves sum to. `lacks` in words = it cannot be judged."""

    cash_micro: int
    """With what resolved markets are worth: the two sides tell apart what of that was paid."""
    redeemed_micro: int
    inventory_micro: int
    tokens: dict[HeldToken, int]
    assets: dict[str, int] = {}
    slack_micro: int
    """How far the two sides may round apart: a payout that is no whole micro-unit per fill."""
    lacks: str = ""


class EquityCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides and what lies between them."""

    ledger: LedgerSide
    journal: JournalSide
    difference_micro: int
    """Ledger less journal."""
    text: str
    """What differs, with both sides; what lacked, where it was not judged; empty = nothing."""

    @property
    def judged(self) -> bool:
        """True where both sides were whole."""
        return not self.journal.lacks

    @property
    def differs(self) -> bool:
        """True where the identity is broken."""
        return self.judged and bool(self.text)


def judge(connection: Connection, engine_id: str, side: LedgerSide) -> EquityCheck:
    """Sum the journal's side of an account and compare. The projection must stand at `side.seq`."""
    journal = _journal_side(connection, engine_id, side)
    terms = side.cash_micro + side.pending_micro + side.redeemable_micro + side.inventory_micro
    theirs = journal.cash_micro + journal.inventory_micro
    difference = side.equity_micro - theirs
    apart = []
    if abs(difference) > journal.slack_micro or terms != side.equity_micro:
        apart.append(
            f"the ledger has equity {money_text(side.equity_micro)} = cash "
            f"{money_text(side.cash_micro)} + pending {money_text(side.pending_micro)} + "
            f"redeemable {money_text(side.redeemable_micro)} + inventory "
            f"{money_text(side.inventory_micro)}; the journal's fills and cash moves sum to "
            f"{money_text(theirs)} = cash {money_text(journal.cash_micro)} + inventory "
            f"{money_text(journal.inventory_micro)}; "
            f"difference {money_text(difference)} {side.currency}"
        )
    if side.redeemed_micro != journal.redeemed_micro:
        apart.append(
            f"the ledger has booked redemptions of {money_text(side.redeemed_micro)} "
            f"{side.currency}, the journal has {money_text(journal.redeemed_micro)}"
        )
    apart += [
        f"{name}: the ledger has {_units(ours)}, the journal's fills sum to {_units(theirs)}"
        for name in sorted({*side.assets, *journal.assets})
        if (ours := side.assets.get(name, 0)) != (theirs := journal.assets.get(name, 0))
    ]
    if tokens := _apart(side.tokens, journal.tokens):
        apart.append(tokens)
    text = journal.lacks or "; ".join(apart)
    return EquityCheck(ledger=side, journal=journal, difference_micro=difference, text=text)


def _apart(ours: Mapping[HeldToken, int], theirs: Mapping[HeldToken, int]) -> str:
    """Name the holdings of which the two sides have different amounts."""
    places = sorted(set(ours) | set(theirs))
    found = [
        f"{key} {leg}: ledger {ours.get((key, leg), 0)}, journal {theirs.get((key, leg), 0)}"
        for key, leg in places
        if ours.get((key, leg), 0) != theirs.get((key, leg), 0)
    ]
    more = f", and {len(found) - DIFFERENCES_MAX} more" if len(found) > DIFFERENCES_MAX else ""
    return ", ".join(found[:DIFFERENCES_MAX]) + more


def _units(amount: int) -> str:
    return written(Decimal(amount).scaleb(-DECIMALS_MAX))


def _assets_of(connection: Connection, engine_id: str, account: str) -> dict[str, int]:
    """Sum what fills left of every asset beside the currency, in 10^-18 of one."""
    found: dict[str, int] = {}
    # A row per owner, summed here: two int64 may be more than SQLite's own sum can hold.
    held: dict[tuple[str, str, int, int], int] = {}
    for key, name, settled, pending, dust, step, token in connection.execute(
        "SELECT p.instrument, l.base, p.settled, p.pending, p.dust, l.base_step, l.one_token "
        "FROM positions p JOIN listings l USING (engine_id, instrument) "
        "WHERE p.engine_id = ? AND p.account = ? AND l.base IS NOT NULL",
        (engine_id, account),
    ):
        place = (key, name, step, token)
        held[place] = held.get(place, 0) + (settled + pending) * step + dust
    for (_, name, step, token), units in held.items():
        found[name] = found.get(name, 0) + units * 10**DECIMALS_MAX // (step * token)
    for name, decimals, high, low in connection.execute(
        f"SELECT f.fee_asset, f.fee_decimals, {halves('f.fee_amount')} "  # noqa: S608 our own words
        "FROM fills f LEFT JOIN listings l USING (engine_id, instrument) "
        "WHERE f.engine_id = ? AND f.account = ? AND f.state != 'failed' "
        "AND f.fee_asset IS NOT NULL AND l.base IS NOT f.fee_asset GROUP BY 1, 2",
        (engine_id, account),
    ):
        paid = whole(high, low)
        found[name] = found.get(name, 0) - paid * 10 ** (DECIMALS_MAX - decimals)
    return {name: amount for name, amount in found.items() if amount}


def _journal_side(connection: Connection, engine_id: str, side: LedgerSide) -> JournalSide:
    (cash,) = connection.execute(
        "SELECT coalesce(sum(amount_micro), 0) FROM cash_moves "
        "WHERE engine_id = ? AND account = ? AND currency = ?",
        (engine_id, side.account, side.currency),
    ).fetchone()
    (redeemed,) = connection.execute(
        "SELECT coalesce(sum(r.amount_micro), 0) FROM redemptions r "
        "JOIN listings l ON l.engine_id = r.engine_id AND l.instrument = r.instrument "
        "WHERE r.engine_id = ? AND r.account = ? AND l.payout_yes_micro IS NOT NULL",
        (engine_id, side.account),
    ).fetchone()
    inventory, slack, unvalued = 0, 0, 0
    tokens: dict[HeldToken, int] = {}
    for key, name, size, flow, unpriced, divisor, payout, decimals in connection.execute(
        "SELECT p.instrument, p.leg, p.settled + p.pending, "
        "p.received_micro - p.spent_micro - p.fee_micro, p.unvalued, l.value_divisor, "
        "l.payout_yes_micro, i.size_decimals FROM positions p "
        "LEFT JOIN listings l ON l.engine_id = p.engine_id AND l.instrument = p.instrument "
        "LEFT JOIN instruments i ON i.engine_id = p.engine_id AND i.id = p.instrument "
        "WHERE p.engine_id = ? AND p.account = ?",
        (engine_id, side.account),
    ):
        leg = Leg(name)
        cash += flow
        unvalued += unpriced + (size != 0 and (divisor is None or decimals is None))
        if size == 0 or divisor is None or decimals is None:
            continue
        if payout is None:
            tokens[key, leg] = tokens.get((key, leg), 0) + size  # each owner's part is a row
            one = divisor * MICRO // 10**decimals
            inventory += _at_mid(size, leg, side.marks.get(key), divisor, one)
            continue
        paid = pays_micro(leg, payout)
        cash += size * paid // 10**decimals
        if size * paid % 10**decimals:
            slack += _fills_of(connection, engine_id, side.account, key)
    lacks = f"{unvalued} fills or holdings lack their instrument's listing" if unvalued else ""
    return JournalSide(
        cash_micro=cash,
        redeemed_micro=redeemed,
        inventory_micro=inventory,
        tokens={place: size for place, size in tokens.items() if size},
        assets=_assets_of(connection, engine_id, side.account),
        slack_micro=slack,
        lacks=lacks,
    )


def _at_mid(size: int, leg: Leg, mid2: int | None, divisor: int, one: int) -> int:
    """Return the value of tokens at a mid in YES-space, rounded down; 0 where there is none."""
    if mid2 is None:
        return 0
    return size * mirrored(leg, mid2, 2 * one) // (2 * divisor)


def _fills_of(connection: Connection, engine_id: str, account: str, key: str) -> int:
    (number,) = connection.execute(
        "SELECT count(*) FROM fills WHERE engine_id = ? AND account = ? AND instrument = ?",
        (engine_id, account, key),
    ).fetchone()
    return int(number)


def put_check(connection: Connection, engine_id: str, check: EquityCheck) -> None:
    """Write an account's last check, and count it; one that was not judged is no check."""
    ledger, journal = check.ledger, check.journal
    theirs = journal.cash_micro + journal.inventory_micro
    shown = (
        "account",
        "mode",
        "currency",
        "at_ns",
        "seq",
        "cash_micro",
        "pending_micro",
        "redeemable_micro",
        "inventory_micro",
        "equity_micro",
    )
    figures: PlainDict = {name: getattr(ledger, name) for name in shown} | {
        "engine_id": engine_id,
        "journal_cash_micro": journal.cash_micro,
        "journal_inventory_micro": journal.inventory_micro,
        "journal_equity_micro": theirs,
        "difference_micro": check.difference_micro,
        "judged": check.judged,
        "text": check.text,
        "checks": int(check.judged),
        "differed": int(check.differs),
        "differed_ns": ledger.at_ns if check.differs else None,
    }
    kept = [name for name in figures if name not in ("checks", "differed", "differed_ns")]
    moves = upsert(["account"], kept) + (
        ", checks = checks + excluded.checks, differed = differed + excluded.differed, "
        "differed_ns = coalesce(excluded.differed_ns, differed_ns)"
    )
    insert(connection, "equity_checks", ends=moves, **figures)
