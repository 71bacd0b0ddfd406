"""Price alerts: what a person asked to hear of a market's price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from engine.domain.money import cents_text
from engine.domain.plain import PlainDict
from engine.domain.products import quoted_in_cents
from engine.watch.conditions import Since, StateSeen, event, unreadable
from engine.watch.desk import Trouble
from engine.watch.rules import MINUTE_NS, PriceRule
from storage.watch import PRICE_ALERT

SaysPrice = Callable[[float], str]
"""Says a price in the unit of its market."""

UNSEEN = "price_unseen"
UNSEEN_FOR_NS = 600 * 1_000_000_000
"""How long a market may show no price before that is an alert."""

SAMPLES_MAX = 120
"""Most prices kept of the time a move is measured over."""


class Kept(msgspec.Struct, kw_only=True):
    """What is remembered of one price alert over restarts."""

    rule: str = ""
    """The digest of the rule: an edited alert begins anew."""
    asked: PlainDict = {}
    """The alert itself: pages compare it with what is set now."""
    fired: int = 0
    fired_ns: int = 0
    """When it came true last, ns UTC; 0 = never."""
    beyond: bool = False
    """True = the price stands where the alert was sent; sent again after it has come back."""
    samples: list[tuple[int, float]] = []


class Prices:
    """Compares the middle of each book with what is asked for."""

    every_s = 1.0
    kinds = ("price_reached", UNSEEN)

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give each price alert whose condition has come true, and those that see no price."""
        unseen: dict[str, PriceRule] = {}
        _forget_removed(seen)
        for name, rule in sorted(seen.alerts.prices.items()):
            try:
                kept = _kept(seen, name, rule)
                found = price_of(seen, rule)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                what = f"the book of price alert {name}"
                yield unreadable(what, error, lasts=True, instead_of=(name,))
                continue
            if found is None:
                unseen[name] = rule
            else:
                yield from _looked(name, rule, kept, found, now_ns=seen.now_ns)
            seen.meta[PRICE_ALERT + name] = msgspec.json.encode(kept).decode()
        stood = seen.stood(UNSEEN)
        for name in sorted(self._since.longer(unseen, UNSEEN_FOR_NS, seen.now_ns, stood)):
            rule = unseen[name]
            yield Trouble(
                kind=UNSEEN,
                subject=name,
                instrument=rule.instrument,
                text=f"price alert {name}: {rule.instrument} has no two-sided book here",
            )


def _looked(
    name: str, rule: PriceRule, kept: Kept, found: tuple[float, SaysPrice], *, now_ns: int
) -> Iterator[Trouble]:
    """Give the alert where it comes true now, and remember that in `kept`."""
    price, words = found
    said = reached(rule, price, kept, now_ns, words)
    fires = bool(said) and not kept.beyond and (rule.repeats or not kept.fired)
    kept.beyond = bool(said)
    if fires:
        kept.fired += 1
        kept.fired_ns = now_ns
        kept.samples = []
        yield _trouble(name, rule, kept, f"{said}: it is at {words(price)}", words(price))


def plainly(value: float) -> str:
    return f"{value:g}"


def in_cents(value: float) -> str:
    """Return a price of a binary as its venue quotes it: 26.5¢."""
    return cents_text(Decimal(plainly(value)))


def reached(rule: PriceRule, price: float, kept: Kept, now_ns: int, words: SaysPrice) -> str:
    """Return what has come true, prices by `words`; empty = nothing."""
    if rule.above is not None:
        return f"the price is at or above {words(rule.above)}" if price >= rule.above else ""
    if rule.below is not None:
        return f"the price is at or below {words(rule.below)}" if price <= rule.below else ""
    within_ns = rule.within_min * MINUTE_NS
    # Those later than now are of a clock that went back.
    kept.samples = [one for one in kept.samples if now_ns - within_ns < one[0] <= now_ns]
    if not kept.samples or now_ns - kept.samples[-1][0] >= within_ns // SAMPLES_MAX:
        kept.samples = [*kept.samples, (now_ns, price)]
    low, high = (pick(one for _, one in kept.samples) for pick in (min, max))
    moved = max(price - low, high - price)
    # Prices are decimals that floats cannot hold: 0.6 - 0.5 is a little less than 0.1.
    if rule.moves is not None and moved >= rule.moves - 1e-9:
        return f"the price moved by {words(float(f'{moved:.4g}'))} within {rule.within_min} min"
    return ""


def price_of(seen: StateSeen, rule: PriceRule) -> tuple[float, SaysPrice] | None:
    """Return the middle of the market's book, in its own units, and what says such a price.

    None = it has no two sides.
    """
    rows = seen.rows(
        "SELECT b.body, i.price_decimals, i.kind FROM books b JOIN instruments i ON "
        "i.engine_id = b.engine_id AND i.id = b.instrument WHERE b.engine_id = ? AND "
        "b.instrument = ? AND (? = '' OR b.account = ?) ORDER BY b.updated_ns DESC",
        rule.instrument,
        rule.account,
        rule.account,
    )
    for row in rows:
        book: dict[str, Any] = json.loads(row["body"])
        if book["trusted"] and book["bids"] and book["asks"]:
            middle = (book["bids"][0][0] + book["asks"][0][0]) / 2
            words = in_cents if quoted_in_cents(row["kind"]) else plainly
            return float(middle / 10 ** row["price_decimals"]), words
    return None


def _forget_removed(seen: StateSeen) -> None:
    """Forget alerts that are set no more: one that is set again waits again."""
    for name in [one for one in seen.meta if one.startswith(PRICE_ALERT)]:
        if name.removeprefix(PRICE_ALERT) not in seen.alerts.prices:
            del seen.meta[name]


def _kept(seen: StateSeen, name: str, rule: PriceRule) -> Kept:
    digest = hashlib.sha256(msgspec.json.encode(rule)).hexdigest()[:12]
    text = seen.meta.get(PRICE_ALERT + name)
    try:
        kept = msgspec.json.decode(text, type=Kept) if text else Kept()
    except msgspec.MsgspecError:  # of another version: it begins anew
        kept = Kept()
    kept = kept if kept.rule == digest else Kept(rule=digest)
    kept.asked = msgspec.to_builtins(rule)
    return kept


def _trouble(name: str, rule: PriceRule, kept: Kept, said: str, price: str) -> Trouble:
    note = f" ({rule.note})" if rule.note else ""
    return Trouble(
        kind="price_reached",
        subject=event(f"{name}/{kept.rule}/{kept.fired_ns}"),
        text=f"{rule.instrument}: {said}{note}",
        numbers={"price": price},
        account=rule.account or None,
        instrument=rule.instrument,
    )


CONDITION = Prices
