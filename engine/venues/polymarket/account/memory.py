"""What one account's adapter remembers: the markets it may trade, and whose order is whose.

A digest cannot be turned back into our number, so names are kept: of orders prepared here, and of
those the journal hands over after a start (`remember`). Bounded; what was spoken of least lately
goes first.
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import BotId, Instrument, InstrumentId, Leg
from engine.domain.orders import Identity, OrderId
from engine.errors import BadInput, NotSent

NAMES_MAX = 200_000
MARKETS_MAX = 20_000
NOBODY = BotId("")


class Exchanges(msgspec.Struct, frozen=True, kw_only=True):
    """The contracts orders are signed for."""

    standard: str
    neg_risk: str
    v3: str


class TradableMarket(msgspec.Struct, frozen=True, kw_only=True):
    """A market we may trade: its instrument and the domain its orders are signed under."""

    instrument: Instrument
    separator: bytes
    """Of the domain; empty = the venue has not been asked for its terms yet."""
    neg_risk: bool = False

    @property
    def condition(self) -> str:
        """The venue's name of it."""
        return condition_of(self.instrument.id)


class KnownOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One of our orders: its number and its bot; an empty bot = nobody said."""

    order: OrderId
    bot: BotId = NOBODY


class AccountMemory:
    """Markets by id and by token, orders by identity."""

    def __init__(self) -> None:
        self._markets: dict[InstrumentId, TradableMarket] = {}
        self._tokens: dict[str, tuple[TradableMarket, Leg]] = {}
        self._names: dict[Identity, KnownOrder] = {}

    def keep(self, market: TradableMarket) -> None:
        """Know a market, or its new terms. Raises BadInput where it is no binary."""
        tokens = market.instrument.tokens
        if tokens is None:
            raise BadInput(f"{market.instrument.id} names no tokens: it cannot be traded here")
        known = market.instrument.id in self._markets
        if not known and len(self._markets) >= MARKETS_MAX:
            raise BadInput(f"more than {MARKETS_MAX} markets: forget some first")
        self._markets[market.instrument.id] = market
        self._tokens[tokens[0]] = (market, Leg.YES)
        self._tokens[tokens[1]] = (market, Leg.NO)

    def tell(self, instrument: Instrument) -> None:
        """Know a market's tokens and grid; the domain asked before stays good for its tokens."""
        if instrument.tokens is None:
            return
        known = self._markets.get(instrument.id)
        same = known is not None and (
            (known.instrument.tokens, known.instrument.protocol)
            == (instrument.tokens, instrument.protocol)
        )
        separator = known.separator if known is not None and same else b""
        neg_risk = known is not None and known.neg_risk
        self.keep(TradableMarket(instrument=instrument, separator=separator, neg_risk=neg_risk))

    def listed(self, instrument: InstrumentId) -> bool:
        """Say whether orders in a market can be signed."""
        found = self._markets.get(instrument)
        return found is not None and bool(found.separator)

    def market(self, instrument: InstrumentId) -> TradableMarket:
        """Return a market. Raises NotSent where nobody listed it."""
        found = self._markets.get(instrument)
        if found is None or not found.separator:
            raise NotSent(f"{instrument} was not listed with the adapter: its terms are unknown")
        return found

    def token(self, token: str) -> tuple[TradableMarket, Leg] | None:
        """Return which market and leg a token is; None = not one of ours."""
        return self._tokens.get(token)

    def name(self, identity: Identity, order: OrderId, bot: BotId = NOBODY) -> None:
        """Remember the name of an order."""
        known = self._names.pop(identity, None)
        self._names[identity] = KnownOrder(order=order, bot=bot or (known.bot if known else bot))
        if len(self._names) > NAMES_MAX:
            del self._names[next(iter(self._names))]

    def known(self, identity: str) -> KnownOrder | None:
        """Return our order of this name; None = foreign or forgotten.

        Whatever is still spoken of becomes the youngest: an order that rests for hours is listed
        all the while, and its fill must not be a stranger's.
        """
        name = Identity(identity.lower())
        found = self._names.pop(name, None)
        if found is not None:
            self._names[name] = found
        return found


def condition_of(instrument: InstrumentId) -> str:
    """Return the condition id of `polymarket:<condition id>`."""
    return instrument.partition(":")[2]


def instrument_of(condition: str) -> InstrumentId:
    """Return the instrument of a condition id."""
    return InstrumentId(f"polymarket:{condition}")
