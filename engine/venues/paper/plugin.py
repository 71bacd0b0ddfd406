"""Paper accounts: any venue's market, traded at a venue inside this process (law R)."""

from __future__ import annotations

from typing import Any

from engine.domain.events import CashMoved
from engine.domain.instruments import AccountId
from engine.domain.money import MICRO
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import BrokenInvariant
from engine.executor.executor import Executor
from engine.runtime.account_runner import AccountRunner
from engine.runtime.recovery import currency_of
from engine.runtime.services import Services, Stream
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.door import PaperDoor, PaperGateway
from engine.venues.paper.runner import PaperShell
from engine.venues.paper.settings import PaperSettings


class PaperOpener:
    """Opens paper accounts; `fence` is which start of the engine it is."""

    def __init__(self, fence: int) -> None:
        self._fence = fence

    def refusal(self, settings: AccountSettings) -> str:
        """Every paper account can be opened where its market is heard."""
        del settings
        return ""

    def runner(
        self,
        services: Services,
        settings: AccountSettings,
        executor: Executor,
        wiring: dict[str, Any],
    ) -> AccountRunner:
        """Wire the gateway to a paper venue."""
        del services
        account = AccountId(settings.name)
        core = PaperGateway(account=account, settings=GatewaySettings(), latched=executor.latched)
        paper = PaperVenue(account, PaperSettings(starting_cash={}))
        return PaperShell(paper=paper, door=PaperDoor(paper, core), core=core, **wiring)

    def silent(self, settings: AccountSettings) -> str:
        """Nothing has to be asked."""
        del settings
        return ""

    async def venue(self, settings: AccountSettings) -> None:
        """Return nothing: the venue lives inside an engine and died with it."""
        del settings

    def begin(
        self, services: Services, runner: AccountRunner, settings: AccountSettings, *, funded: bool
    ) -> list[Stream]:
        """Book the first cash, rebuild the venue from the journal's books, ask it everything."""
        if not isinstance(runner, PaperShell):
            raise BrokenInvariant(f"{runner.account} has no paper venue")
        now_ns = services.clock.now_ns()
        if not funded:
            cash = round(settings.starting_cash * MICRO)
            first = CashMoved(
                account=runner.account, currency=currency_of(settings), amount_micro=cash
            )
            runner.deliver(first, now_ns)
        runner.resume_session(now_ns, fence=self._fence)
        runner.start_over(now_ns)
        return []
