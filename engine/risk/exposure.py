"""Exposure: the worst-case money at risk, kept incrementally, one instrument at a time.

Takes what the executor knows (holdings, orders that may still fill) and gives the worst loss per
instrument, market, owner and account, in micro-units of the account's currency.

A binary ends with YES or NO paying 1.0. For each outcome o the worst that can still happen is

    loss(o) = cost of the settled tokens − payoff of those of leg o
            + Σ over pending buys and unsettled sales, by leg: max(0, cost − payoff under o)
            + Σ cost of live BUYs of the other leg            (they fill, and pay nothing)
            + Σ (1 − p) · size of live SELLs of leg o         (they fill, and a winner is gone)

because a BUY of leg o or a SELL of the other leg can only make o better. Each unsettled fill may
settle or become void for itself, whichever is worse: a buy that settles costs, a sale that becomes
void gives its tokens back with what they cost. Exposure is max(0, loss(YES), loss(NO)). A payout
in between (fifty-fifty) mixes the two outcomes and is never worse than the worse of them. Linear
instruments can lose what they cost: the holding's cost plus that of the live BUYs. A perpetual
loses its cost in one direction and gains it in the other, and a live order adds its value to its
own. All roundings are against us; fees an order may pay when it fills count as loss.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from engine.domain.instruments import BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.orders import Order, OrderId
from engine.domain.products.product import HeldLeg
from engine.domain.rates import DOLLAR, Rate, RateBook, converted, counted_as, newest_rate
from engine.errors import BrokenInvariant
from engine.risk.liquidation import Buffers
from engine.risk.reasons import Numbers

INSTRUMENTS_MAX = 20_000
ORDERS_PER_INSTRUMENT_MAX = 10_000

_BUY = Side.BUY


# -- One instrument's worst case: what its holding and its live orders can lose --------------------


class Sum:
    """A running sum of exposure, shared by the instruments it is made of."""

    __slots__ = ("micro",)

    def __init__(self, micro: int = 0) -> None:
        self.micro = micro


class MarketRisk(Sum):
    """The worst case of a market: the sum over its instruments, or shared where one alone wins.

    Of outcomes of one question at most one pays YES. Where instrument j wins, every other loses
    what it loses under NO; where none of them wins, all do. With yes and no as the losses of an
    instrument under its own outcomes, gains below zero, the worst is

        max(0, Σ no, max over j of (yes of j + Σ no of the others))

    """

    __slots__ = ("one_wins", "risks")

    def __init__(self, *, one_wins: bool) -> None:
        super().__init__()
        self.one_wins = one_wins
        self.risks: dict[InstrumentId, InstrumentRisk] = {}

    @property
    def worst_micro(self) -> int:
        """What the market can lose."""
        if not self.one_wins:
            return self.micro
        none_wins = sum(risk.no_micro for risk in self.risks.values())
        wins = max((risk.yes_micro - risk.no_micro for risk in self.risks.values()), default=0)
        return max(0, none_wins + max(0, wins))

    def beside_micro(self, risk: InstrumentRisk, *, hurts_yes: bool) -> int:
        """Return what comes on top of an instrument's own worst case, for an order in it.

        An order that loses if the instrument wins meets the others' losses under NO; one that
        loses if it does not win meets the worst of theirs.
        """
        if not self.one_wins:
            return self.micro - risk.micro
        others = [other for other in self.risks.values() if other is not risk]
        none_wins = sum(other.no_micro for other in others)
        if hurts_yes:
            return none_wins
        return none_wins + max(
            0, max((other.yes_micro - other.no_micro for other in others), default=0)
        )


class Worst:
    """The worst case of somebody's part in one instrument, account or owner.

    `held_yes` and `held_no` are the losses of the holding if the first leg wins or loses, each
    unsettled fill settled or void, whichever is worse; `live_yes` and `live_no` what live orders
    add. `micro` is the exposure.
    """

    __slots__ = (
        "divisor",
        "held_no",
        "held_yes",
        "instrument",
        "live_no",
        "live_yes",
        "maker_pays",
        "micro",
        "product",
        "second",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.held_yes = self.held_no = 0
        self.live_yes = self.live_no = 0
        self.micro = 0
        self.learn(instrument)

    def grow(self) -> int:
        """Count the exposure anew; return by how much it grew."""
        worst, no = self.held_yes + self.live_yes, self.held_no + self.live_no
        if no > worst:
            worst = no
        if worst < 0:
            worst = 0
        grown = worst - self.micro
        self.micro = worst
        return grown

    @property
    def yes_micro(self) -> int:
        """What it loses if YES wins; below zero = it gains."""
        return self.held_yes + self.live_yes

    @property
    def no_micro(self) -> int:
        """What it loses if NO wins; below zero = it gains."""
        return self.held_no + self.live_no

    def learn(self, instrument: Instrument) -> None:
        """Take new metadata. Units must not change under live numbers."""
        self.instrument = instrument
        self.product = instrument.product
        self.second = instrument.product.second
        self.divisor = instrument.value_divisor
        self.maker_pays = instrument.fees.maker_rate_ppm > 0

    def hurts_yes(self, leg: Leg, side: Side) -> bool:
        """Say under which outcome an order loses: True = if the first leg wins.

        What has one leg and is bought loses in the other slot, which then counts alone.
        """
        return (leg is self.second) is (side is _BUY)

    def unit(self, leg: Leg, side: Side, price: int) -> int:
        """Return what one size increment of an order can lose, in price increments."""
        return self.product.loss_unit(leg, side, price)

    def loss_micro(self, leg: Leg, side: Side, price: int, size: int, post_only: bool) -> int:
        """Return what an order adds to the outcome it hurts if it fills, rounded up."""
        if side is _BUY:
            loss = -(-price * size // self.divisor)
        else:
            unit = self.product.loss_unit(leg, side, price)
            if not unit:
                return 0
            loss = -(-unit * size // self.divisor)
        if not post_only:
            loss += max(0, self.instrument.taker_fee_micro(price, size))
        elif self.maker_pays:
            loss += self.instrument.maker_fee_micro(price, size)
        return loss

    def would_be_micro(self, leg: Leg, side: Side, price: int, size: int, post_only: bool) -> int:
        """Return the exposure if this order were live too."""
        if side is _BUY and post_only and not self.maker_pays:
            added = -(-price * size // self.divisor)  # the usual order, without a call
        else:
            added = self.loss_micro(leg, side, price, size, post_only)
        worst, no = self.held_yes + self.live_yes, self.held_no + self.live_no
        if (leg is self.second) is (side is _BUY):
            worst += added
        else:
            no += added
        if no > worst:
            worst = no
        return worst if worst > 0 else 0

    def room_for_micro(self, leg: Leg, side: Side, ceiling: int) -> int:
        """Return how much loss an order may add so that exposure stays ≤ `ceiling`; −1 = none."""
        yes = self.held_yes + self.live_yes
        no = self.held_no + self.live_no
        mine, other = (yes, no) if self.hurts_yes(leg, side) else (no, yes)
        if other > ceiling or ceiling < 0:
            return -1
        return ceiling - mine

    def largest(self, order: Order, size: int, ceiling: int, reducing: int) -> int:
        """Return the largest multiple of the lot ≤ `size` that keeps exposure ≤ `ceiling`.

        What is `reducing` of it may stand at the present exposure even where that is over the
        ceiling.
        """
        leg, side, price, post_only = order.leg, order.side, order.price, order.post_only
        if reducing and ceiling < self.micro:
            ceiling, size = self.micro, reducing
        room = self.room_for_micro(leg, side, ceiling)
        if room < 0:
            return 0
        lot = self.instrument.lot
        high = size // lot
        unit = self.unit(leg, side, price)
        if unit:
            high = min(high, room * self.divisor // unit // lot)
        if post_only and not self.maker_pays:
            return high * lot
        loss = self.loss_micro(leg, side, price, high * lot, post_only)
        if loss <= room:
            return high * lot
        # Losses are rounded in steps of a micro-unit: from where one in proportion would fit, ever
        # longer strides lead to a size that does, and then halves to the largest.
        high, stride = high - 1, max(1, self.divisor // (unit * lot))
        low = min(high, (high + 1) * room // loss)
        while low > 0 and self.loss_micro(leg, side, price, low * lot, post_only) > room:
            high, low, stride = low - 1, max(0, low - stride), 2 * stride
        while low < high:
            middle = min(low + stride, (low + high + 1) // 2)
            if self.loss_micro(leg, side, price, middle * lot, post_only) <= room:
                low, stride = middle, 2 * stride
            else:
                high, stride = middle - 1, high
        return low * lot


class OwnerRisk(Worst):
    """One owner's part in an instrument, and the sum of its own it counts towards."""

    __slots__ = ("total",)

    def __init__(self, instrument: Instrument, total: Sum) -> None:
        super().__init__(instrument)
        self.total = total


