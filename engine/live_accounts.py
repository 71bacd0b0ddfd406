"""Accounts of a running engine: what each mode is wired to, at the start and while it trades.

A demo account trades at the demo exchange; a paper account hears the public market its `venue`
names and trades at a venue inside this process. Anything else is refused in words (law R).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from engine.bots.roster import RosterDesk
from engine.caches.markets import MarketCache
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import CashMoved, HealthChanged, LatchSet, OrderNotSent
from engine.domain.instruments import AccountId, Mode
from engine.domain.money import MICRO
from engine.domain.settings import AccountSettings, GatewaySettings, SettingsDocument
from engine.errors import ConfigError, PitbossError, StorageError
from engine.executor.executor import Executor
from engine.gateway.core import GatewayCore
from engine.live_door import PaperDoor, PaperGateway
from engine.live_feed import HEARTBEAT, USER_FEED, MarketStream, UserStream
from engine.live_house import House, Stream
from engine.live_paper import PaperShell, live_orders
from engine.live_start import currency_of, executor_of
from engine.loop import Shell
from engine.risk.exposure import ExposureBook, share_total
from engine.risk.gate import RiskGate
from engine.venues.demo.client import DemoMarket, DemoVenue
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import PaperSettings
from storage.projection import register_account, registered
from storage.users import ENGINE_ID

DEMO = "demo"
"""The one venue whose market this engine hears."""

UNNAMED = "the engine died before the order had a name"
OPEN_RETRY_S = 0.25


class Accounts:
    """Wires accounts to a house. `url` is where the demo exchange is, `fence` which start it is."""

    def __init__(self, url: str, *, fence: int) -> None:
        self._url = url
        self._fence = fence
        self._kin: dict[tuple[Mode, str], list[ExposureBook]] = {}
        """Books that count together: modes and currencies never mix in a sum."""
        self._open: set[str] = set()
        self._past: frozenset[str] = frozenset()
        """Accounts of earlier starts: only a start can recover them."""
        self._late: set[AccountId] = set()
        """Opened while the engine ran: they hear the market by a stream of their own."""

    def refusal(self, settings: AccountSettings) -> str:
        """Return why this engine cannot open an account; empty = it can, or it is open."""
        name = settings.name
        if settings.mode is Mode.LIVE:
            return f"account {name!r} is live: nothing here can sign an order"
        if settings.venue != DEMO:
            return (
                f"account {name!r} needs the market of {settings.venue!r}, which this engine does "
                f"not hear; the one it hears is {DEMO!r}"
            )
        if name in self._past and name not in self._open:
            return f"account {name!r} has a past in the journal: restart the engine to open it"
        return ""

    def market(self) -> DemoMarket:
        """Return where the market is listened to."""
        return DemoMarket(self._url)

    def is_open(self, name: str) -> bool:
        """Say whether the account trades here."""
        return name in self._open

    def register(self, connection: sqlite3.Connection, document: SettingsDocument) -> None:
        """Note every account this engine can open in the state, before its first record.

        Raises ConfigError where an account's mode would change.
        """
        modes = registered(connection, ENGINE_ID)
        for one in document.accounts.values():
            if modes.get(one.name, one.mode) is not one.mode:
                raise ConfigError(
                    f"account {one.name!r} is {modes[one.name]} and cannot become {one.mode}: "
                    "positions never cross modes; make an account of another name"
                )
        for one in document.accounts.values():
            if not self.refusal(one):
                register_account(
                    connection, engine_id=ENGINE_ID, account=one.name, mode=one.mode,
                    venue=one.venue, currency=currency_of(one),
                )  # fmt: skip

    def made(
        self, document: SettingsDocument
    ) -> dict[AccountId, tuple[AccountSettings, Executor, RiskGate]]:
        """Return what a start opens, each with a fresh executor and gate."""
        return {
            AccountId(one.name): (one, *executor_of(one, self._fence))
            for one in document.accounts.values()
            if not self.refusal(one)
        }

    def know(self, connection: sqlite3.Connection) -> None:
        """Learn which accounts have a past, when those of this start are chosen."""
        self._past = frozenset(registered(connection, ENGINE_ID))

    # -- wiring ------------------------------------------------------------------------------------

    def wire(
        self, house: House, settings: AccountSettings, executor: Executor, gate: RiskGate
    ) -> Shell:
        """Put an account together, in the order of the flow."""
        account = AccountId(settings.name)
        executor.resume()  # a stop of the engine is over with its start
        wiring: dict[str, Any] = {
            "desk": RosterDesk(
                cache=MarketCache(), executor=executor, bots=(), decide=deciding(house)
            ),
            "recorder": house.recorder,
            "clock": house.clock,
            "meter": house.meter,
            "alert": house.alert,
            "crash": house.end,
        }
        limits = GatewaySettings()
        shell: Shell
        if settings.mode is Mode.PAPER:
            core = PaperGateway(account=account, settings=limits, latched=executor.latched)
            paper = PaperVenue(account, PaperSettings(starting_cash={}))
            shell = PaperShell(paper=paper, door=PaperDoor(paper, core), core=core, **wiring)
        else:
            core_ = GatewayCore(account=account, settings=limits, latched=executor.latched)
            venue = house.venues[account] = DemoVenue(self._url, account)
            shell = Shell(core=core_, venue=venue, **wiring)
        house.gates[account] = gate
        house.shells[account] = shell
        kin = self._kin.setdefault((settings.mode, currency_of(settings)), [])
        kin.append(gate.exposure)
        share_total(kin)
        self._open.add(settings.name)
        return shell

    def begin(self, house: House, funded: set[str]) -> list[Stream]:
        """Start every account blind; return what must be listened to."""
        streams: list[Stream] = []
        known = house.settings.document.accounts
        for account, shell in house.shells.items():
            streams += self._begin(house, shell, known[account], funded=account in funded)
        market = MarketStream(
            house, lambda: [one for key, one in house.shells.items() if key not in self._late]
        )
        if house.shells:
            streams.append(lambda: market.run(DemoMarket(self._url)))
        return streams

    def _begin(
        self, house: House, shell: Shell, settings: AccountSettings, *, funded: bool
    ) -> list[Stream]:
        account, now_ns = shell.account, house.clock.now_ns()
        shell.desk.begin(now_ns)
        for known in live_orders(shell.desk.executor):
            if known.identity is None:  # what has no name has never left (law K)
                never = OrderNotSent(account=account, order=known.order.id, reason=UNNAMED)
                shell.deliver(never, now_ns)
        if isinstance(shell, PaperShell):
            if not funded:
                cash = round(settings.starting_cash * MICRO)
                currency = currency_of(settings)
                shell.deliver(
                    CashMoved(account=account, currency=currency, amount_micro=cash), now_ns
                )
            shell.resume_session(now_ns, fence=self._fence)
            shell.start_over(now_ns)
            return []
        user = UserStream(house, shell, house.venues[account])
        for source in (USER_FEED, HEARTBEAT):
            shell.deliver(user.lost(source, "not connected yet"), now_ns)
        return [lambda: _demo(house, user, settings, funded=funded)]

    def open(self, house: House, settings: AccountSettings, now_ns: int) -> None:
        """Open an account while the engine runs. `refusal` was asked, `register` was called."""
        shell = self.wire(house, settings, *executor_of(settings, self._fence))
        self._late.add(shell.account)
        for stream in self._begin(house, shell, settings, funded=False):
            house.spawn(stream)
        if house.watch.taken.is_set():
            shell.latch(LatchSet(who="engine", reason="the KILL latch was set before"), now_ns)
        # It must hear every market as it stands; the others must not hear it twice.
        market = MarketStream(house, lambda: [shell], kept=False)
        house.spawn(lambda: market.run(DemoMarket(self._url)))


async def _demo(house: House, user: UserStream, settings: AccountSettings, *, funded: bool) -> None:
    """Open the account at the venue, book its first cash once, then listen and beat."""
    account = AccountId(settings.name)
    venue, shell = house.venues[account], house.shells[account]
    while True:
        try:
            await venue.open(round(settings.starting_cash * MICRO))
            if not funded:
                cash = (await venue.balances()).cash_micro
                currency = currency_of(settings)
                shell.report(
                    CashMoved(account=account, currency=currency, amount_micro=cash[currency])
                )
            break
        except PitbossError as error:
            house.log.info("account.waits", account=account, reason=str(error))
            await asyncio.sleep(OPEN_RETRY_S)
    shell.report(HealthChanged(account=account, source="auth", healthy=True))
    await asyncio.gather(user.run(), user.beat())


def deciding(house: House) -> Callable[[Decision | Planned], None]:
    """Return who keeps decisions: a log that refuses is told, trading goes on."""

    def decide(decision: Decision | Planned) -> None:
        try:
            house.decisions.append(decision)
        except StorageError as error:
            text = str(error)
            alert = RaiseAlert(severity=Severity.WARNING, kind="decisions", text=text)
            house.alert(alert, decision.at_ns)

    return decide
