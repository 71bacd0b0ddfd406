"""A live account's user channel, from frames to the account, for as long as the engine lives.

A broken channel is said at once: nothing is placed while blind. Each new connection starts over:
everything is asked, fills with two minutes of overlap, and what the channel tells meanwhile goes
to the executor as it comes. It merges by ids, so nothing needs to wait, and nothing is placed
before the listings are believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from random import Random
from typing import TYPE_CHECKING

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from engine.domain.effects import QueryFills, QueryOpenOrders, caution
from engine.domain.events import (
    FillAdvanced,
    FillSettled,
    FillVoided,
    HealthChanged,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderFilled,
    OrderReported,
    VenueEvent,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import InstrumentId
from engine.domain.orders import CancelReason, OrderId, OrderState
from engine.errors import BadInput, NotSent, OutcomeUnknown
from engine.feeds.counts import UNREADABLE
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import USER_FEED, Services
from engine.venues.polymarket.account.rows import (
    SIZE_DECIMALS,
    RowReader,
    SdkRow,
    killed_rest,
    number,
    order_report,
    status_of,
    trade_fills,
)

if TYPE_CHECKING:
    from engine.venues.polymarket.account.venue import PolymarketVenue

# -- The socket: signs in, keeps itself proven, gives text frames ----------------------------------
# There is no snapshot, no replay and no acknowledgement (trading API, §4.1 and §4.3): what was
# missed is asked by REST. Data may stop while PONGs go on, so the channel proves only that it is
# connected; the listings asked every half minute prove that nothing was missed.

PING = "PING"
PING_EVERY_S = 5.0
SILENT_S_MAX = 15.0
"""No frame and no PONG for this long: three PINGs stayed unanswered (the SDK waits for 30 s)."""
OPEN_S_MAX = 10.0
FRAME_BYTES_MAX = 8 * 1024 * 1024
"""A frame may carry every order of a match; the library's own 1 MiB would end the connection."""


class UserSocket:
    """One account's connection to the user channel. `login` gives the sign-in frame."""

    def __init__(self, url: str, login: Callable[[], bytes]) -> None:
        self._url = url
        self._login = login

    def __repr__(self) -> str:
        return f"UserSocket({self._url}, <hidden>)"

    async def listen(self) -> AsyncIterator[str]:
        """Give text frames until the connection breaks; the first one proves that it is up.

        Raises NotSent where it could not be opened, OutcomeUnknown where it broke. A wrong key gets
        no word at this venue, only a closed connection.
        """
        try:
            socket = await connect(
                self._url,
                open_timeout=OPEN_S_MAX,
                close_timeout=1.0,
                ping_interval=None,
                max_size=FRAME_BYTES_MAX,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            text = f"the user channel cannot be opened: {type(error).__name__}"
            raise NotSent(text) from None
        pinging = asyncio.ensure_future(_ping(socket))
        try:
            await socket.send(self._login().decode())
            await socket.send(PING)
            while True:
                async with asyncio.timeout(SILENT_S_MAX):
                    raw = await socket.recv()
                yield raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        except TimeoutError:
            text = f"the user channel was silent for {SILENT_S_MAX:.0f} s"
            raise OutcomeUnknown(text) from None
        except (OSError, WebSocketException) as error:
            # Its text may quote what was sent; its kind and code say enough.
            code = getattr(getattr(error, "rcvd", None), "code", "no code")
            text = f"the user channel broke: {type(error).__name__}, {code}"
            raise OutcomeUnknown(text) from None
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)
            await socket.close()


async def _ping(socket: ClientConnection) -> None:
    while True:
        await asyncio.sleep(PING_EVERY_S)
        await socket.send(PING)


# -- Frames → events of our orders and fills. Pure and tolerant ------------------------------------
# Fills come from trade frames alone: as maker only by the id of an order of ours in `maker_orders`.
# Order frames tell how an order lives and ends. Shapes and quirks: trading API, §4.3, and the
# frames others recorded. What cannot be read is named, never guessed: the listener must then ask.

FILLS_REMEMBERED_MAX = 50_000
"""Fills whose last reported status is remembered; a forgotten one is reported from the start."""
TEXT_MAX = 200

_REASONS = (
    ("MARKET_RESOLVED", CancelReason.MARKET_RESOLVED),
    ("MARKET_NOT_FOUND", CancelReason.MARKET_CLOSED),
    ("NOT_ENOUGH_BALANCE", CancelReason.NO_FUNDS),
    ("FULLY FILLED OR KILLED", CancelReason.KILLED_REST),
    ("FILLED OR KILLED", CancelReason.KILLED_REST),
)
"""What stands behind `CANCELED_`, in capitals → our word."""
_TIMED_OUT = ("EXPIRED_ORDER", "ORDER_TIMED_OUT")


class UserFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What one text frame said. `unread` names what could not be read; empty = all of it was."""

    events: tuple[VenueEvent, ...] = ()
    unread: str = ""


class UserFrames:
    """Reads one account's user channel; remembers what it reported of each fill."""

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader
        self._reported: dict[FillId, FillState] = {}

    def read(self, text: str | bytes) -> UserFrame:
        """Return what a frame says. Bare words (`PONG`, `INVALID OPERATION`) say nothing."""
        raw = text.encode() if isinstance(text, str) else text
        if raw.lstrip()[:1] not in {b"{", b"["}:
            return UserFrame()
        try:
            decoded = msgspec.json.decode(raw)
        except UNREADABLE as error:
            return UserFrame(unread=f"a frame of {len(raw)} bytes is no JSON: {error}")
        events: list[VenueEvent] = []
        unread = ""
        for frame in decoded if isinstance(decoded, list) else [decoded]:
            try:
                events += self._frame(frame)
            except BadInput as error:
                # One torn row must not cost its neighbours their fills.
                unread = unread or str(error)[:TEXT_MAX]
        return UserFrame(events=tuple(events), unread=unread)

    def _frame(self, frame: object) -> Iterator[VenueEvent]:
        if not isinstance(frame, Mapping):
            raise BadInput("a frame of the user channel is not an object")
        kind = _kind(frame)
        if kind == "order":
            return self._order(frame)
        return self._trade(frame) if kind == "trade" else iter(())

    # -- orders ------------------------------------------------------------------------------------

    def _order(self, frame: SdkRow) -> Iterator[VenueEvent]:
        known = self._reader.memory.known(str(frame.get("id") or ""))
        if known is None:
            return  # another program's; were it ours and lost, the listing of open orders says so
        account, order = self._reader.account, known.order
        status = status_of(frame)
        what = str(frame.get("type") or "").upper()
        if what == "CANCELLATION" or status.startswith("CANCEL") or status == "INVALID":
            yield self._over(frame, order, status)
        elif status == "DELAYED":
            yield OrderDelayed(account=account, order=order)
        elif status == "MATCHED" and killed_rest(frame):
            yield self._report(frame, OrderState.CANCELLED)
        elif status in {"LIVE", "UNMATCHED", "MATCHED"}:
            # An UPDATE tells of a match: its trade frame is the proof, and the source of the fill.
            if what != "UPDATE":
                yield OrderAccepted(account=account, order=order)
        else:
            raise BadInput(f"an order's status {status[:40]!r} is not known")

    def _over(self, frame: SdkRow, order: OrderId, status: str) -> VenueEvent:
        """Return the end of an order.

        Where a part was filled it is a report with the amount: the executor lets the order go only
        when it has booked so much (law G).
        """
        account = self._reader.account
        if number(frame.get("size_matched"), SIZE_DECIMALS, "size_matched"):
            return self._report(frame, OrderState.CANCELLED)
        if status.endswith(_TIMED_OUT):
            return OrderExpired(account=account, order=order)
        _, _, tail = status.partition("_")
        reason = next((reason for piece, reason in _REASONS if piece in tail), None)
        if reason is None:
            reason = CancelReason.VENUE if tail else CancelReason.ASKED
        if status == "INVALID":
            reason = CancelReason.TICK_CHANGED
        text = str(frame.get("status") or "")[:TEXT_MAX] if tail else ""
        return OrderCancelled(account=account, order=order, reason=reason, venue_text=text)

    def _report(self, frame: SdkRow, state: OrderState) -> OrderReported:
        # The state is set here: the row's own words for it were read already.
        report = order_report({**frame, "status": "CANCELED"}, self._reader)
        report = msgspec.structs.replace(report, state=state)
        return OrderReported(account=self._reader.account, report=report)

    # -- fills -------------------------------------------------------------------------------------

    def _trade(self, frame: SdkRow) -> Iterator[VenueEvent]:
        # Read whole before anything is yielded: a fill of ours in a torn row would be half a truth.
        for fill in list(trade_fills(frame, self._reader)):
            yield from self._fill(fill)

    def _fill(self, fill: OrderFilled) -> Iterator[VenueEvent]:
        account, name, state = fill.account, fill.fill, fill.state
        last = self._reported.pop(name, None)
        self._reported[name] = state if state is not FillState.MATCHED or last is None else last
        if len(self._reported) > FILLS_REMEMBERED_MAX:
            del self._reported[next(iter(self._reported))]
        if last is None:
            # What came before is reported too: to who has booked it, it is no news.
            yield msgspec.structs.replace(fill, state=FillState.MATCHED)
        if state is last or state is FillState.MATCHED:
            return
        if state is FillState.CONFIRMED:
            yield FillSettled(account=account, fill=name, transaction=fill.transaction)
        elif state is FillState.FAILED:
            yield FillVoided(account=account, fill=name)
        else:
            yield FillAdvanced(
                account=account, fill=name, state=state, transaction=fill.transaction
            )