class InstrumentRisk(Worst):
    """The account's worst case of one instrument: what owners hold offsets one another.

    Owned by `ExposureBook`; read-only for everyone else. `owners` have each their own.
    """

    __slots__ = ("market_sum", "orders", "owners")

    def __init__(self, instrument: Instrument, market_sum: MarketRisk) -> None:
        super().__init__(instrument)
        self.owners: dict[BotId, OwnerRisk] = {}
        self.market_sum = market_sum
        self.orders: dict[OrderId, int] = {}

    def near(self, order: Order, size: int) -> Numbers:
        """Return how near liquidation would be after an order of a size; none = never too near."""
        del order, size
        return ()


class SignedRisk(InstrumentRisk):
    """Of what may be held short against margin: an order too near to liquidation has no bound."""

    __slots__ = ("buffers",)

    def __init__(self, instrument: Instrument, market_sum: MarketRisk, buffers: Buffers) -> None:
        super().__init__(instrument, market_sum)
        self.buffers = buffers

    def would_be_micro(self, leg: Leg, side: Side, price: int, size: int, post_only: bool) -> int:
        """Return the exposure if this order were live too; NO_BOUND = liquidation is too near."""
        if self.buffers.too_near(self.instrument, side, price, size):
            return NO_BOUND
        return super().would_be_micro(leg, side, price, size, post_only)

    def near(self, order: Order, size: int) -> Numbers:
        return self.buffers.too_near(self.instrument, order.side, order.price, size)


