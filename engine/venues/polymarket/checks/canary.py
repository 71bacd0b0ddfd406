"""What this program was proven with, compared with what the venue says today. Public, read only.

A venue changes without saying so: a field that is gone, a number that comes as text, a tick or a
fee not seen before. Each question compares answers with the recorded contract and names what
differs; nothing is placed, signed or changed by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from importlib import metadata
from typing import Any

import msgspec

from engine.domain.catalog import Finding, Grade
from engine.errors import BadInput, PitbossError
from engine.feeds.counts import FeedCounts
from engine.runtime.venue_plugin import VenueSetup
from engine.venues.polymarket.market.book_hash import end_of, head_of, proves
from engine.venues.polymarket.market.rest import PublicRest

SDK = ("polymarket-client", "0.14.0")
"""What the adapter was proven with."""

SAMPLE = 20
"""Markets that are looked at: the most traded ones."""

NUMBER = (int, float)
TEXT, LIST, FLAG = (str,), (list,), (bool,)
NULLABLE = (type(None),)

Contract = Mapping[str, tuple[type, ...]]
"""Field → the types it may have. A field that may be missing allows NoneType."""


def _all(names: str, kinds: tuple[type, ...]) -> Contract:
    return dict.fromkeys(names.split(), kinds)


GAMMA: Contract = {
    **_all("conditionId slug question outcomes", TEXT),
    **_all("clobTokenIds endDate umaResolutionStatus", TEXT + NULLABLE),
    **_all("positionIds", LIST + NULLABLE),
    **_all("orderPriceMinTickSize orderMinSize", NUMBER),
    **_all("rewardsMinSize rewardsMaxSpread", NUMBER + NULLABLE),
    **_all("active", FLAG),
    **_all("closed acceptingOrders enableOrderBook negRisk feesEnabled", FLAG + NULLABLE),
    **_all("feeSchedule", (dict, *NULLABLE)),
}
TERMS: Contract = {
    **_all("c", TEXT),
    **_all("v", TEXT + NULLABLE),
    **_all("t", LIST),
    **_all("mos mts", NUMBER),
    **_all("ao", FLAG),
    **_all("nr", FLAG + NULLABLE),
    **_all("fd", (dict, *NULLABLE)),
}
BOOK: Contract = {
    **_all("market asset_id timestamp hash min_order_size tick_size last_trade_price", TEXT),
    **_all("bids asks", LIST),
    **_all("neg_risk", FLAG),
}
TICKS = frozenset(map(Decimal, ("0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001")))
FEES = frozenset(
    (Decimal(rate), Decimal(exponent))
    for rate, exponent in (("0", 1), ("0.04", 1), ("0.05", 1), ("0.07", 1), ("0.07", 2))
)
"""(rate, exponent) of the venue's categories in November 2026 (trading API, §5.4). Fees are read
per market and never taken from here: an unknown one is news, and no error."""


async def watched(setup: VenueSetup) -> list[Finding]:
    """Compare the venue with the contract; a question without an answer is no change."""
    rest = PublicRest(setup.urls, FeedCounts())
    try:
        return [sdk(), *await _asked(rest)]
    finally:
        await rest.close()


async def _asked(rest: PublicRest) -> list[Finding]:
    filters = {"limit": SAMPLE, "order": "volume24hr", "ascending": "false"}
    rows: list[Any] = []

    async def listing() -> list[Finding]:
        found, _ = await rest.rows("", filters)
        rows.extend(row for row in found if isinstance(row, dict))
        return [
            _shape("listing", "Gamma's markets", rows, GAMMA),
            _ticks("listing ticks", [row.get("orderPriceMinTickSize") for row in rows]),
            _fees("listing fees", [row.get("feeSchedule") for row in rows], "rate", "exponent"),
        ]

    async def terms() -> list[Finding]:
        named = [str(row.get("conditionId")) for row in rows]
        found = [_mapping(await rest.terms(one)) for one in named]
        return [
            _shape("terms", "/clob-markets", found, TERMS),
            _ticks("ticks", [one.get("mts") for one in found]),
            _fees("fees", [one.get("fd") for one in found], "r", "e"),
        ]

    async def books() -> list[Finding]:
        raw = await rest.books([token for row in rows for token in _tokens(row)])
        found = [_mapping(msgspec.json.decode(one)) for one in raw]
        return [_shape("books", "/books", found, BOOK), *([_hashes(raw)] if raw else [])]

    findings = await _answered("listing", listing)
    if not rows:
        return findings[:1]  # of no market there is nothing to ask, and nothing that is as recorded
    return [*findings, *await _answered("terms", terms), *await _answered("books", books)]


async def _answered(name: str, question: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await question()
    except PitbossError as error:
        fix = "look at the venue's status page, and at this machine's network"
        if isinstance(error, BadInput):  # the venue answered: this question is none any more
            return [Finding(name, Grade.FAIL, f"no usable answer: {error}", fix)]
        return [Finding(name, Grade.WARN, f"could not be asked: {error}", fix, asked=False)]


def sdk() -> Finding:
    """Compare the installed SDK with the one the adapter was proven with."""
    name, proven = SDK
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        installed = "missing"
    if installed == proven:
        return Finding("sdk", Grade.OK, f"{name} {installed}, as it was proven")
    fix = "run `make venv` and use .venv/bin/python"
    return Finding("sdk", Grade.FAIL, f"{name} is {installed}, {proven} was proven", fix)


def _shape(
    name: str, what: str, rows: Sequence[Mapping[str, object]], contract: Contract
) -> Finding:
    """Compare rows with the contract; fields the contract lacks are no difference."""
    if not rows:  # as after an outage, before the venue has filled its own tables again
        said = f"could not be asked: {what} answered not one row"
        return Finding(name, Grade.WARN, said, "ask again in some minutes", asked=False)
    odd: Counter[str] = Counter()
    for row in rows:
        for field, kinds in contract.items():
            value = row.get(field)
            if type(value) in kinds:
                continue
            missing = f"{field} is missing" if value is None else ""
            odd[missing or f"{field} is {_named(type(value))}, not {_named(*kinds)}"] += 1
    if not odd:
        said = f"{what}: {len(rows)} rows, {len(contract)} fields as recorded"
        return Finding(name, Grade.OK, said)
    changes = "; ".join(f"{why} in {count} of {len(rows)}" for why, count in odd.most_common(5))
    fix = "do not trade live here until the adapter knows the new form"
    return Finding(name, Grade.FAIL, f"{what} changed: {changes}", fix)


def _named(*kinds: type) -> str:
    names = {str: "text", list: "a list", bool: "true or false", dict: "an object"}
    names |= {int: "a number", float: "a number", type(None): "nothing"}
    return " or ".join(dict.fromkeys(names.get(kind, kind.__name__) for kind in kinds))


def _ticks(name: str, said: Sequence[object]) -> Finding:
    unknown = sorted({str(one) for one in said if _decimal(one) not in TICKS})
    if not unknown:
        return Finding(name, Grade.OK, f"{len(said)} ticks, all of the recorded table")
    fix = "check that prices on this grid are quoted and rounded right before trading live"
    return Finding(name, Grade.FAIL, f"unknown tick sizes: {', '.join(unknown[:5])}", fix)


def _fees(name: str, said: Sequence[object], rate: str, exponent: str) -> Finding:
    schedules = [one for one in said if isinstance(one, dict)]
    pairs = {(_decimal(one.get(rate)), _decimal(one.get(exponent))) for one in schedules}
    unknown = sorted(f"rate {r}, exponent {e}" for r, e in pairs if (r, e) not in FEES)
    if not unknown:
        return Finding(name, Grade.OK, f"{len(schedules)} fee schedules, all of the recorded table")
    fix = "nothing to fix: fees are read per market; check that your bots still earn with them"
    return Finding(name, Grade.WARN, f"new fee schedules: {'; '.join(unknown[:5])}", fix)


def _hashes(raw: Sequence[bytes]) -> Finding:
    """Prove every book's hash: the way it is made is part of the contract."""
    wrong = sum(not _proven(one) for one in raw)
    if not wrong:
        return Finding("hashes", Grade.OK, f"{len(raw)} books, every hash as it is computed here")
    fix = "expect books to be fetched again and again: do not trade live here"
    return Finding("hashes", Grade.FAIL, f"{wrong} of {len(raw)} hashes do not match", fix)


