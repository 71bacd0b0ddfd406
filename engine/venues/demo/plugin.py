"""Accounts at the demo exchange, and its market."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.domain.events import CashMoved, HealthChanged
from engine.domain.instruments import AccountId
from engine.domain.money import MICRO
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import BrokenInvariant, PitbossError
from engine.executor.executor import Executor
from engine.gateway.core import GatewayCore
from engine.runtime.account_runner import AccountRunner
from engine.runtime.recovery import currency_of
from engine.runtime.services import HEARTBEAT, USER_FEED, Services, Stream
from engine.venues.demo.client import DemoMarket, DemoVenue
from engine.venues.demo.streams import MarketStream, UserStream

DEMO = "demo"
OPEN_RETRY_S = 0.25


class DemoOpener:
    """Accounts that trade at the demo exchange, which stands at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def refusal(self, settings: AccountSettings) -> str:
        """Every demo account can be opened."""
        del settings
        return ""

    def runner(
        self,
        services: Services,
        settings: AccountSettings,
        executor: Executor,
        wiring: dict[str, Any],
    ) -> AccountRunner:
        """Wire the gateway to the exchange."""
        account = AccountId(settings.name)
        venue = services.venues[account] = DemoVenue(self._url, account)
        core = GatewayCore(account=account, settings=GatewaySettings(), latched=executor.latched)
        return AccountRunner(core=core, venue=venue, **wiring)

    def silent(self, settings: AccountSettings) -> str:
        """Every demo account can be asked about."""
        del settings
        return ""

    async def venue(self, settings: AccountSettings) -> DemoVenue:
        """Return the exchange."""
        return DemoVenue(self._url, AccountId(settings.name))

    def begin(
        self, services: Services, runner: AccountRunner, settings: AccountSettings, *, funded: bool
    ) -> list[Stream]:
        """Report both streams as not connected; return what connects them."""
        now_ns = services.clock.now_ns()
        venue = services.venues[runner.account]
        if not isinstance(venue, DemoVenue):
            raise BrokenInvariant(f"{runner.account} stands at another venue")
        user = UserStream(services, runner, venue)
        for source in (USER_FEED, HEARTBEAT):
            runner.deliver(user.lost(source, "not connected yet"), now_ns)
        return [lambda: _demo(services, user, venue, settings, funded=funded)]


class DemoMarketData:
    """The market of the demo exchange."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept = False
        """True once a stream puts the market on the tape and into the journal."""

    def begin(self, services: Services, runners: list[AccountRunner]) -> list[Stream]:
        """Hear the market once for all accounts of a start."""
        return [self._stream(services, list(runners))]

    def join(self, services: Services, runner: AccountRunner) -> list[Stream]:
        """Hear it again: the account needs it as it stands, the others must not hear it twice."""
        return [self._stream(services, [runner])]

    def _stream(self, services: Services, runners: list[AccountRunner]) -> Stream:
        market = MarketStream(services, lambda: runners, kept=not self._kept)
        self._kept = True
        return lambda: market.run(DemoMarket(self._url))


async def _demo(
    services: Services,
    user: UserStream,
    venue: DemoVenue,
    settings: AccountSettings,
    *,
    funded: bool,
) -> None:
    """Open the account at the venue, book its first cash once, then listen and beat."""
    account = AccountId(settings.name)
    runner = services.runners[account]
    while True:
        try:
            await venue.open(round(settings.starting_cash * MICRO))
            if not funded:
                cash = (await venue.balances()).cash_micro
                currency = currency_of(settings)
                runner.report(
                    CashMoved(account=account, currency=currency, amount_micro=cash[currency])
                )
            break
        except PitbossError as error:
            services.log.info("account.waits", account=account, reason=str(error))
            await asyncio.sleep(OPEN_RETRY_S)
    runner.report(HealthChanged(account=account, source="auth", healthy=True))
    await asyncio.gather(user.run(), user.beat())
