"""The hand behind the venue: settings, clock, markets, faults, invariants, journal.

`POST /__fake__/<what>` with JSON; every answer is JSON. No part of the venue's own interface.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from engine.domain.events import VenueMode
from engine.domain.instruments import AccountId
from engine.errors import BadInput
from tests.fakes.polymarket.chain import convert
from tests.fakes.polymarket.faults import KINDS, SCRIPTS
from tests.fakes.polymarket.listing import SHARE, Listed
from tests.fakes.polymarket.settings import S
from tests.fakes.polymarket.signing import address
from tests.fakes.polymarket.sockets import Socket
from tests.fakes.polymarket.storm import Storm
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import answer, body_of, venue_of
from tests.fakes.polymarket.ws_market import MarketHub, close_all
from tests.fakes.polymarket.ws_user import UserHub

MS = 1_000_000
LARGE = 2 * 1024 * 1024
routes = web.RouteTableDef()


class Hubs(msgspec.Struct):
    """Both channels, and the storm over them."""

    market: MarketHub
    user: UserHub
    storm: Storm | None = None

    def cut(self) -> None:
        """Cut every connection without a word."""
        for socket in (*self.market.sockets, *self.user.sockets):
            socket.abort()


HUBS = web.AppKey("hubs", Hubs)


async def _given(request: web.Request) -> tuple[Venue, dict[str, Any]]:
    venue, body = venue_of(request), await body_of(request)
    if body is not None and not isinstance(body, dict):
        raise BadInput("give a JSON object")
    return venue, body or {}


@routes.get("/__fake__")
async def overview(request: web.Request) -> web.Response:
    """Return everything there is to know at a glance."""
    venue, hubs = venue_of(request), request.app[HUBS]
    return answer(
        {
            "now_ns": venue.exchange.now_ns,
            "mode": venue.exchange.guard.mode,
            "settings": msgspec.to_builtins(venue.settings),
            "markets": [msgspec.to_builtins(market) for market in venue.by_condition.values()],
            "accounts": dict(venue.ledger.signers),
            "sockets": {"market": len(hubs.market.sockets), "user": len(hubs.user.sockets)},
            "faults": [msgspec.to_builtins(fault) for fault in venue.faults.standing],
            "hits": venue.faults.hits,
            "lapsed": venue.heartbeats.lapsed,
            "settled": {state.value: count for state, count in venue.exchange.worker.ends.items()},
            "settling": _settling(venue),
            "failing": venue.exchange.worker.failing(),
            "batches": venue.market_publisher.batches,
        }
    )


def _settling(venue: Venue) -> int:
    """Count the customers' fills whose end is still to come."""
    worker = venue.exchange.worker
    return sum(
        fill.customer in worker.customers
        for transaction in worker.pending.values()
        for fill in transaction.fills
    )


@routes.get("/__fake__/invariants")
async def invariants(request: web.Request) -> web.Response:
    """Return the ledger in sums; `problems` is empty while every rule holds."""
    return answer(venue_of(request).invariants())


@routes.get("/__fake__/journal")
async def journal(request: web.Request) -> web.Response:
    """Return the newest rows of the journal."""
    rows = list(venue_of(request).journal)
    return answer(rows[-int(request.query.get("limit", 1_000)) :])


@routes.post("/__fake__/settings")
async def settings(request: web.Request) -> web.Response:
    """Change settings by name; quirks under `quirks`."""
    venue, given = await _given(request)
    venue.settings.change(given)
    venue.exchange.reread()
    return answer(msgspec.to_builtins(venue.settings))


