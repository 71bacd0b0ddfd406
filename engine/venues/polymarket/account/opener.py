"""Accounts that trade real money at Polymarket: opened only with a credential and unlocked.

Everything that signs is loaded only where such an account is (law R), before the loop runs. The
account starts blind: first its connections, then what the journal knows, then the user channel,
whose first frame asks the venue everything, then the heartbeat.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.clock import WallClock
from engine.config import Config
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import CashMoved, Event, HealthChanged, InstrumentListed
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import AuthRefused, BadInput, BrokenInvariant, ConfigError, PitbossError
from engine.executor.executor import Executor
from engine.gateway.core import GatewayCore
from engine.gateway.door import Named
from engine.runtime.account_runner import AccountRunner
from engine.runtime.recovery import currency_of
from engine.runtime.services import Services, Stream
from engine.runtime.unlocked import unlocked
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.door import PolymarketDoor
from engine.venues.polymarket.account.heartbeat import PolymarketBeat
from engine.venues.polymarket.account.user_stream import PolymarketUser
from engine.venues.polymarket.hosts import account_hosts
from storage.live_accounts import Unlock
from storage.vault import VaultEntry

if TYPE_CHECKING:
    from engine.venues.polymarket.account.venue import PolymarketVenue

# What a live account needs beside its streams: terms of markets, fresh balances, a second chance.
# None of it decides anything. The venue caches balances and refreshes them late (trading API,
# §5.2): it is asked to look again after each settlement, heard or listed, and after a refusal for
# want of funds. It answers 401 to good keys now and then (§7, no. 9), so a refused credential is
# asked about again, each time later.

S = 1_000_000_000
LOOK_S = 0.25
TEND_S = 1.0
"""One market's balances at a time: three questions a second, the venue takes five."""
LIST_RETRY_NS_MIN = 1 * S
LIST_RETRY_NS_MAX = 60 * S
"""A new market's terms are answered with 404 for minutes (trading API, §3.1)."""
AUTH_PAUSE_NS_MIN = 5 * S
AUTH_PAUSE_NS_MAX = 300 * S
AUTH_CALM_NS = 600 * S
"""A credential that worked for this long is trusted as at first."""


