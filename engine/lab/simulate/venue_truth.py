"""The judge of the exchange's perpetuals: what it does to one account, counted again.

Its reports are folded as they leave it (`PerpetualFacts`): the margin of what is held by the tiers
of the world's own specification, each funding of what was held at its stamp, each liquidation by
its mark. None of the arithmetic is the exchange's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import exp
from random import Random

from engine.domain.instruments import AccountId, Instrument, InstrumentId, Side
from engine.domain.products.margin import MarginTier
from engine.lab.simulate.beside import SMALL_PERPETUAL
from engine.lab.simulate.perpetual_facts import ExactPosition, PerpetualFacts
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.margin_desk import OWN_MATCH, MarginDesk
from engine.venues.demo.orders import AnyReport, Ended, Filled, Funded, Liquidated

Speak = Callable[[str, str], None]

HOUR_NS = 3_600 * 10**9
PPM = 10**6
ROOM_MICRO = 5
"""What whole micro-units of a value, a margin and a payment may differ from exact ones."""

FAR = 100
"""How many times its mark a price may come to be."""


def value_of(terms: Instrument, size: int, mark_e8: int) -> Fraction:
    """Return the signed value of a size at a mark, in micro-units."""
    return Fraction(size * mark_e8, 10 ** (terms.size_decimals + 8 - 6))


def maintenance_of(value: Fraction, tiers: tuple[MarginTier, ...]) -> Fraction:
    """Return the maintenance margin of a value ≥ 0: each tier's rate of what lies in the tier.

    That is Binance's `notional · mmr − cum` without its `cum`: by the tiers' own edges.
    """
    due = Fraction(0)
    for tier in tiers:
        upto = value if tier is tiers[-1] or value < tier.cap else Fraction(tier.cap)
        if upto > tier.floor:
            due += (upto - tier.floor) * Fraction(tier.maintenance_ppm, PPM)
    return due


class VenueTruth:
    """What one account holds at the exchange by the exchange's own reports, in their order."""

    def __init__(self, exchange: DemoExchange, account: AccountId) -> None:
        self.folded = PerpetualFacts()
        self._exchange = exchange
        self._account = account
        self._trades: set[int] = set()
        self._stamps: set[tuple[InstrumentId, int]] = set()
        self._liquidations: set[int] = set()
        self._before: dict[InstrumentId, tuple[int, int]] = {}
        """What was held when the last hour that is over began: (the hour, the size)."""
        self._moved_ns: dict[InstrumentId, int] = {}
        self.odd: list[tuple[str, str]] = []
        """What judges found: (which, why)."""

    @property
    def moves(self) -> set[tuple[str, str]]:
        """Return what the exchange did by itself, as the journal names it."""
        stamps = {("funding", f"{key}:{stamp_ns}") for key, stamp_ns in self._stamps}
        return stamps | {("liquidation", f"demo-{number}") for number in self._liquidations}

    def _terms(self, key: InstrumentId) -> Instrument:
        return self._exchange.order_entry.markets[key].instrument

    def held(self, key: InstrumentId) -> ExactPosition:
        """Return what the account holds."""
        return self.folded.net.setdefault(key, ExactPosition())

    # -- reports -----------------------------------------------------------------------------------

    def take(self, report: AnyReport) -> None:
        """Take a report as it leaves the exchange."""
        match report:
            case Filled() if self._terms(report.instrument).product.signed:
                self._filled(report)
            case Funded():
                self._funded(report)
            case Liquidated():
                self._liquidated(report)
            case Ended(text=text) if text == OWN_MATCH:
                self.odd.append(("self-trade", f"{report.identity} was met by an order of its own"))
            case _:
                pass

    def _filled(self, fill: Filled) -> None:
        if fill.trade in self._trades:
            self.odd.append(("self-trade", f"trade {fill.trade} has the account on both sides"))
        self._trades.add(fill.trade)
        terms, side = self._terms(fill.instrument), 1 if fill.side is Side.BUY else -1
        value, rest = divmod(fill.price * fill.size, terms.value_divisor)
        if rest:
            self.odd.append(("exchange", f"fill {fill.id} is worth no whole micro-units"))
        self._move(fill.instrument, side * fill.size, side * value)

    def _move(self, key: InstrumentId, size: int, value: int) -> None:
        now_ns, held = self._exchange.now_ns, self.held(key)
        stamp_ns = now_ns // HOUR_NS * HOUR_NS
        if self._moved_ns.get(key, 0) < stamp_ns < now_ns:
            self._before[key] = stamp_ns, held.size
        self._moved_ns[key] = now_ns
        held.trade(size, value)

    def _funded(self, paid: Funded) -> None:
        key, held = paid.instrument, self.held(paid.instrument)
        place = (key, paid.stamp_ns)
        if place in self._stamps:
            self.odd.append(("funding", f"the stamp {paid.stamp_ns} of {key} is paid twice"))
        self._stamps.add(place)
        if paid.stamp_ns % HOUR_NS or paid.stamp_ns != self._exchange.now_ns:
            self.odd.append(("funding", f"{paid} is not of the full hour that is now"))
        due = -value_of(self._terms(key), held.size, paid.mark_e8) * paid.rate_e18 / 10**18
        if not due - 1 < paid.amount_micro <= due or paid.size != held.size:
            self.odd.append(("funding", f"{paid} for {held.size} held, due are {float(due)}"))

    def _liquidated(self, taken: Liquidated) -> None:
        """See that it was due, that all of it was taken at its mark, and that the fund paid debts.

        Nothing of the account's cash is left where a position was taken.
        """
        key, held = taken.instrument, self.held(taken.instrument)
        if taken.number in self._liquidations:
            self.odd.append(("liquidation", f"liquidation {taken.number} is reported twice"))
        self._liquidations.add(taken.number)
        if not taken.size:
            if taken.fee_micro >= 0 or taken.value_micro or held.size:
                self.odd.append(("liquidation", f"{taken} forgives no debt"))
            return
        if taken.size != held.size:
            self.odd.append(("liquidation", f"{taken} closed what was not held: {held.size}"))
        worth = value_of(self._terms(key), held.size, taken.mark_e8)
        pnl, doubt = worth - held.cost, self.folded.doubt_micro + 2 * held.trades + ROOM_MICRO
        left = taken.fee_micro - taken.realised_micro  # the cash it had when it was taken
        due = maintenance_of(abs(worth), SMALL_PERPETUAL.tiers)
        spared = taken.value_micro - worth
        if spared < doubt and left + pnl >= due + doubt:
            self.odd.append(
                ("margin", f"liquidated with {float(left + pnl)} micro, due were {float(due)}")
            )
        if not -doubt < spared or (spared > doubt and taken.fee_micro):
            self.odd.append(("liquidation", f"{taken}, at its mark it is worth {float(worth)}"))
        if self._exchange.wallet(self._account).cash and not spared > doubt:
            self.odd.append(("liquidation", f"{taken} left cash behind"))
        self._move(key, -taken.size, -taken.value_micro)

    # -- each second -------------------------------------------------------------------------------

    def look(self, speak: Speak) -> None:
        """See that the account is not below its margin, and that every stamp was paid."""
        ledger = self._exchange.clearing.margin
        for which, why in self.odd:
            speak(which, why)
        for key, held in self.folded.net.items():
            if ledger.size(self._account, key) != held.size:
                theirs = ledger.size(self._account, key)
                speak("position", f"{theirs} of {key} are held, fills make {held.size}")
            self._look_at_stamp(key, held.size, speak)
        if any(held.size for held in self.folded.net.values()):
            equity, due = self._margin({})
            doubt = ROOM_MICRO + 2 * sum(held.trades for held in self.folded.net.values())
            if equity < due - doubt:
                speak("margin", f"{float(equity)} micro are there, {float(due)} are to be kept")

    def _margin(self, marks: dict[InstrumentId, int]) -> tuple[Fraction, Fraction]:
        """Return what is there and what is to be kept, at these marks instead of the present."""
        equity, due = Fraction(self._exchange.wallet(self._account).cash), Fraction(0)
        for key, held in self.folded.net.items():
            mark_e8 = marks.get(key) or self._exchange.clearing.margin.perpetuals[key].mark_e8
            worth = value_of(self._terms(key), held.size, mark_e8)
            equity += worth - held.cost
            due += maintenance_of(abs(worth), SMALL_PERPETUAL.tiers)
        return equity, due

    def edge_e8(self, key: InstrumentId) -> int | None:
        """Return the first mark, from the present one on, that leaves the account below its margin.

        None = none does, up to many times the present one, or it holds nothing.
        """
        size = self.held(key).size
        safe = self._exchange.clearing.margin.perpetuals[key].mark_e8
        lost = 1 if size > 0 else safe * FAR
        if not size or not self._below(key, lost):
            return None
        while abs(lost - safe) > 1:
            middle = (lost + safe) // 2
            if self._below(key, middle):
                lost = middle
            else:
                safe = middle
        return lost

    def _below(self, key: InstrumentId, mark_e8: int) -> bool:
        equity, due = self._margin({key: mark_e8})
        return equity < due

    def _look_at_stamp(self, key: InstrumentId, size: int, speak: Speak) -> None:
        now_ns = self._exchange.now_ns
        stamp_ns = now_ns // HOUR_NS * HOUR_NS
        moved_ns = self._moved_ns.get(key, 0)
        if stamp_ns in (now_ns, moved_ns):
            return  # what was first is not known
        if moved_ns > stamp_ns:
            of, size = self._before.get(key, (0, 0))
            if of != stamp_ns:
                return
        if size and (key, stamp_ns) not in self._stamps:
            speak("funding", f"{size} of {key} were held at {stamp_ns}, and nothing was paid")


