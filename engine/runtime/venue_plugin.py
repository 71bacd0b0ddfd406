"""What a venue is to the engine: one folder under `engine/venues` whose `plugin.py` says `PLUGIN`.

A plug-in declares its modes, addresses and credentials, and gives its market and its accounts'
links. Everything else is the same for every venue and stands here: how an account is refused,
opened blind, connected with second chances, funded once and run; forms, vault, doctor, self-test,
recordings and selectors read the declaration. What signs is imported inside the functions it gives.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import msgspec

from engine.config import Config
from engine.domain.alerts.funding import FIRST_CASH_WAITS
from engine.domain.catalog import CredentialField, Finding, ModeEntry, QuoteExpiry, VenueEntry
from engine.domain.effects import AnyEffect, caution
from engine.domain.events import CashMoved, HealthChanged
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.domain.listings import VenueListing
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import AuthRefused, BadInput, BrokenInvariant, ConfigError, PitbossError
from engine.executor.executor import Executor
from engine.executor.first_cash import first_micro, uncounted
from engine.gateway.core import GatewayCore, GatewayMessage
from engine.gateway.door import Reply, Request, Venue
from engine.runtime.account_runner import AccountRunner
from engine.runtime.credentials import Credential, Keys
from engine.runtime.recording import Source
from engine.runtime.services import HEARTBEAT, USER_FEED, ClosingVenue, Services, Stream
from engine.runtime.wallets import WalletTape


@dataclass(frozen=True, kw_only=True)
class VenueSetup:
    """Where a venue is: what its functions are given besides services."""

    config: Config
    urls: Mapping[str, str]


class Address(NamedTuple):
    """Where a part of a venue is, unless somebody gives another address of the same kind."""

    url: str
    meaning: str = ""
    """What the configuration's key of it means; empty = the command line alone gives it."""


def url_key(venue: str, name: str) -> str:
    """Return the key under which the configuration may give a venue's address."""
    return f"PITBOSS_{venue}_{name}_URL".upper()


class MarketData:
    """The market of one venue. Connects nowhere before an account of the venue exists."""

    shared = True
    """One connection for accounts and recordings; False = each recording has one of its own."""

    def begin(self, services: Services, runners: list[AccountRunner]) -> list[Stream]:
        """Return what receives the market for a start's accounts; called once, if there is one.

        `services.runners` is complete by then.
        """
        raise NotImplementedError

    def join(self, services: Services, runner: AccountRunner) -> list[Stream]:
        """Give an account opened later every market as it stands; `begin` may not have run."""
        raise NotImplementedError

    def source(self, services: Services, wanted: Sequence[str]) -> Source:
        """Return where a recording of instruments and series listens."""
        raise NotImplementedError

    def may_be(self, name: str) -> bool:
        """Say whether an instrument that is not known yet can be asked for by this name."""
        del name
        return False

    async def sync(self, services: Services) -> str:
        """Bring the catalog in step with the venue's listing; the counts as a sentence."""
        raise NotImplementedError


FIRST_CASH = "first_cash"
"""Health source of an account whose first cash is not counted."""

UNFUNDED_NS = 60 * 1_000_000_000
"""How long the first cash may wait before a person hears of it."""