NO_BOUND = 1 << 62
"""More than any limit of exposure."""


class Risks(dict[InstrumentId, InstrumentRisk]):
    """Instruments by name. One that was never listed must not be taken for one without risk."""

    def __missing__(self, instrument: InstrumentId) -> InstrumentRisk:
        raise BrokenInvariant(f"{instrument} was never listed in the exposure book")


# -- All of an account's ---------------------------------------------------------------------------


class ExposureBook:
    """Worst-case money at risk of one account. The executor is its only writer.

    `listed` an instrument first; then `holding` whenever the ledger changes and `live` whenever an
    order that may still fill changes. Raises BrokenInvariant where it is given an instrument it
    was never given: exposure that cannot be counted must not be taken.
    """

    def __init__(self) -> None:
        self._others: tuple[Sum, ...] = ()
        self._others_micro = 0
        self.risks = Risks()
        """The worst case of each instrument, for reading."""
        self._markets: dict[str, MarketRisk] = {}
        self._bots: dict[BotId, Sum] = {}
        self.capital_micro: dict[BotId, int] = {}
        """What each bot may risk at most, given by who admits it; absent = no bound of its own."""
        self.rates = RateBook()
        """What the account counts in, and what its books say of currencies."""
        self._abroad: tuple[ExposureBook, ...] = ()
        """Other accounts of the mode in other currencies."""
        self._mode: tuple[ExposureBook, ...] = ()
        """All accounts of the mode: their books give rates."""
        self.buffers = Buffers()
        """Marks and liquidation prices of what may be held short, given by the executor."""
        self.account = Sum()
        """The whole account's sum, for reading."""

    @property
    def others_micro(self) -> int:
        """Exposure of the other accounts of the same mode, as it is now.

        NO_BOUND where some count in other currencies: `others_at` knows more.
        """
        if not self._others:
            return self._others_micro
        return self._others_micro + sum(other.micro for other in self._others)

    @others_micro.setter
    def others_micro(self, micro: int) -> None:
        self._others_micro = micro

    def beside(self, mode: Sequence[ExposureBook]) -> None:
        """Count the sums of a mode's other accounts into the total, as they stand when asked."""
        own = counted_as(self.rates.currency)
        others = [book for book in mode if book is not self]
        same = [book for book in others if counted_as(book.rates.currency) == own]
        self._mode = tuple(mode)
        self._abroad = tuple(book for book in others if book not in same)
        sums = [book.account for book in same]
        self._others = (*sums, Sum(NO_BOUND)) if self._abroad else tuple(sums)
        needed = {counted_as(book.rates.currency) for book in mode} if self._abroad else set()
        self.rates.need(needed - {DOLLAR})

    def repeat_total(self, *, unknown: bool) -> None:
        """Judge from now on as where a rate was `unknown`, or was not: no journal has rates."""
        self._others_micro = NO_BOUND if unknown else 0

    def others_at(self, now_ns: int) -> int | None:
        """Return the exposure of the mode's other accounts in this one's currency, rounded up.

        None = an account in another currency has some, and a rate of it is missing or stale.
        """
        if not self._abroad:
            return None if self._others_micro == NO_BOUND else self.others_micro
        total = self.others_micro - NO_BOUND
        rates = [book.rates for book in self._mode]
        for book in self._abroad:
            if not (micro := book.account.micro):
                continue
            of, into = book.rates.currency, self.rates.currency
            worth = converted(micro, of=of, into=into, books=rates, now_ns=now_ns)
            if worth is None:
                return None
            total += worth
        return total

    # -- what the executor tells -------------------------------------------------------------------

    def listed(self, instrument: Instrument) -> None:
        """Learn an instrument, or its new metadata."""
        risk = self.risks.get(instrument.id)
        if risk is None:
            if len(self.risks) >= INSTRUMENTS_MAX:
                raise BrokenInvariant(
                    f"more than {INSTRUMENTS_MAX} instruments in the exposure book: forget old ones"
                )
            market = self._market(instrument)
            signed = instrument.product.signed
            risk = self.risks[instrument.id] = (
                SignedRisk(instrument, market, self.buffers)
                if signed
                else InstrumentRisk(instrument, market)
            )
            market.risks[instrument.id] = risk
            self.rates.listed(instrument)
            return
        known = risk.instrument
        if (known.kind, known.price_decimals, known.size_decimals) != (
            instrument.kind,
            instrument.price_decimals,
            instrument.size_decimals,
        ):
            raise BrokenInvariant(f"{instrument.id}: kind or units changed under a live instrument")
        risk.market_sum.micro -= risk.micro
        risk.market_sum.risks.pop(instrument.id, None)
        for part in (risk, *risk.owners.values()):
            part.learn(instrument)
        risk.market_sum = self._market(instrument)
        risk.market_sum.micro += risk.micro
        risk.market_sum.risks[instrument.id] = risk
        if known.exposure_key != instrument.exposure_key:
            self._drop_market(known.exposure_key)

    def _market(self, instrument: Instrument) -> MarketRisk:
        key = instrument.exposure_key
        market = self._markets.get(key)
        if market is None:
            market = self._markets[key] = MarketRisk(one_wins=instrument.one_wins)
        return market

    def _part(self, risk: InstrumentRisk, owner: BotId) -> OwnerRisk:
        """Return an owner's part in an instrument; a new one where it had none."""
        part = risk.owners.get(owner)
        if part is None:
            total = self._bots.get(owner)
            if total is None:
                total = self._bots[owner] = Sum()
            part = risk.owners[owner] = OwnerRisk(risk.instrument, total)
        return part

    def owned(self, instrument: InstrumentId, owner: BotId, yes: HeldLeg, no: HeldLeg) -> None:
        """Take what one owner holds; as `holding`."""
        risk = self.of(instrument)
        part = self._part(risk, owner)
        part.held_yes, part.held_no = risk.product.worst_held(yes, no)
        part.total.micro += part.grow()

    def holding(self, instrument: InstrumentId, yes: HeldLeg, no: HeldLeg) -> None:
        """Take the whole holding; what has one leg has it in `yes`.

        Raises BrokenInvariant where its loss has no bound.
        """
        risk = self.of(instrument)
        risk.held_yes, risk.held_no = risk.product.worst_held(yes, no)
        self._move(risk)

    def live(self, order: Order, remaining: int) -> None:
        """Note how much of an order may still fill; 0 = it is over. Idempotent."""
        if remaining <= 0:
            if remaining < 0:
                raise BrokenInvariant(f"order {order.id}: remaining size {remaining} is negative")
            self.over(order)
            return
        risk = self.risks[order.instrument]
        orders, number = risk.orders, order.id
        before = orders.get(number, 0)
        if len(orders) >= ORDERS_PER_INSTRUMENT_MAX and number not in orders:
            raise BrokenInvariant(f"{order.instrument}: too many live orders to count")
        if order.side is _BUY and order.post_only and not risk.maker_pays:
            loss = -(-order.price * remaining // risk.divisor)  # the usual order, without a call
        else:
            loss = risk.loss_micro(order.leg, order.side, order.price, remaining, order.post_only)
        orders[number] = loss
        if loss != before:
            self._move(risk, order, loss - before)

    def over(self, order: Order) -> None:
        """Note that an order cannot fill any more. Idempotent."""
        risk = self.risks.get(order.instrument)
        if risk is None:
            return  # the instrument was forgotten after the order had ended
        loss = risk.orders.pop(order.id, 0)
        if loss:
            self._move(risk, order, -loss)

    def forget(self, instrument: InstrumentId) -> None:
        """Drop an instrument that is over. Raises BrokenInvariant while an order may still fill."""
        risk = self.risks.get(instrument)
        if risk is None:
            return
        if risk.orders:
            raise BrokenInvariant(f"{instrument}: forgotten with {len(risk.orders)} live orders")
        risk.held_yes = risk.held_no = 0
        self._move(risk)
        for part in risk.owners.values():
            part.total.micro -= part.micro
        del self.risks[instrument]
        self.buffers.forget(instrument)
        self.rates.forget(instrument)
        risk.market_sum.risks.pop(instrument, None)
        self._drop_market(risk.instrument.exposure_key)

    # -- what everyone may ask ---------------------------------------------------------------------

    def of(self, instrument: InstrumentId) -> InstrumentRisk:
        """Return the worst case of one instrument, for reading. Raises if it was never listed."""
        return self.risks[instrument]

    def instrument_micro(self, instrument: InstrumentId) -> int:
        """Return the worst-case loss of one instrument."""
        return self.of(instrument).micro

    def market_micro(self, key: str) -> int:
        """Return the worst-case loss of a market's instruments together."""
        found = self._markets.get(key)
        return 0 if found is None else found.worst_micro

    def bot_micro(self, bot: BotId) -> int:
        """Return the worst-case loss of an owner's own parts, summed over its instruments."""
        found = self._bots.get(bot)
        return 0 if found is None else found.micro

    @property
    def owners(self) -> Collection[BotId]:
        """All who have or had a part in an instrument: bots, and those who are none."""
        return self._bots.keys()

    def account_micro(self) -> int:
        """Return the worst-case loss summed over all instruments."""
        return self.account.micro

    def total_micro(self, now_ns: int = 0) -> int | None:
        """Return the worst-case loss over all accounts of the mode; None = a rate is unknown."""
        if not self._abroad:
            return self.account.micro + self.others_micro
        others = self.others_at(now_ns)
        return None if others is None else self.account.micro + others

    def unknown_rates(self, now_ns: int) -> str:
        """Return whose rates to USDC are missing or stale, in words; empty = none is."""
        books = [book.rates for book in self._mode]
        said = []
        for currency in sorted(self.rates.needed):
            rate = newest_rate(currency, books)
            if rate is None:
                said.append(f"no book gives a rate of {currency} to {DOLLAR}")
            elif rate.stale(now_ns):
                said.append(f"the rate of {currency} is stale ({rate.source})")
        return "; ".join(said)

    def rate(self, now_ns: int) -> Rate | None:
        """Return what the account's currency is worth in USDC; None = unknown or stale."""
        books = [book.rates for book in self._mode] or [self.rates]
        found = newest_rate(self.rates.currency, books)
        return None if found is None or found.stale(now_ns) else found

    def _move(self, risk: InstrumentRisk, order: Order | None = None, change: int = 0) -> None:
        """Add to what live orders may lose under the outcome `order` hurts; carry it to the sums.

        Without an order the instrument is only counted anew.
        """
        if order is not None:
            part = risk.owners.get(order.bot)
            if part is None:
                part = self._part(risk, order.bot)
            if (order.leg is risk.second) is (order.side is _BUY):
                risk.live_yes += change
                part.live_yes += change
            else:
                risk.live_no += change
                part.live_no += change
            part.total.micro += part.grow()
        worst, no = risk.held_yes + risk.live_yes, risk.held_no + risk.live_no
        if no > worst:
            worst = no
        if worst < 0:
            worst = 0
        grown = worst - risk.micro
        if grown:
            risk.micro = worst
            self.account.micro += grown
            risk.market_sum.micro += grown

    def _drop_market(self, key: str) -> None:
        """Forget a market without instruments, so that rolling series do not pile up."""
        if not any(risk.instrument.exposure_key == key for risk in self.risks.values()):
            self._markets.pop(key, None)


def share_total(books: Iterable[ExposureBook]) -> None:
    """Let each book see the others: all accounts of one mode.

    What the last account took in this very moment counts for the next one: no second between.
    """
    mode = list(books)
    for book in mode:
        book.beside(mode)