# -- Marks that leap until their next one ---------------------------------------------------------
# Far away, or to a hair of where an account is liquidated, on either side: who is below its margin
# by a little is liquidated, and who is above it is not, whatever tier that is in.

AIMED = 0.6
"""Share of the leaps to an account's edge, where it has one."""

HAIRS = (-11.0, -6.0)
"""Logarithm of how far beyond an edge, or before it, a mark leaps, as a share of it."""

LEAPS = (0.05, 4.0)
"""Logarithm of how far another one leaps."""


def leap(desk: MarginDesk, truths: Sequence[VenueTruth], random: Random) -> bool:
    """Let the mark of a perpetual leap; False = there is none."""
    for key, of in desk.ledger.perpetuals.items():
        mark_e8 = _at_an_edge(key, truths, random) if random.random() < AIMED else None
        desk.mark(key, mark_e8 or _far(key, of.mark_e8, truths, random))
    return bool(desk.ledger.perpetuals)


def _at_an_edge(key: InstrumentId, truths: Sequence[VenueTruth], random: Random) -> int | None:
    truth = random.choice(truths)
    edge_e8 = truth.edge_e8(key)
    if edge_e8 is None:
        return None
    beyond = -1 if truth.held(key).size > 0 else 1
    away = random.choice((beyond, beyond, -beyond)) * exp(random.uniform(*HAIRS))
    return max(1, int(edge_e8 * (1 + away)))


def _far(key: InstrumentId, mark_e8: int, truths: Sequence[VenueTruth], random: Random) -> int:
    """Return a mark mostly against one of the accounts: a short of little value suffers, too."""
    held = [size for one in truths if (size := one.held(key).size)]
    against = random.choice(held or (-1, 1)) * random.choice((1, 1, 1, -1))
    by = random.uniform(*LEAPS) * (-1 if against > 0 else 1)
    return max(1, int(mark_e8 * exp(by)))
