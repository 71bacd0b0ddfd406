"""The bench: the judges of one account, and what they are shown.

They see the exchange's truth, the journal's records as they are written, the intents, the frames of
the market and the bytes that leave. They never see the executor. One verdict ends a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from engine.domain import effects as fx
from engine.domain import events as ev
from engine.domain.assets import Money
from engine.domain.commands import PlaceManual
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.intents import Basket, Intent, Quotes, Target
from engine.domain.orders import Order, OrderId
from engine.domain.perpetual_events import FundingPaid, MarkPriced, PositionLiquidated
from engine.domain.plain import PlainDict
from engine.domain.settings import RiskLimits
from engine.lab.simulate.disk import Disk
from engine.lab.simulate.fee_assets import TakenFees
from engine.lab.simulate.perpetual_facts import LiquidatedPart, PerpetualFacts
from engine.lab.simulate.venue_side import VenueSide
from engine.live.commands.foreign import TokensCame
from engine.runtime.recovery import ENGINE_WIDE
from engine.runtime.services import USER_FEED
from storage.journal import decode

# What reached an engine, folded naively from its journal: the judges' own idea of its knowledge.
# Written without the executor's code: a dictionary of orders, one of fills, sums over them. It is
# rebuilt from the journal whenever an engine starts anew.

ENDS = (FillState.CONFIRMED, FillState.FAILED)
OVER = (ev.OperationState.CONFIRMED, ev.OperationState.FAILED)
Token = tuple[InstrumentId, Leg]


class KnownFacts:
    """One account's knowledge by its journal."""

    def __init__(self) -> None:
        self.orders: dict[OrderId, Order] = {}
        self.fills: dict[FillId, ev.OrderFilled] = {}
        self.states: dict[FillId, FillState] = {}
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.payouts: dict[InstrumentId, int] = {}
        self.redemptions: dict[tuple[str, InstrumentId], ev.TokensRedeemed] = {}
        self.conversions: dict[tuple[str, InstrumentId], ev.PairsConverted] = {}
        self.operations: dict[int, fx.AnyWalletEffect] = {}
        """What the wallet was asked for and no event has ended."""
        self.closed: set[InstrumentId] = set()
        self.filled: dict[OrderId, int] = {}
        self._counted: dict[FillId, Order] = {}
        """Fills whose order was known when they were reported: the sums are over these."""
        self._tokens: dict[Token, tuple[int, int]] = {}
        self.owned: dict[tuple[BotId, InstrumentId, Leg], tuple[int, int]] = {}
        """What each owner holds by its own fills and transfers: (settled, pending)."""
        self.flows: dict[tuple[BotId, InstrumentId], int] = {}
        """What cash its own fills and transfers brought each owner, promised cash included."""
        self._cash = self._promised = 0
        self.deposits = 0
        self.perpetuals = PerpetualFacts()
        self.fees = TakenFees()
        self.third_fees: Counter[BotId] = Counter()
        """What each owner paid of fees in a third asset."""
        self.shifts = 0
        """By how much anchor and peak moved without being earned: deposits, and tokens that came by
        their worth."""
        self.taken_in: list[TokensCame] = []
        self.odd_shift = ""
        """What is wrong with how tokens moved the anchor; empty = nothing."""
        self._awaited: Counter[tuple[InstrumentId, Leg, int]] = Counter()
        """Tokens that came before any book, whose mark has moved nothing yet."""
        self._anchor = (-1, 0)
        """Day and anchor of the last budget."""
        self._anchored = 0
        """What had been shifted by then."""
        self.latched = False
        self.holds: set[tuple[BotId | None, InstrumentId | None]] = set()
        """KILLs of a part: a bot, an instrument, or the whole account."""
        # What a start forgets:
        self.unwell: dict[str, str] = {}
        self.mode = ev.VenueMode.OPEN
        self.listings = 0
        self.fill_listings = 0

    def begin_run(self) -> None:
        """Begin a life: health, mode and what was asked are not remembered."""
        self.unwell, self.mode = {}, ev.VenueMode.OPEN
        self.listings = self.fill_listings = 0

    def take(self, message: Any) -> None:
        """Take one record of the journal."""
        match message:
            case ev.OrderFilled():
                self._fill(message)
            case ev.FillsListed(fills=fills):
                self.fill_listings += 1
                for fill in fills:
                    self._fill(fill)
            case ev.FillSettled(fill=fill):
                self._advance(fill, FillState.CONFIRMED)
            case ev.FillVoided(fill=fill):
                self._advance(fill, FillState.FAILED)
            case ev.FillAdvanced(fill=fill, state=state):
                self._advance(fill, state)
            case fx.PlaceOrder(order=order):
                self.orders[order.id] = order
            case ev.TokensRedeemed():
                self._paid(message)
            case ev.PairsConverted():
                self._converted(message)
            case ev.RedemptionsListed():
                for one in (*message.fundings, *message.liquidations):
                    self._of_the_engine(one)
                for payment in message.redemptions:
                    self._paid(payment)
                for conversion in message.conversions:
                    self._converted(conversion)
            case fx.RedeemTokens() | fx.MergePairs() | fx.SplitCash() | fx.ApproveTrading():
                self.operations[message.operation] = message
            case ev.OperationMoved(operation=number, state=state) if state in OVER:
                self.operations.pop(number, None)
            case ev.OperationNotFound(operation=number):
                self.operations.pop(number, None)
            case ev.OpenOrdersListed():
                self.listings += 1
            case _:
                self._of_the_engine(message)

    def _of_the_engine(self, message: Any) -> None:
        match message:
            case ev.HealthChanged(healthy=True, source=source):
                self.unwell.pop(source, None)
            case ev.HealthChanged(source=source, reason=reason):
                self.unwell[source] = reason
            case ev.LatchSet():
                self.latched = True
            case ev.LatchReleased():
                self.latched = False
            case ev.ModeChanged(mode=mode):
                self.mode = mode
            case ev.ScopeLatched(bot=bot, instrument=key):
                self.holds.add((bot, key))
            case ev.ScopeReleased(bot=bot, instrument=key):
                self.holds.discard((bot, key))
            case ev.CashMoved(amount_micro=amount):
                if message.tokens:
                    self._came(message)
                else:
                    self.deposits += amount
                    self.shifts += amount
            case FundingPaid():
                terms = self.instruments.get(message.instrument)
                if self.perpetuals.take_funding(message, terms):
                    self._cash += message.amount_micro
            case PositionLiquidated(instrument=key) if key in self.instruments:
                self._liquidated(message)
            case fx.KeepBudget(breakers=breakers):
                self._budget(msgspec.json.decode(breakers))
            case ev.HoldingTransferred():
                self._transferred(message)
            case ev.InstrumentListed(instrument=instrument):
                self.instruments[instrument.id] = instrument
            case ev.InstrumentClosed(instrument=key):
                self.closed.add(key)
            case ev.InstrumentResolved(instrument=key, payout_yes_micro=payout):
                self.payouts.setdefault(key, payout)
                self.closed.add(key)
            case _:
                pass

    def _fill(self, fill: ev.OrderFilled) -> None:
        order = self.orders.get(fill.order)
        if fill.fill not in self.fills and order is not None:
            self.fills[fill.fill] = fill
            self.filled[fill.order] = self.filled.get(fill.order, 0) + fill.size
            self._counted[fill.fill] = order
            before = self.fees.third
            self.fees.take(fill, self.instruments[order.instrument])
            self.third_fees[order.bot] += self.fees.third - before
            self._count(fill.fill, 1)
        self._advance(fill.fill, fill.state)

    def _advance(self, fill: FillId, state: FillState) -> None:
        if self.states.get(fill) not in ENDS:
            self._count(fill, -1)
            self.states[fill] = state
            self._count(fill, 1)

    def _count(self, name: FillId, sign: int) -> None:
        """Add a fill to the sums as its state is, or take it out again; a void one is in none."""
        order, state = self._counted.get(name), self.states.get(name)
        if order is None or state is None or state is FillState.FAILED:
            return
        fill, confirmed = self.fills[name], state is FillState.CONFIRMED
        terms = self.instruments[order.instrument]
        value, fee = fill.price * fill.size // terms.value_divisor, _fee_micro(fill, terms)
        brought = value - fee if order.side is Side.SELL else -value - fee
        self._flow(order.bot, order.instrument, sign * brought)
        if self.signed(order.instrument):
            self._traded(order, fill, value, brought)
        elif order.side is Side.SELL:  # what is sold is gone at once
            self._move(order, settled=-sign * fill.size)
            if confirmed:
                self._cash += sign * (value - fee)
            else:
                self._promised += sign * (value - fee)
        else:
            size = sign * (fill.size - self.fees.take(fill, terms))
            self._move(order, settled=size) if confirmed else self._move(order, pending=size)
            self._cash -= sign * (value + fee)

    def signed(self, key: InstrumentId) -> bool:
        """Say whether an instrument is held long or short."""
        return self.instruments[key].product.signed

    def _traded(self, order: Order, fill: ev.OrderFilled, value: int, brought: int) -> None:
        """Count a fill of a perpetual, which is final: cash as if it were paid for."""
        side = 1 if order.side is Side.BUY else -1
        self._move(order, settled=side * fill.size)
        self._cash += brought
        key, matched_ns = order.instrument, fill.matched_ns or 0
        changed = self.perpetuals.take_fill(
            (order.bot, key, side * fill.size, side * value),
            matched_ns=matched_ns,
            ordered_ns=order.created_ns,
        )
        self._lose(key, changed)

    def _liquidated(self, taken: PositionLiquidated) -> None:
        """Count what the venue closed, each owner's part of it, and what it kept."""
        key = taken.instrument
        place = key, self._legs(key)[0]
        parts = self.perpetuals.take_liquidation(taken)
        if parts is not None:
            before = self._tokens.get(place, (0, 0))
            self._tokens[place] = (before[0] - taken.size, before[1])
            self._cash += taken.value_micro - taken.fee_micro
            self._lose(key, parts)

    def _lose(self, key: InstrumentId, parts: Sequence[LiquidatedPart]) -> None:
        """Count what owners lose of liquidations, or get back of them."""
        for part in parts:
            self._own((part.owner, key, self._legs(key)[0]), -part.size)
            self._flow(part.owner, key, part.value_micro - part.fee_micro)

    def _move(self, of: Order, settled: int = 0, pending: int = 0) -> None:
        before = self._tokens.get((of.instrument, of.leg), (0, 0))
        self._tokens[of.instrument, of.leg] = (before[0] + settled, before[1] + pending)
        self._own((of.bot, of.instrument, of.leg), settled, pending)

    def _own(self, place: tuple[BotId, InstrumentId, Leg], settled: int, pending: int = 0) -> None:
        before = self.owned.get(place, (0, 0))
        self.owned[place] = (before[0] + settled, before[1] + pending)

    def _flow(self, owner: BotId, key: InstrumentId, micro: int) -> None:
        self.flows[owner, key] = self.flows.get((owner, key), 0) + micro

    def _came(self, given: ev.CashMoved) -> None:
        """Count tokens that came without a trade: of a cost, and worth what their record says."""
        key, leg = given.instrument, given.leg
        assert key is not None
        assert leg is not None
        self.taken_in.append(
            TokensCame(key, leg, given.tokens, given.amount_micro, BotId(given.owner))
        )
        before = self._tokens.get((key, leg), (0, 0))
        self._tokens[key, leg] = (before[0] + given.tokens, before[1])
        self._own((given.owner, key, leg), given.tokens)
        self._flow(given.owner, key, -given.amount_micro)
        if given.worth_micro is None:
            self._awaited[key, leg, given.tokens] += 1
        else:
            self.shifts += given.worth_micro or 0

    def _budget(self, said: PlainDict) -> None:
        """Take an anchor: one that moves by itself has found the first mark of tokens that came.

        By no more than they can ever be worth, and by something, unless they lost.
        """
        waiting = Counter(
            (one["instrument"], one["leg"], one["tokens"]) for one in said.get("unmarked") or ()
        )
        marked = self._awaited - waiting
        self._awaited -= marked
        (day, anchor), now = self._anchor, (said["day"], said["day_start_equity_micro"])
        self._anchor = now
        moved, self._anchored = now[1] - anchor - (self.shifts - self._anchored), self.shifts
        if not marked or day != now[0]:
            return
        most = sum(size * count for (_, _, size), count in marked.items())
        lost = any(key in self.payouts for key, _, _ in marked)
        if not (0 if lost else 1) <= moved <= most:
            self.odd_shift = f"the first mark of {dict(marked)} moves the anchor by {moved}"
        self.shifts += moved
        self._anchored = self.shifts

    def _transferred(self, given: ev.HoldingTransferred) -> None:
        key, leg = given.instrument, given.leg
        value = given.price * given.size // self.instruments[key].value_divisor
        gives = 1  # of a short it is the short that is given
        if self.signed(key):
            gives = 1 if self.perpetuals.held(given.from_owner, key).size > 0 else -1
        for owner, sign in ((given.from_owner, -gives), (given.to_owner, gives)):
            self._own((owner, key, leg), sign * given.size)
            self._flow(owner, key, -sign * value)
        if self.signed(key) and given.from_owner != given.to_owner:
            gone, come = (-gives * given.size, -gives * value), (gives * given.size, gives * value)
            self.perpetuals.take_gift(key, {given.from_owner: gone, given.to_owner: come})

    def _converted(self, fact: ev.PairsConverted) -> None:
        if fact.instrument in self.instruments:
            self.conversions[fact.transaction, fact.instrument] = fact
        for number, asked in list(self.operations.items()):
            if (
                isinstance(asked, fx.MergePairs | fx.SplitCash)
                and asked.instrument == fact.instrument
            ):
                del self.operations[number]

    def _paid(self, payment: ev.TokensRedeemed) -> None:
        for number, asked in list(self.operations.items()):
            if isinstance(asked, fx.RedeemTokens) and asked.instrument == payment.instrument:
                del self.operations[number]
        if payment.instrument in self.instruments:
            self.redemptions[payment.transaction, payment.instrument] = payment

    # -- sums --------------------------------------------------------------------------------------

    def tokens(self, key: InstrumentId, leg: Leg) -> tuple[int, int]:
        """Return (settled, pending) tokens: what is sold is gone at once."""
        settled, pending = self._tokens.get((key, leg), (0, 0))
        settled += sum(one.size for one in self.conversions.values() if one.instrument == key)
        return settled, pending

    def position(self, key: InstrumentId, owner: BotId) -> int:
        """Return an owner's YES − NO, or what it has of a pair, pending included."""
        first, *second = (sum(self.owned.get((owner, key, leg), (0, 0))) for leg in self._legs(key))
        return first - sum(second)

    def _legs(self, key: InstrumentId) -> tuple[Leg, ...]:
        return self.instruments[key].product.legs

    def linear_counts(self) -> dict[str, int]:
        """Return how many fills were of spot pairs, and what there was of perpetuals."""
        base = sum(self.orders[fill.order].leg is Leg.BASE for fill in self.fills.values())
        pairs = base - self.perpetuals.fills
        return ({"pair_fills": pairs} if pairs else {}) | self.perpetuals.counts()

    def converted(self, key: InstrumentId) -> bool:
        """Say whether pairs were made or merged: whose they were no fill tells."""
        return any(one.instrument == key for one in self.conversions.values())

    def holdings(self) -> dict[Token, int]:
        """Return all tokens but losers, settled and pending; what was redeemed is gone."""
        held = {
            (key, leg): sum(self.tokens(key, leg))
            for key in self._touched()
            for leg in self._legs(key)
            if self.pays(key, leg)
        }
        for place, gone in self._redeemed().items():
            held[place] = held.get(place, 0) - gone
        return {place: size for place, size in held.items() if size}

    def redeemable(self) -> dict[Token, int]:
        """Return the settled winners that have not been paid."""
        held = {
            (key, leg): self.tokens(key, leg)[0]
            for key in self.payouts
            for leg in (Leg.YES, Leg.NO)
            if self.pays(key, leg)
        }
        for place, gone in self._redeemed().items():
            held[place] = held.get(place, 0) - gone
        return {place: size for place, size in held.items() if size}

    def _touched(self) -> set[InstrumentId]:
        traded = {instrument for instrument, _ in self._tokens}
        return traded | {one.instrument for one in self.conversions.values()}

    def payments(self) -> list[ev.TokensRedeemed]:
        """Return what was paid in markets whose result is known."""
        return [paid for paid in self.redemptions.values() if paid.instrument in self.payouts]

    def _redeemed(self) -> dict[Token, int]:
        gone: dict[Token, int] = {}
        for paid in self.payments():
            for leg, size in ((Leg.YES, paid.yes or 0), (Leg.NO, paid.no or 0)):
                if self.pays(paid.instrument, leg):
                    gone[paid.instrument, leg] = gone.get((paid.instrument, leg), 0) + size
        return gone

    def pays(self, key: InstrumentId, leg: Leg) -> bool:
        """Say whether a leg's tokens may be worth anything."""
        payout = self.payouts.get(key)
        return payout is None or (1_000_000 - payout if leg is Leg.NO else payout) > 0

    def cash(self, *, promised: bool = True) -> int:
        """Return cash in micro-units, redemptions included; `promised` False = what is settled.

        Positions of perpetuals count as paid for: see `PerpetualFacts`.
        """
        cash = self.deposits
        cash += sum(paid.amount_micro for paid in self.payments())
        for fact in self.conversions.values():
            cash += fact.amount_micro if fact.size < 0 else -fact.amount_micro
        return cash + self._cash + (self._promised if promised else 0)


