"""The table: every order of the account, the only place where an order's state is assigned.

Keeps reservation, exposure and the instrument's working orders in step with each move. Ended orders
are remembered up to a maximum, so that a late fill finds its order; the fills of a forgotten order
are all settled or void.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from engine.domain.effects import Effect, OrderChanged
from engine.domain.events import BookMarked, OrderFilled
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Side
from engine.domain.intents import Basket, Quotes, Target
from engine.domain.order_life import (
    ENDS,
    JOURNALED_STATES,
    MOVES,
    QUIET,
    REVIVES,
    STAYS,
    STAYS_LIVE,
    Happened,
)
from engine.domain.orders import Identity, Order, OrderId, OrderState
from engine.errors import BrokenInvariant, InvalidTransition
from engine.executor.fills import FILLS_KNOWN_MAX, Holding, LegHolding
from engine.executor.ledger import Booked, Ledger
from engine.executor.numbers import OrderNumbers
from engine.executor.plan import (
    NO_LEVELS,
    NOTHING_AHEAD,
    Ahead,
    AwaitedOrder,
    Draft,
    Residual,
    Room,
    TargetLevels,
)
from engine.executor.settings import NEVER, ExecutorSettings
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Denied

# -- Memory: which orders and instruments are remembered, and which may be forgotten ---------------
# An order with a fill that is neither settled nor void stays, an instrument as long as one of it.

RETIRE_TRIES_MAX = 8
"""Ended orders looked at per retirement; those with unsettled fills queue again."""


class OrderMemory:
    """All orders of an account, and the instruments they belong to."""

    def __init__(self, ledger: Ledger, ended_max: int) -> None:
        self.ledger = ledger
        self._ended_max = ended_max
        self.instruments: dict[InstrumentId, InstrumentState] = {}
        self.over: dict[InstrumentId, InstrumentState] = {}
        """Forgotten instruments of which ended orders are still remembered."""
        self.orders: dict[OrderId, LiveOrder] = {}
        self.ended: OrderedDict[OrderId, None] = OrderedDict()
        """Ended orders, the longest ended first. (A plain dict would search its first key among all
        that were deleted before it.)"""

    def retire(self) -> None:
        """Forget the longest ended orders beyond the maximum, unless a fill is undecided."""
        fills = self.ledger.state.fills
        ended, by_order = self.ended, fills.by_order
        for _ in range(RETIRE_TRIES_MAX):
            over = len(ended) > self._ended_max or len(fills.states) > FILLS_KNOWN_MAX
            if not (over and ended):
                return
            number, _ = ended.popitem(last=False)
            if number in by_order:  # most orders end without a fill
                if not fills.decided(number):
                    ended[number] = None
                    continue
                fills.forget(number)
            self._drop(self.orders[number])

    def _drop(self, known: LiveOrder) -> None:
        instrument = known.order.instrument
        del self.orders[known.order.id]
        entry = self.instruments.get(instrument) or self.over[instrument]
        entry.remembered -= 1
        if not entry.remembered and self.over.pop(instrument, None) is not None:
            del self.ledger.state.instruments[instrument]


# -- Records: what the executor remembers of one order and of one instrument -----------------------

_BUY = Side.BUY

InstrumentIntent = Quotes | Target


class LiveOrder(msgspec.Struct, kw_only=True, gc=False):
    """One order as far as we know it. `bid` and `level` are its side and price in YES-space."""

    order: Order
    bid: bool
    level: int
    remaining: int
    """What may still fill while the order lives."""
    state: OrderState = OrderState.PENDING
    identity: Identity | None = None
    """None = not named yet."""
    changed_ns: int = 0
    filled: int = 0
    """What has been filled, by the fills we booked; more than was asked where the venue gave it."""
    journaled: OrderState = OrderState.PENDING
    """Where it stands, and how much was filled, for whoever reads the journal so far."""
    journaled_filled: int = 0
    cancel_asked: bool = False
    """A cancel has been asked since the order was last known to rest."""
    reported: int = 0
    """The largest filled size the venue reported; more than ours means fills are missing."""
    unknown_ns: int = 0
    """When it became UNKNOWN the last time."""
    ask_ns: int = 0
    """When the next question about it is due, while it is UNKNOWN."""
    asks: int = 0
    """Questions asked since it became UNKNOWN."""
    asked: int = 0
    """Number of the first question about it whose `not found` counts."""
    not_found: int = 0
    """`Not found` answers since it became UNKNOWN."""
    unlisted: int = 0
    """Answered listings of fills that lacked what was awaited of it, since it became UNKNOWN."""
    over: bool = False
    """The venue says it has ended: it is UNKNOWN until what was filled of it is booked."""
    missing: int = 0
    """Complete listings in a row that should have had it and did not."""

    def was_asked(self, number: int) -> None:
        """Note a question about it; of an UNKNOWN order the first one counts from there on."""
        if not self.asks:
            self.asked = number
        self.asks += 1


def working_of(order: Order, instrument: Instrument) -> LiveOrder:
    """Return the record of an order that has just been decided."""
    product = instrument.product
    mirrored = order.leg is product.second
    return LiveOrder(
        order=order,
        bid=(order.side is _BUY) is not mirrored,
        level=product.one - order.price if mirrored else order.price,
        remaining=order.size,
        changed_ns=order.created_ns,
    )


@dataclass(slots=True, eq=False)
class OwnerSlot:
    """What one owner wants in one instrument, and what its last plan made of that."""

    owner: BotId
    number: int
    """Which slot it is of all: the older one has the lower number."""
    intent: InstrumentIntent | None = None
    basket: Basket | None = None
    """The basket the intent belongs to; None = it stands alone."""
    residuals: tuple[Residual, ...] = ()
    """What the last plan could not express."""
    unchanged: bool = False
    """True while the last plan had nothing to do and nothing has happened to it since."""
    levels: TargetLevels = NO_LEVELS
    """The levels worked out last, and from what: plans in a row mostly ask for the same."""
    levels_key: tuple[object, ...] = ()
    ahead: Ahead = NOTHING_AHEAD
    """What the last plan knew of those who go first."""
    denied: Denied | None = None
    """What risk said last, if it said no in the last plan."""
    room: Room | None = None
    """What an order by hand is about to take at: all others' levels that it would meet go first."""


