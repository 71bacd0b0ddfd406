"""Polymarket behind the venues' door: one account, its wallet, its orders.

Make it with `open`, list each market with `list_market` before the first order in it, hand over the
names the journal knows with `remember`, `close` it at the end. Fills are told by the user channel
and by `fills`; an accepted order may have matched already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from engine.domain.effects import CancelScope
from engine.domain.events import (
    BalancesListed,
    CancelRefused,
    CancelUnanswered,
    FillsListed,
    OpenOrdersListed,
    OrderCancelled,
    OrderNotFound,
    OrderReported,
    PositionsListed,
    VenueEvent,
)
from engine.domain.instruments import AccountId, Instrument
from engine.domain.orders import Identity, Order, OrderType
from engine.errors import BadInput, PitbossError
from engine.venues.door import Capabilities, Named, Prepared
from engine.venues.polymarket import outcomes
from engine.venues.polymarket.credentials import Credentials
from engine.venues.polymarket.heartbeat import Beats
from engine.venues.polymarket.listings import clob_rows, data_rows
from engine.venues.polymarket.markets import market_of
from engine.venues.polymarket.memory import Memory, condition_of
from engine.venues.polymarket.outcomes import Refusal
from engine.venues.polymarket.pace import TIERS, Tier
from engine.venues.polymarket.preparing import Preparer
from engine.venues.polymarket.pulse import beat
from engine.venues.polymarket.rows import Reader, balance_micro, holding, order_report, trade_fills
from engine.venues.polymarket.sdk import Hosts, Wire
from engine.venues.polymarket.sending import Places
from engine.venues.polymarket.signing import Signer

S = 1_000_000_000
CURRENCY = "pUSD"
CANCELS_MAX = 1_000
"""Most orders the venue cancels in one request, whatever the SDK allows."""
FILLS_OVERLAP_S = 120
"""How far a listing of fills reaches behind what was asked: the venue's index lags."""

CAPABILITIES = Capabilities(
    heartbeat=True,
    cancel_after=False,
    batch_max=1,
    settles=True,
    order_types=frozenset(OrderType),
)


