"""Accounts that trade real money at Polymarket.

Everything that signs is loaded only where such an account is (law R), before the loop runs. The
account starts blind: first its connections, then what the journal knows, then the user channel,
whose first frame asks the venue everything, then the heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from engine.clock import WallClock
from engine.domain.alerts import AlertKind
from engine.domain.alerts.listings import (
    QUESTION_ANSWERED,
    QUESTION_WAITS,
    UNREAD_ROW,
)
from engine.domain.effects import caution
from engine.domain.events import (
    Event,
    HealthChanged,
    InstrumentListed,
)
from engine.domain.failing import FailingQuestions
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.settings import AccountSettings
from engine.domain.telemetry import Approvals
from engine.domain.unread import UnreadRow
from engine.errors import BadInput, PitbossError
from engine.gateway.door import Named
from engine.runtime.account_runner import AccountRunner
from engine.runtime.credentials import Credential
from engine.runtime.services import Services
from engine.runtime.venue_plugin import AccountLink, VenueSetup
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.door import PolymarketDoor
from engine.venues.polymarket.account.heartbeat import PolymarketHeartbeat
from engine.venues.polymarket.account.listings import answered, approvals_of, data_rows, scoring_of
from engine.venues.polymarket.account.rows import INCOME, incomes
from engine.venues.polymarket.account.user_stream import PolymarketUser

if TYPE_CHECKING:
    from engine.venues.polymarket.account.venue import PolymarketVenue

# What a live account needs beside its streams: terms of markets, fresh balances, a second chance.
# None of it decides anything. The venue caches balances and refreshes them late (trading API,
# §5.2): it is asked to look again after each settlement, received or listed, and after a refusal
# for want of funds. It answers 401 to good keys now and then (§7, no. 9), so a refused credential
# is asked about again, each time later.

S = 1_000_000_000
LOOK_S = 0.25
UPKEEP_S = 1.0
"""One market's balances at a time: three questions a second, the venue takes five."""
LIST_RETRY_NS_MIN = 1 * S
LIST_RETRY_NS_MAX = 60 * S
"""A new market's terms are answered with 404 for minutes (trading API, §3.1)."""
AUTH_PAUSE_NS_MIN = 5 * S
AUTH_PAUSE_NS_MAX = 300 * S
APPROVALS_EVERY_NS = 300 * S
SCORING_EVERY_NS = 60 * S
"""The venue itself samples once a minute (trading API, §5.5)."""
INCOME_EVERY_NS = 600 * S
INCOME_OVERLAP_NS = 2 * 86_400 * S
"""Rewards and rebates are paid once a day; the index may tell one late."""
UNREAD_MAX = 1_000
"""Rows remembered as named."""
AUTH_CALM_NS = 600 * S
"""A credential that worked for this long is trusted as at first."""


