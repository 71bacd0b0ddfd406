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

    def shell(
        self, house: Services, settings: AccountSettings, executor: Executor, wiring: dict[str, Any]
    ) -> AccountRunner:
        """Wire the gateway to the exchange."""
        account = AccountId(settings.name)
        venue = house.venues[account] = DemoVenue(self._url, account)
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
        self, house: Services, shell: AccountRunner, settings: AccountSettings, *, funded: bool
    ) -> list[Stream]:
        """Report both streams as not connected; return what connects them."""
        now_ns = house.clock.now_ns()
        venue = house.venues[shell.account]
        if not isinstance(venue, DemoVenue):
            raise BrokenInvariant(f"{shell.account} stands at another venue")
        user = UserStream(house, shell, venue)
        for source in (USER_FEED, HEARTBEAT):
            shell.deliver(user.lost(source, "not connected yet"), now_ns)
        return [lambda: _demo(house, user, venue, settings, funded=funded)]


class DemoMarketData:
    """The market of the demo exchange."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept = False
        """True once a stream puts the market on the tape and into the journal."""

    def begin(self, house: Services, shells: list[AccountRunner]) -> list[Stream]:
        """Hear the market once for all accounts of a start."""
        return [self._stream(house, list(shells))]

    def join(self, house: Services, shell: AccountRunner) -> list[Stream]:
        """Hear it again: the account needs it as it stands, the others must not hear it twice."""
        return [self._stream(house, [shell])]

    def _stream(self, house: Services, shells: list[AccountRunner]) -> Stream:
        market = MarketStream(house, lambda: shells, kept=not self._kept)
        self._kept = True
        return lambda: market.run(DemoMarket(self._url))


async def _demo(
    house: Services, user: UserStream, venue: DemoVenue, settings: AccountSettings, *, funded: bool
) -> None:
    """Open the account at the venue, book its first cash once, then listen and beat."""
    account = AccountId(settings.name)
    shell = house.shells[account]
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