@dataclass(slots=True, eq=False)
class InstrumentState:
    """Everything the executor keeps about one instrument: one lookup on the hot path."""

    instrument: Instrument
    uncounted: str = ""
    """Why its account can trade none of it: it is quoted in another currency; empty = it can."""
    mark: BookMarked | None = None
    """None before the first one; distrusted after the book was torn or its feed lost."""
    closed: bool = False
    """Nothing is placed any more: its market is closed, or it is `uncounted`."""
    slots: dict[BotId, OwnerSlot] = field(default_factory=dict)
    """Those who want something here or have orders that may still fill, the oldest first."""
    working: dict[OrderId, LiveOrder] = field(default_factory=dict)
    """Orders that may still fill, of all owners, oldest first."""
    cooldown_ns: int = 0
    """Nothing is placed before this time."""
    refusals: int = 0
    """Refusals in a row."""
    remembered: int = 0
    """Orders of it in the table, ended ones included."""
    slots_made: int = 0

    def slot(self, owner: BotId) -> OwnerSlot:
        """Return an owner's slot; a new one where it had none."""
        found = self.slots.get(owner)
        if found is None:
            self.slots_made += 1
            found = self.slots[owner] = OwnerSlot(owner, self.slots_made)
        return found

    @property
    def intended(self) -> bool:
        """True where an owner wants something."""
        return any(slot.intent is not None for slot in self.slots.values())

    def touched(self) -> None:
        """See that every owner's next plan is made: something has happened to an order here."""
        for slot in self.slots.values():
            slot.unchanged = False

    def working_of(self, owner: BotId) -> dict[OrderId, LiveOrder]:
        """Return an owner's orders that may still fill, oldest first (read only)."""
        working, slots = self.working, self.slots
        if len(slots) == 1 and owner in slots:
            return working
        return {number: known for number, known in working.items() if known.order.bot == owner}


# -- The table: every order of the account, the only place where an order's state is assigned ------

_UNKNOWN, _CANCELLING = OrderState.UNKNOWN, OrderState.CANCELLING
_SILENT = frozenset({OrderState.PENDING, OrderState.SENT})
"""States the journal has as facts of their own."""
_OPEN, _PARTIAL = OrderState.OPEN, OrderState.PARTIAL
_FILLED_ALL, _FILLED_PART = Happened.FILLED_ALL, Happened.FILLED_PART
_CANCEL_ASKED = Happened.CANCEL_ASKED


_STARTED = "the engine started: the venue is asked about it"


def update_exposure(exposure: ExposureBook, ledger: Ledger, instrument: Instrument) -> None:
    """Tell what is held: settled, pending and leaving tokens of each leg, and what they cost."""
    holders = ledger.holders(instrument.id)
    product = instrument.product
    only_held = product.second is None and not product.signed
    exposure.holding(instrument.id, *_held(ledger.holding(instrument.id), only_held))
    for owner, holding in holders.items():
        exposure.owned(instrument.id, owner, *_held(holding, only_held))


