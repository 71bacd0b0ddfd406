"""A paper venue on a table: a feed played by hand, requests numbered, outputs with their times."""

from __future__ import annotations

from engine.domain.effects import (
    AnyEffect,
    CancelAll,
    CancelOrders,
    CancelScope,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
)
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    InstrumentListed,
    OrderFilled,
    OrderRejected,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import (
    AccountId,
    BotId,
    FeeSchedule,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Side,
)
from engine.domain.orders import Order, OrderId, OrderType, RejectReason
from engine.gateway.door import Reply, Request, VenueOutput
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import FillModel, PaperSettings

MS = 1_000_000
S = 1_000_000_000
SHARE = 1_000_000
BUY, SELL = Side.BUY, Side.SELL
YES, NO = Leg.YES, Leg.NO
ACCOUNT = AccountId("paper:a")
MARKET = InstrumentId("polymarket:0xaa")
LINEAR = InstrumentId("okx:BTC/USDT")

BINARY = Instrument(
    id=MARKET,
    kind=Kind.BINARY,
    currency="USD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
    size_min=5 * SHARE,
    notional_min_micro=1_000_000,
    fees=FeeSchedule(taker_rate_ppm=70_000, exponent=1),
)
SPOT = Instrument(
    id=LINEAR,
    kind=Kind.SPOT,
    currency="USDT",
    price_decimals=2,
    size_decimals=6,
    tick=1,
    lot=1,
    fees=FeeSchedule(taker_rate_ppm=1_000, maker_rate_ppm=200),
)


def settings(
    *,
    latency_ms: int = 0,
    model: FillModel = FillModel.REALISTIC,
    cash: float = 1_000.0,
    settle_ms: int = 2_000,
    feed_ms: int = 0,
    taker_ms: int = 0,
) -> PaperSettings:
    return PaperSettings(
        order_latency_ms=latency_ms,
        cancel_latency_ms=latency_ms,
        feed_latency_ms=feed_ms,
        taker_delay_ms=taker_ms,
        settle_delay_ms=settle_ms,
        gtd_early_ms=0,
        model=model,
        cancels_ahead_percent=50,
        starting_cash={"USD": cash, "USDT": cash},
    )


