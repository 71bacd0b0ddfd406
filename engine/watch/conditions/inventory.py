"""Markets that close soon while something is held, and winners that wait to be redeemed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import msgspec

from engine.domain.plain import PlainDict
from engine.watch.conditions import Since, StateSeen, amount, judged
from engine.watch.desk import Trouble

REDEEM_FOR_NS = 600 * 1_000_000_000
"""How long a winner may wait: what is redeemed automatically takes minutes."""

MINUTE_NS = 60 * 1_000_000_000
REDEEMABLE, CLOSING = "redeemable", "market_closing"
SERIES = "closing series"
"""What is remembered of series over restarts, in the watch's memory."""

_QUERY = (
    "SELECT h.account, h.instrument, h.mode, h.currency, h.bot, h.yes_settled, h.yes_pending, "
    "h.no_settled, h.no_pending, h.value_micro, h.payout_yes_micro, i.closes_ns, "
    "i.size_decimals, coalesce(i.series, '') AS series FROM holdings h LEFT JOIN instruments i ON "
    "i.engine_id = h.engine_id AND i.id = h.instrument WHERE h.engine_id = ? AND "
    "((h.yes_settled + h.yes_pending + h.no_settled + h.no_pending) > 0 OR "  # a text adds 0
    "'integer' != min(typeof(h.yes_settled), typeof(h.yes_pending), typeof(h.no_settled), "
    "typeof(h.no_pending)) OR 'integer' != max(typeof(h.yes_settled), typeof(h.yes_pending), "
    "typeof(h.no_settled), typeof(h.no_pending)))"
)


class HoldingFound(NamedTuple):
    """What is held of one market at an account."""

    row: PlainDict
    held: str
    worth: str
    """At mid."""
    winner: bool
    closes_in_ns: int | None
    """None = it has no end, or is resolved."""


class InventoryCondition:
    """Reads what is held."""

    every_s = 10.0
    kinds = (REDEEMABLE, CLOSING)

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give holdings that need a decision."""
        rows = {_key(row): row for row in seen.rows(_QUERY)}
        held, unread = judged("what is held of", rows.values(), _key, partial(_held, seen=seen))
        for one in unread:
            places = (_place(key, rows[key]) for key in one.instead_of)
            yield msgspec.structs.replace(one, instead_of=(*one.instead_of, *places))
        winners = [key for key, one in held.items() if one.winner]
        stood = seen.stood(REDEEMABLE)
        for key in sorted(self._since.longer(winners, REDEEM_FOR_NS, seen.now_ns, stood)):
            yield _trouble(REDEEMABLE, key, held[key], "is resolved and not redeemed")
        yield from _closing(seen, held)


def _held(row: PlainDict, seen: StateSeen) -> HoldingFound:
    """Read one row. Raises TypeError, ValueError for what is no number."""
    decimals = int(row["size_decimals"] or 0)
    legs = {"YES": row["yes_settled"] + row["yes_pending"]}
    legs["NO"] = row["no_settled"] + row["no_pending"]
    winner = row["payout_yes_micro"] is not None
    ends = not winner and row["closes_ns"] is not None
    return HoldingFound(
        row=row,
        held=" and ".join(f"{n / 10**decimals:,.2f} {leg}" for leg, n in legs.items() if n),
        worth=amount(int(row["value_micro"]), str(row["currency"])),
        winner=winner,
        closes_in_ns=row["closes_ns"] - seen.now_ns if ends else None,
    )


def _closing(seen: StateSeen, found: dict[str, HoldingFound]) -> Iterator[Trouble]:
    """Give markets that close soon with something held, those of one series as one."""
    within_ns = seen.alerts.thresholds.closes_within_min * MINUTE_NS
    closing: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for key, one in sorted(found.items()):
        left_ns = one.closes_in_ns
        if left_ns is not None and 0 < left_ns <= within_ns:
            closing[_place(key, one.row)].append((left_ns, key))
    for place, held in closing.items():
        left_ns, key = min(held)
        said = f"closes within {-(-left_ns // MINUTE_NS)} min"
        if len(held) > 1:
            said += f", {len(held) - 1} more of its series within {within_ns // MINUTE_NS} min"
        yield _trouble(CLOSING, place, found[key], said)
    series = {place for place, held in closing.items() if place != held[0][1]}
    yield from _between(seen, series, within_ns)


def _between(seen: StateSeen, held: set[str], for_ns: int) -> Iterator[Trouble]:
    """Give the rolling series of which nothing is held just now, but was less than `for_ns` ago.

    A bot that holds each five minutes' market of one is one message, not twelve an hour.
    """
    kept: dict[str, int] = msgspec.json.decode(seen.meta.get(SERIES, "{}"))
    kept |= dict.fromkeys(held, seen.now_ns)
    kept = {place: at_ns for place, at_ns in kept.items() if 0 <= seen.now_ns - at_ns < for_ns}
    seen.meta[SERIES] = msgspec.json.encode(kept).decode()
    for place in sorted(kept.keys() - held):
        account, _, series = place.partition("/")
        text = f"markets of {series} are held until shortly before they close; just now none is"
        yield Trouble(kind=CLOSING, subject=place, text=text, account=account)


def _key(row: PlainDict) -> str:
    return f"{row['account']}/{row['instrument']}"


def _place(key: str, row: PlainDict) -> str:
    """Return what a closing is about: a market of an account, or a series of it."""
    return f"{row['account']}/{row['series']}" if row["series"] else key


def _trouble(kind: str, subject: str, one: HoldingFound, said: str) -> Trouble:
    row = one.row
    return Trouble(
        kind=kind,
        subject=subject,
        text=f"{row['instrument']} {said}; held: {one.held}, {one.worth} at mid",
        numbers={"held": one.held, "value": one.worth},
        mode=str(row["mode"]),
        account=str(row["account"]),
        bot=str(row["bot"]) or None,
        instrument=str(row["instrument"]),
    )


CONDITION = InventoryCondition