def _fee_micro(fill: ev.OrderFilled, terms: Instrument) -> int:
    """Return what a fill's fee took of the account's currency."""
    named = fill.fee if isinstance(fill.fee, Money) else None
    of_currency = named is not None and named.asset.id == terms.currency
    return fill.fee_micro + (named.amount if named is not None and of_currency else 0)


# -- The bench: the judges of one account, and what they are shown ---------------------------------


class JudgeVerdict(NamedTuple):
    """A judge spoke."""

    judge: str
    account: str
    at_ns: int
    text: str


class BookTrust:
    """When each book was proven to the engine last, which it must not trust, and the marks."""

    def __init__(self) -> None:
        self.proof_ns: dict[InstrumentId, int] = {}
        self.marks_e8: dict[InstrumentId, int] = {}
        self.distrusted: dict[InstrumentId, str] = {}

    def take(self, event: ev.Event, now_ns: int) -> None:
        """Take a market event as the engine receives it."""
        match event:
            case ev.BookReplaced(instrument=key):
                self.proof_ns[key] = now_ns
                self.distrusted.pop(key, None)
            case ev.BookChanged(instrument=key) | ev.BookProven(instrument=key):
                self.proof_ns[key] = now_ns
            case ev.BookDistrusted(instrument=key, reason=reason):
                self.distrusted[key] = reason
            case MarkPriced(instrument=key, mark_e8=mark_e8):
                self.marks_e8[key] = mark_e8
            case ev.FeedLost():
                self.distrusted |= dict.fromkeys(self.proof_ns, "the feed is lost")
            case _:
                pass


