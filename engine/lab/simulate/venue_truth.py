"""The judge of the exchange's perpetuals: what it does to one account, counted again.

Its reports are folded as they leave it (`PerpetualFacts`): the margin of what is held by the tiers
of the world's own specification, each funding of what was held at its stamp, each liquidation by
its mark. None of the arithmetic is the exchange's.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from engine.domain.instruments import AccountId, Instrument, InstrumentId, Side
from engine.domain.products.margin import MarginTier
from engine.lab.simulate.beside import SMALL_PERPETUAL
from engine.lab.simulate.perpetual_facts import ExactPosition, PerpetualFacts
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.margin_desk import OWN_MATCH
from engine.venues.demo.orders import AnyReport, Ended, Filled, Funded, Liquidated

Speak = Callable[[str, str], None]

HOUR_NS = 3_600 * 10**9
PPM = 10**6
ROOM_MICRO = 5
"""What whole micro-units of a value, a margin and a payment may differ from exact ones."""


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

    def _held(self, key: InstrumentId) -> ExactPosition:
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
        now_ns, held = self._exchange.now_ns, self._held(key)
        stamp_ns = now_ns // HOUR_NS * HOUR_NS
        if self._moved_ns.get(key, 0) < stamp_ns < now_ns:
            self._before[key] = stamp_ns, held.size
        self._moved_ns[key] = now_ns
        held.trade(size, value)

    def _funded(self, paid: Funded) -> None:
        key, held = paid.instrument, self._held(paid.instrument)
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
        key, held = taken.instrument, self._held(taken.instrument)
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
        exchange, ledger = self._exchange, self._exchange.clearing.margin
        for which, why in self.odd:
            speak(which, why)
        equity = Fraction(exchange.wallet(self._account).cash)
        due = Fraction(0)
        for key, held in self.folded.net.items():
            worth = value_of(self._terms(key), held.size, ledger.perpetuals[key].mark_e8)
            equity += worth - held.cost
            due += maintenance_of(abs(worth), SMALL_PERPETUAL.tiers) if held.size else 0
            if ledger.size(self._account, key) != held.size:
                theirs = ledger.size(self._account, key)
                speak("position", f"{theirs} of {key} are held, fills make {held.size}")
            self._look_at_stamp(key, held.size, speak)
        if any(held.size for held in self.folded.net.values()):
            doubt = ROOM_MICRO + 2 * sum(held.trades for held in self.folded.net.values())
            if equity < due - doubt:
                speak("margin", f"{float(equity)} micro are there, {float(due)} are to be kept")

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
