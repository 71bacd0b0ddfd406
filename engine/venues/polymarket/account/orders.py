"""Orders of one account: the markets they may be in, whose is whose, and what leaves for each.

A digest cannot be turned back into our number, so names are kept: of orders prepared here, and of
those the journal hands over after a start (`remember`). Bounded; what was spoken of least lately
goes first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.orders import AT_ONCE, Identity, Order, OrderId, OrderType
from engine.errors import BadInput, NotSent
from engine.gateway.door import Prepared
from engine.venues.polymarket.account.signing import (
    DEPOSIT_WALLET,
    ZERO_WORD,
    SignedFields,
    Signer,
    domain,
)

NAMES_MAX = 200_000
MARKETS_MAX = 20_000
NO_BOT = BotId("")


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
    """One of our orders: its number and its bot; an empty bot = unknown."""

    order: OrderId
    bot: BotId = NO_BOT


class AccountMemory:
    """Markets by id and by token, orders by identity."""

    def __init__(self) -> None:
        self._markets: dict[InstrumentId, TradableMarket] = {}
        self._tokens: dict[str, tuple[TradableMarket, Leg]] = {}
        self._names: dict[Identity, KnownOrder] = {}

    def add(self, market: TradableMarket) -> None:
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

    def know_instrument(self, instrument: Instrument) -> None:
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
        self.add(TradableMarket(instrument=instrument, separator=separator, neg_risk=neg_risk))

    def listed(self, instrument: InstrumentId) -> bool:
        """Say whether orders in a market can be signed."""
        found = self._markets.get(instrument)
        return found is not None and bool(found.separator)

    def market(self, instrument: InstrumentId) -> TradableMarket:
        """Return a market. Raises NotSent where it was not listed here."""
        found = self._markets.get(instrument)
        if found is None or not found.separator:
            raise NotSent(f"{instrument} was not listed with the adapter: its terms are unknown")
        return found

    def token(self, token: str) -> tuple[TradableMarket, Leg] | None:
        """Return which market and leg a token is; None = not one of ours."""
        return self._tokens.get(token)

    def name(self, identity: Identity, order: OrderId, bot: BotId = NO_BOT) -> None:
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
    return InstrumentId(f"polymarket:{condition}")


# -- A market's terms at the CLOB (/clob-markets): what its orders are signed under. Pure ----------


def market_of(instrument: Instrument, body: object, exchanges: Exchanges) -> TradableMarket:
    """Return the market where the venue's terms are those of the instrument. Raises BadInput.

    Protocol v1: the standard or the neg-risk exchange under domain "2"; v2: ExchangeV3 under "3".
    A version that is missing or new is refused, never guessed (trading API, §2.3 and §2.8).
    """
    name = instrument.id
    if not isinstance(body, Mapping):
        raise BadInput(f"{name}: the venue answered no market")
    if body.get("c") not in (None, condition_of(name)):
        raise BadInput(f"{name}: the venue answered another market, {str(body.get('c'))[:80]}")
    if set(_tokens(body)) != set(instrument.tokens or ()):
        raise BadInput(f"{name}: the venue's tokens are not those of the instrument")
    version = body.get("v")
    if version not in ("v1", "v2") or (instrument.protocol and version != instrument.protocol):
        raise BadInput(
            f"{name}: the venue says protocol {str(version)[:20]!r}, "
            f"the instrument {instrument.protocol!r}"
        )
    neg_risk = body.get("nr", False)
    if not isinstance(neg_risk, bool):
        raise BadInput(f"{name}: the venue does not say whether it is a neg-risk market")
    if version == "v2":
        return TradableMarket(instrument=instrument, separator=domain("3", exchanges.v3))
    exchange = exchanges.neg_risk if neg_risk else exchanges.standard
    separator = domain("2", exchange)
    return TradableMarket(instrument=instrument, separator=separator, neg_risk=neg_risk)


def _tokens(body: Mapping[object, object]) -> list[str]:
    rows = body.get("t")
    if not isinstance(rows, list):
        return []
    return [str(row.get("t")) for row in rows if isinstance(row, Mapping)]


# -- What an order offers and asks for, as the venue wants it written: integers, never floats ------
# Rules: reference of the trading API, §1.5. Pure.

CENT = 10_000
"""0.01 pUSD or share in millionths: the finest budget and the finest size."""
SHARE_STEP = 100
"""0.0001 share: the finest shares of a BUY that matches at once, safe on every tick."""


def amounts(order: Order, instrument: Instrument) -> tuple[int, int]:
    """Return (maker amount, taker amount) in millionths of pUSD and shares.

    A BUY that must match at once states a budget of whole cents and the shares it buys at its worst
    price, so it may ask for up to a cent's worth of shares less than `order.size`; where the book
    is better than that price the venue spends the budget and gives more shares. Everything else is
    exact. Raises BadInput where price · size is finer than a millionth.
    """
    money, rest = divmod(order.price * order.size, instrument.value_divisor)
    if rest:
        raise BadInput(f"order {order.id}: price · size is finer than the venue's millionths")
    if order.side is Side.SELL:
        return order.size, money
    if order.type not in AT_ONCE:
        return money, order.size
    budget = money // CENT * CENT
    shares = budget * instrument.value_divisor // order.price if order.price > 0 else 0
    return budget, shares // SHARE_STEP * SHARE_STEP


# -- An order of ours → its identity and the exact bytes of POST /order. Pure and deterministic ----
# The salt is drawn from (account, number), the timestamp is the order's own: the same order has the
# same digest in every process, known before anything is sent (law K).

MS = 1_000_000
S = 1_000_000_000
SALT_BITS = 53
"""The venue reads a JSON number: beyond 2^53 it would not be exact."""

_dumps = json.JSONEncoder(separators=(",", ":")).encode


def salt_of(account: AccountId, order: OrderId) -> int:
    """Return the salt of an order: the same for the same order, spread over all 53 bits."""
    return int.from_bytes(sha256(f"{account}/{order}".encode()).digest()[:7], "big") >> (
        56 - SALT_BITS
    )


class Preparer:
    """Names, signs and serialises for one account's wallet."""

    __slots__ = ("_key", "_memory", "_signer", "_type", "_who")

    def __init__(
        self,
        *,
        memory: AccountMemory,
        signer: Signer,
        wallet: str,
        address: str,
        signature_type: int,
        api_key: str,
    ) -> None:
        self._memory = memory
        self._signer = signer
        self._type = signature_type
        # A deposit wallet signs for itself, by the key of its owner (ERC-1271).
        self._who = (wallet, wallet if signature_type == DEPOSIT_WALLET else address)
        self._key = api_key

    def prepare(self, order: Order) -> Prepared:
        """Return the order under its identity. Raises NotSent, BadInput; nothing has left."""
        market = self._memory.market(order.instrument)
        made, taken = amounts(order, market.instrument)
        tokens = market.instrument.tokens
        if tokens is None:
            raise BadInput(f"{order.instrument} names no tokens")
        token = tokens[0] if order.leg == "yes" else tokens[1]
        fields = SignedFields(
            salt=salt_of(order.account, order.id),
            maker=self._who[0],
            signer=self._who[1],
            token=int(token),
            maker_amount=made,
            taker_amount=taken,
            buy=order.side is Side.BUY,
            signature_type=self._type,
            timestamp_ms=order.created_ns // MS,
        )
        identity, signature = self._signer.sign(market.separator, fields)
        self._memory.name(identity, order.id, order.bot)
        body = self._body(order, fields, token, signature)
        return Prepared(order=order, identity=identity, payload=_dumps(body).encode())

    def _body(
        self, order: Order, fields: SignedFields, token: str, signature: str
    ) -> dict[str, object]:
        expires_s = 0
        if order.type is OrderType.GTD and order.expires_ns is not None:
            expires_s = order.expires_ns // S
        body: dict[str, object] = {
            "deferExec": False,
            "order": {
                "builder": ZERO_WORD,
                "expiration": str(expires_s),
                "maker": fields.maker,
                "makerAmount": str(fields.maker_amount),
                "metadata": ZERO_WORD,
                "salt": fields.salt,
                "side": "BUY" if fields.buy else "SELL",
                "signature": signature,
                "signatureType": fields.signature_type,
                "signer": fields.signer,
                "takerAmount": str(fields.taker_amount),
                "timestamp": str(fields.timestamp_ms),
                "tokenId": token,
            },
            "orderType": order.type.value.upper(),
            "owner": self._key,
        }
        return body | ({"postOnly": True} if order.post_only else {})