class AccountLink:
    """One account's side of its venue. A venue's subclass says what is its own."""

    runner_type: ClassVar[type[AccountRunner]] = AccountRunner
    retry_s: ClassVar[tuple[float, float]] = (0.5, 30.0)
    """First and longest pause between two attempts to connect."""
    door: Venue
    """What the gateway asks; it may stand closed until `connect`."""
    runner: AccountRunner

    def __init__(self, services: Services, settings: AccountSettings) -> None:
        self.services = services
        self.settings = settings
        self.account = AccountId(settings.name)
        self._warned = ""
        """Why it waits, as a person received it last."""

    def wired(self, gateway: PlainDict, wiring: PlainDict) -> AccountRunner:
        return self.runner_type(gateway=GatewayCore(**gateway), venue=self.door, **wiring)

    async def connect(self, credential: Credential | None) -> None:
        """Open the connections; asked again after a pause for as long as it raises."""
        raise NotImplementedError

    async def run(self) -> None:
        """Listen, beat and do the upkeep until cancelled; it is open and funded."""
        raise NotImplementedError

    def health(self, source: str, reason: str) -> HealthChanged:
        """Return the reason not to place; empty = there is none."""
        return HealthChanged(account=self.account, source=source, healthy=not reason, reason=reason)

    # -- from blind to open ------------------------------------------------------------------------

    def begin(self, keys: Keys | None, *, funded: bool) -> list[Stream]:
        services, now_ns = self.services, self.services.clock.now_ns()
        why = keys.waits(self.account) if keys else ""
        for source in (USER_FEED, HEARTBEAT):
            self.runner.deliver(self.health(source, why or "not connected yet"), now_ns)
        if why:
            self._warn("vault_locked", f"{self.account} waits: {why}")
        services.log.info("account.begins", account=self.account)
        return [lambda: self._run_account(keys, funded=funded)]

    async def _run_account(self, keys: Keys | None, *, funded: bool) -> None:
        """Open the account, book its first cash once, then `run` until cancelled."""
        credential = await keys.awaited(self.account) if keys else None
        await self._retry(lambda: self.connect(credential), self._closed if keys else None)
        if not funded:
            await self._retry(self._fund, self._unfunded)
        if FIRST_CASH in self.runner.core.executor.unhealthy:  # of this life, or of one before it
            self.runner.report(self.health(FIRST_CASH, ""))
        self.runner.report(self.health("auth", ""))
        self.services.log.info("account.open", account=self.account)
        await self.run()

    async def _retry(
        self, step: Callable[[], Awaitable[None]], waits: Callable[[str, int], None] | None
    ) -> None:
        """Do a step, however long it takes; `waits` receives why, and since how many ns, each time.

        None = what it waits for comes by itself.
        """
        (pause_s, longest_s), now_ns = self.retry_s, self.services.clock.now_ns
        began_ns = now_ns()
        while True:
            try:
                return await step()
            except PitbossError as error:
                why = str(error)
                self.services.log.info("account.waits", account=self.account, reason=why)
                if waits is not None:
                    waits(why, now_ns() - began_ns)
                # A wrong wallet or key is not asked about again and again.
                await asyncio.sleep(longest_s if isinstance(error, ConfigError) else pause_s)
                pause_s = min(2 * pause_s, longest_s)

    def _closed(self, why: str, waited_ns: int) -> None:
        """Have a person receive, once for each reason, what must be mended before it opens."""
        del waited_ns
        if why != self._warned:
            self._warned = why
            self._warn("not_open", f"{self.account} is not open: {why}")

    def _unfunded(self, why: str, waited_ns: int) -> None:
        """Say why the first cash is not counted: a reason not to place, and an alert if it lasts.

        Cash that moves while it is asked for, or a venue that fails once, is over in seconds.
        """
        if self.runner.core.executor.unhealthy.get(FIRST_CASH) != why:
            self.runner.report(self.health(FIRST_CASH, why))
        if waited_ns >= UNFUNDED_NS and why != self._warned:
            self._warned = why
            self._warn(FIRST_CASH_WAITS.name, f"{self.account} waits for its first cash: {why}")

    async def _fund(self) -> None:
        """Book what the account holds in cash as its first deposit, once two answers agree.

        What is paid later than the second question is then not in it, however late the answer; nor
        is what a recovery has booked of a past that this home does not remember.
        """
        executor = self.runner.core.executor
        booked = executor.ledger.state.cash_settled_micro
        before = (await self.door.balances()).cash_micro
        asked_ns = self.services.clock.now_ns()
        cash = (await self.door.balances()).cash_micro
        if why := uncounted(executor):
            raise BadInput(f"its first cash cannot be counted: {why}")
        if cash != before or executor.ledger.state.cash_settled_micro != booked:
            raise BadInput("its cash moved while it was asked for: it is asked again")
        first = first_micro(executor, cash[self.settings.currency])
        self.runner.report(self.first_cash(first, asked_ns))

    def first_cash(self, amount_micro: int, asked_ns: int) -> CashMoved:
        return CashMoved(
            account=self.account,
            currency=self.settings.currency,
            amount_micro=amount_micro,
            paid_ns=asked_ns,
        )

    def _warn(self, kind: str, text: str) -> None:
        self.services.alert(caution(kind, text, account=self.account), self.services.clock.now_ns())


