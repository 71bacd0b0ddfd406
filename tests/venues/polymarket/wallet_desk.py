"""A live account's executor, gateway and adapter over the fake, on its clock, with deaths.

An engine that dies is an object that is dropped: what its journal holds is all that the next one
knows. Real is everything between the executor and the socket; the journal is a list.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from engine.domain.effects import AnyWalletEffect, Effect, PlaceOrder, RaiseAlert
from engine.domain.events import (
    CashMoved,
    InstrumentListed,
    InstrumentResolved,
    OperationMoved,
    OperationNamed,
    OrderNamed,
    RedemptionsListed,
    TimerFired,
)
from engine.domain.instruments import Instrument, InstrumentId, Leg, Mode
from engine.domain.orders import Order, OrderType
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.executor.executor import Executor
from engine.gateway.core import GatewayCore
from engine.gateway.lanes import QUERIES
from engine.gateway.sender import Sender
from engine.runtime.recovery import executor_of, remember
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.listing import Listed, instrument_of
from tests.fakes.polymarket.server import Served
from tests.fakes.polymarket.server import serving as serve
from tests.venues.polymarket.adapter import LIVE, SHARE, adapter, order
from tests.venues.polymarket.kit import RAIN, Trader, quick

USD = 1_000_000
S = 1_000_000_000
STEPS = ("asked", "named", "submitted", "mined", "confirmed", "paid")
FAUCET = 10_000 * USD
BEGAN_NS = 1_790_000_000 * S


class Died(Exception):
    """The engine ended here: nothing that follows is its own."""


class EngineRun:
    """One start of the engine."""

    def __init__(self, desk: WalletDesk) -> None:
        self.desk = desk
        self.dead = False
        self.executor: Executor = executor_of(desk.settings, 1)[0]
        self.sender = Sender(
            core=GatewayCore(account=LIVE, settings=GatewaySettings()),
            venue=desk.venue,  # type: ignore[arg-type]
            clock=desk,  # type: ignore[arg-type]
            report=self.tell,
            durable=self.durable,
            alert=desk.alerts.append,
            identity=desk.names.get,
            crash=lambda _: None,
        )

    async def durable(self) -> None:
        """Everything is on the disk at once; with it the engine may die."""
        if self.dead:
            raise Died
        wallets = AnyWalletEffect | OperationNamed
        last = next((one for one, _ in reversed(self.desk.journal) if isinstance(one, wallets)), 0)
        self.may_die("named" if isinstance(last, OperationNamed) else "asked")

    def may_die(self, step: str) -> None:
        """End here where that was wanted."""
        if self.desk.dies == step:
            self.desk.dies, self.dead = "", True
            raise Died

    def tell(self, event: Any) -> None:
        """Journal an event and let the executor receive it."""
        if self.dead:
            return
        if (step := _step(event)) and self.desk.dies == step:
            self.desk.dies, self.dead = "", True
            return
        self.desk.record(event)
        self.do(self.executor.receive(event, self.desk.now_ns()))

    def do(self, effects: list[Effect]) -> None:
        """Journal what was asked for, and hand it to the gateway."""
        for effect in effects:
            if isinstance(effect, RaiseAlert):
                self.desk.alerts.append(effect)
            elif type(effect) in QUERIES:
                self.desk.record(effect)
                self.sender.take(effect)  # type: ignore[arg-type]

    async def turn(self) -> None:
        """Let a second's worth of everything happen."""
        self.tell(TimerFired(name="second"))
        self.sender.advance()
        for _ in range(20):
            if self.dead:
                return
            self.do(self.executor.plan(self.desk.now_ns()))
            if not self.sender.under_way:
                return
            await self.sender.drain()


def _step(event: Any) -> str:
    if isinstance(event, OperationMoved):
        return str(event.state)
    paid = isinstance(event, RedemptionsListed) and (event.redemptions or event.conversions)
    return "paid" if paid else ""


