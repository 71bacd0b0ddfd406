"""Orders by hand: one order a person asked for, through the same gates, left alone by the planner.

It stands beside whatever bots work in the same instrument: what it buys is `manual`'s, and it sells
what `manual` holds, or another owner's where a person names one. Blindness, KILL and the engine's
stop cancel it like any other; nothing places it again. Levels of bots that a taking order would
meet are cancelled before it goes out.
"""

from __future__ import annotations

from functools import partial

import msgspec

from engine.domain.commands import MANUAL, PlaceManual
from engine.domain.effects import PlaceOrder
from engine.domain.instruments import Instrument, Side, is_bid
from engine.domain.intents import Urgency
from engine.domain.legs import traded
from engine.domain.money import money_text
from engine.domain.orders import OrderId, OrderType
from engine.domain.products.perpetual import closing
from engine.executor.halts import ExecutorParts
from engine.executor.orders import InstrumentState, LiveOrder
from engine.executor.plan import ROOM_NS_MAX, Draft, Room
from engine.executor.planning import counted, netted_against, reduces
from engine.executor.proof import ZeroProofs
from engine.executor.whole_close import judged_again
from engine.risk.gate import Denied, RiskGate

NO_WAY_OUT = (
    "and reduce-only, which may be smaller, would be refused: other owners of the account hold the "
    "other way or have orders on this side"
)
TYPES = {Urgency.REST: OrderType.GTC, Urgency.CROSS: OrderType.FAK, Urgency.NOW: OrderType.FOK}


class ManualRefused(msgspec.Struct, frozen=True):
    """Nothing was placed: why, in a sentence, and what risk looked at if risk said no."""

    why: str
    denied: Denied | None = None


class ManualWaits(msgspec.Struct, frozen=True):
    """Nothing was placed yet: bots' orders it would meet go first. Ask again when they ended."""

    orders: tuple[OrderId, ...]


ManualMade = tuple[LiveOrder, int] | ManualWaits | ManualRefused
"""The order with the size that risk cut off, or why there is none (yet)."""


