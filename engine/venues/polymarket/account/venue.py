"""Polymarket behind the venues' door: one account, its wallet, its orders.

Make it with `open`, list each market with `list_market` before the first order in it, hand over the
names the journal knows with `remember`, `close` it at the end. The user channel and `fills` report
fills; an accepted order may have matched already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from msgspec import UNSET

from engine.domain import events as ev
from engine.domain.effects import AnyWalletEffect, CancelScope, QueryOperation
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.orders import Identity, Order, OrderId, OrderReport
from engine.domain.unread import refuse_unread
from engine.errors import BadInput, BrokenInvariant, OutcomeUnknown, PitbossError, Throttled
from engine.gateway.door import Named, OnNamed, Prepared
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.heartbeat_chain import HeartbeatChain
from engine.venues.polymarket.account.listings import answered, clob_rows, data_rows
from engine.venues.polymarket.account.operations import Operations
from engine.venues.polymarket.account.orders import AccountMemory, Preparer, condition_of, market_of
from engine.venues.polymarket.account.outcomes import HeartbeatRefused, VenueRefusal
from engine.venues.polymarket.account.pace import TIERS, Pace, Tier
from engine.venues.polymarket.account.rows import (
    Payments,
    RowReader,
    balance_micro,
    holdings,
    listed_fills,
    order_report,
    order_reports,
    unnamed_orders,
)
from engine.venues.polymarket.account.sdk import Wire
from engine.venues.polymarket.account.signing import Signer

# -- Places on their way: paced, sent once, judged; what they say of the venue's door is kept ------

PATH = "/order"
BATCH_PATH = "/orders"
BATCH_MAX = 15
"""Most orders the venue takes in one request."""

SendAnswer = asyncio.Future[Sequence[ev.VenueEvent]]


class Places:
    """One account's places."""

    def __init__(self, account: AccountId, wire: Wire, now_ns: Callable[[], int]) -> None:
        self._account = account
        self._wire = wire
        self._now_ns = now_ns
        self._ready: list[tuple[Prepared, SendAnswer]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self.pace = Pace(now_ns())
        wire.on_rate(lambda tier, left: self.pace.receive(now_ns(), tier=tier, remaining=left))

    async def send(self, prepared: Prepared) -> Sequence[ev.VenueEvent]:
        """Send exactly these bytes, once. Raises what `outcomes.placed` and a refusal raise.

        Throttled too where our own pace forbids it yet: nothing has left then.
        """
        wait_ns = self.pace.take(self._now_ns())
        if wait_ns:
            raise Throttled(f"our share of the {self.pace.tier} tier is used up", wait_ns)
        loop = asyncio.get_running_loop()
        answer: SendAnswer = loop.create_future()
        self._ready.append((prepared, answer))
        if len(self._ready) == 1:
            loop.call_soon(self._send_ready)
        return await answer

    def _send_ready(self) -> None:
        """Let go what has gathered; one that was given up meanwhile stays here."""
        ready = [one for one in self._ready if not one[1].done()]
        self._ready.clear()
        for start in range(0, len(ready), BATCH_MAX):
            part = ready[start : start + BATCH_MAX]
            # A task of its own: who gives up waiting must not cut off the others' request.
            task = asyncio.get_running_loop().create_task(self._send_part(part))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _send_part(self, part: Sequence[tuple[Prepared, SendAnswer]]) -> None:
        lines: Sequence[object]
        try:
            lines = await self._lines([prepared for prepared, _ in part])
        except (VenueRefusal, PitbossError) as error:
            lines = [error] * len(part)
        for (prepared, answer), line in zip(part, lines, strict=True):
            if answer.done():
                continue
            try:
                answer.set_result(self._judged(prepared, line, alone=len(part) == 1))
            except PitbossError as error:
                answer.set_exception(error)

    async def _lines(self, orders: Sequence[Prepared]) -> Sequence[object]:
        """Return the answer to each order. Raises OutcomeUnknown where they cannot be matched."""
        if len(orders) == 1:
            return [await self._wire.place(PATH, orders[0].payload)]
        body = b"[" + b",".join(prepared.payload for prepared in orders) + b"]"
        lines = await self._wire.place(BATCH_PATH, body)
        if not isinstance(lines, list) or len(lines) != len(orders):
            raise OutcomeUnknown(f"the answer to {len(orders)} orders is not as many lines")
        return lines

    def _judged(self, prepared: Prepared, line: object, *, alone: bool) -> Sequence[ev.VenueEvent]:
        """Return what a line, or what came in place of an answer, proves of an order."""
        order = prepared.order.id
        if isinstance(line, PitbossError):
            raise line
        if not isinstance(line, VenueRefusal):
            return outcomes.placed(
                self._account, Named(order=order, identity=prepared.identity), line
            )
        event = outcomes.place_refused(self._account, order, line)
        if not alone:  # which order of the batch was meant is not said
            raise OutcomeUnknown(f"a batch with order {order} was refused: {event}")
        return (event,)


S = 1_000_000_000
CURRENCY = "pUSD"
FILLS_OVERLAP_S = 120
"""How far a listing of fills reaches behind what was asked: the venue's index lags."""
TOO_MANY = 429
CANCELS_MAX = 1_000
"""Most orders the venue cancels in one request, whatever the SDK allows."""


class PolymarketVenue:
    """One account's door. Every call but `prepare`, `know` and `remember` does I/O."""

    def __init__(
        self, *, account: AccountId, wire: Wire, signer: Signer, now_ns: Callable[[], int]
    ) -> None:
        self._account = account
        self.wire = wire
        """The account's signed requests, for questions that decide nothing (`listings`)."""
        self._memory = AccountMemory()
        self._heartbeats = HeartbeatChain()
        self._places = Places(account, wire, now_ns)
        self.reader = RowReader(account=account, key=wire.api_key, memory=self._memory)
        self._operations = Operations(
            account,
            wire,
            self._memory.market,
            now_ns,
            refresh=self.refresh_balance,
            redemptions=self.redemptions,
        )
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
        urls: Mapping[str, str],
    ) -> Self:
        """Open the account's connections. Raises ConfigError, AuthRefused, NotSent."""
        wire = await Wire.open(credentials, now_ns=now_ns, urls=urls)
        signer = Signer(credentials.private_key())
        return cls(account=account, wire=wire, signer=signer, now_ns=now_ns)

    async def close(self) -> None:
        """Close the connections. Resting orders rest on until an armed heartbeat lapses."""
        await self.wire.close()

    @property
    def tier(self) -> Tier:
        """What we use of the account's trading tier: what its gateway's limiter may be set to."""
        return TIERS[self._places.pace.tier].paced()

    # -- what is known -----------------------------------------------------------------------------

    async def list_market(self, instrument: Instrument) -> None:
        """Learn the terms orders in this market are signed under. Raises where they differ."""
        condition = condition_of(instrument.id)
        body = await answered(self.wire.get(f"/clob-markets/{condition}"))
        self._memory.add(market_of(instrument, body, self.wire.exchanges))

    def remember(self, orders: Sequence[Named]) -> None:
        """Know the names the journal has: without them their fills are a stranger's."""
        for named in orders:
            self._memory.name(named.identity, named.order, named.bot)

    def know(self, instrument: Instrument) -> None:
        """Know which tokens are whose, and its grid of now; its terms are `list_market`'s to ask.

        Without it a fill in this market names no known token.
        """
        self._memory.know_instrument(instrument)

    def lists(self, instrument: InstrumentId) -> bool:
        """Say whether orders in this market can be signed."""
        return self._memory.listed(instrument)

    # -- orders ------------------------------------------------------------------------------------

    def prepare(self, order: Order) -> Prepared:
        """Name, sign and serialise an order. Raises what `Preparer.prepare` raises."""
        return self._preparer.prepare(order)

    async def send(self, prepared: Prepared) -> Sequence[ev.VenueEvent]:
        """Send exactly these bytes, once. Raises what `Places.send` raises."""
        return await self._places.send(prepared)

    async def cancel(self, orders: Sequence[Named]) -> Sequence[ev.VenueEvent]:
        """Cancel these orders, a thousand to a request, and no more than the tier grants at once.

        What fails after a first request succeeded is unanswered, so that what was proved stands.
        """
        self.remember(orders)
        events: list[ev.VenueEvent] = []
        most = min(CANCELS_MAX, TIERS[self._places.pace.tier].cancels_burst)
        for start in range(0, len(orders), most):
            part = orders[start : start + most]
            try:
                events += await self._cancel(part)
            except PitbossError:
                if not start:
                    raise
                events += [
                    ev.CancelUnanswered(account=self._account, order=named.order)
                    for named in orders[start:]
                ]
                break
        return events

    async def _cancel(self, orders: Sequence[Named]) -> Sequence[ev.VenueEvent]:
        try:
            body = await self.wire.delete("/orders", [named.identity for named in orders])
        except VenueRefusal as refusal:
            return outcomes.cancel_refused(self._account, orders, refusal)
        return outcomes.cancelled(self._account, orders, body)

    async def cancel_foreign(self, order: Identity) -> str:
        """Cancel an order of another key of the signer; it is not remembered as one of ours."""
        (event,) = await self._cancel([Named(order=OrderId(0), identity=order)])
        if isinstance(event, ev.OrderCancelled):
            return ""
        return event.venue_text if isinstance(event, ev.CancelRefused) else "it did not answer"

    async def cancel_all(self, scope: CancelScope) -> Sequence[ev.VenueEvent]:
        """Cancel everything of this key in scope; the venue knows no bots, so those are listed."""
        if scope.bot is not None:
            return await self._cancel_bot(scope)
        try:
            if scope.instrument is None:
                body = await self.wire.delete("/cancel-all")
            else:
                market = {"market": condition_of(scope.instrument)}
                body = await self.wire.delete("/cancel-market-orders", market)
        except VenueRefusal as refusal:
            if refusal.status == TOO_MANY:
                await self._thin_out(scope)
            outcomes.question_refused(refusal)
        return outcomes.cancelled(self._account, self._ours(outcomes.names_in(body)), body)

    async def _thin_out(self, scope: CancelScope) -> None:
        """Cancel by name as many as a request may, where a scope is too large for the venue.

        It takes a token for each order a scope cancels, and more than its bucket holds never pass.
        Orders of other keys may count there, and are left alone (law N). Raises Throttled after
        each part: what is left is asked for again.
        """
        listed = (await self.open_orders()).orders
        found = [one for one in listed if scope.instrument in {None, one.instrument}]
        names = [one.identity for one in found if one.ours]
        if not names or len(found) < TIERS[self._places.pace.tier].cancels_burst:
            return
        try:
            await self.wire.delete("/orders", names[: self.tier.cancels_burst])
        except VenueRefusal as refusal:
            outcomes.question_refused(refusal)
        text = f"{len(names)} orders are more than the venue cancels at once: a part is cancelled"
        raise Throttled(text, outcomes.THROTTLED_NS)

    def _ours(self, names: Iterable[Identity]) -> list[Named]:
        """Return those of our orders, with their numbers and bots."""
        return [
            Named(order=known.order, identity=name, bot=known.bot)
            for name in names
            if (known := self._memory.known(name)) is not None
        ]

    async def _cancel_bot(self, scope: CancelScope) -> Sequence[ev.VenueEvent]:
        listed = (await self.open_orders()).orders
        here = [one.identity for one in listed if scope.instrument in {None, one.instrument}]
        return await self.cancel([one for one in self._ours(here) if one.bot == scope.bot])

    # -- questions: whole answers or an error, never a short list ----------------------------------

    async def open_orders(self) -> ev.OpenOrdersListed:
        """Return every open order of the key's account, all pages, or raise."""
        rows = await answered(clob_rows(self.wire, "/data/orders"))
        reports, unread = order_reports(rows, self.reader)
        return ev.OpenOrdersListed(account=self._account, orders=reports, unread=unread or UNSET)

    async def order(self, named: Named) -> ev.OrderReported | ev.OrderNotFound:
        """Return what the venue knows about one order.

        The plain question answers null for an order that ended, so the listing by id is asked too.
        """
        self.remember([named])
        try:
            row = await self.wire.get(f"/data/order/{named.identity}")
        except VenueRefusal as refusal:
            if refusal.status != 404:
                outcomes.question_refused(refusal)
            row = None
        if row is None:
            rows = await answered(clob_rows(self.wire, "/data/orders", id=named.identity))
            row = next((row for row in rows), None)
        if row is None:
            return ev.OrderNotFound(account=self._account, order=named.order)
        report = order_report(row, self.reader)
        if report.identity != named.identity:
            raise BadInput(f"asked about {named.identity}, the venue reports {report.identity}")
        return ev.OrderReported(account=self._account, report=report)

    async def fills(self, since_ns: int) -> ev.FillsListed:
        """Return our fills since a time and of the two minutes before it, oldest first, or raise.

        The listing is not filtered by token: the venue's filter looks at the taker's alone.
        """
        fills, unread = listed_fills(await self._trades(since_ns), self.reader)
        return ev.FillsListed(
            account=self._account, since_ns=since_ns, fills=fills, unread=unread or UNSET
        )

    async def unnamed_orders(self, since_ns: int) -> Sequence[OrderReport]:
        """Return orders of our key that trades tell of, and whose names are not known here.

        Raises BadInput where one cannot be read.
        """
        found, unread = unnamed_orders(await self._trades(since_ns), self.reader)
        refuse_unread(unread, "trades")
        return found

    async def _trades(self, since_ns: int) -> list[object]:
        after_s = max(0, since_ns // S - FILLS_OVERLAP_S)
        rows = await answered(clob_rows(self.wire, "/data/trades", after=str(after_s)))
        return rows[::-1]

    async def balances(self) -> ev.BalancesListed:
        """Return the wallet's cash as the venue's cache knows it; open orders are not deducted."""
        params: dict[str, str | int] = {
            "asset_type": "COLLATERAL",
            "signature_type": self.wire.signature_type,
        }
        body = await answered(self.wire.get("/balance-allowance", **params))
        return ev.BalancesListed(account=self._account, cash_micro={CURRENCY: balance_micro(body)})

    async def positions(self) -> ev.PositionsListed:
        """Return what the wallet holds by the chain's index, which lags by seconds, or raise."""
        listed: list[object] = []
        for status in ("OPEN", "REDEEMABLE"):
            params: dict[str, str | int] = {"user": self.wire.wallet, "status": status}
            listed += await answered(data_rows(self.wire, "/v2/positions", **params))
        held, unread = holdings(listed, self.reader)
        return ev.PositionsListed(account=self._account, holdings=held, unread=unread or UNSET)

    async def redemptions(self, since_ns: int) -> ev.RedemptionsListed:
        """Return what the wallet's tokens became since a time, by the chain's index, or raise."""
        rows = await answered(
            data_rows(
                self.wire,
                "/v2/activity",
                user=self.wire.wallet,
                type="REDEEM,SPLIT,MERGE",
                start=str(since_ns // S),
            )
        )
        paid = Payments(self._account, since_ns)
        paid.read(rows)
        return ev.RedemptionsListed(
            account=self._account,
            since_ns=since_ns,
            redemptions=paid.redemptions,
            conversions=paid.conversions,
            unread=tuple(paid.unread) or UNSET,
        )

    async def refresh_balance(self, instrument: Instrument | None = None) -> None:
        """Let the venue look at the chain again: after settlements, deposits, splits and merges.

        None = cash, an instrument = both its tokens. The SDK offers no such call.
        """
        kind = self.wire.signature_type
        path = "/balance-allowance/update"
        if instrument is None or instrument.tokens is None:
            await answered(self.wire.touch(path, asset_type="COLLATERAL", signature_type=kind))
            return
        for token in instrument.tokens:
            asset = "CONDITIONAL-V2" if self.wire.is_v2(token) else "CONDITIONAL"
            call = self.wire.touch(path, asset_type=asset, signature_type=kind, token_id=token)
            await answered(call)

    # -- operations of the wallet ------------------------------------------------------------------

    async def operate(self, asked: AnyWalletEffect, named: OnNamed) -> Sequence[ev.VenueEvent]:
        """Sign an operation, have its name kept, hand it to the relayer."""
        return await self._operations.operate(asked, named)

    async def operation(self, asked: QueryOperation) -> Sequence[ev.VenueEvent]:
        """Return what became of an operation, as far as the venue says."""
        return await self._operations.operation(asked)

    # -- the dead man's switch ---------------------------------------------------------------------

    async def send_heartbeat(self, *, lapsed: bool = False) -> None:
        """Say that we live; the first time arms the venue's dead man's switch.

        From then on ten silent seconds cancel everything of this key, orders placed by hand
        included; `lapsed` = they have passed. Where the venue names another id, a second beat is
        sent at once. Raises SecondWriter where a second program beats with the key, and what a
        question raises.
        """
        chain = self._heartbeats
        if lapsed:
            chain.lost()
        for _ in range(2):
            body = f'{{"heartbeat_id":"{chain.next_id}"}}'.encode()
            try:
                answer = await self.wire.post("/v1/heartbeats", body)
            except HeartbeatRefused as refused:
                chain.refused(refused.expected)
                continue
            except VenueRefusal as refusal:
                chain.lost()
                outcomes.question_refused(refusal)
            except (PitbossError, asyncio.CancelledError):
                chain.lost()
                raise
            next_id = answer.get("heartbeat_id") if isinstance(answer, dict) else None
            if not isinstance(next_id, str):
                chain.lost()
                raise BadInput("the venue's answer to a heartbeat names no next id")
            chain.answered(next_id)
            return
        raise BrokenInvariant("a chain of heartbeats takes one correction, not two")
