"""The demo exchange's program: HTTP and WebSockets on 127.0.0.1 around `DemoHost`.

It does not know who its customers are; an account is opened by whoever names it, but never by a web
page: a browser takes its pages' requests to any port of this machine. Time passes in
steps of at most `STEP_S`. A listener that does not take its frames is cut off: it comes back and
receives everything anew, so that nothing is ever missing in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import WSMsgType, web

from engine.clock import Clock
from engine.domain import effects as fx
from engine.domain.events import ModeChanged, VenueEvent
from engine.domain.instruments import AccountId
from engine.errors import AuthRefused, BadInput, VenueClosed
from engine.venues.demo import wire
from engine.venues.demo.host import (
    AccountOpened,
    AnyExchangeInput,
    Beaten,
    CancelAllAsked,
    CancelsAsked,
    DemoHost,
    TicketHandedIn,
    WalletAsked,
)
from engine.venues.demo.orders import KEY, Names, Ticket

STEP_S = 0.01
KEEPALIVE_NS = 1_000_000_000
FRAMES_WAITING_MAX = 1_000
LISTENERS_MAX = 100
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BROWSER_HEADERS = frozenset({"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"})

_ticket = msgspec.json.Decoder(Ticket).decode
_asked = msgspec.msgpack.Decoder(
    fx.CancelOrders | fx.CancelAll | fx.AnyQuery | fx.AnyWalletEffect
).decode
_opening = msgspec.msgpack.Decoder(wire.OpenAccount).decode

RouteHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Listener:
    """One WebSocket and the frames that wait for it. `account` None = it receives the market."""

    def __init__(self, account: AccountId | None) -> None:
        self.account = account
        self.frames: asyncio.Queue[bytes] = asyncio.Queue(FRAMES_WAITING_MAX)
        self.cut = asyncio.Event()

    def send(self, frame: bytes) -> None:
        """Queue a frame; a listener that is too slow is cut off."""
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.cut.set()


class DemoServer:
    """Serves one host. `app` is the aiohttp application; run `live` beside it."""

    def __init__(self, host: DemoHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._listeners: dict[int, Listener] = {}
        self._count = 0
        self._keepalive_ns = 0
        self.app = web.Application(middlewares=[_refusals], client_max_size=1 << 20)
        self.app.add_routes(
            [
                web.post(wire.OPEN, self._open),
                web.post(wire.PLACE, self._place),
                web.post(wire.ASK, self._ask),
                web.post(wire.HEARTBEAT, self._heartbeat),
                web.get(wire.HEALTH, self._health),
                web.get(wire.MARKET, self._market),
                web.get(wire.USER, self._user),
            ]
        )

    # -- time --------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Let time pass until cancelled."""
        while True:
            self._step(self._clock.now_ns())
            await asyncio.sleep(STEP_S)

    def _step(self, now_ns: int) -> None:
        public, received = self._host.advance(self._host.moment(now_ns))
        keepalive = now_ns >= self._keepalive_ns
        if keepalive:
            self._keepalive_ns = now_ns + KEEPALIVE_NS
        if public or keepalive:
            events = tuple(event for _, event in public)
            frame = wire.pack(wire.MarketFrame(at_ns=now_ns, events=events))  # type: ignore[arg-type]
            self._send(None, frame)
        if keepalive:
            frame = wire.pack(wire.ExchangeUserFrame(at_ns=now_ns))
            for listener in self._listeners.values():
                if listener.account is not None:
                    listener.send(frame)
        for account, news in received.items():
            self._send(account, wire.pack(wire.ExchangeUserFrame(at_ns=now_ns, events=tuple(news))))

    def _send(self, account: AccountId | None, frame: bytes) -> None:
        for listener in self._listeners.values():
            if listener.account == account:
                listener.send(frame)

    # -- requests ----------------------------------------------------------------------------------

    def _now(self) -> int:
        return self._host.moment(self._clock.now_ns())

    def _do(self, given: AnyExchangeInput) -> web.Response:
        answered = self._host.do(given)
        response = _answer(answered)
        # Fills of this very request travel at once, not with the next step.
        self._step(self._now())
        return response

    async def _open(self, request: web.Request) -> web.Response:
        asked = _opening(await request.read())
        return self._do(
            AccountOpened(at_ns=self._now(), account=asked.account, cash_micro=asked.cash_micro)
        )

    async def _place(self, request: web.Request) -> web.Response:
        account, ticket = _account(request), _ticket(await request.read())
        order = Names(account, KEY).known(ticket.identity)
        if order is None or ticket.key != KEY:
            raise BadInput(f"{ticket.identity} is no order's name of {account}")
        return self._do(
            TicketHandedIn(at_ns=self._now(), account=account, order=order, ticket=ticket)
        )

    async def _ask(self, request: web.Request) -> web.Response:
        account, asked, at_ns = _account(request), _asked(await request.read()), self._now()
        match asked:
            case fx.CancelOrders(orders=orders):
                return self._do(CancelsAsked(at_ns=at_ns, account=account, orders=orders))
            case fx.CancelAll(scope=scope):
                return self._do(CancelAllAsked(at_ns=at_ns, account=account, scope=scope))
            case fx.RedeemTokens() | fx.MergePairs() | fx.SplitCash() | fx.ApproveTrading():
                return self._do(WalletAsked(at_ns=at_ns, account=account, operation=asked))
            case _:
                answers = self._host.answers_of(account, at_ns).answers(account)
                return _answer(answers.do(asked, at_ns))

    async def _heartbeat(self, request: web.Request) -> web.Response:
        return self._do(Beaten(at_ns=self._now(), account=_account(request)))

    async def _health(self, request: web.Request) -> web.Response:
        del request
        sums = self._host.exchange.invariants()
        return web.json_response(
            {"now_ns": self._host.exchange.now_ns, "problems": list(sums.problems)}
        )

    # -- listeners ---------------------------------------------------------------------------------

    async def _market(self, request: web.Request) -> web.StreamResponse:
        self._step(self._now())
        exchange = self._host.exchange
        traded = {
            name: wire.Traded(one.traded.day_micro(exchange.now_ns), one.traded.total_micro)
            for name, one in exchange.order_entry.markets.items()
        }
        first = wire.MarketFrame(
            at_ns=self._clock.now_ns(),
            events=tuple(exchange.opening()),  # type: ignore[arg-type]
            traded=traded,
        )
        return await self._listen(request, Listener(None), wire.pack(first))

    async def _user(self, request: web.Request) -> web.StreamResponse:
        account = _account(request)
        self._host.exchange.account(account)
        # Who was away may have missed that the exchange opened again.
        mode = ModeChanged(account=account, mode=self._host.exchange.guard.mode)
        first = wire.pack(wire.ExchangeUserFrame(at_ns=self._clock.now_ns(), events=(mode,)))
        return await self._listen(request, Listener(account), first)

    async def _listen(
        self, request: web.Request, listener: Listener, first: bytes
    ) -> web.StreamResponse:
        if len(self._listeners) >= LISTENERS_MAX:
            raise web.HTTPServiceUnavailable(text=f"more than {LISTENERS_MAX} listeners")
        self._count += 1
        number = self._count
        listener.send(first)
        self._listeners[number] = listener
        socket = web.WebSocketResponse(max_msg_size=wire.FRAME_BYTES_MAX, compress=False)
        await socket.prepare(request)
        sending = asyncio.create_task(_send_frames(socket, listener))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            del self._listeners[number]
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket


async def _send_frames(socket: web.WebSocketResponse, listener: Listener) -> None:
    """Send what waits, in order, until the listener is cut off or gone."""
    cut = asyncio.create_task(listener.cut.wait())
    try:
        while not listener.cut.is_set():
            waiting = asyncio.create_task(listener.frames.get())
            try:
                await asyncio.wait({waiting, cut}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()  # nothing where it is done, also where this is cancelled itself
            if not waiting.done():
                break
            await socket.send_bytes(waiting.result())
    except ConnectionError:
        return  # it went away; its own side notices
    finally:
        cut.cancel()
        await socket.close()


def _account(request: web.Request) -> AccountId:
    account = request.query.get("account", "")
    if not account:
        raise BadInput("which account?")
    return AccountId(account)


def _answer(events: list[VenueEvent]) -> web.Response:
    return web.Response(body=wire.pack(events))


def _from_a_page(request: web.Request) -> bool:
    """Say whether a browser may stand behind a request: what browsers add, or cannot add."""
    if request.url.host not in LOOPBACK or request.headers.keys() & BROWSER_HEADERS:
        return True
    return request.path != wire.HEALTH and wire.CUSTOMER not in request.headers


@web.middleware
async def _refusals(request: web.Request, handler: RouteHandler) -> web.StreamResponse:
    """Answer what was refused without effect, in the venue's own way."""
    if _from_a_page(request):
        refusal = wire.RefusalFrame(text="refused: this exchange serves programs, not a web page")
        return web.Response(status=wire.FORBIDDEN_STATUS, body=wire.pack(refusal))
    try:
        return await handler(request)
    except VenueClosed as closed:
        refusal, status = wire.RefusalFrame(text=str(closed), mode=closed.mode), wire.CLOSED_STATUS
    except AuthRefused as refused:
        refusal, status = wire.RefusalFrame(text=str(refused)), wire.UNKNOWN_STATUS
    except (BadInput, msgspec.DecodeError) as error:
        refusal, status = wire.RefusalFrame(text=str(error)), wire.BAD_STATUS
    return web.Response(status=status, body=wire.pack(refusal))