class ByHand:
    """Places single orders of a person at one account."""

    def __init__(self, parts: ExecutorParts, gate: RiskGate, proofs: ZeroProofs) -> None:
        self._table, self._blocks, self._outbox, _ = parts
        self._gate = gate
        self._proofs = proofs

    def place(self, asked: PlaceManual, now_ns: int, data_age_ns_max: int) -> ManualMade:
        """Place the order, as large as risk allows."""
        entry = self._table.instruments.get(asked.instrument)
        if entry is None:
            return ManualRefused(f"{asked.instrument} is not listed at {asked.account}")
        if entry.uncounted:
            return ManualRefused(entry.uncounted)
        slot = entry.slots.get(asked.owner)
        if slot is not None and slot.room is not None:
            slot.room, self._table.dirty[asked.instrument] = None, True
        why = (
            self._blocked(entry, asked, now_ns, data_age_ns_max)
            or illegal(entry.instrument, asked)
            or self._opens(entry, asked)
            or self._unpaid(entry, asked)
            or self._too_small(entry, asked)
        )
        met = () if why else self._meets_own(entry, asked)
        why = why or _stays(met, asked)
        if why:
            return ManualRefused(why)
        if met:
            return self._make_room(entry, asked, met, now_ns)
        return self._judged(entry, asked, now_ns)

    def _make_room(
        self, entry: InstrumentState, asked: PlaceManual, met: tuple[LiveOrder, ...], now_ns: int
    ) -> ManualWaits:
        """Have the next plan cancel bots' levels in its way, and leave them over until it came."""
        table, bid = self._table, is_bid(asked.side, asked.leg)
        level = entry.instrument.product.level(asked.leg, asked.price)
        room = entry.slot(asked.owner).room = Room(bid, level, now_ns + ROOM_NS_MAX)
        table.dirty[asked.instrument] = True
        table.wake_ns = min(table.wake_ns, room.until_ns)
        return ManualWaits(tuple(known.order.id for known in met))

    def _judged(
        self, entry: InstrumentState, asked: PlaceManual, now_ns: int
    ) -> tuple[LiveOrder, int] | ManualRefused:
        mark, table, rests = entry.mark, self._table, asked.urgency is Urgency.REST
        draft = Draft(
            leg=asked.leg,
            side=asked.side,
            price=asked.price,
            size=asked.size,
            type=TYPES[asked.urgency],
            post_only=rests,
        )
        order = table.make(draft, asked.owner, entry, now_ns)
        if _below(entry.instrument, asked):  # and it closes: see `_too_small`
            order = msgspec.structs.replace(order, reduce_only=True)
        age_ns = None if mark is None or mark.proof_ns is None else now_ns - mark.proof_ns
        answer = self._gate.check(
            order if rests else counted(order, entry),
            reduces=partial(reduces, table),
            mark_age_ns=age_ns,
            open_orders=table.live_count,
        )
        if isinstance(answer, Denied):
            answer = judged_again(self._gate, table, order, answer, age_ns)
        if isinstance(answer, Denied):
            numbers = ", ".join(f"{name} {value}" for name, value in answer.numbers)
            return ManualRefused(
                f"risk denies it: {answer.reason} ({numbers or 'no numbers'})", answer
            )
        order = msgspec.structs.replace(order, size=answer.size)
        why = self._too_small(entry, msgspec.structs.replace(asked, size=order.size))
        if why:
            return ManualRefused(why)
        known = table.take(order, entry)
        placed = PlaceOrder(order=order)
        self._outbox.effects.append(placed)
        self._proofs.placed((placed,))
        return known, asked.size - answer.size

    # -- why not -----------------------------------------------------------------------------------

    def _blocked(
        self, entry: InstrumentState, asked: PlaceManual, now_ns: int, data_age_ns_max: int
    ) -> str:
        """Say why nothing may be placed here now; empty = it may."""
        blocks, name = self._blocks, asked.instrument
        if blocks.account_block() is not None:
            return f"{asked.account} places nothing now: {'; '.join(blocks.reasons)}"
        held = self._table.ledger.owned(name, asked.owner).yes
        signed = entry.instrument.product.signed
        closes = signed and closing(held.settled, held.reserved, asked.side, asked.size)
        adds = closes < asked.size if signed else asked.side is Side.BUY
        if blocks.reduces_only and adds:
            why = "; ".join(blocks.reasons)
            return f"{asked.account} places only what sells tokens it holds: {why}"
        slot = entry.slots.get(asked.owner)
        if asked.owner != MANUAL and slot is not None and slot.intent is not None:
            return (
                f"bot {asked.owner} is running in {name} and would cancel it with its next plan: "
                f"stop or pause it first, or place the order for {MANUAL}"
            )
        hold = blocks.held_by(asked.owner, name)
        if hold is not None:
            return f"KILL of {hold} by {hold.who} is set: release it with a reason first"
        block = blocks.instrument_block(entry, now_ns, data_age_ns_max, asked.owner)
        if block is not None:
            return f"nothing is placed in {name} now: {block} (closed, or its book is not proven)"
        if now_ns < entry.cooldown_ns:
            wait_ms = (entry.cooldown_ns - now_ns) // 1_000_000
            return f"the venue refused an order in {name} just now: try again in {wait_ms} ms"
        if blocks.rests_only and asked.urgency is not Urgency.REST:
            return "at present the venue takes only resting orders"
        return ""

    def _opens(self, entry: InstrumentState, asked: PlaceManual) -> str:
        """Say what an order that must only reduce would open; empty = nothing."""
        if not asked.reduce_only:
            return ""
        if asked.urgency is Urgency.REST:
            return "reduce-only is for an order that takes now: one that rests could open later"
        instrument = entry.instrument
        held = self._table.ledger.owned(instrument.id, asked.owner).yes
        closes = 0 if asked.side is Side.BUY else asked.size  # of what is held alone: see `_unpaid`
        if instrument.product.signed:
            closes = closing(held.settled, held.reserved, asked.side, asked.size)
        if closes == asked.size:
            return ""
        return (
            f"reduce-only: {asked.owner} has {instrument.size_text(closes)} here that this order "
            f"can close, and it is of {instrument.size_text(asked.size)}"
        )

    def _unpaid(self, entry: InstrumentState, asked: PlaceManual) -> str:
        """Say what cash or settled tokens lack; empty = they suffice (law E)."""
        ledger, price, size = self._table.ledger, asked.price, asked.size
        instrument, mark = entry.instrument, entry.mark
        if instrument.product.signed:
            held = ledger.owned(instrument.id, asked.owner).yes
            opened = size - closing(held.settled, held.reserved, asked.side, size)
            resting = asked.urgency is Urgency.REST
            if asked.side is Side.SELL and not resting and mark is not None:
                price = max(price, mark.best_bid or 0)
            cost = instrument.opening_micro(price, opened, post_only=resting)
            return _too_dear(cost, ledger.cash_free_micro, instrument)
        if asked.side is Side.SELL:
            leg = ledger.owned(instrument.id, asked.owner).leg(asked.leg)
            free = leg.settled - leg.reserved
            if size <= free:
                return ""
            free_text = f"only {instrument.size_text(free)}{traded(asked.leg)} of {asked.owner}"
            of_all = ledger.holding(instrument.id).leg(asked.leg)
            others = (
                ""
                if of_all.settled == leg.settled
                else "; other owners hold more: transfer it first"
            )
            return f"{free_text} are settled and free to sell{others}"
        cost = instrument.cost_micro(price, size)
        if asked.urgency is not Urgency.REST:
            cost += instrument.taker_fee_micro(price, size)
        return _too_dear(cost, ledger.cash_free_micro, instrument)

    def _too_small(self, entry: InstrumentState, asked: PlaceManual) -> str:
        """Say that an order is below the venue's minimum and is no reduce-only one; empty = not.

        What only closes its owner's position and the account's is asked for as reduce-only.
        """
        instrument, size = entry.instrument, asked.size
        why = _below(instrument, asked)
        if not why or not instrument.product.signed:
            return why
        held = self._table.ledger.owned(instrument.id, asked.owner).position
        alive = entry.working_of(asked.owner).values()
        works = sum(one.remaining for one in alive if one.bid is (asked.side is Side.BUY))
        if closing(held, works, asked.side, size) != size:
            return why
        against = netted_against(self._table, entry, asked.side)
        return "" if size <= against else f"{why}, {NO_WAY_OUT}"

    def _meets_own(self, entry: InstrumentState, asked: PlaceManual) -> tuple[LiveOrder, ...]:
        """Return the orders of our own that it would meet (law F)."""
        bid = is_bid(asked.side, asked.leg)
        level = entry.instrument.product.level(asked.leg, asked.price)
        return tuple(
            known
            for known in entry.working.values()
            if known.bid is not bid and (level >= known.level if bid else level <= known.level)
        )