class PolymarketVenue:
    """One account's door. Every call but `prepare` and `remember` does I/O."""

    def __init__(
        self, *, account: AccountId, wire: Wire, signer: Signer, now_ns: Callable[[], int]
    ) -> None:
        self._account = account
        self._wire = wire
        self._memory = Memory()
        self._beats = Beats()
        self._places = Places(account, wire, now_ns)
        self._reader = Reader(account=account, key=wire.api_key, memory=self._memory)
        self._preparer = Preparer(
            memory=self._memory,
            signer=signer,
            wallet=wire.wallet,
            address=wire.signer,
            signature_type=wire.signature_type,
            api_key=wire.api_key,
        )

    @classmethod
    async def open(
        cls,
        account: AccountId,
        credentials: Credentials,
        *,
        now_ns: Callable[[], int],
        hosts: Hosts | None = None,
    ) -> Self:
        """Open the account's connections. Raises ConfigError, AuthRefused, NotSent."""
        wire = await Wire.open(credentials, now_ns=now_ns, hosts=hosts)
        signer = Signer(credentials.private_key())
        return cls(account=account, wire=wire, signer=signer, now_ns=now_ns)

    async def close(self) -> None:
        """Close the connections. Resting orders rest on until an armed heartbeat lapses."""
        await self._wire.close()

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do."""
        return CAPABILITIES

    @property
    def tier(self) -> Tier:
        """What we use of the account's trading tier: what its gateway's limiter may be set to."""
        return TIERS[self._places.pace.tier].paced()

    @property
    def reopens_ns(self) -> int | None:
        """When a closed venue may be tried again: nobody tells that it opened. None = it is open.

        Whoever drives the account gives its gateway `ModeChanged(OPEN)` then.
        """
        return self._places.closing.retry_ns

    # -- what is known -----------------------------------------------------------------------------

    async def list_market(self, instrument: Instrument) -> None:
        """Learn the terms orders in this market are signed under. Raises where they differ."""
        condition = condition_of(instrument.id)
        body = await self._asked(self._wire.get(f"/clob-markets/{condition}"))
        self._memory.keep(market_of(instrument, body, self._wire.exchanges))

    def remember(self, orders: Sequence[Named]) -> None:
        """Know the names the journal has: without them their fills are a stranger's."""
        for named in orders:
            self._memory.name(named.identity, named.order)

    # -- orders ------------------------------------------------------------------------------------

    def prepare(self, order: Order) -> Prepared:
        """Name, sign and serialise: same order, same identity. Raises NotSent, BadInput."""
        return self._preparer.prepare(order)

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        """Send exactly these bytes, once. Raises Throttled where our own pace forbids it yet."""
        return await self._places.send(prepared)

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        """Cancel these orders, a thousand to a request.

        What fails after a first request succeeded is unanswered, so that what was proved stands.
        """
        self.remember(orders)
        events: list[VenueEvent] = []
        for start in range(0, len(orders), CANCELS_MAX):
            part = orders[start : start + CANCELS_MAX]
            try:
                events += await self._cancel(part)
            except PitbossError:
                if not start:
                    raise
                events += [
                    CancelUnanswered(account=self._account, order=named.order)
                    for named in orders[start:]
                ]
                break
        return events

    async def _cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        try:
            body = await self._wire.delete("/orders", [named.identity for named in orders])
        except Refusal as refusal:
            return outcomes.cancel_refused(self._account, orders, refusal)
        return outcomes.cancelled(self._account, orders, body)

    async def cancel_all(self, scope: CancelScope) -> Sequence[VenueEvent]:
        """Cancel everything of this key in scope; the venue knows no bots, so those are listed."""
        if scope.bot is not None:
            return await self._cancel_bot(scope)
        try:
            if scope.instrument is None:
                body = await self._wire.delete("/cancel-all")
            else:
                market = {"market": condition_of(scope.instrument)}
                body = await self._wire.delete("/cancel-market-orders", market)
        except Refusal as refusal:
            outcomes.question_refused(refusal)
        gone, kept = outcomes.cancelled_names(body)
        return [*self._cancelled(gone), *self._kept(kept)]

    def _cancelled(self, names: Sequence[Identity]) -> list[VenueEvent]:
        found = [self._memory.known(name) for name in names]
        return [
            OrderCancelled(account=self._account, order=known.order)
            for known in found
            if known is not None
        ]

    def _kept(self, why: dict[Identity, str]) -> list[VenueEvent]:
        found = [(self._memory.known(name), text) for name, text in sorted(why.items())]
        return [
            CancelRefused(account=self._account, order=known.order, venue_text=text)
            for known, text in found
            if known is not None
        ]

    async def _cancel_bot(self, scope: CancelScope) -> Sequence[VenueEvent]:
        listed = await self.open_orders()
        wanted = []
        for report in listed.orders:
            known = self._memory.known(report.identity)
            if known is None or known.bot != scope.bot:
                continue
            if scope.instrument in {None, report.instrument}:
                wanted.append(Named(order=known.order, identity=report.identity))
        return await self.cancel(wanted)

    # -- questions ---------------------------------------------------------------------------------

    async def open_orders(self) -> OpenOrdersListed:
        """Return every open order of the key's account, all pages, or raise."""
        rows = await self._asked(clob_rows(self._wire, "/data/orders"))
        reports = tuple(order_report(row, self._reader) for row in rows)
        return OpenOrdersListed(account=self._account, orders=reports)

    async def order(self, named: Named) -> OrderReported | OrderNotFound:
        """Return what the venue knows about one order.

        The plain question answers null for an order that ended, so the listing by id is asked too.
        """
        self.remember([named])
        try:
            row = await self._wire.get(f"/data/order/{named.identity}")
        except Refusal as refusal:
            if refusal.status != 404:
                outcomes.question_refused(refusal)
            row = None
        if row is None:
            rows = await self._asked(clob_rows(self._wire, "/data/orders", id=named.identity))
            row = next((row for row in rows), None)
        if row is None:
            return OrderNotFound(account=self._account, order=named.order)
        report = order_report(row, self._reader)
        if report.identity != named.identity:
            raise BadInput(f"asked about {named.identity}, the venue tells of {report.identity}")
        return OrderReported(account=self._account, report=report)

    async def fills(self, since_ns: int) -> FillsListed:
        """Return our fills since a time and of the two minutes before it, oldest first, or raise.

        The listing is not filtered by token: the venue's filter looks at the taker's alone.
        """
        after_s = max(0, since_ns // S - FILLS_OVERLAP_S)
        rows = await self._asked(clob_rows(self._wire, "/data/trades", after=str(after_s)))
        fills = tuple(fill for row in reversed(rows) for fill in trade_fills(row, self._reader))
        return FillsListed(account=self._account, since_ns=since_ns, fills=fills)

    async def balances(self) -> BalancesListed:
        """Return the wallet's cash as the venue's cache knows it; open orders are not deducted."""
        params: dict[str, str | int] = {
            "asset_type": "COLLATERAL",
            "signature_type": self._wire.signature_type,
        }
        body = await self._asked(self._wire.get("/balance-allowance", **params))
        return BalancesListed(account=self._account, cash_micro={CURRENCY: balance_micro(body)})

    async def positions(self) -> PositionsListed:
        """Return what the wallet holds by the chain's index, which lags by seconds, or raise."""
        held = []
        for status in ("OPEN", "REDEEMABLE"):
            params: dict[str, str | int] = {"user": self._wire.wallet, "status": status}
            rows = await self._asked(data_rows(self._wire, "/v2/positions", **params))
            held += [holding(row, self._memory) for row in rows]
        holdings = tuple(sorted({found for found in held if found is not None}))
        return PositionsListed(account=self._account, holdings=holdings)

    async def refresh_balance(self, instrument: Instrument | None = None) -> None:
        """Let the venue look at the chain again: after settlements, deposits, splits and merges.

        None = cash, an instrument = both its tokens. The SDK offers no such call.
        """
        kind = self._wire.signature_type
        path = "/balance-allowance/update"
        if instrument is None or instrument.tokens is None:
            await self._asked(self._wire.touch(path, asset_type="COLLATERAL", signature_type=kind))
            return
        for token in instrument.tokens:
            asset = "CONDITIONAL-V2" if self._wire.is_v2(token) else "CONDITIONAL"
            call = self._wire.touch(path, asset_type=asset, signature_type=kind, token_id=token)
            await self._asked(call)

    async def _asked(self, call: Any) -> Any:
        try:
            return await call
        except Refusal as refusal:
            outcomes.question_refused(refusal)

    # -- the dead man's switch ---------------------------------------------------------------------

    async def beat(self) -> None:
        """Say that we live; the first time arms the venue's dead man's switch.

        From then on ten silent seconds cancel everything of this key, orders placed by hand
        included. Raises AuthRefused where a second program beats with the key.
        """
        await beat(self._wire, self._beats)