@routes.post("/__fake__/clock")
async def clock(request: web.Request) -> web.Response:
    """Move the clock: `skip_ms` forward, `skew_ms` = what the front shows wrongly."""
    venue, given = await _given(request)
    if int(given.get("skip_ms", 0)) < 0:
        raise BadInput("time does not run backwards")
    venue.clock.skip(int(given.get("skip_ms", 0)) * MS)
    venue.clock.skew_ns = int(given.get("skew_ms", venue.clock.skew_ns // MS)) * MS
    venue.pump()
    return answer({"now_ns": venue.exchange.now_ns})


# -- faults and modes ------------------------------------------------------------------------------


@routes.get("/__fake__/faults")
async def known_faults(_: web.Request) -> web.Response:
    """Return what may go wrong."""
    return answer({"kinds": KINDS, "scripts": SCRIPTS})


@routes.post("/__fake__/faults")
async def add_fault(request: web.Request) -> web.Response:
    """Let a fault or a `script` stand; `times`, `chance`, `for_s` narrow it."""
    venue, given = await _given(request)
    if "script" in given:
        name = str(given.pop("script"))
        added = venue.faults.script(name, venue.exchange.now_ns, given)
    else:
        added = [venue.faults.add(given, venue.exchange.now_ns)]
    return answer([msgspec.to_builtins(fault) for fault in added])


@routes.delete("/__fake__/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Remove the faults of a `name`, or all."""
    venue = venue_of(request)
    venue.faults.clear(request.query.get("name", ""))
    return answer({"hits": venue.faults.hits})


@routes.post("/__fake__/mode")
async def mode(request: web.Request) -> web.Response:
    """Switch what the venue takes, or `restart`: 425 for `down_s`, post-only, then open."""
    venue, given = await _given(request)
    guard, now_ns = venue.exchange.guard, venue.exchange.now_ns
    if "restart" in given:
        down_ns = int(float(given.get("down_s", 5)) * S)
        post_only_ns = int(float(given.get("post_only_s", venue.settings.post_only_s)) * S)
        venue.post_only_until_ns = now_ns + down_ns + post_only_ns
        guard.plan_restart(
            now_ns,
            down_ns=down_ns,
            post_only_ns=post_only_ns,
            drop_orders=bool(given.get("drop_orders", False)),
        )
    else:
        for_s = float(given.get("for_s", 0))
        try:
            guard.switch(VenueMode(given.get("mode", "")))
        except ValueError as error:
            raise BadInput(str(error)) from error
        venue.post_only_until_ns = now_ns + int((for_s or venue.settings.post_only_s) * S)
        if for_s:
            guard.plan(VenueMode.OPEN, now_ns + int(for_s * S))
    venue.pump()
    return answer({"mode": guard.mode})


@routes.post("/__fake__/sockets")
async def sockets(request: web.Request) -> web.Response:
    """Do to every socket of a `channel`: `close` with a `code`, `abort`, `large` or `text`."""
    _, given = await _given(request)
    hubs = request.app[HUBS]
    hub = hubs.user if given.get("channel") == "user" else hubs.market
    action = given.get("do", "close")

    def touch(socket: Socket) -> None:
        if action == "large":
            socket.put('{"event_type":"large","pad":"' + "x" * LARGE + '"}', "large")
        elif action == "text":
            socket.put(str(given.get("text", "INVALID OPERATION")), "text")
        elif action == "abort":
            socket.abort()
        else:
            socket.close(int(given.get("code", 1001)))

    return answer({"touched": close_all(list(hub.sockets), touch)})


@routes.post("/__fake__/storm")
async def storm(request: web.Request) -> web.Response:
    """Let one fault follow the other: `every_s`, each `for_s`; `stop` ends it."""
    venue, given = await _given(request)
    hubs = request.app[HUBS]
    if hubs.storm is None:
        every_s, for_s = float(given.get("every_s", 30)), float(given.get("for_s", 8))
        hubs.storm = Storm(venue, every_s=every_s, for_s=for_s, cut=hubs.cut)
        hubs.storm.start()
    hubs.storm.running = not given.get("stop", False)
    return answer({"running": hubs.storm.running, "struck": hubs.storm.struck})


# -- markets and money -----------------------------------------------------------------------------


@routes.post("/__fake__/markets")
async def add_market(request: web.Request) -> web.Response:
    """Open a market; `hydrates_in_s` = how long only Gamma knows it."""
    venue, given = await _given(request)
    delay_s = float(given.pop("hydrates_in_s", 0))
    try:
        market = msgspec.convert(given, Listed)
    except msgspec.ValidationError as error:
        raise BadInput(f"market: {error}") from error
    if delay_s:
        market.hydrates_ns = venue.exchange.now_ns + int(delay_s * S)
    return answer(msgspec.to_builtins(venue.add(market)))


@routes.post("/__fake__/resolve")
async def resolve(request: web.Request) -> web.Response:
    """Resolve a `condition`; `payout` = what one YES pays: 0, 0.5 or 1."""
    venue, given = await _given(request)
    market = venue.market(str(given.get("condition", "")))
    venue.resolve(market, int(float(given.get("payout", 1)) * 1_000_000))
    return answer(msgspec.to_builtins(market))


@routes.post("/__fake__/tick")
async def tick(request: web.Request) -> web.Response:
    """Change the `tick` of a `condition`."""
    venue, given = await _given(request)
    venue.change_tick(venue.market(str(given.get("condition", ""))), str(given.get("tick", "")))
    venue.drain()
    return answer("OK")


@routes.post("/__fake__/wallet")
async def wallet(request: web.Request) -> web.Response:
    """Change a `wallet` of a `signer`: `deposit_micro`, `split` of a `condition`, `allowance`."""
    venue, given = await _given(request)
    name = address(given.get("wallet"))
    account = venue.ledger.ensure(name, address(given.get("signer", name)))
    if "deposit_micro" in given:
        venue.exchange.deposit(account, int(given["deposit_micro"]))
    if "allowance" in given:
        venue.ledger.allowances[account] = int(given["allowance"])
    if "split" in given:
        market = venue.market(str(given.get("condition", "")))
        size = int(given["split"]) * SHARE
        if not convert(venue, account, market, size, f"hand-{venue.exchange.now_ns}"):
            raise BadInput(f"{name} can not split {given['split']}")
    venue.drain()
    return answer(_wallet(venue, account))


def _wallet(venue: Venue, account: AccountId) -> dict[str, Any]:
    wallet = venue.exchange.wallet(account)
    cash = {"settled": wallet.cash, "reserved": wallet.reserved, "pending": wallet.pending}
    held = {
        venue.markets[instrument].token(leg): size
        for instrument, leg, size in venue.exchange.positions(account)
    }
    return {"cash": cash, "tokens": held}


@routes.post("/__fake__/settle")
async def settle(request: web.Request) -> web.Response:
    """Force the ends of the next transactions: `next` = CONFIRMED, RETRYING or FAILED, in turn.

    `customers` = of the next ones with a fill of somebody who trades through the front.
    """
    venue, given = await _given(request)
    customers = bool(given.get("customers", False))
    venue.settle_next([str(state) for state in given.get("next", [])], customers=customers)
    worker = venue.exchange.worker
    return answer({"forced": worker.forced_customers if customers else worker.forced})


@routes.post("/__fake__/people")
async def people(request: web.Request) -> web.Response:
    """Ban a `signer`, let it only close, or change its `tier`."""
    venue, given = await _given(request)
    signer = address(given.get("signer"))
    for name, group in (("banned", venue.auth.banned), ("closed_only", venue.auth.closed_only)):
        if name in given:
            (group.add if given[name] else group.discard)(signer)
    if "tier" in given:
        venue.limits.tiers[signer] = str(given["tier"])
    return answer("OK")