def _stays(met: tuple[LiveOrder, ...], asked: PlaceManual) -> str:
    """Say which order it would meet that nothing moves for it; empty = bots make room for it."""
    takes = asked.urgency is not Urgency.REST
    for known in met:
        if not takes or known.order.bot in (MANUAL, asked.owner):
            return (
                f"it would trade with our own order {known.order.id} of {known.order.bot}: "
                "cancel that first"
            )
    return ""


def illegal(instrument: Instrument, asked: PlaceManual) -> str:
    """Say which rule of the venue an order breaks; empty = none. Price and size in increments."""
    name, price, size = instrument.id, asked.price, asked.size
    product, tick = instrument.product, instrument.tick
    if asked.leg not in product.legs:
        legs = "the legs " + " and ".join(product.legs)
        if product.second is None:
            legs = f"the leg {product.legs[0]}"
        return f"{name} has {legs}, not {asked.leg}"
    if price < tick or price % tick or price > product.top:
        why = f"price {instrument.price_words(price)} is not legal at {name}: "
        why += f"a multiple of {instrument.price_words(tick)}"
        return why + (f" up to {instrument.price_words(product.top)}" if product.one else "")
    return _bad_size(instrument, size) if size <= 0 or size % instrument.lot else ""


def _bad_size(instrument: Instrument, size: int) -> str:
    return (
        f"size {instrument.size_text(size)} is not legal at {instrument.id}: a multiple of "
        f"{instrument.size_text(instrument.lot)}, at least "
        f"{instrument.size_text(max(instrument.size_min, instrument.lot))}"
    )


def _too_dear(cost: int, free: int, instrument: Instrument) -> str:
    if cost <= max(0, free):
        return ""
    cost_text, free_text = money_text(cost), money_text(free)
    return f"it may cost {cost_text} {instrument.currency}, and {free_text} are free"


def _below(instrument: Instrument, asked: PlaceManual) -> str:
    """Say that an order is smaller or worth less than the venue takes; empty = it is not."""
    rests = asked.urgency is Urgency.REST
    if asked.size < instrument.size_min:
        return _bad_size(instrument, asked.size)
    if not instrument.worth_too_little(asked.price, asked.size, rests=rests):
        return ""
    what = "an order" if instrument.resting_min_micro else "a taking order"
    least = f"{money_text(instrument.notional_min_micro)} {instrument.currency}"
    return f"{what} must be worth at least {least}"