class PolymarketUpkeep:
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
        self._approvals = Approvals(account=runner.account, approvals=(), told_ns=None)
        self._approvals_due_ns = self._scoring_due_ns = self._income_due_ns = 0
        self._cash_seen: tuple[int, int] | None = None
        self._failing = FailingQuestions()
        self._unread: dict[str, None] = {}
        """Rows that could not be read and were named."""

    def _fails(self, event: str, question: str, error: PitbossError, **about: object) -> None:
        """Log a question that failed; after a minute of failures a person hears why."""
        self._services.log.info(event, reason=str(error), **about)
        text = self._failing.failed(question, str(error), self._services.clock.now_ns())
        self._say(text, QUESTION_WAITS)

    def _say(self, text: str, kind: AlertKind = QUESTION_ANSWERED) -> None:
        if text:
            raised = caution(kind.name, text, account=self._runner.account)
            self._services.alert(raised, self._services.clock.now_ns())

    # -- terms -------------------------------------------------------------------------------------

    async def markets(self, venue: PolymarketVenue) -> None:
        """Ask for the terms of every market somebody may trade in, until cancelled."""
        while True:
            for key in self._unlisted(venue):
                await self._list(venue, key)
            await asyncio.sleep(LOOK_S)

    def _unlisted(self, venue: PolymarketVenue) -> list[InstrumentId]:
        """Return what is held or worked, then everything open that the account receives."""
        executor, now_ns = self._runner.core.executor, self._services.clock.now_ns()
        views = self._runner.core.cache.views
        received = [
            key for key in self._door.known if (view := views.get(key)) is None or not view.closed
        ]
        return [
            key
            for key in dict.fromkeys([*executor.concerned(), *received])
            if not venue.lists(key) and self._retry.get(key, (0, 0))[0] <= now_ns
        ]

    async def _list(self, venue: PolymarketVenue, key: InstrumentId) -> None:
        instrument = self._runner.core.executor.ledger.state.instruments.get(key)
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
            await asyncio.sleep(UPKEEP_S)
            await self._refresh(venue)
            await self._retry_auth()
            await self._ask_approvals(venue)
            await self._ask_scoring(venue)
            await self._ask_income(venue)

    async def _refresh(self, venue: PolymarketVenue) -> None:
        settled, outdated = self._user.settled, self._door.outdated
        for order in list(outdated):
            del outdated[order]
            known = self._runner.core.executor.order(order)
            if known is not None:
                settled[known.instrument] = None
        if not settled:
            return
        key = next(iter(settled))
        del settled[key]
        instrument = self._runner.core.executor.ledger.state.instruments.get(key)
        try:
            await venue.refresh_balance()
            if instrument is not None:
                await venue.refresh_balance(instrument)
        except PitbossError as error:
            settled[key] = None
            self._fails("balance.waits", "the balance anew", error, instrument=key)
        else:
            self._say(self._failing.answered("the balance anew"))

    async def _retry_auth(self) -> None:
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

    async def _ask_approvals(self, venue: PolymarketVenue) -> None:
        """Ask now and then what the wallet has approved; people read it, nothing is decided by it.

        What gets no answer stays as the venue last answered, and says so.
        """
        now_ns = self._services.clock.now_ns()
        if now_ns < self._approvals_due_ns:
            return
        self._approvals_due_ns = now_ns + APPROVALS_EVERY_NS
        try:
            approvals = await approvals_of(venue.wire)
        except PitbossError as error:
            self._approvals = replace(self._approvals, failed=str(error))
            self._fails("approvals.wait", "what the wallet has approved", error)
        else:
            account = self._runner.account
            self._approvals = Approvals(account=account, approvals=approvals, told_ns=now_ns)
            self._say(self._failing.answered("what the wallet has approved"))
        self._services.approvals(self._approvals)

    async def _ask_income(self, venue: PolymarketVenue) -> None:
        """Ask what was paid for resting and in fees given back, and report what is not booked yet.

        At once where the venue has more cash than the ledger. A failed question is asked again.
        """
        now_ns, executor = self._services.clock.now_ns(), self._runner.core.executor
        state, cash = executor.ledger.state, executor.venue_cash
        more = cash is not None and cash != self._cash_seen and cash[0] > state.cash_settled_micro
        if not state.funded_ns or (now_ns < self._income_due_ns and not more):
            return
        self._income_due_ns, self._cash_seen = now_ns + INCOME_EVERY_NS, cash
        newest_ns = max(state.payments.values(), default=0)
        since_ns = max(state.funded_ns, newest_ns - INCOME_OVERLAP_NS)
        query: dict[str, str] = {"type": ",".join(INCOME), "start": str(since_ns // S)}
        try:
            rows = await answered(
                data_rows(venue.wire, "/v2/activity", user=venue.wire.wallet, **query)
            )
            paid, unread = incomes(rows, self._runner.account, executor.currency)
        except PitbossError as error:
            self._fails("income.waits", "rewards and rebates", error)
            return
        self._say(self._failing.answered("rewards and rebates"))
        for row in unread:
            self._unread_row(row)
        for one in paid:
            if one.paid_ns > state.funded_ns and one.payment not in state.payments:
                self._runner.report(one)

    def _unread_row(self, row: UnreadRow) -> None:
        """Name a payment that cannot be read, once; nothing is booked by it."""
        if row.row not in self._unread:
            if len(self._unread) >= UNREAD_MAX:
                self._unread.clear()
            self._unread[row.row] = None
            text = f"row {row.row} of the venue's rewards and rebates cannot be read: {row.reason}"
            self._say(text, UNREAD_ROW)

    async def _ask_scoring(self, venue: PolymarketVenue) -> None:
        """Ask of orders in markets that pay whether they earn; the last answer stands."""
        now_ns, executor = self._services.clock.now_ns(), self._runner.core.executor
        if now_ns < self._scoring_due_ns:
            return
        self._scoring_due_ns = now_ns + SCORING_EVERY_NS
        instruments = executor.ledger.state.instruments
        names = {
            known.identity: known.order.id
            for key in executor.concerned()
            if instruments[key].rewards_daily_micro
            for known in executor.working(key)
            if known.identity is not None
        }
        try:
            found = await scoring_of(venue.wire, list(names)) if names else {}
        except PitbossError as error:
            self._fails("scoring.waits", "which orders earn rewards", error)
            return
        self._say(self._failing.answered("which orders earn rewards"))
        scoring = {int(names[name]): scores for name, scores in found.items()}
        self._runner.on_scoring(scoring, now_ns)


# -- the account at its venue --------------------------------------------------------------------

POLYMARKET = "polymarket"
KNOWN_MAX = 5_000
"""Markets remembered until the door is open; a rolling series brings hundreds a day."""


class PolymarketRunner(AccountRunner):
    """A runner whose venue learns each market the account receives."""

    def __init__(self, *, venue: PolymarketDoor, **wiring: Any) -> None:
        super().__init__(venue=venue, **wiring)
        self.door = venue

    def market(self, events: Any, now_ns: int) -> None:
        """Let the venue know new terms before anybody plans by them."""
        batch: tuple[Event, ...] = tuple(events)
        for event in batch:
            if type(event) is InstrumentListed:
                self.know(event.instrument)
        super().market(batch, now_ns)

    def know(self, instrument: Instrument) -> None:
        """Know a market's tokens and its grid of now."""
        known = self.door.known
        known[instrument.id] = instrument
        if len(known) > KNOWN_MAX:
            del known[next(iter(known))]
        if self.door.is_open:
            self.inform_venue(instrument)

    def inform_venue(self, instrument: Instrument) -> None:
        """Let the venue know a market's terms; an alert names those it cannot read."""
        try:
            self.door.venue.know(instrument)
        except BadInput as error:
            self._alert(caution("market", str(error)), self._clock.now_ns())


class PolymarketLink(AccountLink):
    """A live account, from opening to the end."""

    runner_type = PolymarketRunner
    door: PolymarketDoor
    runner: PolymarketRunner

    def __init__(self, setup: VenueSetup, services: Services, settings: AccountSettings) -> None:
        super().__init__(services, settings)
        self._setup = setup
        self.door = PolymarketDoor(services.clock.now_ns)

    async def connect(self, credential: Credential | None) -> None:
        """Open the connections, and tell them what the journal knows."""
        assert credential is not None
        venue = await opened(self._setup, self.account, credential, self.services.clock.now_ns)
        executor = self.runner.core.executor
        venue.remember(list(_named(self.runner)))
        self.door.opened(venue)
        for instrument in (*executor.ledger.state.instruments.values(), *self.door.known.values()):
            if instrument.id.startswith(f"{POLYMARKET}:"):
                self.runner.inform_venue(instrument)

    async def run(self) -> None:
        """Listen, send heartbeats and do the upkeep."""
        user, venue = PolymarketUser(self.services, self.runner), self.door.venue
        heartbeat = PolymarketHeartbeat(self.services, self.runner, self.door, user)
        upkeep = PolymarketUpkeep(self.services, self.runner, self.door, user)
        await asyncio.gather(
            user.run(venue), heartbeat.run(venue), upkeep.markets(venue), upkeep.run(venue)
        )


def _named(runner: AccountRunner) -> Iterator[Named]:
    """Give every order the journal knows by its name, and whose it is."""
    executor = runner.core.executor
    for key, name in executor.names():
        order = executor.order(key)
        if order is not None:
            yield Named(order=key, identity=name, bot=order.bot)


async def opened(
    setup: VenueSetup, account: AccountId, credential: Credential, now_ns: Callable[[], int]
) -> PolymarketVenue:
    """Open an account's connections. Raises what the venue refuses."""
    from engine.venues.polymarket.account.venue import PolymarketVenue  # noqa: PLC0415 only a live account signs

    return await PolymarketVenue.open(
        account, Credentials.of(credential), now_ns=now_ns, urls=setup.urls
    )


async def opened_door(
    setup: VenueSetup, account: AccountId, credential: Credential | None
) -> PolymarketDoor:
    """Return an open door. Raises what the venue refuses."""
    assert credential is not None
    door = PolymarketDoor(WallClock().now_ns)
    door.opened(await opened(setup, account, credential, door.now_ns))
    return door