class _Book(msgspec.Struct):
    market: str
    asset_id: str
    timestamp: str
    hash: str
    bids: msgspec.Raw
    asks: msgspec.Raw
    min_order_size: str
    tick_size: str
    neg_risk: bool
    last_trade_price: str


def _proven(raw: bytes) -> bool:
    try:
        book = msgspec.json.decode(raw, type=_Book)
        sides = tuple(
            msgspec.json.encode(msgspec.json.decode(bytes(side))) for side in (book.bids, book.asks)
        )
    except msgspec.DecodeError:
        return False
    end = end_of(book.tick_size, book.last_trade_price, book.min_order_size, neg_risk=book.neg_risk)
    head = head_of(book.market, book.asset_id)
    return proves(head, book.timestamp, (sides[0], sides[1]), end, book.hash)


def _tokens(row: Mapping[str, object]) -> list[str]:
    """Return the tokens of a row of Gamma's, whichever way it names them."""
    tokens = row.get("positionIds") if row.get("version") == "v2" else row.get("clobTokenIds")
    try:
        found = msgspec.json.decode(tokens) if isinstance(tokens, str) else tokens
    except msgspec.DecodeError:
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _decimal(value: object) -> Decimal | None:
    try:
        return Decimal(str(value)).normalize()
    except InvalidOperation:
        return None
