"""Records: what the executor remembers of one order and of one instrument."""

from __future__ import annotations

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.events import BookMarked
from engine.domain.instruments import BotId, Instrument, Leg, Side
from engine.domain.intents import Basket, Quotes, ResidualReason, Target
from engine.domain.orders import Identity, Order, OrderId, OrderState
from engine.executor.plan import Draft, Residual
from engine.risk.gate import Denied

_NO, _BUY, _SELL = Leg.NO, Side.BUY, Side.SELL

Wish = Quotes | Target


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
    told: OrderState = OrderState.PENDING
    """Where it stood when the journal was told last, and how much was filled then."""
    told_filled: int = 0
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
    missing: int = 0
    """Complete listings in a row that should have had it and did not."""

    def was_asked(self, number: int) -> None:
        """Note a question about it; of an UNKNOWN order the first one counts from there on."""
        if not self.asks:
            self.asked = number
        self.asks += 1


def working_of(order: Order, instrument: Instrument) -> LiveOrder:
    """Return the record of an order that has just been decided."""
    no = order.leg is _NO
    return LiveOrder(
        order=order,
        bid=(order.side is _BUY) is not no,
        level=instrument.one - order.price if no else order.price,
        remaining=order.size,
        changed_ns=order.created_ns,
    )


class InstrumentState:
    """Everything the executor keeps about one instrument: one lookup on the hot path."""

    __slots__ = (
        "basket",
        "bot",
        "cleared_for",
        "closed",
        "cooldown_ns",
        "denied",
        "instrument",
        "mark",
        "refusals",
        "remembered",
        "residuals",
        "still",
        "wish",
        "working",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.mark: BookMarked | None = None
        """None before the first one; distrusted after the book was torn or its feed lost."""
        self.closed = False
        self.bot: BotId | None = None
        """Whose wish it is; None = nobody's."""
        self.wish: Wish | None = None
        self.basket: Basket | None = None
        """The basket the wish belongs to; None = it stands alone."""
        self.working: dict[OrderId, LiveOrder] = {}
        """Orders that may still fill, oldest first."""
        self.cooldown_ns = 0
        """Nothing is placed before this time."""
        self.refusals = 0
        """Refusals in a row."""
        self.remembered = 0
        """Orders of it in the table, ended ones included."""
        self.residuals: tuple[Residual, ...] = ()
        """What the last plan could not express."""
        self.still = False
        """True while the last plan had nothing to do and nothing has happened to it since."""
        self.cleared_for: BotId | None = None
        """Whose orders alone can work here; None = nobody has looked."""
        self.denied: Denied | None = None
        """What risk said last, if it said no in the last plan."""

    @property
    def by_hand(self) -> bool:
        """True while an order by hand may still fill."""
        return any(known.order.bot == MANUAL for known in self.working.values())

    def cleared(self) -> bool:
        """Say whether nobody but the bot that wishes has an order here that may still fill."""
        alone = all(known.order.bot == self.bot for known in self.working.values())
        self.cleared_for = self.bot if alone else None
        return alone


def left_of(
    post: InstrumentState, draft: Draft | Order, reason: ResidualReason, size: int
) -> Residual:
    """Return what is left of a draft, in YES-space."""
    no = draft.leg is _NO
    bid = (draft.side is _BUY) is not no
    level = post.instrument.one - draft.price if no else draft.price
    return Residual(reason, _BUY if bid else _SELL, level, size)
