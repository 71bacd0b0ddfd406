"""Polymarket behind the venues' door: one account, its wallet, its orders.

Make it with `open`, list each market with `list_market` before the first order in it, hand over the
names the journal knows with `remember`, `close` it at the end. Fills are told by the user channel
and by `fills`; an accepted order may have matched already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from engine.domain.effects import CancelScope
from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    OrderCancelled,
    VenueEvent,
)
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.orders import Identity, Order
from engine.errors import PitbossError, Throttled
from engine.gateway.door import Named, Prepared
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.heartbeat_chain import Beats
from engine.venues.polymarket.account.heartbeat_request import beat
from engine.venues.polymarket.account.memory import AccountMemory, condition_of
from engine.venues.polymarket.account.orders import Preparer
from engine.venues.polymarket.account.outcomes import VenueRefusal
from engine.venues.polymarket.account.pace import TIERS, Tier
from engine.venues.polymarket.account.queries import AccountQueries
from engine.venues.polymarket.account.rows import RowReader
from engine.venues.polymarket.account.sdk import Hosts, Wire
from engine.venues.polymarket.account.sending import Places
from engine.venues.polymarket.account.signing import Signer
from engine.venues.polymarket.account.terms import market_of
from engine.venues.polymarket.account.user_frames import UserFrames
from engine.venues.polymarket.account.user_socket import UserSocket

TOO_MANY = 429
CANCELS_MAX = 1_000
"""Most orders the venue cancels in one request, whatever the SDK allows."""


class PolymarketVenue(AccountQueries):
    """One account's door. Every call but `prepare` and `remember` does I/O."""

    def __init__(
        self, *, account: AccountId, wire: Wire, signer: Signer, now_ns: Callable[[], int]
    ) -> None:
        self._account = account
        self._wire = wire
        self._memory = AccountMemory()
        self._beats = Beats()
        self._places = Places(account, wire, now_ns)
        self._reader = RowReader(account=account, key=wire.api_key, memory=self._memory)
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
    def tier(self) -> Tier:
        """What we use of the account's trading tier: what its gateway's limiter may be set to."""
        return TIERS[self._places.pace.tier].paced()

    @property
    def reopens_ns(self) -> int | None:
        """When a closed venue may be tried again: nobody tells that it opened. None = it is open.

        `VenueClosed` carries the venue's own hint; the gateway tries again by itself after it.
        """
        return self._places.closing.retry_ns

    # -- what is known -----------------------------------------------------------------------------

    async def list_market(self, instrument: Instrument) -> None:
        """Learn the terms orders in this market are signed under. Raises where they differ."""
        condition = condition_of(instrument.id)
        body = await self._asked(self._wire.get(f"/clob-markets/{condition}"))
        self._memory.keep(market_of(instrument, body, self._wire.exchanges))

    def know(self, instrument: Instrument) -> None:
        """Know which tokens are whose, and its grid of now; its terms are `list_market`'s to ask.

        Without it nobody can tell what a fill in this market is of.
        """
        self._memory.tell(instrument)

    def lists(self, instrument: InstrumentId) -> bool:
        """Say whether orders in this market can be signed."""
        return self._memory.listed(instrument)

    def user_channel(self) -> tuple[UserSocket, UserFrames]:
        """Return the account's socket, not yet open, and what reads its frames."""
        wire = self._wire
        return UserSocket(wire.user_url, wire.login), UserFrames(self._reader)

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
        except VenueRefusal as refusal:
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
        except VenueRefusal as refusal:
            if refusal.status == TOO_MANY:
                await self._thin_out(scope)
            outcomes.question_refused(refusal)
        gone, kept = outcomes.cancelled_names(body)
        return [*self._cancelled(gone), *self._kept(kept)]

    async def _thin_out(self, scope: CancelScope) -> None:
        """Cancel by name as many as a request may, where a scope is too large for the venue.

        It takes a token for each order a scope cancels, and more than its bucket holds never pass.
        Raises Throttled after each part: what is left is asked for again.
        """
        listed = (await self.open_orders()).orders
        names = [one.identity for one in listed if scope.instrument in {None, one.instrument}]
        if len(names) < TIERS[self._places.pace.tier].cancels_burst:
            return
        try:
            await self._wire.delete("/orders", names[: self.tier.cancels_burst])
        except VenueRefusal as refusal:
            outcomes.question_refused(refusal)
        text = f"{len(names)} orders are more than the venue cancels at once: a part is cancelled"
        raise Throttled(text, outcomes.THROTTLED_NS)

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

    # -- the dead man's switch ---------------------------------------------------------------------

    async def beat(self) -> None:
        """Say that we live; the first time arms the venue's dead man's switch.

        From then on ten silent seconds cancel everything of this key, orders placed by hand
        included. Raises AuthRefused where a second program beats with the key.
        """
        await beat(self._wire, self._beats)