class PaperGateway(GatewayCore):
    """A gateway that remembers which requests it let go, so that the venue gets the very same."""

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._gone: dict[int, Request] = {}

    def receive(self, message: GatewayMessage, now_ns: int) -> list[Request]:
        return self._noted(super().receive(message, now_ns))

    def over(self, reply: Reply, now_ns: int) -> list[Request]:
        self._gone.pop(reply.number, None)
        return self._noted(super().over(reply, now_ns))

    def advance(self, now_ns: int) -> list[Request]:
        """Let time pass as every gateway does."""
        return self._noted(super().advance(now_ns))

    def _noted(self, requests: list[Request]) -> list[Request]:
        for request in requests:
            self._gone[request.number] = request
        return requests

    def claim(self, effect: AnyEffect) -> Request:
        """Return the request this effect left as, once; the door does not know its number."""
        for number, request in self._gone.items():
            if _unnumbered(request.effect) == effect:
                del self._gone[number]
                return request
        raise BrokenInvariant(f"{type(effect).__name__} reached the venue past the gateway")


def _unnumbered(effect: AnyEffect) -> AnyEffect:
    return msgspec.structs.replace(effect, number=0) if getattr(effect, "number", 0) else effect


@dataclass(frozen=True, kw_only=True)
class SelfTesting:
    """What a self-test is given: whose, which market (empty = one that is fit), whom to tell.

    `left` is the name of an order an earlier test may have left. `keep` writes this one's down,
    before it is sent; `forget` says that nothing of either is left at the venue.
    """

    account: AccountId
    credential: Credential
    market: str
    report: Callable[[Finding], Finding]
    left: str | None
    keep: Callable[[str], None]
    forget: Callable[[], object]


Link = Callable[[VenueSetup, Services, AccountSettings], AccountLink]
Door = Callable[[VenueSetup, AccountId, Credential | None], Awaitable[ClosingVenue]]
Examine = Callable[[VenueSetup, Credential, Container[str]], Awaitable[list[Finding]]]
RunSelfTest = Callable[[VenueSetup, SelfTesting], Awaitable[list[Finding]]]


@dataclass(frozen=True, kw_only=True)
class AccountSpec:
    """Accounts of one mode.

    `link` None = the plug-in that trades any venue's market in this mode has it. `door` gives an
    open door alone, for a KILL without an engine; None = nothing can rest outside an engine.
    """

    link: Link | None = None
    door: Door | None = None
    credential_fields: tuple[CredentialField, ...] = ()
    check: Callable[[Credential], object] = lambda _: None
    """Raises ConfigError for a credential that cannot be right, naming no value."""
    signs: str = ""
    """Module that signs: it takes a second to load, and is loaded before it is needed."""
    examine: Examine | None = None
    """Asks the venue whether an account is fit to trade; given the names of orders it has."""
    selftest: RunSelfTest | None = None
    expiry: QuoteExpiry | None = None
    """Of orders that end by themselves; None = the venue takes none."""
    limits: GatewaySettings = field(default_factory=GatewaySettings)
    """How fast one account may speak to the venue."""