class WalletDesk:
    """The account. `dies` = with which step of an operation its engine ends; empty = with none."""

    def __init__(self, served: Served, venue: PolymarketVenue, other: Trader, **given: Any) -> None:
        given = {"auto_redeem": True} | given
        self.settings = AccountSettings(
            name=LIVE, mode=Mode.LIVE, venue="polymarket", currency="pUSD", **given
        )
        self.served, self.venue, self.other = served, venue, other
        self.journal: list[tuple[Any, int]] = []
        self.names: dict[int, Any] = {}
        self.alerts: list[RaiseAlert] = []
        self.dies = ""
        self.deaths = 0
        self.engine_run = EngineRun(self)

    def now_ns(self) -> int:
        return self.served.venue.clock.now_ns()

    @property
    def executor(self) -> Executor:
        return self.engine_run.executor

    def record(self, message: Any) -> None:
        self.journal.append((message, self.now_ns()))
        if isinstance(message, OrderNamed):
            self.names[message.order] = message.identity

    def start(self) -> None:
        """Begin a run with what the journal holds."""
        self.engine_run = EngineRun(self)
        for message, at_ns in list(self.journal):
            remember(self.executor, message, at_ns)
        self.engine_run.do(self.executor.recover((), self.now_ns()))

    def skip(self, seconds: float) -> None:
        """Let time pass at the venue."""
        self.served.venue.clock.skip(int(seconds * S))
        self.served.venue.pump()

    async def run(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass; an engine that died is started again a second later."""
        passed = 0.0
        while passed < seconds:
            self.skip(step_s)
            passed += step_s
            if self.engine_run.dead:
                self.deaths += 1
                self.start()
            await self.engine_run.turn()

    @property
    def idle(self) -> bool:
        """True where an engine lives, and neither has nor should have anything under way."""
        executor = self.executor
        return not self.engine_run.dead and executor.wallet.quiet and not executor.ledger.redeemable

    async def until_quiet(self, seconds_max: float = 4_000) -> None:
        """Run until no operation is under way and nothing that could be redeemed waits."""
        waited = 0.0
        while (
            self.executor.wallet.state.operations
            or self.executor.ledger.redeemable
            or self.engine_run.dead
        ):
            step_s = 1.0 if waited < 60 else 15.0
            await self.run(step_s, step_s)
            waited += step_s
            assert waited < seconds_max, (self.executor.wallet.state.operations, self.alerts[-3:])

    # -- what happens ------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin: the first cash, and what is open, which is nothing."""
        self.engine_run.tell(CashMoved(account=LIVE, currency="pUSD", amount_micro=FAUCET))
        self.engine_run.do(self.executor.recover((), self.now_ns()))
        await self.run(4)

    async def learn(self, market: Listed) -> Instrument:
        """Know a market."""
        instrument = instrument_of(market)
        await self.venue.list_market(instrument)
        self.engine_run.tell(InstrumentListed(instrument=instrument))
        return instrument

    async def buy(self, market: Listed, leg: Leg, shares: int, cents: int = 50) -> None:
        """Buy at once from somebody who offers just that."""
        instrument = await self.learn(market)
        other = 1 if leg is Leg.YES else 0
        await self.other.place(market, "BUY", f"0.{100 - cents:02}", str(shares), outcome=other)
        bought = order(
            instrument, cents, shares, type=OrderType.FOK, post_only=False, leg=leg,
            id=len(self.names) + 1,
        )  # fmt: skip
        await self.send(bought)

    async def send(self, bought: Order) -> None:
        """Place an order as an engine does, past its planner."""
        self.record(PlaceOrder(order=bought))
        self.executor.adopt(bought, self.now_ns())
        prepared = self.venue.prepare(bought)
        self.engine_run.tell(OrderNamed(account=LIVE, order=bought.id, identity=prepared.identity))
        for event in await self.venue.send(prepared):
            self.engine_run.tell(event)

    async def resolve(self, market: Listed, payout: float) -> None:
        """Resolve at the venue, and let the engine hear of it."""
        await self.served.control("resolve", condition=market.condition, payout=payout)
        self.engine_run.tell(
            InstrumentResolved(
                instrument=market.instrument, payout_yes_micro=int(payout * USD), source="venue"
            )
        )

    async def fault(self, name: str, **changes: Any) -> None:
        """Let a named fault strike the relayer."""
        await self.served.control("faults", script=name, **({"times": 1} | changes))

    # -- the truth ---------------------------------------------------------------------------------

    @property
    def wallet(self) -> Any:
        return self.venue.wire.wallet

    def cash(self) -> tuple[int, int]:
        """Cash here and at the venue."""
        theirs = self.served.venue.exchange.wallet(self.wallet).cash
        return self.executor.ledger.state.cash_settled_micro, theirs

    def tokens(self) -> tuple[dict[Any, int], dict[Any, int]]:
        """Tokens that may be worth something, here and at the venue."""
        ledger = self.executor.ledger
        ours, theirs = {}, {}
        for key, held in ledger.state.holdings.items():
            for leg in (Leg.YES, Leg.NO):
                size = held.leg(leg).settled + held.leg(leg).redeemable
                if size and held.pays(leg):
                    ours[key, leg] = size
        for key, leg, size in self.served.venue.exchange.positions(self.wallet):
            if ledger.holding(key).pays(leg):
                theirs[key, leg] = size
        return ours, theirs

    def redeemed(self) -> Counter[tuple[InstrumentId, bool, bool]]:
        """How often each market's tokens were paid to the wallet, by which of them they were."""
        paid = self.served.venue.exchange.account(self.wallet).redemptions
        return Counter(
            (one.instrument, one.yes > 0, one.no > 0) for one in paid if one.amount_micro
        )

    def check(self) -> None:
        """See that books and venue say the same to the unit, and that nobody was alarmed."""
        ours, theirs = self.cash()
        assert ours == theirs
        assert self.tokens()[0] == self.tokens()[1]
        assert set(self.redeemed().values()) <= {1}
        assert not self.executor.ledger.state.reservations
        self.executor.ledger.check()
        kinds = {alert.kind for alert in self.alerts}
        assert not kinds & {"cash_differs", "position_differs", "redeemed_more"}, self.alerts


@contextlib.asynccontextmanager
async def wallet_desk(
    *, markets: list[Listed] | None = None, kind: int = 3, venue: dict[str, Any] | None = None,
    relayer: str = "relay", **given: Any,
) -> AsyncIterator[WalletDesk]:  # fmt: skip
    """An open account with a deposit wallet and a relayer key, and somebody to trade with."""
    clock = Clock(BEGAN_NS)
    chosen = quick(
        skew_s_max=0, relayer_s=12.0, data_lag_s=5.0, rate_limits="off",
        **(venue or {}),
    )  # fmt: skip
    async with serve(chosen, clock=clock, markets=markets) as served:
        slug = markets[0].slug if markets else RAIN
        opened = adapter(
            served, kind=kind, slug=slug, relayer=relayer, now_ns=served.venue.clock.now_ns
        )
        async with opened as (adapted, _), Trader(served, 2) as other:
            other_wallet = {"signer": other.account.address, "wallet": other.wallet}
            await served.control("wallet", **other_wallet, deposit_micro=100_000 * USD)
            desk = WalletDesk(served, adapted, other, **given)
            await adapted.balances()  # the faucet fills a wallet that is seen
            await desk.open()
            yield desk


__all__ = ["SHARE", "STEPS", "USD", "Died", "WalletDesk", "wallet_desk"]