class World:
    """One venue and its clock. `received` is everything it handed out: (time, output)."""

    def __init__(
        self, set_to: PaperSettings | None = None, *instruments: Instrument, now: int = S
    ) -> None:
        self.venue = PaperVenue(ACCOUNT, set_to or settings())
        self.now = now
        self.received: list[tuple[int, VenueOutput]] = []
        self.numbers = 0
        self.ids = 0
        self.orders: dict[int, Order] = {}
        for instrument in instruments or (BINARY,):
            self.receive(InstrumentListed(instrument=instrument))

    # -- time and feed -----------------------------------------------------------------------------

    def _note(self, outputs: list[VenueOutput], at_ns: int) -> list[VenueOutput]:
        self.received += [(at_ns, output) for output in outputs]
        return outputs

    def until(self, now: int) -> list[VenueOutput]:
        """Let time pass to `now`, handing out each thing at its own moment."""
        outputs: list[VenueOutput] = []
        while (due := self.venue.due_ns) is not None and due <= now:
            outputs += self._note(self.venue.advance(due), due)
        self.now = now
        return outputs

    def wait(self, ms: int) -> list[VenueOutput]:
        return self.until(self.now + ms * MS)

    def receive(self, event: Event) -> list[VenueOutput]:
        return self._note(self.venue.receive(event, self.now), self.now)

    def book(
        self,
        bids: dict[int, int] | None = None,
        asks: dict[int, int] | None = None,
        instrument: InstrumentId = MARKET,
    ) -> list[VenueOutput]:
        """Send a snapshot; prices in cents of YES, sizes in shares."""
        return self.receive(
            BookReplaced(
                instrument=instrument,
                bids=tuple((p * 100, s * SHARE) for p, s in (bids or {}).items()),
                asks=tuple((p * 100, s * SHARE) for p, s in (asks or {}).items()),
            )
        )

    def level(self, side: Side, cents: int, shares: int) -> list[VenueOutput]:
        change = (side, cents * 100, shares * SHARE)
        return self.receive(BookChanged(instrument=MARKET, changes=(change,)))

    def trade(
        self,
        cents: int,
        shares: int | None,
        aggressor: Side | None,
        source: SizeSource = SizeSource.TAPED,
    ) -> list[VenueOutput]:
        size = None if shares is None else shares * SHARE
        return self.receive(
            TradePrinted(
                instrument=MARKET,
                price=cents * 100,
                size=size,
                aggressor=aggressor,
                source=source,
            )
        )

    # -- requests ----------------------------------------------------------------------------------

    def ask(self, effect: AnyEffect) -> list[VenueOutput]:
        self.numbers += 1
        request = Request(number=self.numbers, effect=effect)
        return self._note(self.venue.request(request, self.now), self.now)

    def order(
        self,
        side: Side,
        cents: float,
        shares: float,
        leg: Leg = YES,
        type: OrderType = OrderType.GTC,  # noqa: A002 - the field's own name
        *,
        post_only: bool = True,
        expires_ns: int | None = None,
        instrument: InstrumentId = MARKET,
        bot: str = "b",
    ) -> Order:
        self.ids += 1
        order = Order(
            account=ACCOUNT,
            id=OrderId(self.ids),
            bot=BotId(bot),
            instrument=instrument,
            leg=leg,
            side=side,
            price=round(cents * 100),
            size=round(shares * SHARE),
            type=type,
            post_only=post_only,
            expires_ns=expires_ns,
            created_ns=self.now,
        )
        self.orders[order.id] = order
        return order

    def place(self, *args: object, **kwargs: object) -> list[VenueOutput]:
        return self.ask(PlaceOrder(order=self.order(*args, **kwargs)))

    def take(self, side: Side, cents: float, shares: float, **kwargs: object) -> list[VenueOutput]:
        kwargs.setdefault("type", OrderType.FAK)
        return self.place(side, cents, shares, post_only=False, **kwargs)

    def cancel(self, *ids: int) -> list[VenueOutput]:
        return self.ask(CancelOrders(account=ACCOUNT, orders=tuple(OrderId(i) for i in ids)))

    def cancel_all(self, scope: CancelScope | None = None) -> list[VenueOutput]:
        return self.ask(CancelAll(account=ACCOUNT, scope=scope or CancelScope()))

    def ask_order(self, order: int) -> list[Event]:
        return events(self.ask(QueryOrder(account=ACCOUNT, order=OrderId(order))))

    def ask_open(self) -> list[Event]:
        return events(self.ask(QueryOpenOrders(account=ACCOUNT)))

    def ask_fills(self, since: int = 0) -> list[Event]:
        return events(self.ask(QueryFills(account=ACCOUNT, since_ns=since)))

    def ask_balances(self) -> list[Event]:
        return events(self.ask(QueryBalances(account=ACCOUNT)))

    # -- what came of it ---------------------------------------------------------------------------

    @property
    def events(self) -> list[Event]:
        return events([output for _, output in self.received])

    @property
    def fills(self) -> list[OrderFilled]:
        return [event for event in self.events if isinstance(event, OrderFilled)]

    def filled(self, order: int) -> float:
        """Return how many shares of an order filled."""
        return sum(fill.size for fill in self.fills if fill.order == order) / SHARE

    def wallet(self, currency: str = "USD"):
        return self.venue._matching.wallets[currency]

    def holding(self, leg: Leg = YES, instrument: InstrumentId = MARKET):
        return self.venue._matching.markets[instrument].funds[leg].holding

    def give(self, leg: Leg, shares: int) -> None:
        """Put settled tokens into the account, as a transfer would."""
        self.holding(leg).settled += shares * SHARE


def events(outputs: list[VenueOutput]) -> list[Event]:
    """Flatten replies into the events they prove."""
    flat: list[Event] = []
    for output in outputs:
        if isinstance(output, Reply):
            flat += output.events
        else:
            flat.append(output)
    return flat


def kinds(outputs: list[VenueOutput] | list[Event]) -> list[str]:
    return [type(event).__name__ for event in events(outputs)]


BOOK = ({50: 100, 49: 200}, {52: 100, 53: 200})
"""Cents to shares: bids, asks."""


def fresh(model: FillModel = FillModel.REALISTIC, **kwargs: object) -> World:
    """Make a venue whose market has `BOOK`."""
    world = World(settings(model=model, **kwargs))  # type: ignore[arg-type]
    world.book(*BOOK)
    return world


def rejected(world: World) -> tuple[RejectReason, str]:
    """Return why the venue rejected what it answered last, and its words."""
    (event,) = events([world.received[-1][1]])
    assert isinstance(event, OrderRejected)
    return event.reason, event.venue_text