class Evidence:
    """Everything judges may look at, of one account."""

    def __init__(self, side: VenueSide, disk: Disk, limits: RiskLimits) -> None:
        self.side = side
        self.disk = disk
        self.limits = limits
        self.facts = KnownFacts()
        self.books = BookTrust()
        self.intents: dict[tuple[BotId, InstrumentId], Quotes | Target] = {}
        self.asked: list[PlaceManual] = []
        """Orders a person asked for by hand; each allows one order."""
        self.baskets: dict[InstrumentId, Basket] = {}
        self.operations_ns: dict[int, int] = {}
        """When each operation of the wallet was decided."""
        self.named: dict[OrderId, int] = {}
        """Order → the record that names it."""
        self.lacking: set[FillId] = set()
        """Fills the exchange had when the engine started, and its journal had not."""
        self.halted = ""
        """Why the engine must place nothing any more."""
        self.released_seq = -1
        """Where in the journal the operator released the latch last, and a drawdown with it."""
        self.now_ns = 0
        self.mode_reported_ns = 0
        """When the venue said last what it takes."""

    def alive(self, key: InstrumentId | None) -> list[tuple[Order, int]]:
        """Return (order, what may still fill), of all instruments where `key` is None."""
        side = self.side
        found = [
            (order, order.size)
            for group in (side.waiting, side.in_flight)
            for order in group.values()
            if key is None or order.instrument == key
        ]
        for live in side.live():
            number = side.number(live)
            if key is not None and live.instrument != key:
                continue
            if number is not None and number in side.arrived:
                found.append((side.arrived[number], live.remaining))
        return found

    def take_asked(self, order: Order) -> bool:
        """Say whether a person asked for this order, as it is or larger, and had none of it yet.

        Of several that were asked for alike it is the smallest.
        """
        of = (order.bot, order.instrument, order.leg, order.side, order.price)
        alike = [
            one
            for one in self.asked
            if of == (one.owner, one.instrument, one.leg, one.side, one.price)
            and order.size <= one.size
        ]
        if alike:
            self.asked.remove(min(alike, key=attrgetter("size")))
        return bool(alike)

    # -- what happens ------------------------------------------------------------------------------

    def take_intent(self, intent: Intent) -> None:
        """Take an intent as the strategy says it."""
        for one in intent.targets if isinstance(intent, Basket) else (intent,):
            self.intents[one.bot, one.instrument] = one

    def begin_run(self) -> None:
        """Begin a life: it knows what the journal has, and wants nothing yet."""
        self.facts = KnownFacts()
        self.named.clear()
        for record in self.disk.rows:
            if record.account in (ENGINE_WIDE, self.side.account):
                self.take(decode(record), record.at_ns)
        self.facts.begin_run()
        there = self.side.exchange.account(self.side.account).fills
        self.lacking = {fill.id for fill in there} - self.facts.fills.keys()
        self.books = BookTrust()
        self.intents.clear()

    def take(self, message: msgspec.Struct | Any, at_ns: int) -> None:
        """Take a record of the journal, and when it was written."""
        self.facts.perpetuals.at_ns = at_ns
        self.facts.take(message)
        match message:
            case ev.OrderNotSent(order=number) | ev.OrderUnanswered(order=number):
                # Given up: what has not left by now never does, throttled or not.
                self.side.waiting.pop(number, None)
            case ev.ModeChanged():
                self.mode_reported_ns = self.now_ns
            case ev.HealthChanged(source=source, healthy=True) if source == USER_FEED:
                self.facts.listings = self.facts.fill_listings = 0
            case fx.PlaceOrder(order=order, identity=str()):
                self.named[order.id] = len(self.disk.rows)
            case fx.WalletEffect(operation=number):
                self.operations_ns[number] = at_ns
            case _:
                pass