class PolymarketTend:
    """Tends one open account."""

    def __init__(
        self, services: Services, runner: AccountRunner, door: PolymarketDoor, user: PolymarketUser
    ) -> None:
        self._services = services
        self._runner = runner
        self._door = door
        self._user = user
        self._retry: dict[InstrumentId, tuple[int, int]] = {}
        """Markets whose terms were not answered: (when to ask again, pause after that)."""
        self._auth_pause_ns = AUTH_PAUSE_NS_MIN
        self._auth_due_ns = self._auth_cleared_ns = 0

    # -- terms -------------------------------------------------------------------------------------

    async def markets(self, venue: PolymarketVenue) -> None:
        """Ask for the terms of every market somebody may trade in, until cancelled."""
        while True:
            for key in self._wanted(venue):
                await self._list(venue, key)
            await asyncio.sleep(LOOK_S)

    def _wanted(self, venue: PolymarketVenue) -> list[InstrumentId]:
        """Return what is held or worked, then everything open that the account hears."""
        executor, now_ns = self._runner.desk.executor, self._services.clock.now_ns()
        views = self._runner.desk.cache.views
        heard = [
            key for key in self._door.known if (view := views.get(key)) is None or not view.closed
        ]
        return [
            key
            for key in dict.fromkeys([*executor.concerned(), *heard])
            if not venue.lists(key) and self._retry.get(key, (0, 0))[0] <= now_ns
        ]

    async def _list(self, venue: PolymarketVenue, key: InstrumentId) -> None:
        instrument = self._runner.desk.executor.ledger.state.instruments.get(key)
        if instrument is None:
            return
        try:
            await venue.list_market(instrument)
        except PitbossError as error:
            _, pause_ns = self._retry.get(key, (0, LIST_RETRY_NS_MIN))
            later_ns = self._services.clock.now_ns() + pause_ns
            self._retry[key] = (later_ns, min(2 * pause_ns, LIST_RETRY_NS_MAX))
            self._services.log.info("market.waits", instrument=key, reason=str(error))
            return
        self._retry.pop(key, None)

    # -- money and key -----------------------------------------------------------------------------

    async def run(self, venue: PolymarketVenue) -> None:
        """Refresh balances after settlements and ask about doubts, until cancelled."""
        while True:
            await asyncio.sleep(TEND_S)
            await self._refresh(venue)
            await self._reassure()

    async def _refresh(self, venue: PolymarketVenue) -> None:
        settled, told = self._user.settled, self._door.outdated
        for order in list(told):
            del told[order]
            known = self._runner.desk.executor.order(order)
            if known is not None:
                settled[known.instrument] = None
        if not settled:
            return
        key = next(iter(settled))
        del settled[key]
        instrument = self._runner.desk.executor.ledger.state.instruments.get(key)
        try:
            await venue.refresh_balance()
            if instrument is not None:
                await venue.refresh_balance(instrument)
        except PitbossError as error:
            settled[key] = None
            self._services.log.info("balance.waits", instrument=key, reason=str(error))

    async def _reassure(self) -> None:
        """Ask whether the venue takes our key again after it had refused it."""
        door, now_ns = self._door, self._services.clock.now_ns()
        if not door.doubt:
            self._auth_due_ns = 0
            return
        if not self._auth_due_ns:
            if now_ns - self._auth_cleared_ns > AUTH_CALM_NS:
                self._auth_pause_ns = AUTH_PAUSE_NS_MIN
            self._auth_due_ns = now_ns + self._auth_pause_ns
        if now_ns < self._auth_due_ns:
            return
        self._auth_pause_ns = min(2 * self._auth_pause_ns, AUTH_PAUSE_NS_MAX)
        self._auth_due_ns = now_ns + self._auth_pause_ns
        try:
            await door.balances()
        except PitbossError:
            return
        door.doubt, self._auth_cleared_ns = "", now_ns
        account = self._runner.account
        self._runner.report(HealthChanged(account=account, source="auth", healthy=True))


# -- Accounts that trade real money at Polymarket: opened only with a credential and unlocked ------

POLYMARKET = "polymarket"
SIGNS = "engine.venues.polymarket.account.venue"
LOCKED = (
    "its key lies in the vault, which is locked: type the passphrase on the Settings page, or "
    "`python -m engine credentials open`"
)
KNOWN_MAX = 5_000
"""Markets remembered until the door is open; a rolling series brings hundreds a day."""
OPEN_RETRY_S_MIN = 0.5
OPEN_RETRY_S_MAX = 30.0


