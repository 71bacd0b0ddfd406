"""Paper accounts: any venue's market, traded at a venue inside this process (law R)."""

from __future__ import annotations

from engine.domain.instruments import AccountId, Mode
from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings
from engine.runtime.credentials import Keys
from engine.runtime.services import Services, Stream
from engine.runtime.venue_plugin import (
    AccountLink,
    AccountSpec,
    PaperGateway,
    VenuePlugin,
    VenueSetup,
)
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.runner import PaperDoor, PaperRunner
from engine.venues.paper.settings import PaperSettings


class PaperLink(AccountLink):
    """A paper account: nothing to connect, and nothing of it outlives the engine."""

    runner: PaperRunner

    def __init__(self, setup: VenueSetup, services: Services, settings: AccountSettings) -> None:
        del setup
        self._paper = PaperVenue(AccountId(settings.name), PaperSettings(starting_cash={}))
        super().__init__(services, settings)

    def wired(self, gateway: PlainDict, wiring: PlainDict) -> PaperRunner:
        made = PaperGateway(**gateway)
        return PaperRunner(
            paper=self._paper, door=PaperDoor(self._paper, made), gateway=made, **wiring
        )

    def begin(self, keys: Keys | None, *, funded: bool) -> list[Stream]:
        """Book the first cash, rebuild the venue from the journal's books, ask it everything."""
        del keys
        runner, now_ns = self.runner, self.services.clock.now_ns()
        if not funded:
            cash_micro = round(self.settings.starting_cash * MICRO)
            runner.deliver(self.first_cash(cash_micro, now_ns), now_ns)
        runner.resume_session(now_ns, fence=runner.core.executor.fence)
        runner.start_over(now_ns)
        return []


PLUGIN = VenuePlugin(
    id="paper",
    title="Paper trading",
    about="any venue's market, traded inside the engine",
    modes={Mode.PAPER: AccountSpec(link=PaperLink)},
    market=None,
)