def _held(holding: Holding, only_held: bool) -> tuple[LegHolding, LegHolding]:
    """Return both legs as they can be counted; of a short of what is `only_held`, nothing.

    Sold what we did not have: the ledger has reported it; a short of spot has no worst case.
    """
    yes = holding.yes
    short = yes.settled + yes.leaving < 0 or yes.settled + yes.pending < 0
    if short and only_held:
        yes = msgspec.structs.replace(yes, settled=0, pending=0, leaving=0)
    return yes, holding.no


class OrderTable(OrderMemory):
    """Orders by id and by instrument, in step with ledger and exposure."""

    def __init__(
        self, account: AccountId, ledger: Ledger, exposure: ExposureBook, settings: ExecutorSettings
    ) -> None:
        super().__init__(ledger, settings.ended_orders_max)
        self.account = account
        self.exposure = exposure
        self._settings = settings
        self._fence = settings.fence
        self.unknown: dict[OrderId, LiveOrder] = {}
        self.awaiting_listing: dict[OrderId, AwaitedOrder] = {}
        """Journaled orders of instruments that are not listed yet: they wait, and the start too."""
        self.numbers = OrderNumbers()
        self.known_until = OrderId(0)
        """Up to this number a snapshot holds everything: what it lacks was forgotten, ended."""
        self.live_count = 0
        self.dirty: dict[InstrumentId, bool] = {}
        """Instruments to plan, in the order in which something happened to them; False = only its
        mark or intent was repeated as it was: nothing is news but the time."""
        self.fills = 0
        self.moves = 0
        """How often money or tokens moved."""
        self.moved_ns = -1
        """When they last did; -1 = never."""
        self.unjournaled: dict[OrderId, tuple[LiveOrder, str]] = {}
        """Orders that moved since the journal was given where they stand, and why they did."""
        self.wake_ns = NEVER
        """When an intent may have expired or a pause may be over, at the earliest."""
        self.priorities: dict[BotId, int] = {}
        """Who goes first where owners' levels would meet; 0 where nothing is said."""
        self.refused: dict[tuple[BotId, InstrumentId], None] = {}
        """Whose intents are ignored where, as a person was alerted."""

    # -- instruments -------------------------------------------------------------------------------

    def listed(self, instrument: Instrument) -> InstrumentState:
        """Learn an instrument or its changed terms."""
        self.ledger.listed(instrument)
        self.exposure.listed(instrument)
        entry = self.instruments.get(instrument.id)
        if entry is None:
            if len(self.instruments) >= self._settings.instruments_max:
                raise BrokenInvariant("more instruments than instruments_max: forget closed ones")
            entry = self.over.pop(instrument.id, None) or InstrumentState(instrument)
            self.instruments[instrument.id] = entry
            update_exposure(self.exposure, self.ledger, instrument)
        entry.instrument = instrument
        entry.uncounted = instrument.not_counted_in(self.ledger.state.currency)
        if entry.uncounted:
            entry.closed = True  # asked at each plan, `uncounted` only where it is
        self.dirty[instrument.id] = True
        return entry

    def forget(self, instrument: InstrumentId) -> bool:
        """Drop an instrument that is over; False while an order or a holding still needs it."""
        entry = self.instruments.get(instrument)
        if entry is None:
            return True
        if entry.working or not self.ledger.forget(instrument):
            return False
        self.exposure.forget(instrument)
        del self.instruments[instrument]
        self.dirty.pop(instrument, None)
        if entry.remembered:
            self.over[instrument] = entry
        else:
            del self.ledger.state.instruments[instrument]
        return True

    def break_up(self, basket: Basket) -> None:
        """See that the rest of a basket that lost a part is looked at: it is over."""
        for target in basket.targets:
            self.dirty[target.instrument] = True

    def state_of(self, known: LiveOrder) -> InstrumentState:
        """Return an order's instrument, also if it was forgotten before the order was."""
        instrument = known.order.instrument
        return self.instruments.get(instrument) or self.listed(self.over[instrument].instrument)

    # -- orders ------------------------------------------------------------------------------------

    def make(
        self, draft: Draft, bot: BotId, entry: InstrumentState, now_ns: int, decision: int = 0
    ) -> Order:
        """Return a draft as the order it would be; nothing is done until it is taken."""
        return Order(
            account=self.account,
            id=OrderId(self.numbers.floor + 1),
            bot=bot,
            instrument=entry.instrument.id,
            leg=draft.leg,
            side=draft.side,
            price=draft.price,
            size=draft.size,
            type=draft.type,
            post_only=draft.post_only,
            expires_ns=draft.expires_ns,
            created_ns=now_ns,
            fence=self._fence,
            decision=decision,
        )

    def take(self, order: Order, entry: InstrumentState) -> LiveOrder:
        """Take a new order: what it may take is reserved, its exposure counted."""
        self.ledger.reserve(order)
        self.numbers.make(order.id)
        known = working_of(order, entry.instrument)
        self._live(known, entry)
        return known

    def undo(self, known: LiveOrder) -> None:
        """Take back an order that was created in this very turn and never handed out."""
        self.close_books(known)
        self._drop(known)

    def adopt(
        self, order: Order, now_ns: int, identity: Identity | None = None
    ) -> LiveOrder | None:
        """Take a journaled order of an earlier life; None where it is known already."""
        known_before = self.forgotten(order.id) and order.id not in self.awaiting_listing
        if order.id in self.orders or known_before:
            return None
        entry = self.instruments.get(order.instrument)
        if entry is None:
            raise BrokenInvariant(f"order {order.id}: {order.instrument} was never listed")
        self.awaiting_listing.pop(order.id, None)
        self.numbers.make(order.id)
        known = working_of(order, entry.instrument)
        known.changed_ns = now_ns
        if identity is not None:
            known.identity, known.journaled = identity, OrderState.SENT
        self.ledger.commit(order, order.size, forced=True)
        self._live(known, entry)
        # It may have left in the life that made it, and several lives may have spoken of it since.
        self.happen(known, Happened.NO_ANSWER, now_ns, _STARTED)
        return known

    def forgotten(self, number: OrderId) -> bool:
        """Say whether an order stood before the snapshot: what that lacks was ended and decided."""
        return number <= self.known_until and self.numbers.has(number)

    def restore(self, saved: list[LiveOrder], numbers: OrderNumbers, *, died: bool = True) -> None:
        """Take back saved orders, live ones first; the ledger has been restored before.

        One without a name may have left in the life that `died`.
        """
        self.numbers, self.known_until = numbers, OrderId(numbers.last)
        for known in saved:
            number = known.order.id
            if known.state not in _SILENT:
                self.unjournaled[number] = (known, "")
            if known.state.ended:
                self.orders[number] = known
                self.ended[number] = None
                self.instruments[known.order.instrument].remembered += 1
                continue
            entry = self.instruments[known.order.instrument]
            self._live(known, entry)
            if known.state is _UNKNOWN:
                self.unknown[number] = known
            elif died and known.state is OrderState.PENDING:
                self.happen(known, Happened.NO_ANSWER, known.changed_ns, _STARTED)

    def live(self) -> list[LiveOrder]:
        """Return every order that may still fill."""
        return [known for entry in self.instruments.values() for known in entry.working.values()]

    def _live(self, known: LiveOrder, entry: InstrumentState) -> None:
        number = known.order.id
        if number not in self.orders:
            self.orders[number] = known
            entry.remembered += 1
        entry.working[number] = known
        owner = known.order.bot
        slot = entry.slots.get(owner)
        if slot is None:
            entry.slot(owner)
        else:
            slot.unchanged = False
        self.live_count += 1
        self.exposure.live(known.order, known.remaining)

    def close_books(self, known: LiveOrder) -> None:
        """Release everything an order held: it cannot fill any more (law G)."""
        order = known.order
        self.ledger.release(order)
        self.exposure.over(order)
        del self.instruments[order.instrument].working[order.id]
        self.live_count -= 1

    # -- moves -------------------------------------------------------------------------------------

    def happen(self, known: LiveOrder, happened: Happened, now_ns: int, why: str = "") -> None:
        """Move an order by the table. Raises InvalidTransition on a missing pair.

        `why` is what the journal keeps beside the state, for people.
        """
        known.journaled = JOURNALED_STATES.get((known.journaled, happened), known.journaled)
        before = known.state
        try:
            after, kind = MOVES[before, happened]
        except KeyError:
            text = f"order {known.order.id} is {before}, cannot have {happened}"
            raise InvalidTransition(text) from None
        if kind == STAYS_LIVE and after is _OPEN and known.remaining < known.order.size:
            after = _PARTIAL
        known.state = after
        if after is not known.journaled and after is not before:
            self.unjournaled[known.order.id] = (known, why)
        if kind == STAYS:
            return
        known.changed_ns = now_ns
        if known.missing:
            known.missing = 0
        if kind == QUIET:  # most moves of an order: on its way, arrived, asked to be cancelled
            return
        number = known.order.id
        if before is _UNKNOWN:
            del self.unknown[number]
            known.cancel_asked = known.over = False
        if kind == ENDS:
            self.close_books(known)
            self.ended[number] = None
            if len(self.ended) > self._ended_max:
                self.retire()
        elif kind == REVIVES:
            self._revive(known)
        if after is _UNKNOWN:
            self.unknown[number] = known
            known.unknown_ns = now_ns
            known.asks = known.not_found = known.unlisted = known.ask_ns = 0
            known.cancel_asked = before is _CANCELLING
        self.dirty[known.order.instrument] = True

    def doubt(self, now_ns: int, asked: int) -> None:
        """Begin every grace period anew: time has leapt, what is on its way has not moved."""
        for known in self.unknown.values():
            known.unknown_ns = now_ns
            known.asks = known.not_found = known.unlisted = 0
            known.asked = asked

    def ask_cancel(self, known: LiveOrder, now_ns: int, *, named: bool = True) -> None:
        """Note that a cancel of a live order is on its way.

        `named` False = in a CANCEL_ALL, whose record tells a scope and no order.
        """
        self.instruments[known.order.instrument].touched()
        journaled = known.journaled
        self.happen(known, _CANCEL_ASKED, now_ns)
        known.cancel_asked = True
        if not named:
            known.journaled = journaled
            self.unjournaled[known.order.id] = (known, "")

    def _revive(self, known: LiveOrder) -> None:
        """Take back what was released: the order lives although we believed it had ended."""
        order = known.order
        del self.ended[order.id]
        entry = self.state_of(known)
        self.ledger.commit(order, known.remaining, forced=True)
        self._live(known, entry)

    def fill(self, known: LiveOrder, event: OrderFilled, now_ns: int) -> tuple[Booked, bool]:
        """Book a fill and move its order; return what the ledger did and whether it was new.

        Also a fill that is void at birth has used up its part of the order: the venue matched it.
        """
        order = known.order
        new = event.fill not in self.ledger.state.fills.states
        booked = self.ledger.book(order, event, now_ns)
        if new:
            self.fills += 1
            rest = known.remaining - event.size
            entry = self.state_of(known)
            whole = rest < entry.instrument.lot
            known.remaining = max(0, rest)
            known.filled += event.size
            self.unjournaled.setdefault(order.id, (known, ""))
            self.happen(known, _FILLED_ALL if whole else _FILLED_PART, now_ns)
            if order.id in entry.working:
                self.ledger.commit(order, known.remaining, forced=True)
                self.exposure.live(order, known.remaining)
        if booked.changed or new:
            known.changed_ns = now_ns
            self.moved(order.instrument, now_ns)
        return booked, new

    # -- what the journal is given -----------------------------------------------------------------

    def take_changes(self) -> list[Effect]:
        """Return, once, where every order stands that moved since this was asked last."""
        changes: list[Effect] = []
        for number, (known, why) in self.unjournaled.items():
            if known.journaled is known.state and known.journaled_filled == known.filled:
                continue
            known.journaled, known.journaled_filled = known.state, known.filled
            changes.append(
                OrderChanged(
                    account=self.account,
                    order=number,
                    state=known.state,
                    filled=known.filled,
                    reason=why,
                )
            )
        self.unjournaled.clear()
        return changes

    def restore_change(self, change: OrderChanged) -> None:
        """Take what an earlier life journaled of an order: only what differs is journaled again.

        An order is folded from the venue's own words. Which end it came to is the one thing they
        do not say twice (of an UNKNOWN order every end reads as gone), so that is believed.
        """
        known = self.orders.get(change.order)
        if known is None:
            return
        known.journaled, known.journaled_filled = change.state, change.filled
        before = known.state
        if before.ended and before is not OrderState.FILLED and change.state.ended:
            known.state = change.state
        elif before is not change.state:  # found gone after the snapshot: it is in doubt again
            self.unjournaled.setdefault(change.order, (known, ""))

    def moved(self, instrument: InstrumentId | None, now_ns: int) -> None:
        """Note that money moved, and tokens of this instrument."""
        self.moved_ns = now_ns
        self.moves += 1
        if instrument is not None:
            update_exposure(self.exposure, self.ledger, self.ledger.state.instruments[instrument])
            self.dirty[instrument] = True