class PolymarketOpener:
    """Live accounts. `credentials` and `unlocks` are those of this start, by account.

    `locked` are the wallets, by account, whose keys lie in a vault that is not open: such an
    account is recovered and stands blind until `learn` brings its key. `why` says by account what
    keeps its key from being read, where it is not that the vault is locked.
    """

    def __init__(
        self,
        config: Config,
        *,
        credentials: Mapping[str, Credentials],
        unlocks: Mapping[str, Unlock],
        locked: Mapping[str, str] = MappingProxyType({}),
        why: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._config = config
        self._credentials = dict(credentials)
        self._unlocks = unlocks
        self._locked = locked
        self._why = why
        self._waiting: dict[str, asyncio.Event] = {}
        if any(not self._closed(name) for name in (*credentials, *locked)):
            importlib.import_module(SIGNS)  # it takes a second: not while the loop runs

    def _closed(self, account: str) -> str:
        credential = self._credentials.get(account)
        if credential is None and account in self._locked:
            return unlocked(account, self._locked[account], self._unlocks)
        if credential is None:
            return (
                f"account {account!r} is live and its key is missing: name it in "
                "POLYMARKET_ACCOUNT with its key and wallet and restart the engine, or set a key "
                "and open the vault"
            )
        return unlocked(account, credential.wallet, self._unlocks)

    def knows(self, account: str, entry: VaultEntry) -> bool:
        """Say whether the credential of an entry of the vault is known here already."""
        known = self._credentials.get(account)
        return known is not None and known.wallet == entry.wallet

    def learn(self, found: Mapping[str, Credentials], unlocks: Mapping[str, Unlock]) -> None:
        """Take what an opened vault holds; a credential of this start is not replaced."""
        self._credentials = {**found, **self._credentials}
        self._unlocks = unlocks

    def go_on(self) -> None:
        """Let the accounts connect whose credential has come. A lock set meanwhile stands."""
        for account, waiting in self._waiting.items():
            if account in self._credentials and not self._closed(account):
                waiting.set()

    async def awaited(self, account: str) -> Credentials:
        """Return an account's credential, as soon as there is one."""
        if account not in self._credentials:
            waiting = self._waiting[account] = asyncio.Event()
            await waiting.wait()
            del self._waiting[account]
        return self._credentials[account]

    def waits(self, account: str) -> str:
        """Return why nothing can be asked for an account before a person acts; empty = it can."""
        if account not in self._credentials:
            return self._why.get(account, LOCKED)
        return self._closed(account) if account in self._waiting else ""

    def credential(self, account: str) -> Credentials | None:
        """Return what this start was given for an account, locked or not; None = nothing."""
        return self._credentials.get(account)

    def refusal(self, settings: AccountSettings) -> str:
        """Return why an account stays closed; empty = it has a credential and is unlocked."""
        return self._closed(settings.name)

    def runner(
        self,
        services: Services,
        settings: AccountSettings,
        executor: Executor,
        wiring: dict[str, Any],
    ) -> AccountRunner:
        """Wire the gateway to a door that is not open yet."""
        account = AccountId(settings.name)
        door = services.venues[account] = PolymarketDoor(services.clock.now_ns)
        core = GatewayCore(account=account, settings=GatewaySettings(), latched=executor.latched)
        return PolymarketShell(
            door=door, waits=lambda: self.waits(settings.name), core=core, venue=door, **wiring
        )

    def silent(self, settings: AccountSettings) -> str:
        """Return why no key is at hand; empty = there is one. That it is locked does not matter."""
        account = settings.name
        if account in self._credentials:
            return ""
        if account in self._why or account in self._locked:
            return self._why.get(account, LOCKED)
        return self._closed(account)

    async def venue(self, settings: AccountSettings) -> PolymarketDoor:
        """Return an open door. Raises AuthRefused without a credential, what the venue refuses."""
        why = self.silent(settings)
        if why:
            raise AuthRefused(why)
        credentials = self._credentials[settings.name]
        door = PolymarketDoor(WallClock().now_ns)
        door.opened(await _opened(self._config, AccountId(settings.name), credentials, door.now_ns))
        return door

    def begin(
        self, services: Services, runner: AccountRunner, settings: AccountSettings, *, funded: bool
    ) -> list[Stream]:
        """Report everything as not connected; return what connects it."""
        if not isinstance(runner, PolymarketShell):
            raise BrokenInvariant(f"{runner.account} stands at another venue")
        live = _Live(services, runner, self._config, lambda: self.awaited(settings.name))
        now_ns, locked = services.clock.now_ns(), settings.name not in self._credentials
        why = self.waits(settings.name)
        for health in (live.user.health, live.beat.health):
            runner.deliver(health(why if locked else "not connected yet"), now_ns)
        if locked:
            text = f"{settings.name} waits: {why}"
            alert = RaiseAlert(
                severity=Severity.WARNING, kind="vault_locked", text=text, account=runner.account
            )
            services.alert(alert, now_ns)
        return [lambda: live.run(currency_of(settings), funded=funded)]


class PolymarketShell(AccountRunner):
    """A runner whose venue learns each market the account hears of."""

    def __init__(self, *, door: PolymarketDoor, waits: Callable[[], str], **wiring: Any) -> None:
        super().__init__(**wiring)
        self.door = door
        self._waits = waits

    def unaskable(self) -> str:
        """Return why nothing can be asked before a person acts; empty = it can, or soon will."""
        return "" if self.door.is_open else self._waits()

    def market(self, events: Any, now_ns: int) -> None:
        """Let the venue know new terms before anybody plans by them."""
        told: tuple[Event, ...] = tuple(events)
        for event in told:
            if type(event) is InstrumentListed:
                self.know(event.instrument)
        super().market(told, now_ns)

    def know(self, instrument: Instrument) -> None:
        """Know a market's tokens and its grid of now."""
        known = self.door.known
        known[instrument.id] = instrument
        if len(known) > KNOWN_MAX:
            del known[next(iter(known))]
        if self.door.is_open:
            try:
                self.door.venue.know(instrument)
            except BadInput as error:
                alert = RaiseAlert(severity=Severity.WARNING, kind="market", text=str(error))
                self._alert(alert, self._clock.now_ns())


def _named(executor: Executor) -> Iterator[Named]:
    """Give every order the journal knows by its name, and whose it is."""
    for key, name in executor.names():
        order = executor.order(key)
        if order is not None:
            yield Named(order=key, identity=name, bot=order.bot)


async def _opened(
    config: Config, account: AccountId, credentials: Credentials, now_ns: Callable[[], int]
) -> Any:
    """Open an account's connections. Raises what the venue refuses."""
    from engine.venues.polymarket.account.venue import PolymarketVenue  # noqa: PLC0415 only a live account signs

    hosts = account_hosts(config)
    return await PolymarketVenue.open(account, credentials, now_ns=now_ns, hosts=hosts)


class _Live:
    """One account from opening to the end."""

    def __init__(
        self,
        services: Services,
        runner: PolymarketShell,
        config: Config,
        awaited: Callable[[], Awaitable[Credentials]],
    ) -> None:
        self._services = services
        self._runner = runner
        self._config = config
        self._awaited = awaited
        self.user = PolymarketUser(services, runner)
        self.beat = PolymarketBeat(services, runner, runner.door, self.user)

    async def run(self, currency: str, *, funded: bool) -> None:
        """Open the account, book its first cash once, then listen, beat and tend."""
        services, runner = self._services, self._runner
        credentials = await self._awaited()
        venue = await self._open(credentials)
        executor = runner.desk.executor
        venue.remember(list(_named(executor)))
        for instrument in (
            *executor.ledger.state.instruments.values(),
            *runner.door.known.values(),
        ):
            if instrument.id.startswith(f"{POLYMARKET}:"):
                venue.know(instrument)
        runner.door.opened(venue)
        if not funded:
            await self._fund(currency)
        runner.report(HealthChanged(account=runner.account, source="auth", healthy=True))
        services.log.info("account.open", account=runner.account, wallet=credentials.wallet)
        tend = PolymarketTend(services, runner, runner.door, self.user)
        await asyncio.gather(
            self.user.run(venue), self.beat.run(venue), tend.markets(venue), tend.run(venue)
        )

    async def _open(self, credentials: Credentials) -> Any:
        """Open the connections, however long it takes; what a person must mend is told."""
        services, runner = self._services, self._runner
        pause_s, told = OPEN_RETRY_S_MIN, ""
        while True:
            try:
                now_ns = services.clock.now_ns
                return await _opened(self._config, runner.account, credentials, now_ns)
            except PitbossError as error:
                text = f"{runner.account} is not open: {error}"
                if str(error) != told:
                    told = str(error)
                    alert = RaiseAlert(
                        severity=Severity.WARNING,
                        kind="not_open",
                        text=text,
                        account=runner.account,
                    )
                    services.alert(alert, services.clock.now_ns())
                # A wrong wallet or key is not asked about again and again.
                pause_s = OPEN_RETRY_S_MAX if isinstance(error, ConfigError) else pause_s
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, OPEN_RETRY_S_MAX)

    async def _fund(self, currency: str) -> None:
        """Book what the wallet holds in cash as the account's first deposit."""
        runner = self._runner
        while True:
            try:
                cash = (await runner.door.balances()).cash_micro
                break
            except PitbossError as error:
                self._services.log.info("account.waits", account=runner.account, reason=str(error))
                await asyncio.sleep(OPEN_RETRY_S_MIN)
        runner.report(
            CashMoved(account=runner.account, currency=currency, amount_micro=cash[currency])
        )