def _kind(frame: Mapping[object, object]) -> str:
    """Return `order`, `trade` or another name; frames of both kinds came without their name."""
    named = str(frame.get("event_type") or "").lower()
    if named:
        return named
    if "taker_order_id" in frame:
        return "trade"
    return "order" if "original_size" in frame else "unknown"


def user_channel(venue: PolymarketVenue) -> tuple[UserSocket, UserFrames]:
    """Return an account's socket, not yet open, and what reads its frames."""
    return UserSocket(venue.wire.user_url, venue.wire.login), UserFrames(venue.reader)


# -- What the channel tells, to the account --------------------------------------------------------

S = 1_000_000_000
TAPE = "polymarket.user"
RETRY_S_MIN = 0.25
RETRY_S_MAX = 8.0
QUIET_NS = 2 * S
"""Pause between two questions because of unreadable frames."""
ALERT_NS = 60 * S
OVERLAP_NS = 120 * S


class PolymarketUser:
    """What the venue tells one account."""

    def __init__(self, services: Services, runner: AccountRunner) -> None:
        self._services = services
        self._runner = runner
        self.connected = False
        self.received_ns = 0
        """When the last frame came, a PONG too; 0 = none has."""
        self.settled: dict[InstrumentId, None] = {}
        """Markets of which the venue's cached balances are older than a settlement."""
        self._asked_ns = self._alerted_ns = -ALERT_NS
        # Many engines must not come back at the same moment; the same account always does alike.
        self._rng = Random(str(runner.account))  # noqa: S311 nothing secret is drawn

    def health(self, reason: str) -> HealthChanged:
        """Return the reason not to place; empty = there is none."""
        account = self._runner.account
        return HealthChanged(account=account, source=USER_FEED, healthy=not reason, reason=reason)

    async def run(self, venue: PolymarketVenue) -> None:
        """Listen until cancelled."""
        socket, self._frames = user_channel(venue)
        pause_s = RETRY_S_MIN
        while True:
            began_ns = self._services.clock.now_ns()
            try:
                async for text in socket.listen():
                    self._take(text)
                reason = "the stream ended"
            except (NotSent, OutcomeUnknown) as error:
                reason = str(error)
            if self.connected:
                self.connected = False
                self._runner.report(self.health(reason))
            connected_ns = self._services.clock.now_ns() - began_ns
            pause_s = RETRY_S_MIN if connected_ns > 10 * S else min(2 * pause_s, RETRY_S_MAX)
            await asyncio.sleep(pause_s * (0.5 + self._rng.random()))

    def _take(self, text: str) -> None:
        services, runner = self._services, self._runner
        now_ns = self.received_ns = services.clock.now_ns()
        if not self.connected:
            self.connected = True
            runner.deliver(self.health(""), now_ns)
            runner.start_over(now_ns)
        received = self._frames.read(text)
        if received.events or received.unread:
            services.tape(TAPE, text.encode(), now_ns)
        for event in received.events:
            runner.deliver(self._known(event), now_ns)
        if received.unread:
            self._torn(received.unread, now_ns)
        if received.events:
            runner.settle(now_ns)

    def _known(self, event: VenueEvent) -> VenueEvent:
        """Add what only the account knows: whose cancel it was, which balance is old now."""
        executor = self._runner.core.executor
        if type(event) is OrderCancelled and event.reason is CancelReason.ASKED:
            known = executor.record(event.order)
            if known is not None and not known.cancel_asked and not known.state.ended:
                return msgspec.structs.replace(event, reason=CancelReason.VENUE)
        elif type(event) is FillSettled or type(event) is FillVoided:
            fill = executor.ledger.state.fills.unsettled.get(event.fill)
            if fill is not None:
                self.settled[fill.instrument] = None
        return event

    def _torn(self, what: str, now_ns: int) -> None:
        """Ask about what a frame failed to tell, and tell a person."""
        account = self._runner.account
        if now_ns - self._asked_ns >= QUIET_NS:
            self._asked_ns = now_ns
            self._runner.ask(QueryFills(account=account, since_ns=now_ns - OVERLAP_NS), now_ns)
            self._runner.ask(QueryOpenOrders(account=account), now_ns)
        if now_ns - self._alerted_ns >= ALERT_NS:
            self._alerted_ns = now_ns
            text = f"a frame of the user channel cannot be read: {what}; the venue is asked instead"
            self._services.alert(caution("user_frame", text, account=account), now_ns)