@dataclass(frozen=True, kw_only=True)
class VenuePlugin:
    """One venue. `market` None = it has none of its own: it trades over those of the others."""

    id: str
    title: str
    about: str = ""
    modes: Mapping[Mode, AccountSpec]
    market: Callable[[VenueSetup], MarketData] | None
    listing: Callable[[VenueSetup], VenueListing] | None = None
    """Opens the listing of all its markets, inside a running loop; None = it lists none."""
    canary: Callable[[VenueSetup], Awaitable[list[Finding]]] | None = None
    """Compares the venue with what its adapter was proven with, by public questions."""
    wallets: Callable[[VenueSetup], WalletTape] | None = None
    """Opens the public trades of wallets, inside a running loop; None = none are public."""
    currency: str = ""
    rate_markets: tuple[InstrumentId, ...] = ()
    """Its pairs whose books say what its currency is worth in USDC, where that is no rule
    (`engine.domain.rates.PAR`): received as long as an account of it is open."""
    urls: Mapping[str, Address] = field(default_factory=dict)
    """Address by name; `PITBOSS_<ID>_<NAME>_URL` of the configuration wins."""
    secrets: tuple[str, ...] = ()
    """Environment names of what is secret besides credentials."""

    def setup(self, config: Config, given: Mapping[str, str] = MappingProxyType({})) -> VenueSetup:
        """Return where the venue is; `given` are addresses of the command line, by name.

        Raises ConfigError for an address of another kind.
        """
        urls = {}
        for name, address in self.urls.items():
            key = url_key(self.id, name)
            url = given.get(name) or config.venue_urls.get(key) or address.url
            kind = address.url.partition("://")[0].removesuffix("s")
            if url.partition("://")[0] not in (kind, f"{kind}s"):
                raise ConfigError(f"{key}: must begin with {kind}:// or {kind}s://")
            urls[name] = url.rstrip("/")
        return VenueSetup(config=config, urls=urls)

    def entry(self) -> VenueEntry:
        """Return the declaration as pages read it."""
        return VenueEntry(
            id=self.id,
            title=self.title,
            about=self.about,
            currency=self.currency,
            lists=self.listing is not None,
            modes=tuple(
                ModeEntry(
                    mode=mode,
                    credential_fields=one.credential_fields,
                    expiry=one.expiry,
                )
                for mode, one in self.modes.items()
            ),
        )


class AccountOpening:
    """How accounts of one venue and mode are put together. `keys` None = they need none."""

    def __init__(self, setup: VenueSetup, spec: AccountSpec, keys: Keys | None = None) -> None:
        self._setup = setup
        self._spec = spec
        self.keys = keys
        self._links: dict[str, AccountLink] = {}
        if keys is not None and keys.opens:
            self.load()

    def load(self) -> None:
        """Load what signs: it takes a second, so not while the loop runs."""
        if self._spec.signs:
            importlib.import_module(self._spec.signs)

    def refusal(self, settings: AccountSettings) -> str:
        """Return why an account cannot be opened, as a sentence; empty = it can."""
        return self.keys.closed(settings.name) if self.keys else ""

    def unaskable(self, settings: AccountSettings) -> str:
        """Return why a KILL cannot ask the venue, as a sentence; empty = it can.

        It needs a credential; that trading is locked does not matter.
        """
        return self.keys.keyless(settings.name) if self.keys else ""

    async def venue(self, settings: AccountSettings) -> ClosingVenue | None:
        """Return the venue alone, for a KILL without an executor; None = nothing can rest there.

        Raises AuthRefused without a credential, and what the venue refuses.
        """
        if self._spec.door is None:
            return None
        if why := self.unaskable(settings):
            raise AuthRefused(why)
        credential = self.keys.credential(settings.name) if self.keys else None
        return await self._spec.door(self._setup, AccountId(settings.name), credential)

    def runner(
        self,
        services: Services,
        settings: AccountSettings,
        executor: Executor,
        wiring: PlainDict,
    ) -> AccountRunner:
        """Return the account's runner; `wiring` is what every runner takes besides core and venue.

        A venue that must be closed, and cancelled at in a crash, is put into `services.venues`.
        """
        if self._spec.link is None:
            raise BadInput(f"{settings.name!r} has no link to {settings.venue}")
        name, keys = settings.name, self.keys
        link = self._links[name] = self._spec.link(self._setup, services, settings)
        gateway = {
            "account": link.account,
            "settings": self._spec.limits,
            "latched": executor.latched,
        }
        waits = (lambda: keys.waits(name)) if keys else str
        link.runner = link.wired(gateway, {"waits": waits, **wiring})
        if self._spec.door is not None:
            services.venues[link.account] = link.door  # type: ignore[assignment]
        return link.runner

    def begin(self, settings: AccountSettings, *, funded: bool) -> list[Stream]:
        """Start blind: report why nothing may be placed yet; return what must be listened to.

        Not `funded` = the journal holds no first cash of the account.
        """
        return self._links[settings.name].begin(self.keys, funded=funded)
